"""What was counted on a slide, counted again beside the window; no Qt."""

from __future__ import annotations

from pathlib import Path

from annotation_store import Project
from napari_lld.session.slide_differential import ReadPlaces
from training.inference.slide_count import SlideCount


def recount(path: Path, reading_id: int, read: ReadPlaces) -> SlideCount:
    """Count what stands in the places that were read; in a thread, with the project opened for it."""
    with Project.open(path, reading=reading_id, read_only=True) as project:
        return read.count(project)
