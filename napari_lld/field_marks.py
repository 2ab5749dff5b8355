"""What stands on one field, read from the project when asked and forgotten when the project changes."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from annotation_store.records import Cell, IgnoreArea, Region, Suggestion

if TYPE_CHECKING:
    from annotation_store import Project


class FieldMarks:
    """A memo of the store's answers for one field: one statement per kind and change, not per repaint."""

    def __init__(self, project: Project, field_id: int) -> None:
        self._project = project
        self.field_id = field_id
        self._regions: list[Region] | None = None
        self._ignore_areas: list[IgnoreArea] | None = None
        self._cells: list[Cell] | None = None
        self._suggestions: list[Suggestion] | None = None

    @property
    def regions(self) -> list[Region]:
        """Regions of the current reading."""
        if self._regions is None:
            self._regions = self._project.regions(self.field_id)
        return self._regions

    @property
    def ignore_areas(self) -> list[IgnoreArea]:
        """Areas nobody can read."""
        if self._ignore_areas is None:
            self._ignore_areas = self._project.ignore_areas(self.field_id)
        return self._ignore_areas

    @property
    def cells(self) -> list[Cell]:
        """Cells of the current reading."""
        if self._cells is None:
            self._cells = self._project.cells(self.field_id)
        return self._cells

    @property
    def suggestions(self) -> list[Suggestion]:
        """Pending suggestions, surest first."""
        if self._suggestions is None:
            self._suggestions = self._project.suggestions(self.field_id)
        return self._suggestions

    def forget(self, kinds: Collection[str]) -> None:
        """Drop the answers about some kinds of marks."""
        if "region" in kinds:
            self._regions = None
        if "ignore_area" in kinds:
            self._ignore_areas = None
        if "cell" in kinds:
            self._cells = None
        if "suggestion" in kinds:
            self._suggestions = None
