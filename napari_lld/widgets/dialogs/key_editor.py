"""Edit the keys of the commands: a table of the registry, and a profile for each hand."""

from __future__ import annotations

from itertools import groupby

from qtpy.QtCore import QEvent, Qt, Signal
from qtpy.QtGui import QAction, QKeyEvent, QKeySequence
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QHeaderView,
    QMainWindow,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QWidget,
)

from napari_lld.commands import keymap
from napari_lld.commands.keymap import LEFT, RIGHT, KeyMap
from napari_lld.commands.registry import Command, Commands, pretty_key
from napari_lld.i18n.translate import later, tr
from napari_lld.widgets.base.keys import french_digit, key_name
from napari_lld.widgets.base.parts import column, label, row
from napari_lld.widgets.base.room import keep_on_screen
from napari_lld.widgets.base.theme import Colours, stylesheet
from napari_lld.widgets.base.whole_text import HintedLine

_HANDS = ((RIGHT, later("Mouse in the right hand")), (LEFT, later("Mouse in the left hand")))
_MODIFIERS = {Qt.Key.Key_Shift, Qt.Key.Key_Control, Qt.Key.Key_Alt, Qt.Key.Key_Meta, Qt.Key.Key_AltGr}
_ID = Qt.ItemDataRole.UserRole
_NAMES = {"Delete": "Del", "Escape": "Esc", "Enter": "Return", "PageDown": "PgDown", "PageUp": "PgUp"}


