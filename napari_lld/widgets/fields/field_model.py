"""The listed fields for Qt's views: summaries from the session, thumbnails decoded beside the window."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QObject, QSize, Qt, Signal
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QWidget

from annotation_store.errors import LLDError
from annotation_store.records import FieldState, FieldSummary
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.field_order import Standing, standing
from napari_lld.session.session import Session

SUMMARY_ROLE = Qt.ItemDataRole.UserRole + 1
WHY_ROLE = Qt.ItemDataRole.UserRole + 2
"""Why to look at a field next, where the list is sorted by that."""
THUMBNAIL = QSize(40, 27)
_KEPT = 400
_AWAITED = 60


class Thumbnails(QObject):
    """Small pictures of fields, decoded in a thread; the rows that were painted last come first."""

    came = Signal(int)
    _made = Signal(object, int, QImage)

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._kept: OrderedDict[int, QPixmap] = OrderedDict()
        self._awaited: deque[int] = deque(maxlen=_AWAITED)  # rows long scrolled away are not decoded any more
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="thumbnails")
        self._busy = False
        self._stopped = False
        self._made.connect(self._on_made)

    def get(self, field_id: int) -> QPixmap | None:
        """Return a thumbnail, or request it and emit a signal when it is ready."""
        pixmap = self._kept.get(field_id)
        if pixmap is not None:
            self._kept.move_to_end(field_id)
        elif field_id not in self._awaited and not self._stopped:
            self._awaited.append(field_id)
            self._go_on()
        return pixmap

    def forget(self) -> None:
        """Clear the cache: another project was opened."""
        self._awaited.clear()
        self._kept.clear()

    def stop(self) -> None:
        """Decode no more, whatever is painted yet; what is under way ends by itself."""
        self._stopped = True
        self.forget()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _go_on(self) -> None:
        project = self._session.project
        if self._busy or self._stopped or not self._awaited or project is None:
            return
        self._busy = True
        field_id = self._awaited.pop()

        def work() -> None:
            image = QImage()
            with suppress(LLDError, KeyError, OSError, RuntimeError):  # a row without a picture is no trouble
                small = project.pixels.thumbnail(field_id, side=4 * THUMBNAIL.width())
                height, width = small.shape[:2]
                data = small.tobytes()  # kept until the picture is made of it
                image = (
                    QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888)
                    .scaled(
                        THUMBNAIL * 2,
                        Qt.AspectRatioMode.KeepAspectRatioByExpanding,
                        Qt.TransformationMode.SmoothTransformation,
                    )
                    .copy()
                )
            with suppress(RuntimeError):  # the window is gone
                self._made.emit(project, field_id, image)

        self._pool.submit(work)

    def _on_made(self, project: object, field_id: int, image: QImage) -> None:
        self._busy = False
        if project is self._session.project:
            self._kept[field_id] = QPixmap.fromImage(image)
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            self.came.emit(field_id)
        self._go_on()


class FieldsModel(QAbstractListModel):
    """The fields that the session lists."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._rows: Sequence[int] = ()
        self._thumbnails = Thumbnails(session, self)
        self._thumbnails.came.connect(self._on_thumbnail)

    def stop(self) -> None:
        """Load no more thumbnails."""
        self._thumbnails.stop()

    def forget(self) -> None:
        """Clear the cache: another project was opened."""
        self._thumbnails.forget()

    def refresh(self) -> bool:
        """Show the current list; as long as it is the same, the views keep place and selection.

        Returns
        -------
        bool
            Whether it is another list, or in another order.
        """
        fields = self._session.fields
        if list(fields.listed) == self._rows:
            # any of them may have changed: the views paint those in sight, which costs less than to compare
            if self._rows:
                self.dataChanged.emit(self.index(0), self.index(len(self._rows) - 1))
            return False
        self.beginResetModel()
        self._rows = list(fields.listed)
        self.endResetModel()
        return True

    def field_id(self, index: QModelIndex) -> int:
        """Return the id of the field in a row."""
        row: int = index.row()
        return self._rows[row]

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Count the fields."""
        return 0 if parent is not None and parent.isValid() else len(self._rows)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a field's name, tooltip, summary or thumbnail."""
        summary = self._summary(self.field_id(index))
        if summary is None:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return summary.field.name
        if role == Qt.ItemDataRole.AccessibleTextRole:
            return f"{summary.field.name}, {state_words(summary)}"
        if role == Qt.ItemDataRole.ToolTipRole:
            return _facts(summary, self._session.fields.why_look(summary.field.id))
        if role == Qt.ItemDataRole.DecorationRole:
            return self._thumbnails.get(summary.field.id)
        if role == SUMMARY_ROLE:
            return summary
        if role == WHY_ROLE:
            return self._session.fields.why_look(summary.field.id)
        return None

    def _summary(self, field_id: int) -> FieldSummary | None:
        """Return a field's summary; ``None`` where the project was closed, or cannot be read."""
        if self._session.project is None:
            return None
        try:
            return self._session.fields.summary(field_id)
        except LLDError:
            return None

    def _on_thumbnail(self, field_id: int) -> None:
        row = self._session.fields.place_of(field_id)
        if 0 <= row < len(self._rows):
            self.dataChanged.emit(self.index(row), self.index(row))


def state_words(summary: FieldSummary) -> str:
    """Return the state of the work on a field, and how much was searched of a slide that was not in full."""
    share = summary.searched
    if share is None or share >= 1 or standing(summary) is Standing.SKIPPED:
        return _state_words(summary)
    return f"{_state_words(summary)} · {tr('{share:.0%} searched', share=min(share, 0.99))}"


def _state_words(summary: FieldSummary) -> str:
    match standing(summary):
        case Standing.SKIPPED:
            return tr("skipped")
        case Standing.WAITING:
            return trn(
                "{count} suggestion to review", "{count} suggestions to review", summary.pending_suggestions
            )
        case Standing.REVIEWED:
            return tr("whole field reviewed")
        case Standing.UNTOUCHED:
            return tr("untouched")
    if summary.state is FieldState.STARTED:
        return tr("started")
    n = summary.finished_regions
    return tr("{n} regions finished", n=n) if n > 1 else tr("region finished")


def _facts(summary: FieldSummary, why: str) -> str:
    field = summary.field
    facts = [field.name, f"{field.width} × {field.height} px", state_words(summary)]
    if field.patient:
        facts.append(tr("patient {name}", name=field.patient))
    if field.quality:
        facts.append(tr("quality: {quality}", quality=tr(field.quality)))
    if field.note:
        facts.append(field.note)
    if why:
        facts.append(why)
    return "\n".join(facts)
