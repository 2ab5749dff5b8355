"""The current mark of the field, and the row of the caret in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psygnal import Signal

from annotation_store.records import Box, Cell, IgnoreArea, Proposal, Region, Suggestion
from napari_lld.i18n.translate import tr
from napari_lld.session.fields import Fields
from napari_lld.session.marks import Marks
from napari_lld.session.open_project import OpenProject

Kind = Literal["cell", "suggestion", "region", "ignore_area", "missed"]
"""The kinds of marks; *missed* is a cell that nobody boxed, proposed among the possible label errors."""


@dataclass(frozen=True)
class Selected:
    """What is current: a mark by its id, a missed cell by its number among the possible label errors."""

    kind: Kind
    id: int


class Selection:
    """What is current: a mark of the field, or a box that a click proposed."""

    changed = Signal()
    caret_changed = Signal()
    proposed_box_changed = Signal()
    went_on = Signal()
    """Another mark has become current by itself; it may be out of sight."""

    def __init__(self, opened: OpenProject, fields: Fields, marks: Marks) -> None:
        self._opened = opened
        self._marks = marks
        self._current: Selected | None = None
        self._missed: Proposal | None = None
        self._caret: int | None = None
        self._proposed_box: Box | None = None
        fields.leaving_current.connect(self._on_leaving)
        fields.current_shown.connect(self.changed.emit)
        marks.changed.connect(self._on_marks)
        marks.threshold_changed.connect(self._on_threshold)

    def _on_leaving(self) -> None:
        self._current = self._caret = self._proposed_box = self._missed = None

    def _on_threshold(self) -> None:
        suggestion = self.suggestion
        if suggestion is not None and suggestion.probability < self._marks.threshold:
            self.select(None)

    def _on_marks(self, kinds: frozenset[str]) -> None:
        """Let go of what is gone; tell where it has changed."""
        current = self._current
        if current is None:
            return
        if not (self.cell or self.proposal or self.region or self.ignore_area):
            self.select(None)
        elif current.kind in kinds:
            self.changed.emit()

    # ------------------------------------------------------------------ what is current

    @property
    def current(self) -> Selected | None:
        """The one thing that is current."""
        return self._current

    def _id_of(self, kind: Kind) -> int | None:
        return self._current.id if self._current and self._current.kind == kind else None

    @property
    def cell(self) -> Cell | None:
        """The current cell."""
        current = self._id_of("cell")
        return self._marks.cell(current) if current is not None else None

    @property
    def suggestion(self) -> Suggestion | None:
        """The current suggestion."""
        current = self._id_of("suggestion")
        return self._marks.suggestion(current) if current is not None else None

    @property
    def proposal(self) -> Proposal | None:
        """What a model proposes as the current mark: a suggestion, or a cell that nobody boxed."""
        suggestion = self.suggestion
        if suggestion is not None:
            return suggestion.proposal
        return self._missed if self._id_of("missed") is not None else None

    @property
    def box(self) -> Box | None:
        """The box of the current cell or proposal."""
        mark = self.cell or self.proposal
        return mark.box if mark is not None else None

    @property
    def region(self) -> Region | None:
        """The current region."""
        current = self._id_of("region")
        return next((region for region in self._marks.regions if region.id == current), None)

    @property
    def ignore_area(self) -> IgnoreArea | None:
        """The current ignore area."""
        current = self._id_of("ignore_area")
        return next((area for area in self._marks.ignore_areas if area.id == current), None)

    def select(self, kind: Kind | None, entity_id: int | None = None) -> bool:
        """Make a cell, suggestion, region or ignore area of this field current, or nothing.

        Returns
        -------
        bool
            False (and a notice) if this field has no such mark: what is current stays.
        """
        selection = Selected(kind, entity_id) if kind is not None and entity_id is not None else None
        if selection == self._current:
            return True
        if selection is not None and not self._is_here(selection):
            self._opened.notify("warning", tr("The cell or suggestion is not on this field."))
            return False
        self._current = selection
        # what is looked at does not change under the hand
        self._marks.hold(entity_id if kind == "suggestion" else None)
        if selection is not None:
            self.proposed_box = None  # one thing is current: Enter must not take what lies elsewhere
        self._caret = self.first_row()
        self.changed.emit()
        return True

    def step_cell(self, step: int) -> None:
        """Make the next cell of the field current, or the one before: row by row, as one reads."""
        cells = self._marks.cells
        if not cells:
            self._opened.notify("hint", tr("No cell on this field yet."))
            return
        row = max(sorted(cell.box[3] for cell in cells)[len(cells) // 2], 1.0)
        listed = sorted(cells, key=lambda cell: ((cell.box[1] + cell.box[3] / 2) // row, cell.box[0]))
        ids = [cell.id for cell in listed]
        current = self._id_of("cell")
        place = ids.index(current) + step if current in ids else (0 if step > 0 else -1)
        self.select("cell", ids[place % len(ids)])
        self.went_on.emit()

    def _is_here(self, selected: Selected) -> bool:
        """Return whether the field that is shown has a mark."""
        marks = self._marks
        if selected.kind == "missed":
            return self._missed is not None
        if selected.kind == "suggestion":
            return marks.suggestion(selected.id) is not None
        if selected.kind == "cell":
            return marks.cell(selected.id) is not None
        marks_of_kind: Sequence[Any] = {
            "region": marks.regions,
            "ignore_area": marks.ignore_areas,
        }[selected.kind]
        return any(mark.id == selected.id for mark in marks_of_kind)

    def select_missed(self, number: int, proposal: Proposal) -> None:
        """Make a cell that nobody boxed current: its number among the label errors, and the proposal."""
        again = self._current == Selected("missed", number)
        self._missed = proposal
        if again:
            self.changed.emit()
        else:
            self.select("missed", number)

    def select_at(self, x: float, y: float) -> bool:
        """Select the smallest box around a point; False if there is none."""
        marks = self._marks.at(x, y)
        if not marks:
            self.select(None)
            return False
        smallest = min(marks, key=lambda mark: mark.box[2] * mark.box[3])
        self.select("cell" if isinstance(smallest, Cell) else "suggestion", smallest.id)
        return True

    # ------------------------------------------------------------------ the caret

    @property
    def caret(self) -> int | None:
        """The attribute row that the next digit fills, or ``None`` when nothing is current or missing."""
        return self._caret

    def set_caret(self, row: int | None) -> None:
        """Put the caret on an attribute row."""
        if row is not None and not 0 <= row < len(self._opened.attributes):
            row = None
        if row != self._caret and (row is None or self.cell or self.proposal):
            self._caret = row
            self.caret_changed.emit()

    def move_caret(self, step: int) -> None:
        """Move the caret up or down."""
        rows = len(self._opened.attributes)
        if rows and (self.cell or self.proposal):
            start = -1 if step > 0 else 0
            self.set_caret(((start if self._caret is None else self._caret) + step) % rows)

    def first_row(self) -> int | None:
        """Return the row where describing the current mark begins, or ``None`` if nothing is missing."""
        if self.proposal is not None:
            return 0 if self._opened.attributes else None
        cell = self.cell
        return self._opened.missing_row(cell, 0) if cell else None

    # ------------------------------------------------------------------ a proposed box

    @property
    def proposed_box(self) -> Box | None:
        """The box that a click proposed and nobody took yet."""
        return self._proposed_box

    @proposed_box.setter
    def proposed_box(self, box: Box | None) -> None:
        if box != self._proposed_box:
            self._proposed_box = box
            self.proposed_box_changed.emit()
