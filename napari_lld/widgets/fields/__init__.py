"""The list of fields."""
