"""The tools of the left mouse button on the field."""

from __future__ import annotations

from enum import StrEnum


class Tool(StrEnum):
    """A tool of the mouse."""

    SELECT = "select"
    REGION = "region"
    DRAFT = "draft"
    IGNORE = "ignore"
    BOX = "box"
    RULER = "ruler"
    RING = "ring"
    WHITE = "white"

    @property
    def draws_areas(self) -> bool:
        """Whether it draws rectangles and polygons rather than boxes."""
        return self in (Tool.REGION, Tool.DRAFT, Tool.IGNORE)

    @property
    def measures(self) -> bool:
        """Whether it only looks: ruler, ring for red cells, picker of the background's colour."""
        return self in (Tool.RULER, Tool.RING, Tool.WHITE)
