"""Pixels for the eye and the hand: display, stains, measures, the box under a click. NumPy and SciPy only."""
