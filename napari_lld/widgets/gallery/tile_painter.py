"""Paint a crop of the gallery: picture, class, and prediction."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, QRect, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QFontMetrics, QPainter, QPen
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from napari_lld.i18n.translate import tr
from napari_lld.layers.palette import UNKNOWN, class_colour, class_letter
from napari_lld.session.gallery_items import Item
from napari_lld.widgets.base.swatch import paint_swatch
from napari_lld.widgets.base.theme import Colours, colours, mix
from napari_lld.widgets.gallery.gallery_model import GalleryModel

CROP = 96
"""Side of a crop in logical pixels."""
TILE = QSize(116, 146)
"""The least size of a tile."""


def picture(tile: QRect) -> QRect:
    """Return where in a tile the crop is painted."""
    return QRect(tile.left() + (tile.width() - CROP) // 2, tile.top() + 7, CROP, CROP)


class TilePainter(QStyledItemDelegate):
    """Paints one crop with its class and what the model thinks; cells and suggestions have other frames."""

    def __init__(self, model: GalleryModel) -> None:
        super().__init__()
        self._model = model
        self.colours: Colours = colours()
        self.size = TILE
        self.in_pairs = False
        """Whether two tiles side by side belong together."""

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        """Return the size that all items share."""
        return self.size

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint a tile."""
        if painter is None or index.row() >= len(self._model.items):
            return
        item, c = self._model.items[index.row()], self.colours
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        current = bool(option.state & QStyle.StateFlag.State_HasFocus)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        tile = QRectF(option.rect).adjusted(2, 2, -2, -2)
        if self.in_pairs:
            first = index.row() % 2 == 0
            tile.adjust(*((8, 0, 3, 0) if first else (-3, 0, -8, 0)))
        painter.setPen(QPen(c.accent, 2) if selected or current else Qt.PenStyle.NoPen)
        painter.setBrush(c.chosen(c.window) if selected else mix(c.window, c.text, 0.06))
        painter.drawRoundedRect(tile, 4, 4)
        place = picture(option.rect)
        self._paint_crop(painter, place, item)
        schema = self._model.gallery.session.schema
        colour = QColor(class_colour(schema, item.word)) if schema is not None else c.muted
        if item.unknown:
            colour = QColor(UNKNOWN)
        self._paint_frame(painter, place, item, colour)
        if selected:
            self._paint_tick(painter, place)
        self._paint_words(painter, place, item, colour)
        painter.restore()

    def _paint_crop(self, painter: QPainter, place: QRect, item: Item) -> None:
        crop = self._model.crop(item)
        if crop is not None:
            painter.drawPixmap(place, crop)
            self._model.seen.add(item.key)
            if item.entry.kind == "suggestion" and not item.pending:
                painter.fillRect(place, QColor(128, 128, 128, 150))
            return
        painter.fillRect(place, mix(self.colours.window, self.colours.text, 0.15))
        painter.setPen(self.colours.muted)
        failed = not self._model.lacking([item])
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, tr("not readable") if failed else "…")

    def _paint_frame(self, painter: QPainter, place: QRect, item: Item, colour: QColor) -> None:
        """Frame a cell all round, a suggestion by its corners, an unknown one by cut corners."""
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colour, 3))
        box = QRectF(place).adjusted(-1, -1, 1, 1)
        if item.entry.kind == "cell":
            painter.drawRect(box)
            return
        arm = 18.0
        for x, dx in ((box.left(), arm), (box.right(), -arm)):
            for y, dy in ((box.top(), arm), (box.bottom(), -arm)):
                if item.unknown:
                    painter.drawLine(int(x + dx), int(y), int(x), int(y + dy))
                    continue
                painter.drawLine(int(x), int(y), int(x + dx), int(y))
                painter.drawLine(int(x), int(y), int(x), int(y + dy))

    def _paint_tick(self, painter: QPainter, place: QRect) -> None:
        spot = QRectF(place.right() - 19, place.top() + 3, 17, 17)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(self.colours.accent)
        painter.drawEllipse(spot)
        painter.setPen(self.colours.accent_text)
        painter.drawText(spot, Qt.AlignmentFlag.AlignCenter, "✓")

    def _paint_words(self, painter: QPainter, place: QRect, item: Item, colour: QColor) -> None:
        c, schema = self.colours, self._model.gallery.session.schema
        left, top = place.left() - 4, place.bottom()
        letter = "?!" if item.unknown else class_letter(schema, item.word) if schema is not None else ""
        paint_swatch(painter, left, top + 4, colour, letter)
        font = painter.font()
        font.setPointSizeF(8)
        font.setBold(False)
        painter.setFont(font)
        painter.setPen(c.text)
        room = place.width() - 12
        metrics = QFontMetrics(font)
        line = QRect(left + 19, top + 3, room, 17)
        align = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        title = metrics.elidedText(self._model.title(item), Qt.TextElideMode.ElideRight, room)
        painter.drawText(line, align, title)
        painter.setPen(c.warning if item.contradicted else c.muted)
        aside = metrics.elidedText(self._model.aside(item), Qt.TextElideMode.ElideRight, place.width() + 8)
        painter.drawText(QRect(left, top + 20, place.width() + 8, 16), align, aside)
