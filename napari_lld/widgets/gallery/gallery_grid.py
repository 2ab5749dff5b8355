"""The grid of crops: fixed tiles that wrap, many chosen by mouse and keys, dragged onto a class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from qtpy.QtCore import QItemSelection, QItemSelectionModel, QPoint, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QContextMenuEvent, QDrag
from qtpy.QtWidgets import QAbstractItemView, QListView

from napari_lld.i18n.translate import tr
from napari_lld.session.gallery import Gallery
from napari_lld.session.gallery_items import Item, Key
from napari_lld.session.gallery_order import GalleryOrder
from napari_lld.widgets.gallery.class_strip import crops_to_drag, drag_picture
from napari_lld.widgets.gallery.gallery_model import GalleryModel
from napari_lld.widgets.gallery.tile_painter import TILE, TilePainter, picture


class GalleryGrid(QListView):
    """The view: fixed tiles that wrap, many selected by mouse and keys, crops asked for where one looks."""

    looked = Signal()
    """Other crops have come into sight."""
    chosen_changed = Signal()
    menu_requested = Signal(QPoint)
    """A menu for the selected crops was asked for, at this place on the screen."""

    def __init__(self, gallery: Gallery) -> None:
        super().__init__()
        self.setObjectName("lld_gallery_grid")
        self.name_it()
        self.model_ = GalleryModel(gallery)
        self.painter_ = TilePainter(self.model_)
        self.setModel(self.model_)
        self.setItemDelegate(self.painter_)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setUniformItemSizes(True)
        self.setGridSize(TILE)
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
            bar.setSingleStep(TILE.height() // 3)
            bar.valueChanged.connect(lambda *_: self._looking.start())
        selection = self.selectionModel()
        if selection is not None:
            selection.selectionChanged.connect(lambda *_: self.chosen_changed.emit())

    def name_it(self) -> None:
        """Name it for screen readers."""
        self.setAccessibleName(tr("Crops"))

    def chosen(self) -> list[Item]:
        """Return the selected items, in the order in which they are shown."""
        return [self.model_.items[row] for row in sorted(self._chosen_rows())]

    def _chosen_rows(self) -> Iterator[int]:
        selection = self.selectionModel()
        # by ranges: of 10,000 that are chosen at once Qt keeps one
        for part in selection.selection() if selection is not None else ():
            yield from range(part.top(), part.bottom() + 1)

    @property
    def has_chosen(self) -> bool:
        """Whether anything is selected."""
        selection = self.selectionModel()
        return selection is not None and selection.hasSelection()

    @property
    def has_pending(self) -> bool:
        """Whether any of what is selected is a suggestion that waits for a decision."""
        return any(self.model_.items[row].pending for row in self._chosen_rows())

    def current(self) -> Item | None:
        """Return the item that the keyboard is on."""
        row = self.currentIndex().row()
        return self.model_.items[row] if 0 <= row < len(self.model_.items) else None

    def show_items(self, items: Sequence[Item], successors: Mapping[Key, Key] | None = None) -> None:
        """Show other items: what is still there stays selected, the view stays where it was.

        Parameters
        ----------
        became
            What stands now where something else stood: it is selected in its stead.
        """
        selection, bar = self.selectionModel(), self.verticalScrollBar()
        if selection is None or bar is None:
            return
        successor_of = successors or {}
        selected_keys = [successor_of.get(item.key, item.key) for item in self.chosen()]
        current, row, place = self.current(), self.currentIndex().row(), bar.value()
        self.painter_.in_pairs = self.model_.gallery.order is GalleryOrder.DUPLICATES
        self._fill_width()
        if not self.model_.show_items(items):
            self._looking.start()  # a box may have changed, and with it the crop
            return
        self._choose(selected_keys)
        if items and current is not None:
            # the keyboard goes on where it was, also where that crop has left the list
            current_row = self.model_.row_of(successor_of.get(current.key, current.key))
            index = self.model_.index(min(row, len(items) - 1) if current_row is None else current_row)
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
        on_picture = picture(self.visualRect(self.indexAt(spot))).contains(spot)
        self.setDragEnabled(on_picture and not event.modifiers())
        super().mousePressEvent(event)

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """Ask for a menu where the mouse is, or at the current crop if a key asked for it."""
        if event is None or not self.has_chosen:
            return
        by_key = event.reason() == QContextMenuEvent.Reason.Keyboard
        if not by_key and not self.indexAt(event.pos()).isValid():
            return
        spot = self.visualRect(self.currentIndex()).center() if by_key else event.pos()
        self.menu_requested.emit(self.viewport().mapToGlobal(spot))

    def startDrag(self, _actions: Any) -> None:
        """Drag all that is chosen."""
        items = self.chosen()
        if not items:
            return
        drag = QDrag(self)
        drag.setMimeData(crops_to_drag(self.name))
        crops = [crop for item in items[:3] if (crop := self.model_.crop(item)) is not None]
        pixmap, spot = drag_picture(crops, len(items), self.painter_.colours)
        drag.setPixmap(pixmap)
        drag.setHotSpot(spot)
        drag.exec(Qt.DropAction.CopyAction)

    def choose(self, items: Iterable[Item]) -> None:
        """Choose some of the items, and nothing else; the keyboard goes to the first of them."""
        keys = [item.key for item in items]
        self._choose(keys)
        selection, current = self.selectionModel(), self.current()
        if keys and selection is not None and (current is None or current.key not in keys):
            first = self.model_.index(self.model_.row_of(keys[0]) or 0)
            selection.setCurrentIndex(first, QItemSelectionModel.SelectionFlag.NoUpdate)

    def _choose(self, keys: Iterable[Key]) -> None:
        selection = self.selectionModel()
        rows = sorted({r for key in keys if (r := self.model_.row_of(key)) is not None})
        item_selection = QItemSelection()
        for first, last in _runs(rows):
            item_selection.select(self.model_.index(first), self.model_.index(last))
        if selection is not None:
            selection.select(item_selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)

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
            size = QSize((port.width() - 1) // self.columns, TILE.height())
            if size != self.gridSize():
                self.painter_.size = size
                self.setGridSize(size)

    @property
    def columns(self) -> int:
        """How many crops stand side by side."""
        port = self.viewport()
        columns = max(1, (port.width() - 1) // TILE.width()) if port is not None else 1
        return columns - columns % 2 if self.painter_.in_pairs and columns > 1 else columns

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
        first = max(0, bar.value() // TILE.height()) * columns
        last = (bar.value() + port.height()) // TILE.height() + 1
        return range(min(first, len(self.model_.items)), min(last * columns, len(self.model_.items)))

    def _look(self) -> None:
        if self.isVisible():
            self.looked.emit()

    def items_in_sight(self) -> list[Item]:
        """Return the items that are in sight."""
        return [self.model_.items[row] for row in self.in_sight()]


def _runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return sorted rows as runs of neighbours: a selection of 10,000 is one range, not 10,000."""
    runs: list[tuple[int, int]] = []
    for row in rows:
        if runs and runs[-1][1] == row - 1:
            runs[-1] = (runs[-1][0], row)
        else:
            runs.append((row, row))
    return runs
