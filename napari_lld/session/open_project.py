"""The open project and the notices of the session, shared by all of its parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeVar

from psygnal import Signal

from annotation_store import Project
from annotation_store.errors import LLDError, ProjectGoneError
from annotation_store.records import Cell
from annotation_store.schema import Attribute, Schema
from napari_lld.i18n.schema_texts import shown
from napari_lld.i18n.translate import tr
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.session.unsaved import Action, Unsaved

T = TypeVar("T")
Level = Literal["hint", "info", "warning", "error"]


class OpenProject:
    """The project that is open, if any, and its schema in the user's language.

    An `LLDError` raised by an action (a rule of the store, a locked project) becomes a `notice`;
    nothing is changed then.
    """

    notice = Signal(str, str)
    """A level (hint, info, warning, error) and a sentence."""
    words_changed = Signal()
    """Another language was chosen: what is shown is written anew, and nothing else changes."""

    def __init__(self) -> None:
        self.project: Project | None = None
        self.unsaved = Unsaved()
        self._shown_schema: tuple[Schema, Schema] | None = None

    def use_words(self) -> None:
        """Use the words of the language that was chosen."""
        self._shown_schema = None
        self.words_changed.emit()

    # ------------------------------------------------------------------ telling and trying

    def notify(self, level: Level, sentence: str) -> None:
        """Emit a notice: the first line is the message, the rest are details."""
        self.notice.emit(level, in_the_window(sentence))

    def attempt(self, action: Callable[[], T]) -> T | None:
        """Return the result of an action; ``None`` and a notice if it failed."""
        try:
            return action()
        except LLDError as error:
            self.refused(error, action)
            return None

    def done(self, action: Callable[[], Any]) -> bool:
        """Run an action without a result; False and a notice if it failed."""
        try:
            action()
        except LLDError as error:
            self.refused(error, action)
            return False
        return True

    def refused(self, error: LLDError, action: Action) -> None:
        """Show why an action failed; where the project is gone, keep it until that is back."""
        if isinstance(error, ProjectGoneError):
            self.unsaved.keep(str(error), action)
        elif self.project is not None and self.project.read_only:
            self.notify("hint", self.why_no_edits)
        else:
            self.notify("error", str(error))

    @property
    def why_no_edits(self) -> str:
        """Why nothing can be changed in the open project; empty if it can."""
        if self.unsaved.why:
            return tr(
                "Nothing is being saved: the project's folder is missing. You can continue once it is back."
            )
        if self.project is not None and self.project.read_only:
            return tr("The project is open read-only: nothing can be changed.")
        return ""

    # ------------------------------------------------------------------ the schema and what it asks of a cell

    @property
    def schema(self) -> Schema | None:
        """The schema of the open project, its titles in the user's language."""
        if self.project is None:
            return None
        schema = self.project.schema
        if self._shown_schema is None or self._shown_schema[0] is not schema:
            self._shown_schema = (schema, shown(schema))
        return self._shown_schema[1]

    @property
    def attributes(self) -> Sequence[Attribute]:
        """The schema's attributes, in order: the rows of the caret."""
        return self.schema.attributes if self.schema else ()

    def is_artefact(self, cell_class: str | None) -> bool:
        """Return whether a class is one without attributes (an artefact)."""
        if self.schema is None or cell_class not in self.schema.class_names:
            return False
        return self.schema.class_named(cell_class).artefact

    def missing_row(self, cell: Cell, start: int) -> int | None:
        """Return the first attribute at or after a row, then from the top, that is missing."""
        if self.is_artefact(cell.cell_class):
            return None
        names = [attribute.name for attribute in self.attributes]
        order = [*range(start, len(names)), *range(min(start, len(names)))]
        return next((row for row in order if names[row] not in cell.attributes), None)

    def is_incomplete(self, cell: Cell) -> bool:
        """Return whether a cell lacks a class or an attribute."""
        return cell.cell_class is None or self.missing_row(cell, 0) is not None
