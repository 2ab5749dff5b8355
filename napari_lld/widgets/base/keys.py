"""Keys of the registry, wherever the focus is in the window: on the canvas or in the dock.

An event filter and no QShortcut: napari's menus and layers have shortcuts of their own, and two
shortcuts on one key silence each other. The filter takes a key before both, but only when it is ours
to take: not while the user types in a text field, and not while a layer of another plugin is active.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from qtpy.QtCore import QEvent, QKeyCombination, QObject, Qt
from qtpy.QtGui import QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QListWidget,
    QMainWindow,
    QPlainTextEdit,
    QTabBar,
    QTableView,
    QTextEdit,
    QTreeView,
    QWidget,
)

from napari_lld.commands.registry import Command, Commands
from napari_lld.i18n.translate import tr
from napari_lld.widgets.base.windows import main_window

_TYPING = (QLineEdit, QTextEdit, QPlainTextEdit, QAbstractSpinBox)
_CONTROLS = (
    QAbstractButton,
    QAbstractSlider,
    QComboBox,
    QListWidget,
    QPlainTextEdit,
    QTabBar,
    QTableView,
    QTreeView,
)
_MOVES = frozenset(
    {
        Qt.Key.Key_Tab,
        Qt.Key.Key_Backtab,
        Qt.Key.Key_Up,
        Qt.Key.Key_Down,
        Qt.Key.Key_Left,
        Qt.Key.Key_Right,
        Qt.Key.Key_PageUp,
        Qt.Key.Key_PageDown,
        Qt.Key.Key_Home,
        Qt.Key.Key_End,
    }
)
"""With these one goes from control to control, and chooses in one."""
_ANYWHERE = ("help.", "view.controls", "view.field")
_REPEATING = (
    "box.",
    "cell.next",
    "cell.previous",
    "field.",
    "caret.",
    "threshold.",
    "suggestion.next",
    "suggestion.previous",
)
_DISTURBING = frozenset({"V", "Shift+V", "Ctrl+E", "Ctrl+G", "Ctrl+T", "Ctrl+Y"})
"""Keys with which napari hides the field, turns it, splits it into a grid or draws in three dimensions."""
_NEEDS_CELL = ("class.", "value.", "caret.")


class KeyRouter(QObject):
    """Sends the keys of one window to the registry."""

    def __init__(
        self,
        window: QWidget,
        commands: Commands,
        ours: Callable[[QWidget], bool],
        advice: Callable[[Command], str] | None = None,
    ) -> None:
        super().__init__(window)
        self._advice = advice or _choose_a_cell
        self._window = window
        self._commands = commands
        self._ours = ours
        application = QApplication.instance()
        assert application is not None
        application.installEventFilter(self)

    def close(self) -> None:
        """Stop handling keys."""
        application = QApplication.instance()
        if application is not None:
            application.removeEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Handle the program's own keys."""
        if event is None or event.type() not in (QEvent.Type.ShortcutOverride, QEvent.Type.KeyPress):
            return False
        if not isinstance(watched, QWidget) or not isinstance(event, QKeyEvent):
            return False
        if not self._listens(watched, event):
            return False
        command = self._command(watched, event)
        disturbs = command is None and key_name(event) in _DISTURBING and self._ours(watched)
        if command is None and not disturbs:
            return False
        if event.type() == QEvent.Type.ShortcutOverride:
            event.accept()  # now it comes as a key press, and no shortcut of napari fires
        elif command is None:
            self._commands.session.notify(
                "hint", tr("Not used here: in napari this key hides or turns the field.")
            )
        elif not event.isAutoRepeat() or command.id.startswith(_REPEATING):
            self._run(command)
        return True

    def _listens(self, watched: QWidget, event: QKeyEvent) -> bool:
        """Return whether a key that is pressed now may be one of ours."""
        if main_window(watched) is not self._window or QApplication.activePopupWidget() is not None:
            return False
        if _is_typing(watched) or _is_typing(QApplication.focusWidget()):
            return False
        # with the others it moves in or between controls; letters and digits act as ever
        return not (isinstance(QApplication.focusWidget(), _CONTROLS) and _moves(event))

    def _command(self, watched: QWidget, event: QKeyEvent) -> Command | None:
        key = key_name(event)
        command = self._commands.for_key(key)
        if command is None and key.startswith("Shift+"):
            # On some layouts digits and punctuation are typed with Shift; classes are letters.
            bare = key.removeprefix("Shift+")
            command = self._commands.for_key(bare) if not bare.isalpha() else None
        if command is None:
            digit = french_digit(event)
            command = self._commands.for_key(digit) if digit else None
        if command is None or not (command.id.startswith(_ANYWHERE) or self._ours(watched)):
            return None
        return command

    def _run(self, command: Command) -> None:
        if not self._commands.run(command.id) and (advice := self._advice(command)):
            self._commands.session.notify("hint", advice)


def _choose_a_cell(command: Command) -> str:
    """Return what to do before a command that cannot run now; may be empty."""
    if command.id.startswith(_NEEDS_CELL):
        return tr("Select a cell first: click on one, or draw a box ([tool.box]).")
    return ""


def _moves(event: QKeyEvent) -> bool:
    """Return whether a key goes from control to control, or chooses in one."""
    extra = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.AltModifier
    return event.key() in _MOVES and not event.modifiers() & extra


def key_name(event: QKeyEvent) -> str:
    """Format a key press in Qt's portable notation."""
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


_FRENCH_ROW = (
    Qt.Key.Key_Ampersand,
    Qt.Key.Key_Eacute,
    Qt.Key.Key_QuoteDbl,
    Qt.Key.Key_Apostrophe,
    Qt.Key.Key_ParenLeft,
    Qt.Key.Key_Minus,
    Qt.Key.Key_Egrave,
    Qt.Key.Key_Underscore,
    Qt.Key.Key_Ccedilla,
    Qt.Key.Key_Agrave,
)
"""What the keys of the digits 1 to 9 and 0 give without Shift on French (and Belgian) layouts."""
_BEFORE_DIGITS = {"linux": 9, "win32": 1}
"""A digit key's native scan code less its digit, where Qt gives scan codes."""


def french_digit(event: QKeyEvent) -> str:
    """Return the digit whose key was pressed without Shift on a French layout, else nothing.

    Other layouts have these signs elsewhere: where the system tells which key it was, that decides.
    """
    if event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
        return ""
    # Qt names accented letters by their capital; some systems send the small letter's code.
    key = event.key() - 0x20 if 0xE0 <= event.key() <= 0xFE else event.key()
    digit = next((n for n, french in enumerate(_FRENCH_ROW, 1) if key in (french, int(french))), 0)
    scan, before = event.nativeScanCode(), _BEFORE_DIGITS.get(sys.platform)
    if not digit or (scan and before is not None and scan != before + digit):
        return ""
    return str(digit % 10)


def _is_typing(widget: QWidget | None) -> bool:
    if isinstance(widget, QComboBox):
        return bool(widget.isEditable())
    if isinstance(widget, QPlainTextEdit | QTextEdit):
        return not widget.isReadOnly()
    return isinstance(widget, _TYPING) and not isinstance(widget, QMainWindow)
