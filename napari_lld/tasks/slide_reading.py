"""Read all marks of a slide in a thread; no Qt."""

from __future__ import annotations

from pathlib import Path

from annotation_store import Project
from annotation_store.records import Box
from napari_lld.session.slide_differential import ReadPlaces
from training.inference.slide_count import SlideCount

Marked = tuple[list[Box], list[Box]]
"""Boxes of cells, and of suggestions."""


def recount(path: Path, reading_id: int, read: ReadPlaces) -> SlideCount:
    """Count the marks in the searched places; called in a thread, with its own open project."""
    with Project.open(path, reading=reading_id, read_only=True) as project:
        return read.count(project)


def marked(path: Path, reading_id: int, field_id: int, least: float) -> Marked:
    """Return where cells and suggestions at least so probable are; in a thread, as `recount`."""
    with Project.open(path, reading=reading_id, read_only=True) as project:
        return project.cells.boxes(field_id), project.suggestions.boxes(field_id, least=least)
