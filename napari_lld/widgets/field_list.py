"""The list of fields: thumbnail, name, state, counts."""

from __future__ import annotations

from collections import deque
from typing import Any

from qtpy.QtCore import QAbstractListModel, QModelIndex, QRectF, QSize, Qt, QTimer
from qtpy.QtGui import QFontMetricsF, QImage, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QWidget,
)

from annotation_store.errors import LLDError
from annotation_store.records import FieldState, FieldSummary
from napari_lld.commands import Commands
from napari_lld.session import Session
from napari_lld.translate import tr, trn
from napari_lld.widgets.parts import Part, column, label, row
from napari_lld.widgets.theme import Colours, colours, mix

SUMMARY_ROLE = Qt.ItemDataRole.UserRole + 1
_THUMB = QSize(40, 27)
_ROW = 33
_REFRESH_MS = 60


class FieldsModel(QAbstractListModel):
    """The summaries of all fields, and thumbnails of those that were looked at."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._summaries: list[FieldSummary] = []
        self._thumbnails: dict[int, QPixmap] = {}
        self._wanted: deque[int] = deque()
        self._loader = QTimer(self)
        self._loader.setSingleShot(True)
        self._loader.setInterval(5)
        self._loader.timeout.connect(self._load_one)

    def stop(self) -> None:
        """Load no more thumbnails."""
        self._loader.stop()
        self._wanted.clear()

    def forget(self) -> None:
        """Forget everything: another project."""
        self.stop()
        self._thumbnails.clear()
        self.show_summaries([])

    def show_summaries(self, summaries: list[FieldSummary]) -> None:
        """Show these; rows stay where they are as long as the fields are the same."""
        same = [s.field.id for s in summaries] == [s.field.id for s in self._summaries]
        if not same:
            self.beginResetModel()
        self._summaries = summaries
        if not same:
            self.endResetModel()
        elif summaries:
            self.dataChanged.emit(self.index(0), self.index(len(summaries) - 1))

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Count the fields."""
        return 0 if parent is not None and parent.isValid() else len(self._summaries)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Give a field's name, tooltip, summary or thumbnail."""
        summary = self._summaries[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return summary.field.name
        if role == Qt.ItemDataRole.ToolTipRole:
            field = summary.field
            facts = [field.name, f"{field.width} × {field.height} px", state_words(summary)]
            facts += [tr("patient {patient}", patient=field.patient)] if field.patient else []
            return "\n".join(facts)
        if role == Qt.ItemDataRole.DecorationRole:
            return self._thumbnail(summary.field.id)
        if role == SUMMARY_ROLE:
            return summary
        return None

    def row_of(self, field_id: int | None) -> int:
        """Give the row of a field, or -1."""
        return next((i for i, s in enumerate(self._summaries) if s.field.id == field_id), -1)

    def _thumbnail(self, field_id: int) -> QPixmap | None:
        """Give the thumbnail, or ask for it: only rows that are painted are ever decoded."""
        known = self._thumbnails.get(field_id)
        if known is None and field_id not in self._wanted:
            self._wanted.append(field_id)
            self._loader.start()
        return known

    def _load_one(self) -> None:
        project = self._session.project
        if project is None or not self._wanted:
            self._wanted.clear()
            return
        field_id = self._wanted.popleft()
        try:
            small = project.thumbnail(field_id, side=4 * _THUMB.width())
        except (LLDError, KeyError):
            self._thumbnails[field_id] = QPixmap()
        else:
            height, width = small.shape[:2]
            data = small.tobytes()  # kept until the picture is made of it
            image = QImage(data, width, height, 3 * width, QImage.Format.Format_RGB888)
            self._thumbnails[field_id] = QPixmap.fromImage(image).scaled(
                _THUMB * 2,
                Qt.AspectRatioMode.KeepAspectRatioByExpanding,
                Qt.TransformationMode.SmoothTransformation,
            )
        row_number = self.row_of(field_id)
        if row_number >= 0:
            self.dataChanged.emit(self.index(row_number), self.index(row_number))
        if self._wanted:
            self._loader.start()


def state_words(summary: FieldSummary) -> str:
    """Say where the work on a field stands."""
    waiting = summary.pending_suggestions
    if waiting:
        return trn("{count} suggestion to review", "{count} suggestions to review", waiting)
    match summary.state:
        case FieldState.REVIEWED:
            return tr("whole field reviewed")
        case FieldState.ANNOTATED | FieldState.SUGGESTIONS:
            n = summary.finished_regions
            return tr("{count} regions finished", count=n) if n > 1 else tr("region finished")
        case FieldState.STARTED:
            return tr("started")
        case _:
            return tr("untouched")


class _FieldDelegate(QStyledItemDelegate):
    """Paints one field."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.colours: Colours = colours()

    def sizeHint(self, _option: QStyleOptionViewItem, _index: QModelIndex) -> QSize:
        """Give every row the same height."""
        return QSize(120, _ROW)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint thumbnail, name, state and counts."""
        c = self.colours
        summary: FieldSummary = index.data(SUMMARY_ROLE)
        rect = QRectF(option.rect)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        if chosen:
            painter.fillRect(rect, mix(c.raised, c.accent, 0.3))
            painter.fillRect(QRectF(rect.left(), rect.top(), 3, rect.height()), c.accent)
        elif option.state & QStyle.StateFlag.State_MouseOver:
            painter.fillRect(rect, mix(c.raised, c.text, 0.1))
        place = QRectF(rect.left() + 6, rect.top() + 3, _THUMB.width(), _THUMB.height())
        pixmap = index.data(Qt.ItemDataRole.DecorationRole)
        if pixmap is not None and not pixmap.isNull():
            source = QRectF(0, 0, 2 * _THUMB.width(), 2 * _THUMB.height())
            source.moveCenter(QRectF(pixmap.rect()).center())
            painter.drawPixmap(place, pixmap, source)
        else:
            painter.fillRect(place, mix(c.raised, c.text, 0.15))
        left = place.right() + 8
        counts = trn("{count} cell", "{count} cells", summary.cells)
        font = painter.font()
        metrics = QFontMetricsF(font)
        counts_width = metrics.horizontalAdvance(counts)
        top = QRectF(left, rect.top() + 1, rect.right() - left - 8, rect.height() / 2)
        bottom = QRectF(left, rect.center().y(), rect.right() - left - 8, rect.height() / 2 - 2)
        painter.setPen(c.text)
        name_width = top.width() - counts_width - 8
        font.setBold(chosen)
        painter.setFont(font)
        name = QFontMetricsF(font).elidedText(summary.field.name, Qt.TextElideMode.ElideMiddle, name_width)
        painter.drawText(top, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft, name)
        font.setBold(False)
        painter.setFont(font)
        painter.setPen(c.muted)
        painter.drawText(top, Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignRight, counts)
        dot = QRectF(left, bottom.center().y() - 3, 6, 6)
        self._paint_dot(painter, dot, summary)
        font.setPointSizeF(max(font.pointSizeF() - 1, 6))
        painter.setFont(font)
        painter.setPen(c.accent if summary.pending_suggestions else c.muted)
        painter.drawText(
            bottom.adjusted(11, 0, 0, 0),
            Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft,
            state_words(summary),
        )
        painter.restore()

    def _paint_dot(self, painter: QPainter, dot: QRectF, summary: FieldSummary) -> None:
        c = self.colours
        painter.setPen(c.muted)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        if summary.state is not FieldState.UNTOUCHED:
            colour = {
                FieldState.REVIEWED: c.good,
                FieldState.ANNOTATED: c.good,
                FieldState.SUGGESTIONS: c.accent,
            }.get(summary.state, c.warning)
            painter.setPen(colour)
            if summary.state is not FieldState.STARTED:
                painter.setBrush(colour)
        painter.drawEllipse(dot)


class FieldList(Part):
    """All fields of the project; a click shows one."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        self.setObjectName("lld_fields")
        layout = column(self, 3)
        self._title = label(tr("Fields"), "heading")
        previous = self.tool_button("field.previous", "‹")
        following = self.tool_button("field.next", "›")
        items: list[QWidget | int] = [self._title, 1, previous, following]
        if "fields.add" in commands:
            items.append(self.tool_button("fields.add", tr("Add fields …")))
        layout.addLayout(row(*items, spacing=3))
        self.model = FieldsModel(session, self)
        self._view = QListView()
        self._view.setObjectName("lld_field_view")
        self._view.setModel(self.model)
        self._delegate = _FieldDelegate(self._view)
        self._view.setItemDelegate(self._delegate)
        self._view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self._view.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self._view.setUniformItemSizes(True)
        self._view.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._view.setMouseTracking(True)
        self._view.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._view.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self._view.setMinimumHeight(2 * _ROW + 6)
        self._view.clicked.connect(self._on_clicked)
        layout.addWidget(self._view, 1)
        self._settling.setInterval(_REFRESH_MS)  # many edits in a row are told as one
        self.bind(session.project_changed, self._on_project)
        self.bind(session.summaries_changed, self.refresh_soon)
        self.bind(session.field_changed, self._on_field)
        self._on_project()

    def release(self) -> None:
        """Let go of the session."""
        self.model.stop()
        super().release()

    def use_colours(self, new: Colours) -> None:
        """Take other colours."""
        super().use_colours(new)
        self._delegate.colours = new
        self._view.viewport().update()

    def _on_project(self) -> None:
        self.model.forget()
        self.refresh()

    def refresh(self) -> None:
        """Show the summaries, fresh from the project."""
        super().refresh()
        summaries = self.session.summaries()
        self.model.show_summaries(summaries)
        done = sum(s.finished_regions > 0 for s in summaries)
        count = tr("Fields · {count}", count=len(summaries)) if summaries else tr("Fields")
        self._title.setText(tr("{count} · {done} annotated", count=count, done=done) if done else count)
        self._on_field()

    def _on_field(self) -> None:
        index = self.model.index(self.model.row_of(self.session.field_id))
        if index.isValid():
            self._view.setCurrentIndex(index)
            self._view.scrollTo(index)
        else:
            self._view.clearSelection()

    def _on_clicked(self, index: QModelIndex) -> None:
        summary = index.data(SUMMARY_ROLE)
        if summary is not None:
            self.session.show_field(summary.field.id)
