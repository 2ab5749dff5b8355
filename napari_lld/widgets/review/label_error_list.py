"""The list of possible label errors, in the place of the fields while they are gone through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QRectF, Qt
from qtpy.QtGui import QFontMetricsF, QPainter
from qtpy.QtWidgets import QStackedWidget, QStyleOptionViewItem, QWidget

from napari_lld.commands.registry import Commands
from napari_lld.i18n.reasons import in_words
from napari_lld.i18n.translate import tr
from napari_lld.session.label_errors import key_of
from napari_lld.session.session import Session
from napari_lld.widgets.base.parts import Part, column, label, row
from napari_lld.widgets.base.row_list import RowDelegate, RowList
from napari_lld.widgets.base.theme import Colours
from training.ranking import Ranked

_ITEM = Qt.ItemDataRole.UserRole + 1
_WHERE = Qt.ItemDataRole.UserRole + 2


class LabelErrorList(Part):
    """The undecided possible label errors; a click shows one on its field."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        self.setObjectName("lld_mistake_list")
        layout = column(self, 3)
        self._title = label(tr("Possible label errors"), "heading")
        layout.addLayout(row(self._title, 1, self.tool_button("mistakes.check", tr("Back to the fields"))))
        self.model = _LabelErrorModel(session, self)
        self._view = RowList("lld_mistake_view", self.model, _LabelErrorDelegate())
        self._view.setAccessibleName(tr("Possible label errors"))
        self._view.clicked.connect(self._on_clicked)
        self._state = label(role="muted", wrap=True)
        self._state.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._view)
        self._pages.addWidget(self._state)
        layout.addWidget(self._pages, 1)
        self.bind(session.label_errors.changed, self.refresh_soon)
        self.bind(session.selection.changed, self.refresh_soon)
        self.refresh()

    def use_colours(self, new: Colours) -> None:
        """Apply the colours of the theme."""
        super().use_colours(new)
        self._view.use_colours(new)

    def refresh(self) -> None:
        """Show what is left, and which one is current."""
        super().refresh()
        session = self.session
        if not session.label_errors.active:
            return
        left = session.label_errors.items
        title = (
            tr("Possible label errors · {count}", count=len(left)) if left else tr("Possible label errors")
        )
        self._title.setText(title)
        self.model.show_items(left)
        self._state.setText(session.label_errors.state)
        self._pages.setCurrentIndex(0 if left else 1)
        current = session.label_errors.current
        self._view.show_current(QModelIndex() if current is None else self.model.index(left.index(current)))

    def _on_clicked(self, index: QModelIndex) -> None:
        item = index.data(_ITEM)
        if item is not None:
            self.session.label_errors.show(item)


class _LabelErrorModel(QAbstractListModel):
    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._shown: Sequence[Ranked] = ()

    def show_items(self, items: Sequence[Ranked]) -> None:
        """Show some items; rows that only vanish do so without the view losing its place."""
        before, after = [key_of(item) for item in self._shown], [key_of(item) for item in items]
        if len(before) == len(after) + 1:
            gone = next(
                (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), len(after)
            )
            if before[:gone] + before[gone + 1 :] == after:
                self.beginRemoveRows(QModelIndex(), gone, gone)
                self._shown = items
                self.endRemoveRows()
                return
        if before != after:
            self.beginResetModel()
            self._shown = items
            self.endResetModel()
        elif list(items) != list(self._shown):
            self._shown = items
            self.dataChanged.emit(self.index(0), self.index(len(items) - 1))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Count the items."""
        return 0 if parent is not None and parent.isValid() else len(self._shown)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return an item, its reason, or where it is."""
        item = self._shown[index.row()]
        if role == _ITEM:
            return item
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return in_words(item.reasons)[0]
        summary = self._session.fields.by_id.get(item.field_id)
        name = summary.field.name if summary is not None else ""
        if role == _WHERE:
            return " · ".join([name, *in_words(item.reasons)[1:]])
        if role == Qt.ItemDataRole.ToolTipRole:
            return "\n".join([*in_words(item.reasons), name])
        return None


class _LabelErrorDelegate(RowDelegate):
    """Paints one possible label error: the reason, and under it where, and what the model learnt from."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint two lines, or the first of them."""
        c, rect = self.colours, QRectF(option.rect)
        painter.save()
        selected = self.paint_ground(painter, option)
        font = painter.font()
        inside = rect.adjusted(9, 1, -8, -1)
        lines = [(index.data(), c.text, selected), (index.data(_WHERE), c.muted, False)]
        if self.is_low(option):
            del lines[1]
        height = inside.height() / len(lines)
        for number, (text, ink, bold) in enumerate(lines):
            font.setBold(bold)
            if QFontMetricsF(font).horizontalAdvance(text) > inside.width():
                font.setBold(False)  # how sure the model is stands at the end
            painter.setFont(font)
            painter.setPen(ink)
            elided = QFontMetricsF(font).elidedText(text, Qt.TextElideMode.ElideRight, inside.width())
            line = QRectF(inside.left(), inside.top() + number * height, inside.width(), height)
            painter.drawText(line, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, elided)
            font.setPointSizeF(max(font.pointSizeF() - 1, 6))
        painter.restore()
