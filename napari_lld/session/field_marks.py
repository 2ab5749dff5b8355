"""What stands on one field, read from the project when asked and forgotten when the project changes."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from annotation_store.records import Cell, IgnoreArea, Region, Suggestion

if TYPE_CHECKING:
    from shapely import STRtree

    from annotation_store import Project

Boxed = TypeVar("Boxed", Cell, Suggestion)


class BoxIndex(Generic[Boxed]):
    """Finds the boxes around a point without going through all of them; built at the first question."""

    def __init__(self, marks: Sequence[Boxed]) -> None:
        self._marks: Sequence[Boxed] = marks

    @cached_property
    def _tree(self) -> STRtree:
        from shapely import STRtree, box

        x, y, w, h = np.array([mark.box for mark in self._marks], dtype=float).reshape(-1, 4).T
        return STRtree(box(x, y, x + w, y + h))

    def at(self, x: float, y: float) -> list[Boxed]:
        """Return the marks whose box holds a point, edges included, in their order."""
        from shapely import Point

        # A leaf of the tree is the box itself: what it finds needs no second look.
        return [self._marks[index] for index in sorted(self._tree.query(Point(x, y)).tolist())]


class FieldMarks:
    """A memo of the store's answers for one field: one statement per kind and change, not per repaint."""

    def __init__(self, project: Project, field_id: int) -> None:
        self._project = project
        self.field_id = field_id
        self._regions: list[Region] | None = None
        self._ignore_areas: list[IgnoreArea] | None = None
        self._cells: list[Cell] | None = None
        self._suggestions: list[Suggestion] | None = None
        self._cell_index: BoxIndex[Cell] | None = None
        self._suggestion_index: BoxIndex[Suggestion] | None = None

    @property
    def regions(self) -> list[Region]:
        """Regions of the current reading."""
        if self._regions is None:
            self._regions = self._project.regions.all(self.field_id)
        return self._regions

    @property
    def ignore_areas(self) -> list[IgnoreArea]:
        """Areas nobody can read."""
        if self._ignore_areas is None:
            self._ignore_areas = self._project.ignore_areas.all(self.field_id)
        return self._ignore_areas

    @property
    def cells(self) -> list[Cell]:
        """Cells of the current reading."""
        if self._cells is None:
            self._cells = self._project.cells.all(self.field_id)
        return self._cells

    @property
    def suggestions(self) -> list[Suggestion]:
        """Pending suggestions, surest first."""
        if self._suggestions is None:
            self._suggestions = self._project.suggestions.find(self.field_id)
        return self._suggestions

    def cells_at(self, x: float, y: float) -> list[Cell]:
        """Return the cells whose box holds a point."""
        if self._cell_index is None:
            self._cell_index = BoxIndex(self.cells)
        return self._cell_index.at(x, y)

    def suggestions_at(self, x: float, y: float) -> list[Suggestion]:
        """Return the pending suggestions whose box holds a point."""
        if self._suggestion_index is None:
            self._suggestion_index = BoxIndex(self.suggestions)
        return self._suggestion_index.at(x, y)

    def forget(self, kinds: Collection[str]) -> None:
        """Drop the answers about some kinds of marks."""
        if "region" in kinds:
            self._regions = None
        if "ignore_area" in kinds:
            self._ignore_areas = None
        if "cell" in kinds:
            self._cells = self._cell_index = None
        if "suggestion" in kinds:
            self._suggestions = self._suggestion_index = None
