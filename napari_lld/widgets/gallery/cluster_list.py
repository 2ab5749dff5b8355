"""The groups of cells that are alike: three typical crops of each, what it is called, and how many."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QModelIndex, QRect, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QFontMetrics, QKeyEvent, QPainter
from qtpy.QtWidgets import (
    QAbstractItemView,
    QListWidget,
    QListWidgetItem,
    QStyledItemDelegate,
    QStyleOptionViewItem,
)

from annotation_store.schema import Schema
from napari_lld.i18n.translate import tr, trn
from napari_lld.layers.palette import class_colour, class_letter
from napari_lld.session.gallery_items import Item
from napari_lld.session.gallery_likeness import ClusterRow
from napari_lld.widgets.base.swatch import paint_swatch
from napari_lld.widgets.base.theme import Colours, colours, mix
from napari_lld.widgets.gallery.arrow_keys import arrow_step
from napari_lld.widgets.gallery.gallery_model import GalleryModel

WIDTH = 196
_CROP = 52
_ROW = 94
_NUMBER = int(Qt.ItemDataRole.UserRole)


class ClusterList(QListWidget):
    """Lists the groups; a click shows one alone, with all of it chosen."""

    picked = Signal(object)
    """The number of a group to show alone; ``None`` for all."""
    scrolled = Signal()

    def __init__(self, model: GalleryModel) -> None:
        super().__init__()
        self.setObjectName("lld_gallery_clusters")
        self.setAccessibleName(tr("Groups of similar cells"))
        self.crops = model
        self.colours: Colours = colours()
        self.schema: Schema | None = None
        self.rows: Sequence[ClusterRow] = ()
        self.only: int | None = None
        self.setItemDelegate(_ClusterPainter(self))
        self.setFixedWidth(WIDTH)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setUniformItemSizes(True)
        self.itemClicked.connect(self._on_click)
        bar = self.verticalScrollBar()
        if bar is not None:
            bar.setSingleStep(_ROW // 3)
            bar.valueChanged.connect(lambda *_: self.scrolled.emit())
        self.hide()

    def show_rows(self, rows: Sequence[ClusterRow], only: int | None) -> None:
        """Show the groups as they are now, and which one is shown alone."""
        if [row.number for row in rows] != [row.number for row in self.rows]:
            self.clear()
            for row in rows:
                item = QListWidgetItem()
                item.setData(_NUMBER, row.number)
                self.addItem(item)
        for place, row in enumerate(rows):
            if place >= len(self.rows) or row != self.rows[place]:
                item = self.item(place)
                if item is not None:
                    item.setToolTip(f"{self.title(row)}\n{self.standing(row)}")
                    words = f"{self.title(row)}, {row.count}, {self.standing(row)}"
                    item.setData(Qt.ItemDataRole.AccessibleTextRole, words)
        moved = only != self.only
        self.rows, self.only = list(rows), only
        self.setVisible(bool(rows))
        if moved and only is not None:
            places = [place for place, row in enumerate(rows) if row.number == only]
            if places:
                self.scrollToItem(self.item(places[0]))
        port = self.viewport()
        if port is not None:
            port.update()

    def step(self, by: int) -> None:
        """Show the next group, or the one before, alone."""
        numbers = [row.number for row in self.rows]
        if not numbers:
            return
        if self.only not in numbers:
            self.picked.emit(numbers[0 if by > 0 else -1])
            return
        self.picked.emit(numbers[(numbers.index(self.only) + by) % len(numbers)])

    def in_sight(self) -> list[Item]:
        """Return the crops that are painted."""
        port = self.viewport()
        if port is None or self.isHidden():
            return []
        height = port.height()
        return [
            item
            for place, row in enumerate(self.rows)
            if (rect := self.visualItemRect(self.item(place))).bottom() >= 0 and rect.top() < height
            for item in row.typical
        ]

    def title(self, row: ClusterRow) -> str:
        """Return the class that a group is called by."""
        if row.name is None or self.schema is None:
            return tr("no class")
        in_schema = self.schema.is_class(row.name) or self.schema.is_group(row.name)
        return self.schema.class_title(row.name) if in_schema else row.name

    def standing(self, row: ClusterRow) -> str:
        """Describe who names a group, and how much of it is labelled."""
        if not row.labelled:
            return tr("named by the model") if row.name is not None else tr("nothing labelled")
        if row.labelled == row.count == row.named:
            return tr("✓ all labelled")
        if row.labelled == row.named:
            return trn("{count} labelled", "{count} labelled", row.labelled)
        return tr("{count} labelled, {share:.0%} agree", count=row.labelled, share=row.named / row.labelled)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Go on with the arrows."""
        step = arrow_step(event)
        if step is None:
            super().keyPressEvent(event)
        else:
            self.step(step)

    def _on_click(self, item: QListWidgetItem) -> None:
        number = item.data(_NUMBER)
        self.picked.emit(None if number == self.only else number)


class _ClusterPainter(QStyledItemDelegate):
    """Paints a group: its typical crops, its name and count, and how much of it is labelled."""

    def __init__(self, clusters: ClusterList) -> None:
        super().__init__(clusters)
        self._list = clusters

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        """Return the size that all rows share."""
        return QSize(WIDTH - 20, _ROW)

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint a group."""
        clusters, c = self._list, self._list.colours
        if painter is None or clusters.schema is None or index.row() >= len(clusters.rows):
            return
        group = clusters.rows[index.row()]
        selected = group.number == clusters.only
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        place = QRectF(option.rect).adjusted(1, 1, -1, -2)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(c.chosen(c.raised) if selected else mix(c.raised, c.text, 0.05))
        painter.drawRoundedRect(place, 4, 4)
        left, top = int(place.left()) + 5, int(place.top()) + 5
        for number, item in enumerate(group.typical):
            spot = QRect(left + number * (_CROP + 4), top, _CROP, _CROP)
            crop = clusters.crops.crop(item)
            if crop is not None:
                painter.drawPixmap(spot, crop)
            else:
                painter.fillRect(spot, mix(c.window, c.text, 0.15))
        self._paint_words(painter, place, top + _CROP + 3, group, selected=selected)
        painter.restore()

    def _paint_words(
        self, painter: QPainter, place: QRectF, top: int, group: ClusterRow, *, selected: bool
    ) -> None:
        clusters, c = self._list, self._list.colours
        schema = clusters.schema
        if schema is None:
            return
        left = int(place.left()) + 5
        colour, letter = QColor(class_colour(schema, group.name)), class_letter(schema, group.name)
        paint_swatch(painter, left, top + 1, colour, letter)
        font = painter.font()
        font.setPointSizeF(8)
        font.setBold(selected)
        painter.setFont(font)
        metrics = QFontMetrics(font)
        middle, count = Qt.AlignmentFlag.AlignVCenter, str(group.count)
        painter.setPen(c.text)
        line = QRectF(left + 20, top, place.right() - left - 26, 17)
        painter.drawText(line, middle | Qt.AlignmentFlag.AlignRight, count)
        room = int(line.width()) - metrics.horizontalAdvance(count) - 6
        title = metrics.elidedText(clusters.title(group), Qt.TextElideMode.ElideRight, room)
        painter.drawText(line, middle, title)
        painter.setPen(c.good if group.labelled == group.count == group.named else c.muted)
        standing = metrics.elidedText(
            clusters.standing(group), Qt.TextElideMode.ElideRight, int(place.width()) - 10
        )
        painter.drawText(QRectF(left, top + 16, place.width() - 10, 15), middle, standing)
