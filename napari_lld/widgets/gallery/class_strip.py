"""The classes beside the crops, each with its count: a click lists one alone, a drop labels with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QMimeData, QModelIndex, QPoint, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFontMetrics, QKeyEvent, QPainter, QPen, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QListWidget,
    QListWidgetItem,
    QStyledItemDelegate,
    QStyleOptionViewItem,
)

from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from napari_lld.commands.registry import class_like
from napari_lld.i18n.translate import tr
from napari_lld.layers.palette import class_colour, class_letter
from napari_lld.session.gallery import MISSING
from napari_lld.widgets.base.swatch import paint_swatch
from napari_lld.widgets.base.theme import Colours, colours, mix
from napari_lld.widgets.gallery.arrow_keys import arrow_step

CROPS = "application/x-lld-gallery-crops"
"""What a drag of crops carries: which grid it comes from."""
WIDTH = 176
_ROW = 23
_NAME = int(Qt.ItemDataRole.UserRole)


def command_of(name: str) -> str:
    """Return the id of the command that labels with a class of the strip."""
    return {UNSURE: "class.unsure", MISSING: "class.missing"}.get(name, f"class.{name}")


class ClassStrip(QListWidget):
    """All that a crop's class may be, with how many of each are listed."""

    picked = Signal(object)
    """A class to list alone; ``None`` for all."""
    dropped = Signal(str)
    """Crops were dropped on a class."""

    def __init__(self, source: bytes) -> None:
        super().__init__()
        self.setObjectName("lld_gallery_classes")
        self.setAccessibleName(tr("Classes"))
        self.source = source
        self.colours: Colours = colours()
        self.counts: Mapping[str, int] = {}
        self.only: str | None = None
        self.schema: Schema | None = None
        self.under_drag: int | None = None
        """The row that a drag would drop on."""
        self.setItemDelegate(_RowPainter(self))
        self.setFixedWidth(WIDTH)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setUniformItemSizes(True)
        self.setAcceptDrops(True)
        self.setDropIndicatorShown(False)
        self.itemClicked.connect(self._on_click)

    def use_schema(self, schema: Schema | None) -> None:
        """List the classes of a schema."""
        self.clear()
        self.schema, self.only, self.counts = schema, None, {}
        if schema is None:
            return
        words = [(item.title, item.name) for item in class_like(schema)]
        for title, name in (
            (tr("Any class"), None),
            *words,
            (tr("Class unsure"), UNSURE),
            (tr("Class missing"), MISSING),
        ):
            item = QListWidgetItem(title)
            item.setData(_NAME, name)
            item.setToolTip(
                tr("Click to list all classes")
                if name is None
                else tr("{title}. Click to list only this class. Drop crops here to label them.", title=title)
            )
            self.addItem(item)

    def show_counts(self, counts: Mapping[str, int], only: str | None) -> None:
        """Show how many there are of each class, and which one is listed alone."""
        if (counts, only) != (self.counts, self.only):
            self.counts, self.only = dict(counts), only
            for row in range(self.count()):
                if (item := self.item(row)) is not None:
                    name = self.name_at(row)
                    count = sum(counts.values()) if name is None else counts.get(name, 0)
                    item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{item.text()}, {count}")
            port = self.viewport()
            if port is not None:
                port.update()

    @property
    def names(self) -> list[str | None]:
        """The classes in order, ``None`` for all."""
        return [self.name_at(row) for row in range(self.count())]

    def name_at(self, row: int) -> str | None:
        """Return the class of a row; ``None`` for all, and where there is no row."""
        item = self.item(row)
        name = item.data(_NAME) if item is not None else None
        return name if isinstance(name, str) else None

    def step(self, by: int) -> None:
        """List the next class that has crops, or the one before, alone."""
        full = [name for name in self.names if name is None or self.counts.get(name) or name == self.only]
        if full:
            self.picked.emit(full[(full.index(self.only) + by) % len(full)] if self.only in full else None)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Go on with the arrows."""
        step = arrow_step(event)
        if step is None:
            super().keyPressEvent(event)
        else:
            self.step(step)

    def _on_click(self, item: QListWidgetItem) -> None:
        name = item.data(_NAME)
        self.picked.emit(None if name == self.only else name)

    # ------------------------------------------------------------------ crops dropped on a class

    def dragEnterEvent(self, event: Any) -> None:
        """Take crops of the grid beside it."""
        if bytes(event.mimeData().data(CROPS)) == self.source:
            event.acceptProposedAction()

    def dragMoveEvent(self, event: Any) -> None:
        """Show on which class the crops would be dropped."""
        self._point_to(self._row_under(event))
        if self.under_drag is None:
            event.ignore()
        else:
            event.acceptProposedAction()

    def dragLeaveEvent(self, _event: Any) -> None:
        """Show no class any more."""
        self._point_to(None)

    def dropEvent(self, event: Any) -> None:
        """Label the crops with the class."""
        row = self._row_under(event)
        self._point_to(None)
        name = self.name_at(row) if row is not None else None
        if name is not None:
            event.acceptProposedAction()
            self.dropped.emit(name)

    def _row_under(self, event: Any) -> int | None:
        row = self.indexAt(event.position().toPoint()).row()
        return row if row > 0 else None

    def _point_to(self, row: int | None) -> None:
        port = self.viewport()
        if row != self.under_drag and port is not None:
            self.under_drag = row
            port.update()


class _RowPainter(QStyledItemDelegate):
    """Paints a class: its letter in its colour, its title, how many."""

    def __init__(self, strip: ClassStrip) -> None:
        super().__init__(strip)
        self._strip = strip

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        """Return the size that all rows share."""
        return QSize(WIDTH - 20, _ROW)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint a row."""
        strip, c = self._strip, self._strip.colours
        if painter is None or strip.schema is None:
            return
        name = strip.name_at(index.row())
        count = sum(strip.counts.values()) if name is None else strip.counts.get(name, 0)
        chosen, aimed = name == strip.only, index.row() == strip.under_drag
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        place = QRectF(option.rect).adjusted(1, 1, -1, -1)
        if chosen or aimed:
            painter.setPen(QPen(c.accent, 2) if aimed else Qt.PenStyle.NoPen)
            painter.setBrush(c.chosen(c.raised))
            painter.drawRoundedRect(place, 4, 4)
        left = place.left() + 4
        font = painter.font()
        font.setPointSizeF(8)
        if name is not None:
            colour = QColor(class_colour(strip.schema, name or None))
            letter, edge = class_letter(strip.schema, name or None), mix(colour, c.text, 0.4)
            left = 6 + paint_swatch(painter, left, place.center().y() - 7.5, colour, letter, edge=edge)
        font.setBold(chosen)
        painter.setFont(font)
        metrics = QFontMetrics(font)
        painter.setPen(c.text if count or aimed else c.muted)
        middle = Qt.AlignmentFlag.AlignVCenter
        if count:
            painter.drawText(place.adjusted(0, 0, -5, 0), middle | Qt.AlignmentFlag.AlignRight, str(count))
        room = int(place.right() - left - 8 - (metrics.horizontalAdvance(str(count)) if count else 0))
        title = metrics.elidedText(str(index.data()), Qt.TextElideMode.ElideRight, room)
        painter.drawText(QRectF(left, place.top(), room, place.height()), middle, title)
        painter.restore()


