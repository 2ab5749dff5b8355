"""Shared by all widgets: builders, style, lists, places."""
