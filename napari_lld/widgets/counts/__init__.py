"""The differential count."""