class KeyEditor(QDialog):
    """Choose a command, press its new key. Every change holds at once, and is kept."""

    def __init__(self, commands: Commands, colours: Colours, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._commands = commands
        self._napari = napari_keys(parent)
        self.setObjectName("lld_desk")
        self.setWindowTitle(tr("Change keys"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setStyleSheet(stylesheet(colours))
        layout = column(self, 8, (16, 14, 16, 14))
        self._profile = QComboBox()
        self._profile.setObjectName("lld_profile")
        self._profile.setAccessibleName(tr("Hand on the mouse"))
        for name, title in _HANDS:
            self._profile.addItem(tr(title), name)
        self._reset = QPushButton(tr("Reset all keys of the profile"))
        self._reset.clicked.connect(lambda *_: self._use(KeyMap(self._commands.key_map.profile)))
        layout.addLayout(row(self._profile, self._reset, 1))
        self._filter = HintedLine()
        self._filter.setPlaceholderText(tr("Find a command or a key"))
        self._filter.setAccessibleName(tr("Find a command or a key"))
        self._filter.textChanged.connect(self._show_found)
        layout.addWidget(self._filter)
        self._table = QTreeWidget()
        self._table.setColumnCount(3)
        self._table.setAccessibleName(tr("Commands"))
        self._table.setHeaderLabels([tr("Command"), tr("Key"), tr("Also in napari")])
        self._table.setUniformRowHeights(True)
        self._table.currentItemChanged.connect(lambda *_: self._show_current())
        header = self._table.header()
        if header is not None:
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        layout.addWidget(self._table, 1)
        self._key = KeyField()
        self._key.pressed.connect(self.give_key)
        self._none = QPushButton(tr("No key"))
        self._none.clicked.connect(lambda *_: self._change(()))
        self._back = QPushButton(tr("Key of the profile"))
        self._back.clicked.connect(self._take_back)
        layout.addLayout(row(self._key, self._none, self._back, 1))
        self._message = label(role="notice", wrap=True)
        self._message.setMinimumHeight(30)
        layout.addWidget(self._message)
        close = QPushButton(tr("Close"))
        close.setAutoDefault(False)
        close.clicked.connect(self.close)
        layout.addLayout(row(1, close))
        for button in (self._reset, self._none, self._back):
            button.setAutoDefault(False)
        self._fill()
        self._profile.currentIndexChanged.connect(self._on_profile)
        self.resize(620, 600)
        keep_on_screen(self)

    # ------------------------------------------------------------------ showing

    def _fill(self) -> None:
        selected = self.current()
        self._table.clear()

        def group(command: Command) -> str:
            return command.group

        for name, members in groupby(sorted(self._commands, key=group), key=group):
            head = QTreeWidgetItem([name])
            head.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self._table.addTopLevelItem(head)
            for command in members:
                changed = command.id in self._commands.key_map.changed
                keys = " , ".join(pretty_key(key) for key in command.keys)
                also = [self._napari[key] for key in command.keys if key in self._napari]
                item = QTreeWidgetItem([command.title, f"{keys} ✎" if changed else keys, "; ".join(also)])
                item.setData(0, _ID, command.id)
                item.setToolTip(0, command.tooltip)
                if also:
                    item.setToolTip(
                        2, tr("On the field and in the dock it runs this command, elsewhere napari's.")
                    )
                head.addChild(item)
                if command.id == selected:
                    self._table.setCurrentItem(item)
            head.setExpanded(True)
        self._profile.blockSignals(True)
        self._profile.setCurrentIndex(self._profile.findData(self._commands.key_map.profile))
        self._profile.blockSignals(False)
        self._reset.setEnabled(bool(self._commands.key_map.changed))
        self._table.setColumnWidth(1, 110)
        self._table.setColumnWidth(2, 190)
        self._show_found()
        self._show_current()

    def _show_found(self) -> None:
        text = self._filter.text().strip().lower()
        for head in self._items():
            matches = 0
            for number in range(head.childCount()):
                item = head.child(number)
                if item is not None:
                    hidden = bool(text) and not any(text in item.text(c).lower() for c in (0, 1))
                    item.setHidden(hidden)
                    matches += not hidden
            head.setHidden(not matches)

    def _items(self) -> list[QTreeWidgetItem]:
        items = (self._table.topLevelItem(n) for n in range(self._table.topLevelItemCount()))
        return [item for item in items if item is not None]

    def _show_current(self) -> None:
        command_id = self.current()
        self._key.setEnabled(command_id is not None)
        self._none.setEnabled(command_id is not None and bool(self._commands[command_id].keys))
        self._back.setEnabled(command_id is not None and command_id in self._commands.key_map.changed)

    def current(self) -> str | None:
        """Return the id of the command that is chosen."""
        item = self._table.currentItem()
        command_id = item.data(0, _ID) if item is not None else None
        return command_id if isinstance(command_id, str) and command_id in self._commands else None

    def choose(self, command_id: str) -> None:
        """Choose a command in the table."""
        for head in self._items():
            for number in range(head.childCount()):
                item = head.child(number)
                if item is not None and item.data(0, _ID) == command_id:
                    self._table.setCurrentItem(item)

    @property
    def message(self) -> str:
        """The sentence below the table."""
        return str(self._message.text())

    # ------------------------------------------------------------------ changing

    def give_key(self, key: str) -> None:
        """Assign a key to the chosen command, unless another command has it."""
        command_id = self.current()
        if command_id is None or not key:
            return
        other = self._commands.for_key(key)
        if other is not None and other.id != command_id:
            self._message.setText(
                tr(
                    "{key} is the key of “{title}”. Give that another key first.",
                    key=pretty_key(key),
                    title=other.title,
                )
            )
            return
        self._change((key,))
        if key in self._napari:
            self._message.setText(
                tr(
                    "{key} also belongs to napari ({action}): on the field and in the dock, "
                    "it now runs this command.",
                    key=pretty_key(key),
                    action=self._napari[key],
                )
            )

    def _change(self, keys: tuple[str, ...]) -> None:
        command_id = self.current()
        if command_id is not None:
            self._use(self._commands.key_map.with_keys(command_id, keys))

    def _take_back(self) -> None:
        command_id = self.current()
        if command_id is None:
            return
        for key in self._commands.profile_keys(command_id):
            other = self._commands.for_key(key)
            if other is not None and other.id != command_id and other.id in self._commands.key_map.changed:
                self.give_key(key)  # shows which command has it
                return
        self._use(self._commands.key_map.without(command_id))

    def _on_profile(self) -> None:
        self._use(KeyMap(str(self._profile.currentData()), self._commands.key_map.changed))

    def _use(self, key_map: KeyMap) -> None:
        self._message.setText("")
        self._commands.key_map = key_map
        keymap.save(key_map)
        self._fill()


class KeyField(HintedLine):
    """Takes one key press, whatever it is, instead of text."""

    pressed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("lld_new_key")
        self.setReadOnly(True)
        self.setPlaceholderText(tr("Click here, then press the new key"))
        self.setAccessibleName(tr("New key"))
        self.setMinimumWidth(230)

    def event(self, event: QEvent | None) -> bool:
        """Handle keys first, including Tab; Esc is left to the dialog."""
        if isinstance(event, QKeyEvent) and event.key() != Qt.Key.Key_Escape:
            if event.type() == QEvent.Type.ShortcutOverride:
                event.accept()
                return True
            if event.type() == QEvent.Type.KeyPress:
                if event.key() not in _MODIFIERS and not event.isAutoRepeat():
                    self.pressed.emit(french_digit(event) or key_name(event))
                return True
        return bool(super().event(event))


def napari_keys(window: QWidget | None) -> dict[str, str]:
    """Return napari's own keys in Qt's notation, with what they do: its layers' and the window menus'."""
    from napari.settings import get_settings

    keys_of_napari: dict[str, str] = {}
    for action, keys in get_settings().shortcuts.shortcuts.items():
        does = str(action).partition(":")[2].replace("_", " ")
        for key in keys:
            parts = [_NAMES.get(part, part) for part in str(key).split("+")]
            sequence = QKeySequence("+".join(parts))
            name = str(sequence.toString(QKeySequence.SequenceFormat.PortableText))
            if name:
                keys_of_napari.setdefault(name, does)
    if isinstance(window, QMainWindow):
        for entry in window.findChildren(QAction):
            name = str(entry.shortcut().toString(QKeySequence.SequenceFormat.PortableText))
            if name:
                keys_of_napari.setdefault(name, str(entry.text()).replace("&", ""))
    return keys_of_napari
