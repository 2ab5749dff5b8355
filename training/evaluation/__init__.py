"""The quality of predictions, its uncertainty, and the decisions that follow from it."""
