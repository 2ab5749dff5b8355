"""A model: its parts, its two files, its card, and where it comes from and goes to."""
