"""The process that learns and proposes: ``python -P -m training.worker REQUEST.json``."""
