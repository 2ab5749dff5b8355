"""The marks of the current field, and which of them are visible.

The session keeps no truth: cells, regions and suggestions are re-read from the project whenever that says
that they changed (`FieldMarks` only remembers the last answer).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from psygnal import Signal

from annotation_store.errors import LLDError
from annotation_store.records import Box, Cell, Edit, IgnoreArea, Region, Shape, Suggestion, SuggestionState
from napari_lld.session import user_state
from napari_lld.session.fields import Fields
from napari_lld.session.open_project import OpenProject

if TYPE_CHECKING:
    from shapely import STRtree

    from annotation_store import Project

Boxed = TypeVar("Boxed", Cell, Suggestion)

DEFAULT_THRESHOLD = 0.2
MOST_IN_SIGHT = 1000
"""Marks of a whole slide that are read at once, of those in sight: the most probable suggestions, the newest
cells."""
IN_SIGHT = frozenset({"suggestion", "cell"})
"""Kinds of marks that are read of a whole slide for what is in sight."""
_AROUND = 0.5
"""Part of the area in sight that is read on each side beyond it."""
_FEW = 20
"""Up to so many cells are read one by one after an edit."""
_STEP = 0.05


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

    def __init__(self, project: Project, field_id: int, *, is_slide: bool = False) -> None:
        self._project = project
        self.field_id = field_id
        self.is_slide = is_slide
        self._read_area: Box | None = None
        self._cut_off = self._cells_cut_off = False
        self._pending: int | None = None
        self._regions: list[Region] | None = None
        self._ignore_areas: list[IgnoreArea] | None = None
        self._cells: list[Cell] | None = None
        self._far: dict[int, Cell | None] = {}
        """Cells out of sight that were asked for."""
        self._suggestions: list[Suggestion] | None = None
        self._held: Suggestion | None = None
        self._outdated = False
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
        """Cells of the current reading; of a whole slide those in sight."""
        if self._cells is None:
            most = MOST_IN_SIGHT if self.is_slide else None
            cells = self._project.cells.all(self.field_id, within=self._read_area, most=most)
            self._cells, self._cells_cut_off = cells, most is not None and len(cells) == most
        return self._cells

    def cell(self, cell_id: int) -> Cell | None:
        """Return a cell of the field, in sight or not."""
        listed = next((cell for cell in self.cells if cell.id == cell_id), None)
        if listed is not None or not self.is_slide:
            return listed
        if cell_id not in self._far:
            read: Cell | None = None
            with suppress(LLDError):
                read = self._project.cells.get(cell_id)
            self._far[cell_id] = read if read is not None and read.field_id == self.field_id else None
        return self._far[cell_id]

    def cells_in(self, shape: Shape) -> list[Cell]:
        """Return the cells centred in an area, in sight or not."""
        among = self._project.cells.all(self.field_id, within=shape.bounds) if self.is_slide else self.cells
        return [cell for cell in among if shape.contains_centre(cell.box)]

    def suggestions_in(self, shape: Shape) -> list[Suggestion]:
        """Return the pending suggestions centred in an area, in sight or not."""
        candidates = (
            self._project.suggestions.find(self.field_id, within=shape.bounds)
            if self.is_slide
            else self.suggestions
        )
        return [suggestion for suggestion in candidates if shape.contains_centre(suggestion.box)]

    @property
    def suggestions(self) -> list[Suggestion]:
        """Pending suggestions, the most probable first; a held one is unchanged."""
        if self._suggestions is None:
            held = self._held
            most = MOST_IN_SIGHT if self.is_slide else None
            suggestions = self._project.suggestions.find(self.field_id, within=self._read_area, most=most)
            self._cut_off = most is not None and len(suggestions) == most
            if held is not None:
                self._outdated = any(s.id == held.id and s != held for s in suggestions)
                suggestions = [held if s.id == held.id else s for s in suggestions]
                if (
                    self.is_slide
                    and held.id not in {s.id for s in suggestions}
                    and self._still_waits(held.id)
                ):
                    suggestions.append(held)  # out of sight, and still current
            self._suggestions = suggestions
        return self._suggestions

    @property
    def pending(self) -> int:
        """How many suggestions are pending on the field, in sight or not."""
        if not self.is_slide:
            return len(self.suggestions)
        if self._pending is None:
            self._pending = self._project.suggestions.count(self.field_id)
        return self._pending

    def suggestion(self, suggestion_id: int) -> Suggestion | None:
        """Return a pending suggestion of the field, in sight or not."""
        listed = next((s for s in self.suggestions if s.id == suggestion_id), None)
        if listed is not None or not self.is_slide or not self._still_waits(suggestion_id):
            return listed
        return self._project.suggestions.get(suggestion_id)

    def _still_waits(self, suggestion_id: int) -> bool:
        try:
            suggestion = self._project.suggestions.get(suggestion_id)
        except LLDError:
            return False
        return suggestion.field_id == self.field_id and suggestion.state is SuggestionState.PENDING

    def look_at(self, area: Box) -> bool:
        """Set the visible area of a slide; return whether marks must be read for it."""
        if not self.is_slide:
            return False
        x, y, w, h = area
        if (area_read := self._read_area) is not None:
            inside = (
                area_read[0] <= x
                and area_read[1] <= y
                and x + w <= area_read[0] + area_read[2]
                and y + h <= area_read[1] + area_read[3]
            )
            cut_off = self._cut_off or self._cells_cut_off
            if inside and not (cut_off and w * h < 0.25 * area_read[2] * area_read[3]):
                return False
        self._read_area = (x - _AROUND * w, y - _AROUND * h, (1 + 2 * _AROUND) * w, (1 + 2 * _AROUND) * h)
        self.forget(IN_SIGHT)
        return True

    def hold(self, suggestion_id: int | None) -> bool:
        """Hold a suggestion as it is now; return whether the previously held one has changed."""
        if (self._held.id if self._held is not None else None) == suggestion_id:
            return False
        self._held = None if suggestion_id is None else self.suggestion(suggestion_id)
        outdated, self._outdated = self._outdated, False
        if outdated:
            self.forget({"suggestion"})
        return outdated

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

    def renew(self, cell_ids: Collection[int]) -> bool:
        """Read again only the cells that an edit touched; return False if all must be read."""
        if self._cells is None or not 0 < len(cell_ids) <= _FEW:
            return False
        cells = {cell.id: cell for cell in self._cells}
        for cell_id in cell_ids:
            changed: Cell | None = None
            with suppress(LLDError):
                changed = self._project.cells.get(cell_id)
            if changed is not None and changed.field_id == self.field_id and self._is_read(changed.box):
                cells[cell_id] = changed
            elif cells.pop(cell_id, None) is not None and self._cells_cut_off:
                return False  # an older one takes its place
        most = MOST_IN_SIGHT if self.is_slide else None
        self._cells = sorted(cells.values(), key=lambda cell: cell.id)[-(most or 0) :]
        self._cells_cut_off = most is not None and len(self._cells) == most
        self._cell_index = None
        self._far.clear()
        return True

    def _is_read(self, box: Box) -> bool:
        if (area := self._read_area) is None:
            return True
        return all(box[i] < area[i] + area[i + 2] and box[i] + box[i + 2] > area[i] for i in (0, 1))

    def forget(self, kinds: Collection[str]) -> None:
        """Drop the answers about some kinds of marks."""
        if "region" in kinds:
            self._regions = None
        if "ignore_area" in kinds:
            self._ignore_areas = None
        if "cell" in kinds:
            self._cells = self._cell_index = None
            self._far.clear()
        if "suggestion" in kinds:
            self._suggestions = self._suggestion_index = self._pending = None


class Marks:
    """Regions, ignore areas, cells and suggestions of the current field; the threshold of suggestions."""

    changed = Signal(frozenset)
    """The kinds of marks of the current field that changed: cell, suggestion, region, ignore_area."""
    threshold_changed = Signal()
    shown_changed = Signal()

    def __init__(self, opened: OpenProject, fields: Fields) -> None:
        self._opened = opened
        self._fields = fields
        self._memo: FieldMarks | None = None
        self._threshold = DEFAULT_THRESHOLD
        self._shown = True
        fields.leaving_current.connect(self._on_leaving)

    def recall(self, threshold: object, usual: float) -> None:
        """Take up the threshold remembered of a project; without one, the usual."""
        remembered = user_state.within(threshold, 0, 1)
        self._threshold = usual if remembered is None else remembered

    def _on_leaving(self) -> None:
        project, field_id = self._opened.project, self._fields.current_id
        field = self._fields.current
        self._memo = (
            FieldMarks(project, field_id, is_slide=field is not None and field.is_slide)
            if project and field_id is not None
            else None
        )

    # ------------------------------------------------------------------ marks of the field

    @property
    def slide(self) -> int | None:
        """The id of the current field if it is a whole slide."""
        return self._memo.field_id if self._memo is not None and self._memo.is_slide else None

    @property
    def regions(self) -> Sequence[Region]:
        """Regions of the current field."""
        return self._memo.regions if self._memo else ()

    @property
    def ignore_areas(self) -> Sequence[IgnoreArea]:
        """Areas of the current field that nobody can read."""
        return self._memo.ignore_areas if self._memo else ()

    @property
    def cells(self) -> Sequence[Cell]:
        """Cells of the current field; of a whole slide those in sight."""
        return self._memo.cells if self._memo else ()

    def cell(self, cell_id: int) -> Cell | None:
        """Return a cell of the current field, in sight or not."""
        return self._memo.cell(cell_id) if self._memo else None

    def cells_in(self, shape: Shape) -> list[Cell]:
        """Return the cells centred in an area of the current field, in sight or not."""
        return self._memo.cells_in(shape) if self._memo else []

    def waiting_in(self, shape: Shape) -> list[Suggestion]:
        """Return the pending suggestions centred in an area, whatever the threshold, in sight or not."""
        return self._memo.suggestions_in(shape) if self._memo and not self.blind else []

    @property
    def waiting(self) -> Sequence[Suggestion]:
        """Pending suggestions of the current field, whatever the threshold, surest first."""
        return self._memo.suggestions if self._memo and not self.blind else ()

    @property
    def suggestions(self) -> Sequence[Suggestion]:
        """Pending suggestions of the current field at or above the threshold, surest first."""
        return [s for s in self.waiting if s.probability >= self._threshold]

    @property
    def pending(self) -> int:
        """How many suggestions of the current field are pending, whatever the threshold."""
        return self._memo.pending if self._memo and not self.blind else 0

    @property
    def blind(self) -> bool:
        """A blind reader sees no suggestion before a region of this field is finished."""
        return bool(
            self._opened.project
            and self._opened.project.reading.blind
            and not any(region.finished for region in self.regions)
        )

    def suggestion(self, suggestion_id: int) -> Suggestion | None:
        """Return a pending suggestion of the current field, also below the threshold."""
        return self._memo.suggestion(suggestion_id) if self._memo else None

    def look_at(self, area: Box) -> None:
        """Take up which area of the field is in sight: of a whole slide only its marks are read."""
        if self._memo is not None and self._memo.look_at(area):
            self.changed.emit(IN_SIGHT)

    def hold(self, suggestion_id: int | None) -> None:
        """Keep a suggestion as it is seen now, whatever is predicted of it meanwhile; ``None`` = none."""
        if self._memo is not None and self._memo.hold(suggestion_id):
            self.changed.emit(frozenset({"suggestion"}))

    def at(self, x: float, y: float) -> list[Cell | Suggestion]:
        """Return the cells and the suggestions in sight whose box holds a point."""
        if self._memo is None:
            return []
        marks: list[Cell | Suggestion] = [*self._memo.cells_at(x, y)]
        if self._shown and not self.blind:
            waiting = self._memo.suggestions_at(x, y)
            marks += [s for s in waiting if s.probability >= self._threshold]
        return marks

    # ------------------------------------------------------------------ what is in sight

    @property
    def threshold(self) -> float:
        """Suggestions whose statement is less probable are not shown (`Proposal.probability`)."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        if math.isnan(value):
            return
        value = round(min(max(value, 0.0), 1.0), 2)
        if value == self._threshold:
            return
        self._threshold = value
        self.threshold_changed.emit()

    def raise_threshold(self) -> None:
        """Show fewer, surer suggestions."""
        self.threshold = self._threshold + _STEP

    def lower_threshold(self) -> None:
        """Show more, less sure suggestions."""
        self.threshold = self._threshold - _STEP

    @property
    def shown(self) -> bool:
        """Whether boxes, letters and regions are drawn over the field."""
        return self._shown

    def toggle(self) -> None:
        """Hide or show everything drawn over the field, to see the cells themselves."""
        self._shown = not self._shown
        self.shown_changed.emit()

    # ------------------------------------------------------------------ the project's events

    def on_edited(self, edit: Edit) -> None:
        """Read again what an edit of the current field changed."""
        if edit.field_id is not None and edit.field_id != self._fields.current_id:
            return
        # Of suggestions the project tells in an event of their own, right after this one.
        kinds = frozenset(edit.touched) - {"suggestion"}
        if "region" in kinds and self._opened.project is not None and self._opened.project.reading.blind:
            kinds |= {"suggestion"}  # a finished region uncovers them
        if kinds:
            self._reread(kinds, edit.touched.get("cell", ()))

    def on_suggestions_changed(self, field_ids: list[int]) -> None:
        """Read the suggestions again if they are of the current field."""
        if self._fields.current_id in field_ids:
            self._reread(frozenset({"suggestion"}))

    def _reread(self, kinds: frozenset[str], cell_ids: Collection[int] = ()) -> None:
        if self._memo is not None:
            renewed = "cell" in kinds and self._memo.renew(cell_ids)
            self._memo.forget(kinds - {"cell"} if renewed else kinds)
            self.changed.emit(kinds)
