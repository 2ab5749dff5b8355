"""The Qt model of the gallery's items, with their crops as far as loaded."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, Qt
from qtpy.QtGui import QImage, QPixmap

from annotation_store.schema.reserved import UNSURE
from napari_lld.i18n.translate import tr
from napari_lld.layers.palette import candidate_letters
from napari_lld.session.gallery import Gallery
from napari_lld.session.gallery_items import Item, Key
from napari_lld.session.gallery_order import GalleryOrder
from napari_lld.tasks.gallery_reader import Crop, CropRequest

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
        self._crops: OrderedDict[CropRequest, QPixmap | None] = OrderedDict()

    def show_items(self, items: Sequence[Item]) -> bool:
        """Show other items, or the same ones as they are now; return whether they are others."""
        if [item.key for item in items] == list(self._rows):
            self.items = items
            if items:
                self.dataChanged.emit(self.index(0), self.index(len(items) - 1))
            return False
        self.beginResetModel()
        self.items = items
        self._rows = {item.key: row for row, item in enumerate(items)}
        self.endResetModel()
        return True

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
        if role == Qt.ItemDataRole.ToolTipRole:
            return self.provenance(item)
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{self.title(item)}, {self.provenance(item)}"
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
        """Describe briefly how like it is, what the model predicts, or what became of a suggestion."""
        entry, ranking = item.entry, self.gallery.ranking
        if ranking is not None and ranking.order in (GalleryOrder.SIMILAR, GalleryOrder.DUPLICATES):
            return f"≈ {ranking.numbers.get(item.key, 0.0):.0%}"
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
                lines.append(tr("Unlike all training cells"))
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
        request = crop_request(item)
        crop = self._crops.get(request)
        if request in self._crops:
            self._crops.move_to_end(request)
        return crop

    def lacking(self, items: Iterable[Item]) -> list[CropRequest]:
        """List the crops of some items that are not there yet."""
        return [w for w in dict.fromkeys(map(crop_request, items)) if w not in self._crops]

    def take_crops(self, crops: Sequence[tuple[CropRequest, Crop | None]]) -> None:
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


def crop_request(item: Item) -> CropRequest:
    """Return the request for the crop of an item."""
    return CropRequest(item.key, item.entry.field_id, item.entry.box)
