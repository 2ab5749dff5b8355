"""How good predictions are, how far that can be told, and what may follow from it."""
