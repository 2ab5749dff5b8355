"""Labelled cells to compare the current one with: those of each class, or of each value of a row; no Qt.

The nearest labelled cells come from the assistant; before it answers, and without one, the newest do. Bundled
example cells stand beside them. They are listed and cut in a thread (`reader`), never in the window's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from annotation_store.records import Box
from napari_lld.i18n.translate import tr
from napari_lld.session.assistant import Assistant
from napari_lld.session.gallery_items import Key
from napari_lld.session.open_project import OpenProject
from napari_lld.session.selection import Selection

PER_VALUE = 4
"""Cells that are shown of each value."""
CLASS = "class"
"""Stands for the class among the names of attributes; none may be called so."""

Near = Mapping[str, tuple[tuple[Key, float], ...]]
"""Value to the labelled cells most like the current one, each with its likeness."""


@dataclass(frozen=True)
class Question:
    """What is to be shown.

    Attributes
    ----------
    what
        `CLASS`, or the name of an attribute.
    values
        Of which cells are to be shown.
    of
        The cell or suggestion that they are compared with.
    near
        What the assistant found; empty before it answers.
    """

    what: str
    values: tuple[str, ...]
    of: Key
    field_id: int
    box: Box
    cell_class: str | None
    near: Near = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Reference:
    """One cell to compare with.

    Attributes
    ----------
    cell_id
        ``None`` of a bundled example.
    where
        The field that it lies on.
    likeness
        How like the current cell it is, 0 to 1, if known.
    """

    crop: npt.NDArray[np.uint8]
    cell_id: int | None
    where: str
    likeness: float | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """The answer to a question: the current cell, and cells of each value, all at one scale.

    Attributes
    ----------
    side_um
        Micrometres that each picture is wide; ``None`` if each cell fills the same part of its picture.
    """

    question: Question
    current: npt.NDArray[np.uint8] | None
    cells: Mapping[str, tuple[Reference, ...]]
    side_um: float | None

    @property
    def bundled(self) -> bool:
        """Whether bundled examples are among them."""
        return any(example.cell_id is None for examples in self.cells.values() for example in examples)


Reader = Callable[[Question, Callable[[Comparison], None]], None]
"""Lists and cuts in a thread; calls back in the window's with the answer to the latest question."""


