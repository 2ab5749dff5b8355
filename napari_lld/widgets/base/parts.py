"""Shared by all parts of the dock: binding to the session, small builders, the choice button."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import (
    QAction,
    QKeyEvent,
)
from qtpy.QtWidgets import (
    QAbstractButton,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_lld.commands.registry import Command, Commands
from napari_lld.session.session import Session
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.widgets.base.choice_button import ChoiceButton
from napari_lld.widgets.base.room import keep_on_screen
from napari_lld.widgets.base.theme import Colours, colours

Answer = TypeVar("Answer")


class Part(QWidget):
    """A part of the dock: it binds to the session, keeps nothing, and lets go when told."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.commands = commands
        self.colours: Colours = colours()
        self._listening = Subscriptions()
        self._buttons: list[_Bound] = []
        self._actions: list[tuple[QAction, str]] = []
        self._menus: list[QMenu] = []
        self._settling = QTimer(self)
        self._settling.setSingleShot(True)
        self._settling.setInterval(0)
        self._settling.timeout.connect(self.refresh)
        self.bind(commands.keys_changed, self.use_keys)
        self.bind(session.unsaved.changed, self.refresh_soon)

    def bind(self, signal: Any, slot: Callable[..., Any]) -> None:
        """Connect a signal of the session until `release`."""
        self._listening.add(signal, slot)

    def release(self) -> None:
        """Disconnect from the session: a deleted widget must not be called."""
        self._settling.stop()
        self._listening.close()

    def refresh_soon(self, *_args: object) -> None:
        """Refresh once after the pending events."""
        self._settling.start()

    def refresh(self) -> None:
        """Show the state of the session."""
        for bound in self._buttons:
            bound.button.setEnabled(self.commands[bound.command_id].when(self.session))
            bound.button.setToolTip(self.commands.tooltip(bound.command_id))

    def use_keys(self) -> None:
        """Show other keys, on buttons, in tooltips and menus."""
        for bound in self._buttons:
            command = self.commands[bound.command_id]
            bound.button.setText(bound.label(command))
            bound.button.setToolTip(command.tooltip)
        for action, command_id in self._actions:
            _label_action(action, self.commands[command_id])
        self.refresh()

    def forget_buttons(self) -> None:
        """Let go of the buttons and menu entries of commands: others take their place."""
        self._buttons.clear()
        self._actions.clear()
        self._menus.clear()

    def use_colours(self, new: Colours) -> None:
        """Apply the colours of the theme."""
        self.colours = new
        for choice in self.findChildren(ChoiceButton):
            choice.colours = new
            choice.update()

    def button(
        self, command_id: str, text: str | None = None, *, primary: bool = False, hint: bool = True
    ) -> QPushButton:
        """Make a button of a command: its title, its key, its tooltip, its state."""
        button = QPushButton()
        if primary:
            button.setProperty("role", "primary")
        self._adopt(button, _Bound(button, command_id, text, hint))
        return button

    def tool_button(self, command_id: str, text: str | None = None, *, hint: bool = True) -> QToolButton:
        """Make a small button of a command."""
        button = ToolButton()
        self._adopt(button, _Bound(button, command_id, text, hint))
        return button

    def menu_action(self, menu: QMenu, command_id: str) -> QAction:
        """Add a command to a menu: its title, its key, its tooltip, and its state when the menu opens."""
        if menu not in self._menus:
            self._menus.append(menu)
            menu.aboutToShow.connect(lambda: self._enable(menu))
        action = menu.addAction("")
        _label_action(action, self.commands[command_id])
        action.triggered.connect(lambda *_: self.commands.run(command_id))
        self._actions.append((action, command_id))
        return action

    def _enable(self, menu: QMenu) -> None:
        """Offer what can be done now, and say of the rest why the project's state forbids it."""
        offered = menu.actions()
        for action, command_id in self._actions:
            if action in offered:
                action.setEnabled(self.commands[command_id].when(self.session))
                action.setToolTip(self.commands.tooltip(command_id))

    def _adopt(self, button: QAbstractButton, bound: _Bound) -> None:
        command = self.commands[bound.command_id]
        button.setText(bound.label(command))
        button.setObjectName(f"lld_{command.id}")
        button.setAccessibleName(command.title)
        button.setToolTip(command.tooltip)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the keys to the field
        button.clicked.connect(lambda *_: self.commands.run(bound.command_id))
        self._buttons.append(bound)


