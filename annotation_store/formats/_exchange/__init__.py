"""Shared by all formats: the document between parser and project, its merge, and the export."""
