"""The grid of crops: a virtual list model, a painter of one size, and the view with its selection."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import (
    QAbstractListModel,
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QRect,
    QRectF,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from qtpy.QtGui import QColor, QDrag, QFontMetrics, QImage, QPainter, QPen, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QListView, QStyle, QStyledItemDelegate, QStyleOptionViewItem

from annotation_store.schema.reserved import UNSURE
from napari_lld.i18n.translate import tr
from napari_lld.layers.palette import UNKNOWN, candidate_letters, class_colour, class_letter
from napari_lld.session.gallery import Gallery
from napari_lld.session.gallery_items import Item, Key
from napari_lld.tasks.gallery_reader import Crop, Wanted
from napari_lld.widgets.base.theme import Colours, colours, contrasting, mix
from napari_lld.widgets.gallery.class_strip import crops_to_drag, drag_picture

CROP = 96
"""Side of a crop in logical pixels."""
_TILE = QSize(116, 146)
_KEPT = 1500
"""Crops that are kept: about 40 MB."""
_ROOT = QModelIndex()


class GalleryModel(QAbstractListModel):
    """The gallery's items as Qt asks for them; crops come later, and the oldest are forgotten."""

    def __init__(self, gallery: Gallery) -> None:
        super().__init__()
        self.gallery = gallery
        self.items: Sequence[Item] = ()
        self.seen: set[Key] = set()
        """Items painted with their crop: only these can be accepted."""
        self._rows: dict[Key, int] = {}
        self._crops: OrderedDict[Wanted, QPixmap | None] = OrderedDict()

    def show_items(self, items: Sequence[Item]) -> None:
        """Show other items, or the same ones as they are now."""
        if [item.key for item in items] == list(self._rows):
            self.items = items
            if items:
                self.dataChanged.emit(self.index(0), self.index(len(items) - 1))
            return
        self.beginResetModel()
        self.items = items
        self._rows = {item.key: row for row, item in enumerate(items)}
        self.endResetModel()

    def forget(self) -> None:
        """Drop all crops and what was seen: another project."""
        self._crops.clear()
        self.seen.clear()

    def row_of(self, key: Key) -> int | None:
        """Return the row of an item."""
        return self._rows.get(key)

    def rowCount(self, parent: QModelIndex = _ROOT) -> int:
        """Count the items."""
        return 0 if parent.isValid() else len(self.items)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return the text of an item."""
        if not index.isValid() or index.row() >= len(self.items):
            return None
        item = self.items[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return self.title(item)
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return self.provenance(item)
        return None

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Let crops be dragged onto a class."""
        flags: Qt.ItemFlag = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsDragEnabled if index.isValid() else flags

    def title(self, item: Item) -> str:
        """Return the name of an item's class."""
        if item.unknown:
            return tr("unknown")
        if item.word is None:
            return tr("class missing") if item.entry.kind == "cell" else tr("no class")
        if item.word == UNSURE:
            return tr("unsure")
        schema = self.gallery.session.schema
        return schema.class_title(item.word) if schema is not None else item.word

    def aside(self, item: Item) -> str:
        """Describe briefly what the model predicts, or what became of a suggestion."""
        entry = item.entry
        if entry.kind == "suggestion":
            if not item.pending:
                return tr("rejected")
            if item.unknown:
                return self.candidates(item)
            return f"{item.probability or 0.0:.0%}"
        if item.disagreement is not None and item.disagreement.instead:
            return f"≠ {item.disagreement.instead}"
        return ""

    def candidates(self, item: Item) -> str:
        """Return the letters of the classes that an unknown cell is most like."""
        schema, predicted = self.gallery.session.schema, item.entry.proposal
        return candidate_letters(schema, predicted) if schema is not None and predicted is not None else ""

    def provenance(self, item: Item) -> str:
        """Describe an item in full."""
        session, entry = self.gallery.session, item.entry
        lines = [
            f"{tr('Cell {id}', id=entry.id) if entry.kind == 'cell' else tr('Suggestion')} · "
            f"{self.title(item)}"
        ]
        if session.project is not None:
            lines.append(session.project.fields.get(entry.field_id).name)
        for attribute in session.attributes:
            value = item.value(attribute.name)
            if value is not None:
                title = next((v.title for v in attribute.values if v.name == value), tr("unsure"))
                lines.append(f"{attribute.title}: {title}")
        if entry.kind == "suggestion":
            lines.append(tr("White cell {sure:.0%}", sure=entry.confidence or 0.0))
            if item.unknown:
                lines.append(tr("Unlike anything that was taught"))
        difference = item.disagreement
        if difference is not None and difference.instead:
            lines.append(
                tr(
                    "The model predicts {instead} at {other:.0%}; your label has {share:.0%}.",
                    instead=difference.instead,
                    other=difference.share,
                    share=1 - difference.improbable,
                )
            )
        return "\n".join(lines)

    # ------------------------------------------------------------------ crops

    def crop(self, item: Item) -> QPixmap | None:
        """Return an item's crop, if it is there."""
        request = _wanted(item)
        crop = self._crops.get(request)
        if request in self._crops:
            self._crops.move_to_end(request)
        return crop

    def lacking(self, rows: range) -> list[Wanted]:
        """List the crops of some rows that are not there yet."""
        return [w for row in rows if (w := _wanted(self.items[row])) not in self._crops]

    def take_crops(self, crops: Sequence[tuple[Wanted, Crop | None]]) -> None:
        """Store new crops, and evict the least recently used."""
        for request, pixels in crops:
            if pixels is None:
                self._crops[request] = None
            else:
                height, width = pixels.shape[:2]
                image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
                self._crops[request] = QPixmap.fromImage(image)
            row = self._rows.get(request.key)
            if row is not None:
                index = self.index(row)
                self.dataChanged.emit(index, index, [Qt.ItemDataRole.DecorationRole])
        while len(self._crops) > _KEPT:
            self._crops.popitem(last=False)

    @property
    def kept(self) -> int:
        """How many crops are in memory."""
        return len(self._crops)