@dataclass(frozen=True)
class _Bound:
    """A button of a command: what it is called there, and whether its key stands on it."""

    button: QAbstractButton
    command_id: str
    text: str | None
    hint: bool

    def label(self, command: Command) -> str:
        text = self.text if self.text is not None else command.title
        return f"{text}  {command.key}" if self.hint and command.key else text


def with_key(title: str, key: str) -> str:
    """Return the text of an entry of a menu: Qt puts the keys of a menu in a column of their own."""
    return f"{title}\t{key}".rstrip()


def _label_action(action: QAction, command: Command) -> None:
    action.setText(with_key(command.title, command.key))
    action.setToolTip(command.tooltip)


def label(text: str = "", role: str = "", *, wrap: bool = False, gives_way: bool = False) -> QLabel:
    """Make a label with a role of the style sheet; one that gives way is cut with an ellipsis."""
    widget = QElidingLabel(text) if gives_way else QLabel(text)
    if gives_way:
        widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    widget.setTextFormat(Qt.TextFormat.PlainText)
    if role:
        widget.setProperty("role", role)
    widget.setWordWrap(wrap)
    return widget


def restyle(widget: QWidget) -> None:
    """Restyle a widget after a property has changed."""
    style = widget.style()
    if style is not None:
        style.unpolish(widget)
        style.polish(widget)


def rule() -> QFrame:
    """Make a thin line between parts."""
    line = QFrame()
    line.setProperty("role", "rule")
    line.setFixedHeight(1)
    return line


def row(*items: QWidget | int, spacing: int = 4) -> QHBoxLayout:
    """Return a row of widgets; an int is a stretch."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(spacing)
    for item in items:
        if isinstance(item, int):
            layout.addStretch(item)
        else:
            layout.addWidget(item)
    return layout


def column(
    widget: QWidget, spacing: int = 4, margins: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> QVBoxLayout:
    """Set a vertical layout on a widget."""
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(*margins)
    layout.setSpacing(spacing)
    return layout


def path_row(line: QLineEdit, name: str, *ways: tuple[str, Callable[[], str]]) -> QWidget:
    """Return a path field beside its browse buttons; cancelling a dialog changes nothing.

    Parameters
    ----------
    name
        What the path is of, for screen readers.
    """
    line.setAccessibleName(name)

    def fill(choose: Callable[[], str]) -> None:
        if path := choose():
            line.setText(path)

    buttons = []
    for text, choose in ways:
        button = QPushButton(text)
        button.clicked.connect(lambda *_, choose=choose: fill(choose))
        buttons.append(button)
    widget = QWidget()
    widget.setLayout(row(line, *buttons))
    return widget


def show_whole(text: QLabel) -> None:
    """Reserve the height that a wrapped label in a dialog needs, so that nothing jumps."""
    if text.isVisible():
        text.setMinimumHeight(max(text.minimumHeight(), text.heightForWidth(text.width())))


def confirm_buttons(dialog: QDialog, does: str = "") -> tuple[QDialogButtonBox, QPushButton]:
    """Make the two buttons that end a dialog, and return the one that accepts by itself.

    Parameters
    ----------
    does
        What that one does, in a word; "OK" without.
    """
    buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
    buttons.accepted.connect(dialog.accept)
    buttons.rejected.connect(dialog.reject)
    ok = buttons.button(QDialogButtonBox.StandardButton.Ok)
    assert ok is not None
    if does:
        ok.setText(does)
    return buttons, ok


def run_dialog(dialog: QDialog, answer: Callable[[], Answer]) -> Answer | None:
    """Show a dialog until it is closed; return its answer, or ``None`` if it was not accepted."""
    keep_on_screen(dialog)
    accepted = dialog.exec() == QDialog.DialogCode.Accepted
    if not isalive(dialog):  # a program has closed the window under it
        return None
    result = answer() if accepted else None
    dialog.deleteLater()
    return result


class ToolButton(QToolButton):
    """A tool button whose menu, where it has one beside its own action, opens by the arrow down."""

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Open the menu."""
        if event is not None and event.key() == Qt.Key.Key_Down and self.menu() is not None:
            self.showMenu()
        else:
            super().keyPressEvent(event)
