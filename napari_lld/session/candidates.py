"""Predictions for the unlabelled parts of the current cell; no Qt."""

from __future__ import annotations

from typing import Any

from psygnal import Signal

from annotation_store.records import Box, Cell, Proposal
from napari_lld.i18n.translate import tr
from napari_lld.session.assistant import Assistant
from napari_lld.session.fields import Fields
from napari_lld.session.labels import Labels
from napari_lld.session.open_project import OpenProject
from napari_lld.session.selection import Selection

SHOWN = 3
"""Classes that are shown as candidates."""


class Candidates:
    """The likely class and values of the current cell, asked for when it lacks some.

    A blind reader who may not see suggestions gets none either.
    """

    changed = Signal()

    def __init__(
        self, opened: OpenProject, fields: Fields, selection: Selection, labels: Labels, assistant: Assistant
    ) -> None:
        self._opened, self._fields = opened, fields
        self._selection, self._labels, self._assistant = selection, labels, assistant
        self._of: tuple[int, Box] | None = None
        self._predicted: Proposal | None = None
        selection.changed.connect(self._on_selection)

    @property
    def predicted(self) -> Proposal | None:
        """What is predicted of the current cell; ``None`` if nothing is missing, or nothing known yet."""
        cell = self._selection.cell
        if cell is None or self._of != (cell.id, cell.box) or not self._opened.is_incomplete(cell):
            return None
        return self._predicted

    @property
    def classes(self) -> list[tuple[str, float]]:
        """The most probable classes of the current cell with their probabilities, if it has no class."""
        cell, predicted = self._selection.cell, self.predicted
        if cell is None or predicted is None or cell.cell_class is not None:
            return []
        ranked = sorted(predicted.class_probabilities.items(), key=lambda item: -item[1])
        return ranked[:SHOWN]

    @property
    def values(self) -> dict[str, str]:
        """The most probable value of each attribute that the current cell lacks."""
        cell, predicted = self._selection.cell, self.predicted
        if cell is None or predicted is None or self._opened.is_artefact(cell.cell_class):
            return {}
        return {name: v for name, v in predicted.best_attributes.items() if name not in cell.attributes}

    @property
    def open(self) -> bool:
        """Whether there is a candidate to take."""
        return bool(self.classes) or self._row() is not None

    def take(self) -> None:
        """Take the first candidate: the class if it is missing, else the value of the row of the caret."""
        if self.classes:
            self._labels.set_class(self.classes[0][0])
            return
        row = self._row()
        if row is None:
            self._opened.notify("hint", tr("There is no candidate for this cell."))
            return
        name = self._opened.attributes[row].name
        self._labels.set_value(name, self.values[name])

    def take_all(self) -> None:
        """Take the first candidates of all that is missing."""
        values = self.values
        if self.classes:
            name = self.classes[0][0]
            self._labels.set_all(name, {} if self._opened.is_artefact(name) else values)
        elif values:
            self._labels.set_all(None, values)
        else:
            self._opened.notify("hint", tr("There is no candidate for this cell."))

    def _row(self) -> int | None:
        """Return the row of the caret, or the first below it, of which a value is predicted and missing."""
        values = self.values
        rows = [i for i, attribute in enumerate(self._opened.attributes) if attribute.name in values]
        caret = self._selection.caret
        return next((i for i in rows if caret is not None and i >= caret), rows[0] if rows else None)

    def _on_selection(self) -> None:
        cell, field = self._selection.cell, self._fields.current
        if cell is None or field is None or not self._may_ask(cell):
            return
        if self._of != (cell.id, cell.box):
            self._ask(cell, field.id)

    def _may_ask(self, cell: Cell) -> bool:
        project = self._opened.project
        return (
            project is not None
            and not project.read_only
            and not project.reading.blind
            and self._opened.is_incomplete(cell)
        )

    def _ask(self, cell: Cell, field_id: int) -> None:
        from training.protocol import DescribeRequest

        asked_for = (cell.id, cell.box)

        def answered(message: Any) -> None:
            boxes = message.result.get("boxes", []) if message.type == "done" else []
            if not boxes or boxes[0] is None:
                return
            (described,) = boxes
            self._of = asked_for
            self._predicted = Proposal(
                cell.box,
                1.0,
                described["class"],
                described["attributes"],
                described["novelty"],
                described["unchecked"],
            )
            self.changed.emit()

        self._of, self._predicted = asked_for, None
        request = DescribeRequest(**self._assistant.of_project, field=field_id, boxes=[cell.box])
        self._assistant.ask(request, answered)
