"""The current cell."""
