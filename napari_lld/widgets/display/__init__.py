"""How the field is shown, its scale, and the current cell in large."""
