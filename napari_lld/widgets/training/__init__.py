"""Training, its curves, and the models it made."""