def crops_to_drag(source: bytes) -> QMimeData:
    """Return what a drag of crops carries."""
    data = QMimeData()
    data.setData(CROPS, source)
    return data


def drag_picture(crops: list[QPixmap], count: int, c: Colours) -> tuple[QPixmap, QPoint]:
    """Paint what hangs on the pointer: some crops on one another, and how many they are.

    Returns
    -------
    tuple
        The picture, and where in it the pointer is.
    """
    side, shift = 56, 9
    size = side + shift * 2 + 12
    picture = QPixmap(size, size)
    picture.fill(Qt.GlobalColor.transparent)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
    painter.setOpacity(0.9)
    for place in reversed(range(max(1, min(3, count)))):
        spot = QRectF(1 + shift * place, 1 + shift * place, side, side)
        if place < len(crops):
            painter.drawPixmap(spot.toRect(), crops[place])
        else:
            painter.fillRect(spot, mix(c.window, c.text, 0.3))
        painter.setPen(QPen(c.accent, 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(spot)
    painter.setOpacity(1)
    if count > 1:
        text = str(count)
        font = painter.font()
        font.setPointSizeF(9)
        font.setBold(True)
        painter.setFont(font)
        width = max(20, QFontMetrics(font).horizontalAdvance(text) + 10)
        badge = QRectF(size - width - 1, size - 21, width, 20)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(c.accent)
        painter.drawRoundedRect(badge, 10, 10)
        painter.setPen(c.accent_text)
        painter.drawText(badge, Qt.AlignmentFlag.AlignCenter, text)
    painter.end()
    return picture, QPoint(-10, -6)
