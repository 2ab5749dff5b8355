"""Ultralytics' dataset folder."""