class References:
    """What is shown beside the current cell while the panel is open; it follows selection and caret."""

    changed = Signal()

    def __init__(self, opened: OpenProject, selection: Selection, assistant: Assistant) -> None:
        self._opened, self._selection, self._assistant = opened, selection, assistant
        self.reader: Reader | None = None
        self.is_open = False
        self.comparison: Comparison | None = None
        self.chosen: tuple[str, int] | None = None
        """Value and number of the reference that stands beside the current cell in large."""
        self._topic: str | None = None  # None: the row of the caret
        self._question_sent: Question | None = None
        self._near: tuple[Key, Mapping[str, Near]] | None = None
        selection.changed.connect(self._follow)
        selection.caret_changed.connect(self._follow)

    # ------------------------------------------------------------------ open and closed

    def toggle(self) -> None:
        """Show cells of each value of the row of the caret (of the class where none has it), or close."""
        self._toggle(None)

    def toggle_classes(self) -> None:
        """Show cells of each class, or close."""
        self._toggle(CLASS)

    def _toggle(self, what: str | None) -> None:
        if self.is_open and self._topic == what:
            self.close()
        elif self._selection.box is None:
            self._opened.notify("hint", tr("Select a cell first: click on one, or draw a box ([tool.box])."))
        else:
            self.is_open, self._topic = True, what
            self._follow()

    def show(self, what: str) -> None:
        """Show cells of each class, or of each value of an attribute, which gets the caret."""
        self._topic = CLASS if what == CLASS else None
        row = next((i for i, a in enumerate(self._opened.attributes) if a.name == what), None)
        if row is not None:
            self._selection.set_caret(row)
        self._follow()

    def close(self) -> None:
        """Close the comparison."""
        self.is_open, self._topic = False, None
        self.comparison = self.chosen = self._question_sent = None
        self.changed.emit()

    def forget(self) -> None:
        """Close: another project."""
        self._near = None
        self.close()

    # ------------------------------------------------------------------ asking

    @property
    def by_class(self) -> bool:
        """Whether cells of each class were asked for, whatever row the caret is on."""
        return self._topic == CLASS

    @property
    def what(self) -> str:
        """What cells are shown of: `CLASS`, or the attribute of the row of the caret."""
        attributes, caret = self._opened.attributes, self._selection.caret
        if self._topic is not None or caret is None or caret >= len(attributes):
            return CLASS
        return attributes[caret].name

    def _question(self) -> Question | None:
        current, box, schema = self._selection.current, self._selection.box, self._opened.schema
        if current is None or box is None or schema is None or current.kind not in ("cell", "suggestion"):
            return None
        mark = self._selection.cell or self._selection.suggestion
        if mark is None:
            return None
        key: Key = (current.kind, current.id)
        what = self.what
        values = schema.class_names if what == CLASS else schema.attribute_named(what).value_names
        cell, predicted = self._selection.cell, self._selection.proposal
        cell_class = cell.cell_class if cell is not None else predicted.stated_class if predicted else None
        near = self._near[1].get(what, {}) if self._near is not None and self._near[0] == key else {}
        return Question(what, values, key, mark.field_id, box, cell_class, near)

    def _follow(self) -> None:
        """Request again if another cell or row is current."""
        if not self.is_open:
            return
        question = self._question()
        if question == self._question_sent:
            return
        self._question_sent = question
        if question is None or self._opened.project is None:
            self.comparison = self.chosen = None
        elif self.reader is not None:
            self.reader(question, self._take)
            self._ask_likeness(question)
        self.changed.emit()

    def _ask_likeness(self, question: Question) -> None:
        project = self._opened.project
        if (
            (self._near is not None and self._near[0] == question.of)
            or project is None
            or project.read_only
            or project.reading.blind
        ):
            return
        from training.protocol import LikenessRequest

        def answered(message: Any) -> None:
            if message.type == "done" and self._near is not None and self._near[0] == question.of:
                self._near = (question.of, _near(message.result.get("references", {})))
                self._follow()

        self._near = (question.of, {})
        request = LikenessRequest(
            **self._assistant.of_project, what="references", of=question.of, most=PER_VALUE + 1
        )
        self._assistant.ask(request, answered, kind="references")

    def _take(self, comparison: Comparison) -> None:
        if not self.is_open or comparison.question != self._question_sent:
            return
        self.comparison = comparison
        if self.chosen not in self._available():
            self.chosen = self._first(comparison)
        self.changed.emit()

    def _first(self, comparison: Comparison) -> tuple[str, int] | None:
        """Return the reference most like the current cell; if that is not known, the first of its class."""
        ranked = [
            (example.likeness, value, number)
            for value, examples in comparison.cells.items()
            for number, example in enumerate(examples)
            if example.likeness is not None
        ]
        if ranked:
            return max(ranked)[1:]
        available = self._available()
        of_same_class = [choice for choice in available if choice[0] == comparison.question.cell_class]
        return next(iter(of_same_class or available), None)

    # ------------------------------------------------------------------ the one beside the current cell

    def _available(self) -> list[tuple[str, int]]:
        if self.comparison is None:
            return []
        return [(value, n) for value, examples in self.comparison.cells.items() for n in range(len(examples))]

    @property
    def beside(self) -> Reference | None:
        """The reference that stands beside the current cell in large."""
        if self.comparison is None or self.chosen is None:
            return None
        value, number = self.chosen
        return self.comparison.cells[value][number]

    def choose(self, value: str, number: int) -> None:
        """Compare the current cell with a reference."""
        if (value, number) in self._available():
            self.chosen = (value, number)
            self.changed.emit()

    def step(self, by: int) -> None:
        """Compare with the next or previous reference."""
        available = self._available()
        if available:
            place = available.index(self.chosen) if self.chosen in available else -by
            self.choose(*available[(place + by) % len(available)])


def _near(references: Mapping[str, Any]) -> dict[str, Near]:
    """Read what the assistant answers."""
    return {
        what: {
            value: tuple(((str(key[0]), int(key[1])), float(likeness)) for key, likeness in pairs)
            for value, pairs in by_value.items()
        }
        for what, by_value in references.items()
    }