def _picture(tile: QRect) -> QRect:
    """Return where in a tile the crop is painted."""
    return QRect(tile.left() + (tile.width() - CROP) // 2, tile.top() + 7, CROP, CROP)


def _wanted(item: Item) -> Wanted:
    return Wanted(item.key, item.entry.field_id, item.entry.box)


class TilePainter(QStyledItemDelegate):
    """Paints one crop with its class and what the model thinks; cells and suggestions have other frames."""

    def __init__(self, model: GalleryModel) -> None:
        super().__init__()
        self._model = model
        self.colours: Colours = colours()

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        """Return the size that all items share."""
        return _TILE

    def paint(self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint a tile."""
        if painter is None or index.row() >= len(self._model.items):
            return
        item, c = self._model.items[index.row()], self.colours
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        current = bool(option.state & QStyle.StateFlag.State_HasFocus)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        tile = QRectF(option.rect).adjusted(2, 2, -2, -2)
        painter.setPen(QPen(c.accent, 2) if chosen or current else Qt.PenStyle.NoPen)
        painter.setBrush(mix(c.window, c.accent, 0.35) if chosen else mix(c.window, c.text, 0.06))
        painter.drawRoundedRect(tile, 4, 4)
        place = _picture(option.rect)
        self._paint_crop(painter, place, item)
        schema = self._model.gallery.session.schema
        colour = QColor(class_colour(schema, item.word)) if schema is not None else c.muted
        if item.unknown:
            colour = QColor(UNKNOWN)
        self._paint_frame(painter, place, item, colour)
        if chosen:
            self._paint_tick(painter, place)
        self._paint_words(painter, option.rect, place.bottom(), item, colour)
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
        failed = (
            not self._model.lacking(range(row, row + 1)) if (row := self._row(item)) is not None else False
        )
        painter.drawText(place, Qt.AlignmentFlag.AlignCenter, tr("not readable") if failed else "…")

    def _row(self, item: Item) -> int | None:
        return self._model.row_of(item.key)

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

    def _paint_words(self, painter: QPainter, rect: QRect, top: int, item: Item, colour: QColor) -> None:
        c, schema = self.colours, self._model.gallery.session.schema
        swatch = QRectF(rect.left() + 6, top + 4, 15, 15)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(colour)
        painter.drawRoundedRect(swatch, 3, 3)
        font = painter.font()
        font.setPointSizeF(8)
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(contrasting(colour))
        letter = "?!" if item.unknown else class_letter(schema, item.word) if schema is not None else ""
        painter.drawText(swatch, Qt.AlignmentFlag.AlignCenter, letter)
        font.setBold(False)
        painter.setFont(font)
        painter.setPen(c.text)
        room = rect.width() - 32
        metrics = QFontMetrics(font)
        line = QRect(rect.left() + 25, top + 3, room, 17)
        align = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        title = metrics.elidedText(self._model.title(item), Qt.TextElideMode.ElideRight, room)
        painter.drawText(line, align, title)
        contradicted = item.disagreement is not None and bool(item.disagreement.instead)
        painter.setPen(c.warning if contradicted else c.muted)
        aside = metrics.elidedText(self._model.aside(item), Qt.TextElideMode.ElideRight, rect.width() - 12)
        painter.drawText(QRect(rect.left() + 6, top + 20, rect.width() - 12, 16), align, aside)


class GalleryGrid(QListView):
    """The view: fixed tiles that wrap, many selected by mouse and keys, crops asked for where one looks."""

    crops_wanted = Signal(object)
    chosen_changed = Signal()

    def __init__(self, gallery: Gallery) -> None:
        super().__init__()
        self.setObjectName("lld_gallery_grid")
        self.setAccessibleName(tr("Crops"))
        self.model_ = GalleryModel(gallery)
        self.painter_ = TilePainter(self.model_)
        self.setModel(self.model_)
        self.setItemDelegate(self.painter_)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setGridSize(_TILE)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setSelectionRectVisible(True)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setMouseTracking(False)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self._looking = QTimer(self)
        self._looking.setSingleShot(True)
        self._looking.setInterval(0)
        self._looking.timeout.connect(self._look)
        bar = self.verticalScrollBar()
        if bar is not None:
            bar.setSingleStep(_TILE.height() // 3)
            bar.valueChanged.connect(lambda *_: self._looking.start())
        selection = self.selectionModel()
        if selection is not None:
            selection.selectionChanged.connect(lambda *_: self.chosen_changed.emit())

    def chosen(self) -> list[Item]:
        """Return the selected items, in the order in which they are shown."""
        selection = self.selectionModel()
        if selection is None:
            return []
        # by ranges: of 10,000 that are chosen at once Qt keeps one
        rows = (row for part in selection.selection() for row in range(part.top(), part.bottom() + 1))
        return [self.model_.items[row] for row in sorted(rows)]

    @property
    def has_chosen(self) -> bool:
        """Whether anything is selected."""
        selection = self.selectionModel()
        return selection is not None and selection.hasSelection()

    def current(self) -> Item | None:
        """Return the item that the keyboard is on."""
        row = self.currentIndex().row()
        return self.model_.items[row] if 0 <= row < len(self.model_.items) else None

    def show_items(self, items: Sequence[Item], became: Mapping[Key, Key] | None = None) -> None:
        """Show other items: what is still there stays selected, the view stays where it was.

        Parameters
        ----------
        became
            What stands now where something else stood: it is selected in its stead.
        """
        selection, bar = self.selectionModel(), self.verticalScrollBar()
        if selection is None or bar is None:
            return
        handed_on = became or {}
        keys = {handed_on.get(item.key, item.key) for item in self.chosen()}
        current, row, place = self.current(), self.currentIndex().row(), bar.value()
        self.model_.show_items(items)
        rows = sorted(r for key in keys if (r := self.model_.row_of(key)) is not None)
        chosen = QItemSelection()
        for first, last in _runs(rows):
            chosen.select(self.model_.index(first), self.model_.index(last))
        selection.select(chosen, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        if items and current is not None:
            # the keyboard goes on where it was, also where that crop has left the list
            stays = self.model_.row_of(handed_on.get(current.key, current.key))
            index = self.model_.index(min(row, len(items) - 1) if stays is None else stays)
            selection.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.NoUpdate)
        self.executeDelayedItemsLayout()
        bar.setValue(place)
        self._looking.start()
        self.chosen_changed.emit()

    @property
    def name(self) -> bytes:
        """What tells this grid's crops from those of another window, while they are dragged."""
        return str(id(self)).encode()

    def mousePressEvent(self, event: Any) -> None:
        """Begin a drag on a picture, else a frame round several."""
        spot = event.position().toPoint()
        on_picture = _picture(self.visualRect(self.indexAt(spot))).contains(spot)
        self.setDragEnabled(on_picture and not event.modifiers())
        super().mousePressEvent(event)

    def startDrag(self, _actions: Any) -> None:
        """Drag all that is chosen."""
        chosen = self.chosen()
        if not chosen:
            return
        drag = QDrag(self)
        drag.setMimeData(crops_to_drag(self.name))
        crops = [crop for item in chosen[:3] if (crop := self.model_.crop(item)) is not None]
        picture, spot = drag_picture(crops, len(chosen), self.painter_.colours)
        drag.setPixmap(picture)
        drag.setHotSpot(spot)
        drag.exec(Qt.DropAction.CopyAction)

    def keyboardSearch(self, _search: str | None) -> None:
        """Search for nothing: letters are commands."""

    def resizeEvent(self, event: Any) -> None:
        """Fill the width, and find which crops have come into sight."""
        super().resizeEvent(event)
        self._fill_width()
        self._looking.start()

    def _fill_width(self) -> None:
        port = self.viewport()
        if port is not None:
            size = QSize((port.width() - 1) // self.columns, _TILE.height())
            if size != self.gridSize():
                self.setGridSize(size)

    @property
    def columns(self) -> int:
        """How many crops stand side by side."""
        port = self.viewport()
        return max(1, (port.width() - 1) // _TILE.width()) if port is not None else 1

    def showEvent(self, event: Any) -> None:
        """Find which crops are in sight."""
        super().showEvent(event)
        self._looking.start()

    def in_sight(self) -> range:
        """Return the rows that are in sight: the tiles have one size, so this is arithmetic."""
        port, bar = self.viewport(), self.verticalScrollBar()
        if port is None or bar is None or not self.model_.items:
            return range(0)
        columns = self.columns
        first = max(0, bar.value() // _TILE.height()) * columns
        last = (bar.value() + port.height()) // _TILE.height() + 1
        return range(min(first, len(self.model_.items)), min(last * columns, len(self.model_.items)))

    def _look(self) -> None:
        if self.isVisible():
            self.crops_wanted.emit(self.model_.lacking(self.in_sight()))


def _runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return sorted rows as runs of neighbours: a selection of 10,000 is one range, not 10,000."""
    runs: list[tuple[int, int]] = []
    for row in rows:
        if runs and runs[-1][1] == row - 1:
            runs[-1] = (runs[-1][0], row)
        else:
            runs.append((row, row))
    return runs
