"""The search line for cells, with completion and error messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from qtpy.QtCore import QStringListModel, Qt, QTimer, Signal
from qtpy.QtWidgets import QCompleter, QLineEdit, QWidget

from annotation_store.records import Field
from annotation_store.schema import Schema
from napari_lld.i18n.translate import tr
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.session.search import EVERYTHING, QueryError, completions, last_term, parse
from napari_lld.widgets.base.parts import column, label
from napari_lld.widgets.base.theme import Colours

_PAUSE_MS = 250
_SHOWN = 12


class SearchLine(QWidget):
    """A line for a query, and under it what is wrong with it.

    Parameters
    ----------
    fields
        Gives the fields whose patients are proposed.
    """

    searched = Signal(object)
    """A `Query` that can be read; while one cannot, the last one holds."""
    left = Signal()
    """The user is done with the line: the focus belongs to what was found."""

    def __init__(self, fields: Callable[[], Iterable[Field]], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fields = fields
        self._schema: Schema | None = None
        layout = column(self, 2)
        self.line = QLineEdit()
        self.line.setObjectName("lld_gallery_search")
        self.line.setClearButtonEnabled(True)
        self.line.setAccessibleName(tr("Search for cells"))
        layout.addWidget(self.line)
        self.problem = label(role="notice", wrap=True)
        self.problem.setObjectName("lld_gallery_search_problem")
        self.problem.hide()
        layout.addWidget(self.problem)
        self.proposed = QStringListModel(self)
        self._completer = QCompleter(self.proposed, self)
        self._completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        self._completer.setMaxVisibleItems(_SHOWN)
        self._completer.setWidget(self.line)  # not setCompleter: it completes the last term, not the line
        self._completer.activated[str].connect(self.complete)
        self._completer.popup().setObjectName("lld_gallery_found")  # a window of its own: see use_colours
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self.apply)
        self.line.textChanged.connect(lambda *_: self._pause.start())
        self.line.textEdited.connect(lambda *_: self._propose())
        self.line.returnPressed.connect(self._on_return)

    def use_schema(self, schema: Schema | None) -> None:
        """Search in the words of a schema."""
        self._schema = schema
        example = schema.classes[0].title if schema is not None and schema.classes else ""
        self.line.setPlaceholderText(
            tr("Search: class:{title}, certainty<60, flag:bookmark, or words of a comment", title=example)
        )
        self.line.setToolTip(
            tr(
                "All terms must match; a comma means “or”, a minus “not”. Text without a "
                "prefix is searched for in comments, names of fields and classes."
            )
        )
        self.apply()

    def use_colours(self, new: Colours) -> None:
        """Apply the colours of the theme to the list of words, which the window's style does not reach."""
        self._completer.popup().setStyleSheet(
            f"QListView {{ background: {new.raised.name()}; color: {new.text.name()}; font-size: 9pt;"
            f" border: 1px solid {new.edge.name()}; outline: 0; }}"
            "QListView::item { padding: 3px 6px; }"
            f"QListView::item:selected {{ background: {new.accent.name()};"
            f" color: {new.accent_text.name()}; }}"
        )

    def start(self) -> None:
        """Let the user write."""
        self.line.setFocus()
        self.line.selectAll()

    def forget(self) -> None:
        """Search for nothing any more."""
        self.line.clear()
        self.apply()

    def apply(self) -> None:
        """Search for what is written."""
        self._pause.stop()
        query, problem = EVERYTHING, ""
        if self._schema is not None:
            try:
                query = parse(self.line.text(), self._schema)
            except QueryError as error:
                problem = in_the_window(str(error))
        if problem != self.problem.text():
            self.problem.setText(problem)
            self.line.setAccessibleDescription(problem)
        self.problem.setVisible(bool(problem))
        if not problem:
            self.searched.emit(query)

    def _propose(self) -> None:
        """Show the completions of the term at the cursor."""
        text = self.line.text()
        if self._schema is None or self.line.cursorPosition() != len(text) or not last_term(text):
            self._completer.popup().hide()
            return
        proposals = completions(text, self._schema, self._fields())
        if not proposals or proposals == [last_term(text)]:
            self._completer.popup().hide()
            return
        self.proposed.setStringList(proposals)
        self._completer.complete()

    def complete(self, word: str) -> None:
        """Replace the last term by a word."""
        text = self.line.text()
        self.line.setText(text[: len(text) - len(last_term(text))] + word)
        if word.endswith(":"):
            QTimer.singleShot(0, self._propose)  # the list that was chosen from closes first

    def _on_return(self) -> None:
        self.apply()
        if not self.problem.text():
            self.left.emit()

    def keyPressEvent(self, event: Any) -> None:
        """Clear the line by Esc, and leave it by Esc or the arrow down."""
        if event.key() == Qt.Key.Key_Escape:
            self.forget()
            self.left.emit()
        elif event.key() == Qt.Key.Key_Down:
            self.left.emit()
        else:
            super().keyPressEvent(event)
