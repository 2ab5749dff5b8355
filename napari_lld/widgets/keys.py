"""Keys of the registry, wherever the focus is in the window: on the canvas or in the dock.

An event filter and no QShortcut: napari's menus and layers have shortcuts of their own, and two
shortcuts on one key silence each other. The filter takes a key before both, but only when it is ours
to take: not while somebody types in a text field, and not while a layer of somebody else is active.
"""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QKeyCombination, QObject, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QMainWindow,
    QPlainTextEdit,
    QTextEdit,
    QWidget,
)

from napari_lld.commands import Command, Commands

_TYPING = (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox)
_REPEATING = ("field.", "caret.", "threshold.", "suggestion.next", "suggestion.previous")
_NEEDS_CELL = ("class.", "value.", "caret.")


class KeyRouter(QObject):
    """Sends the keys of one window to the registry."""

    def __init__(self, window: QWidget, commands: Commands, ours: Callable[[QWidget], bool]) -> None:
        super().__init__(window)
        self._window = window
        self._commands = commands
        self._ours = ours
        application = QApplication.instance()
        assert application is not None
        application.installEventFilter(self)

    def close(self) -> None:
        """Take no keys any more."""
        application = QApplication.instance()
        if application is not None:
            application.removeEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Take the keys that are ours."""
        if event is None or event.type() not in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress):
            return False
        if not isinstance(watched, QWidget) or not isinstance(event, QKeyEvent):
            return False
        command = self._command(watched, event)
        if command is None:
            return False
        if event.type() == QEvent.Type.ShortcutOverride:
            event.accept()  # now it comes as a key press, and no shortcut of napari fires
            return True
        if not event.isAutoRepeat() or command.id.startswith(_REPEATING):
            self._run(command)
        return True

    def _command(self, watched: QWidget, event: QKeyEvent) -> Command | None:
        if watched.window() is not self._window or QApplication.activePopupWidget() is not None:
            return None
        if _is_typing(watched) or _is_typing(QApplication.focusWidget()):
            return None
        key = key_name(event)
        command = self._commands.for_key(key)
        if command is None and key.startswith("Shift+"):
            # On some layouts digits and punctuation are typed with Shift; classes are letters.
            bare = key.removeprefix("Shift+")
            command = self._commands.for_key(bare) if not bare.isalpha() else None
        if command is None or not (command.id.startswith("help.") or self._ours(watched)):
            return None
        return command

    def _run(self, command: Command) -> None:
        session = self._commands.session
        if not self._commands.run(command.id) and command.id.startswith(_NEEDS_CELL):
            session.tell("hint", "Choose a cell first: click on one, or draw a box (B).")


def key_name(event: QKeyEvent) -> str:
    """Name a key press in Qt's portable notation."""
    key, modifiers = event.key(), event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
    if key == Qt.Key.Key_Enter:
        key = Qt.Key.Key_Return
    if key == Qt.Key.Key_Backtab:
        key = Qt.Key.Key_Tab
    try:
        sequence = QKeySequence(QKeyCombination(modifiers, Qt.Key(key)))
    except ValueError:  # a key this Qt has no name for
        return ""
    return str(sequence.toString(QKeySequence.SequenceFormat.PortableText))


def _is_typing(widget: QWidget | None) -> bool:
    if isinstance(widget, QComboBox):
        return bool(widget.isEditable())
    if isinstance(widget, QPlainTextEdit | QTextEdit):
        return not widget.isReadOnly()
    return isinstance(widget, _TYPING) and not isinstance(widget, QMainWindow)
