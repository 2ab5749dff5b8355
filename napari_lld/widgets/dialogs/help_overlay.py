"""All keys on one page, made from the registry."""

from __future__ import annotations

from itertools import groupby

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QDialog, QGridLayout, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_lld.commands.key_table import value_keys
from napari_lld.commands.registry import Command, Commands
from napari_lld.i18n.translate import tr
from napari_lld.widgets.base.parts import label, row, rule
from napari_lld.widgets.base.room import keep_on_screen
from napari_lld.widgets.base.theme import Colours, stylesheet

_COLUMNS = 3


class HelpOverlay(QDialog):
    """Shows what each key does; F1, Esc or a click closes it."""

    def __init__(self, commands: Commands, colours: Colours, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("lld_desk")
        self.setWindowTitle(tr("Keys"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setStyleSheet(stylesheet(colours))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(22, 18, 22, 18)
        layout.setSpacing(10)
        layout.addWidget(label(tr("Keys"), "big"))
        layout.addWidget(
            label(
                tr("Letters run commands. Digits set the value of the row. Shift and a letter set the class.")
            )
        )
        layout.addWidget(rule())
        columns = QHBoxLayout()
        columns.setSpacing(34)
        for groups in _balanced(commands):
            column = QVBoxLayout()
            column.setSpacing(3)
            for name, members in groups:
                column.addWidget(label(name, "heading"))
                column.addLayout(_table(members))
                column.addSpacing(10)
            column.addStretch(1)
            columns.addLayout(column)
        layout.addLayout(columns)
        if "keys.edit" in commands:
            change = QPushButton(commands["keys.edit"].title)
            change.setObjectName("lld_keys.edit")
            change.setToolTip(commands["keys.edit"].tooltip)
            change.clicked.connect(self.close)
            change.clicked.connect(lambda *_: commands.run("keys.edit"))
            layout.addLayout(row(1, change))
        keep_on_screen(self)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Close on the key that opened it."""
        if event is not None and event.key() in (Qt.Key.Key_F1, Qt.Key.Key_Escape):
            self.close()
        else:
            super().keyPressEvent(event)

    def mousePressEvent(self, _event: object) -> None:
        """Close on a click."""
        self.close()


def _table(members: list[tuple[str, str]]) -> QGridLayout:
    table = QGridLayout()
    table.setHorizontalSpacing(12)
    table.setVerticalSpacing(2)
    for index, (key, title) in enumerate(members):
        table.addWidget(label(key), index, 0)
        table.addWidget(label(title, "muted"), index, 1)
    table.setColumnMinimumWidth(0, 64)  # of the column: a label's own would let long keys be cut
    table.setColumnStretch(1, 1)
    return table


def _balanced(commands: Commands) -> list[list[tuple[str, list[tuple[str, str]]]]]:
    """Distribute the groups over columns of similar length."""

    def group(command: Command) -> str:
        return command.group

    listed = sorted((c for c in commands if c.listed and c.keys), key=group)
    groups = {name: [(c.key, c.title) for c in members] for name, members in groupby(listed, key=group)}
    groups.setdefault(tr("Describe"), []).insert(
        0, (value_keys(commands), tr("Value of the row of the caret"))
    )
    columns: list[list[tuple[str, list[tuple[str, str]]]]] = [[] for _ in range(_COLUMNS)]
    for name, members in sorted(groups.items(), key=lambda item: -len(item[1])):
        shortest = min(columns, key=lambda column: sum(len(m) + 2 for _n, m in column))
        shortest.append((name, members))
    return columns
