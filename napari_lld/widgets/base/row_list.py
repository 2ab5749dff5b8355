"""A list in the dock: rows of one height, chosen by a click; the keys stay the window's.

A row has two lines, or one where the list is too low to show some of two lines: on a screen of 720 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from qtpy.QtCore import (
    QAbstractItemModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QRectF,
    QSize,
    Qt,
)
from qtpy.QtGui import QKeyEvent, QPainter, QResizeEvent
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from napari_lld.widgets.base.theme import Colours, colours, mix

_ROW, _LOW_ROW = 33, 17
"""Heights of a row of two lines, and of one."""
_SEEN = 4
"""So many rows are seen, or they have one line."""
_FRAME = 4


class RowDelegate(QStyledItemDelegate):
    """What the delegates of such lists share: colours, the ground of a row, and how many lines it has."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.colours: Colours = colours()

    @staticmethod
    def is_low(option: QStyleOptionViewItem) -> bool:
        """Return whether a row has one line only."""
        return bool(option.rect.height() < _ROW)

    def paint_ground(self, painter: QPainter, option: QStyleOptionViewItem) -> bool:
        """Paint what lies under a row, chosen or pointed at; return whether it is chosen."""
        c, rect = self.colours, QRectF(option.rect)
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        if selected:
            painter.fillRect(rect, c.chosen(c.raised))
            painter.fillRect(QRectF(rect.left(), rect.top(), 3, rect.height()), c.accent)
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, mix(c.raised, c.text, 0.06))
        return selected


class RowList(QTableView):
    """The list itself; two rows are always to be seen, four where there is room.

    It is a table of one column, since a `QListView` lays all rows out anew when one of them changes.
    """

    def __init__(self, name: str, model: QAbstractItemModel, delegate: RowDelegate) -> None:
        super().__init__()
        self.setObjectName(name)
        self.setModel(model)
        delegate.setParent(self)
        self._delegate = delegate
        self.setItemDelegate(delegate)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setShowGrid(False)
        self.setTabKeyNavigation(False)
        columns, rows = self.horizontalHeader(), self.verticalHeader()
        assert columns is not None
        assert rows is not None
        columns.hide()
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        rows.hide()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setMinimumSectionSize(1)
        rows.setDefaultSectionSize(_ROW)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setMouseTracking(True)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setMinimumHeight(2 * _LOW_ROW + _FRAME)

    def sizeHint(self) -> QSize:
        """Return a hint of some low rows: the list fills the room that the others leave."""
        return QSize(super().sizeHint().width(), _SEEN * _LOW_ROW + _FRAME)

    def use_colours(self, new: Colours) -> None:
        """Apply the colours of the theme."""
        self._delegate.colours = new
        self.viewport().update()

    def show_chosen(self, rows: Sequence[int]) -> None:
        """Show which rows are chosen, beside the current one."""
        model, selection, chooser = self.model(), QItemSelection(), self.selectionModel()
        if model is None or chooser is None:
            return
        for _, run in groupby(enumerate(sorted(rows)), lambda pair: pair[1] - pair[0]):
            together = [row for _, row in run]
            selection.select(model.index(together[0], 0), model.index(together[-1], 0))
        chooser.select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)

    def show_current(self, index: QModelIndex) -> None:
        """Show which row is current; no valid index: none is."""
        if index.isValid():
            self.setCurrentIndex(index)
            self.scrollTo(index)
        else:
            self.clearSelection()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Choose the row that the arrows go to, as a click does."""
        before = self.currentIndex()
        super().keyPressEvent(event)
        alone = not event.modifiers() & Qt.KeyboardModifier.ShiftModifier
        if alone and self.currentIndex().isValid() and self.currentIndex() != before:
            self.clicked.emit(self.currentIndex())

    def keyboardSearch(self, _search: str | None) -> None:
        """Search for nothing: letters are commands."""

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Keep the current row in sight, in the first layout and when the list becomes lower or higher."""
        super().resizeEvent(event)
        rows = self.verticalHeader()
        height = _ROW if event.size().height() >= _SEEN * _ROW else _LOW_ROW
        if rows is not None and rows.defaultSectionSize() != height:
            rows.setDefaultSectionSize(height)
            self.updateGeometries()  # or it scrolls no further than rows of the other height reach
        self.scrollTo(self.currentIndex())
