"""What stands on the field and what is current, evented, without Qt: the middle of the `Session`.

The session keeps no truth: cells, regions and suggestions of the current field are re-read from the project
whenever the project says that they changed (`FieldMarks` only remembers the last answer).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from psygnal import Signal

from annotation_store.records import (
    Box,
    Cell,
    Edit,
    IgnoreArea,
    Region,
    Suggestion,
)
from napari_lld.i18n.translate import tr
from napari_lld.session import user_state
from napari_lld.session.chosen_fields import ChosenFields
from napari_lld.session.field_marks import FieldMarks
from napari_lld.session.fields import Level

__all__ = ["DEFAULT_THRESHOLD", "Kind", "Level", "Selection", "SessionState", "Tool"]

Kind = Literal["cell", "suggestion", "region", "ignore_area"]

DEFAULT_THRESHOLD = 0.2
_STEP = 0.05


class Tool(StrEnum):
    """What the left mouse button does on the field."""

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


@dataclass(frozen=True)
class Selection:
    """The one thing that is current."""

    kind: Kind
    id: int


class SessionState(ChosenFields):
    """Everything the window knows of the field: marks, selection, caret, tool, threshold."""

    marks_changed = Signal(frozenset)
    """The kinds of marks of the current field that changed: cell, suggestion, region, ignore_area."""
    selection_changed = Signal()
    caret_changed = Signal()
    tool_changed = Signal()
    proposed_box_changed = Signal()
    threshold_changed = Signal()
    display_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._marks: FieldMarks | None = None
        self._selection: Selection | None = None
        self._caret: int | None = None
        self._tool = Tool.SELECT
        self._proposed_box: Box | None = None
        self._threshold = DEFAULT_THRESHOLD
        self._marks_shown = True

    def _place(self) -> dict[str, Any]:
        return super()._place() | {"threshold": self._threshold}

    def _recall(self, remembered: Mapping[str, Any]) -> None:
        super()._recall(remembered)
        threshold = user_state.within(remembered.get("threshold"), 0, 1)
        self._threshold = self.preferences.threshold if threshold is None else threshold

    def _leave_field(self) -> None:
        super()._leave_field()
        project, field_id = self.project, self._field_id
        self._marks = FieldMarks(project, field_id) if project and field_id is not None else None
        self._selection = self._caret = self._proposed_box = None

    def _after_field(self) -> None:
        super()._after_field()
        self.selection_changed.emit()

    # ------------------------------------------------------------------ marks of the field

    @property
    def regions(self) -> Sequence[Region]:
        """Regions of the current field."""
        return self._marks.regions if self._marks else ()

    @property
    def ignore_areas(self) -> Sequence[IgnoreArea]:
        """Areas of the current field that nobody can read."""
        return self._marks.ignore_areas if self._marks else ()

    @property
    def cells(self) -> Sequence[Cell]:
        """Cells of the current field."""
        return self._marks.cells if self._marks else ()

    @property
    def waiting(self) -> Sequence[Suggestion]:
        """Pending suggestions of the current field, whatever the threshold, surest first."""
        return self._marks.suggestions if self._marks and not self._blind else ()

    @property
    def suggestions(self) -> Sequence[Suggestion]:
        """Pending suggestions of the current field at or above the threshold, surest first."""
        return [s for s in self.waiting if s.probability >= self._threshold]

    @property
    def pending(self) -> int:
        """How many suggestions of the current field are pending, whatever the threshold."""
        return len(self.waiting)

    @property
    def _blind(self) -> bool:
        """A blind reader sees no suggestion before a region of this field is finished."""
        return bool(
            self.project
            and self.project.reading.blind
            and not any(region.finished for region in self.regions)
        )

    # ------------------------------------------------------------------ selection

    @property
    def selection(self) -> Selection | None:
        """The one thing that is current."""
        return self._selection

    def _id_of(self, kind: Kind) -> int | None:
        return self._selection.id if self._selection and self._selection.kind == kind else None

    @property
    def cell(self) -> Cell | None:
        """The current cell."""
        current = self._id_of("cell")
        return next((cell for cell in self.cells if cell.id == current), None)

    @property
    def suggestion(self) -> Suggestion | None:
        """The current suggestion."""
        current = self._id_of("suggestion")
        if current is None or self._marks is None:
            return None
        return next((s for s in self._marks.suggestions if s.id == current), None)

    @property
    def region(self) -> Region | None:
        """The current region."""
        current = self._id_of("region")
        return next((region for region in self.regions if region.id == current), None)

    @property
    def ignore_area(self) -> IgnoreArea | None:
        """The current ignore area."""
        current = self._id_of("ignore_area")
        return next((area for area in self.ignore_areas if area.id == current), None)

    def select(self, kind: Kind | None, entity_id: int | None = None) -> None:
        """Make a cell, suggestion, region or ignore area of this field current, or nothing."""
        selection = Selection(kind, entity_id) if kind is not None and entity_id is not None else None
        if selection == self._selection:
            return
        self._selection = selection
        if selection is not None:
            self.proposed_box = None  # one thing is current: Enter must not take what lies elsewhere
        self._caret = self._first_row()
        self.selection_changed.emit()

    def select_at(self, x: float, y: float) -> bool:
        """Make the smallest box around a point current; False if there is none."""
        marks = self._marks
        found: list[tuple[Kind, Cell | Suggestion]] = []
        if marks is not None:
            found += [("cell", cell) for cell in marks.cells_at(x, y)]
            if self._marks_shown and not self._blind:
                waiting = marks.suggestions_at(x, y)
                found += [("suggestion", s) for s in waiting if s.probability >= self._threshold]
        if not found:
            self.select(None)
            return False
        kind, smallest = min(found, key=lambda mark: mark[1].box[2] * mark[1].box[3])
        self.select(kind, smallest.id)
        return True

    def next_suggestion(self) -> None:
        """Go to the next pending suggestion above the threshold."""
        self._step_suggestion(1)

    def previous_suggestion(self) -> None:
        """Go to the previous pending suggestion above the threshold."""
        self._step_suggestion(-1)

    def _step_suggestion(self, step: int) -> None:
        following = self._suggestion_after(self._id_of("suggestion"), step)
        if following is None:
            self.tell("hint", self._no_suggestions())
        else:
            self.select("suggestion", following)

    def _suggestion_after(self, current: int | None, step: int = 1) -> int | None:
        ids = [s.id for s in self.suggestions]
        if not ids:
            return None
        if current not in ids:
            return ids[0] if step > 0 else ids[-1]
        return ids[(ids.index(current) + step) % len(ids)]

    def _no_suggestions(self) -> str:
        if self._blind:
            return tr("A blind reading shows suggestions once a region of this field is finished.")
        if self.pending:
            return tr(
                "All {pending} suggestions here are below {threshold:.0%}; lower the threshold.",
                pending=self.pending,
                threshold=self._threshold,
            )
        return tr("No pending suggestions on this field.")

    # ------------------------------------------------------------------ the caret

    @property
    def caret(self) -> int | None:
        """The attribute row that the next digit fills, or ``None`` when nothing is current or missing."""
        return self._caret

    def set_caret(self, row: int | None) -> None:
        """Put the caret on an attribute row."""
        if row is not None and not 0 <= row < len(self.attributes):
            row = None
        if row != self._caret and (row is None or self.cell or self.suggestion):
            self._caret = row
            self.caret_changed.emit()

    def move_caret(self, step: int) -> None:
        """Move the caret up or down."""
        rows = len(self.attributes)
        if rows and (self.cell or self.suggestion):
            start = -1 if step > 0 else 0
            self.set_caret(((start if self._caret is None else self._caret) + step) % rows)

    def _first_row(self) -> int | None:
        if self.suggestion is not None:
            return 0 if self.attributes else None
        cell = self.cell
        return self._missing_row(cell, 0) if cell else None

    def _missing_row(self, cell: Cell, start: int) -> int | None:
        """Return the first attribute at or after a row, then from the top, that is missing."""
        if self.is_artefact(cell.cell_class):
            return None
        names = [attribute.name for attribute in self.attributes]
        order = [*range(start, len(names)), *range(min(start, len(names)))]
        return next((row for row in order if names[row] not in cell.attributes), None)

    def is_artefact(self, cell_class: str | None) -> bool:
        """Return whether a class is one without attributes (an artefact)."""
        if self.schema is None or cell_class not in self.schema.class_names:
            return False
        return self.schema.class_named(cell_class).artefact

    def is_incomplete(self, cell: Cell) -> bool:
        """Return whether a cell lacks a class or an attribute."""
        return cell.cell_class is None or self._missing_row(cell, 0) is not None

    def _incomplete_after(self, cell: Cell | None) -> Cell | None:
        """Return the next cell that lacks something, in the order of reading; last of all the cell itself."""
        order = sorted(self.cells, key=lambda c: (round(c.box[1] / 64), c.box[0]))
        ids = [c.id for c in order]
        start = ids.index(cell.id) + 1 if cell is not None and cell.id in ids else 0
        return next((c for c in [*order[start:], *order[:start]] if self.is_incomplete(c)), None)

    def next_missing(self) -> None:
        """Go to the next missing value: in this cell, else in the next incomplete one."""
        cell = self.cell
        if cell is not None and self._caret is not None:
            row = self._missing_row(cell, self._caret + 1)
            if row is not None and row > self._caret:
                self.set_caret(row)
                return
        following = self._incomplete_after(cell)
        if following is not None:
            if cell is not None and following.id == cell.id:
                self.set_caret(self._missing_row(following, 0))
            self.select("cell", following.id)
            return
        self.tell(
            "hint",
            tr("Nothing is missing on this field.") if self.cells else tr("No cell on this field yet."),
        )

    # ------------------------------------------------------------------ tools and display

    @property
    def tool(self) -> Tool:
        """What the mouse does on the field."""
        return self._tool

    @tool.setter
    def tool(self, tool: Tool) -> None:
        if tool is not self._tool:
            self.proposed_box = None
            self._tool = tool
            self.tool_changed.emit()

    @property
    def proposed_box(self) -> Box | None:
        """The box that a click proposed and nobody took yet."""
        return self._proposed_box

    @proposed_box.setter
    def proposed_box(self, box: Box | None) -> None:
        if box != self._proposed_box:
            self._proposed_box = box
            self.proposed_box_changed.emit()

    @property
    def threshold(self) -> float:
        """Suggestions whose statement is less probable are not shown (`Proposal.probability`)."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        value = round(min(max(value, 0.0), 1.0), 2)
        if value == self._threshold:
            return
        self._threshold = value
        suggestion = self.suggestion
        if suggestion is not None and suggestion.probability < value:
            self.select(None)
        self.threshold_changed.emit()

    def raise_threshold(self) -> None:
        """Show fewer, surer suggestions."""
        self.threshold = self._threshold + _STEP

    def lower_threshold(self) -> None:
        """Show more, less sure suggestions."""
        self.threshold = self._threshold - _STEP

    @property
    def marks_shown(self) -> bool:
        """Whether boxes, letters and regions are drawn over the field."""
        return self._marks_shown

    def toggle_marks(self) -> None:
        """Hide or show everything drawn over the field, to see the cells themselves."""
        self._marks_shown = not self._marks_shown
        self.display_changed.emit()

    # ------------------------------------------------------------------ the project's events

    def _on_edited(self, edit: Edit) -> None:
        if edit.field_id is None or edit.field_id == self._field_id:
            # Of suggestions the project tells in an event of their own, right after this one.
            kinds = frozenset(edit.touched) - {"suggestion"}
            if "region" in kinds and self.project is not None and self.project.reading.blind:
                kinds |= {"suggestion"}  # a finished region uncovers them
            if kinds:
                self._reread(kinds)
        super()._on_edited(edit)

    def _on_suggestions_changed(self, field_ids: list[int]) -> None:
        if self._field_id in field_ids:
            self._reread(frozenset({"suggestion"}))
        super()._on_suggestions_changed(field_ids)

    def _reread(self, kinds: frozenset[str]) -> None:
        if self._marks is None:
            return
        self._marks.forget(kinds)
        self.marks_changed.emit(kinds)
        selection = self._selection
        gone = selection is not None and not (self.cell or self.suggestion or self.region or self.ignore_area)
        if gone:
            self.select(None)
        elif selection is not None and selection.kind in kinds:
            self.selection_changed.emit()
