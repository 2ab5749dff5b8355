"""The process that trains and predicts: ``python -P -m training.worker REQUEST.json``."""
