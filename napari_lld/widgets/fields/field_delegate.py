"""Paint a field in the list: thumbnail, name, counts, state as a sign and in words."""

from __future__ import annotations

from qtpy.QtCore import QModelIndex, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QStyleOptionViewItem

from annotation_store.records import FieldState, FieldSummary
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.field_order import Standing, standing
from napari_lld.widgets.base.row_list import RowDelegate
from napari_lld.widgets.base.theme import mix
from napari_lld.widgets.fields.field_model import SUMMARY_ROLE, THUMBNAIL, WHY_ROLE, state_words


class FieldDelegate(RowDelegate):
    """Paints one field."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint thumbnail, name, state and counts."""
        c = self.colours
        summary: FieldSummary | None = index.data(SUMMARY_ROLE)
        if summary is None:
            return
        field = summary.field
        rect = QRectF(option.rect)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        selected = self.paint_ground(painter, option)
        place = QRectF(rect.left() + 6, rect.top() + 3, THUMBNAIL.width(), THUMBNAIL.height())
        pixmap = index.data(Qt.ItemDataRole.DecorationRole)
        painter.setOpacity(0.45 if field.skipped else 1)
        if pixmap is not None and not pixmap.isNull():
            source = QRectF(0, 0, 2 * THUMBNAIL.width(), 2 * THUMBNAIL.height())
            source.moveCenter(QRectF(pixmap.rect()).center())
            painter.drawPixmap(place, pixmap, source)
        else:
            painter.fillRect(place, mix(c.raised, c.text, 0.15))
        painter.setOpacity(1)
        left = place.right() + 8
        top = QRectF(left, rect.top() + 1, rect.right() - left - 8, rect.height() / 2)
        bottom = QRectF(left, rect.center().y(), rect.right() - left - 8, rect.height() / 2 - 2)
        counts = trn("{count} cell", "{count} cells", summary.cells)
        self._pair(
            painter, top, field.name, counts, (c.muted if field.skipped else c.text, c.muted), selected
        )
        where = standing(summary)
        self._sign(painter, QPointF(left + 4, bottom.center().y()), where, summary)
        font = painter.font()
        font.setPointSizeF(max(font.pointSizeF() - 1, 6))
        painter.setFont(font)
        remarks = [tr(field.quality)] if field.quality and field.quality != "good" else []
        remarks += ["✎"] if field.note else []
        ink = c.accent if where is Standing.WAITING else c.muted
        right = c.warning if len(remarks) > bool(field.note) else c.muted
        # The sign tells the state anyway; the words have their place where the order says nothing.
        words = index.data(WHY_ROLE) or state_words(summary)
        self._pair(painter, bottom.adjusted(13, 0, 0, 0), words, "  ".join(remarks), (ink, right), False)
        painter.restore()

    def _pair(
        self,
        painter: QPainter,
        rect: QRectF,
        first: str,
        second: str,
        inks: tuple[QColor, QColor],
        bold: bool,
    ) -> None:
        """Write two texts at both ends of a line; the first gives way."""
        middle = Qt.AlignmentFlag.AlignVCenter
        font = painter.font()
        if second:
            painter.setPen(inks[1])
            painter.drawText(rect, middle | Qt.AlignmentFlag.AlignRight, second)
            rect = rect.adjusted(0, 0, -QFontMetricsF(font).horizontalAdvance(second) - 8, 0)
        font.setBold(bold)
        painter.setFont(font)
        painter.setPen(inks[0])
        text = QFontMetricsF(font).elidedText(first, Qt.TextElideMode.ElideMiddle, rect.width())
        painter.drawText(rect, middle | Qt.AlignmentFlag.AlignLeft, text)
        font.setBold(False)
        painter.setFont(font)

    def _sign(self, painter: QPainter, at: QPointF, where: Standing, summary: FieldSummary) -> None:
        """Paint the state as a sign whose form alone tells it from the others."""
        c, r = self.colours, 3.5
        circle = QRectF(at.x() - r, at.y() - r, 2 * r, 2 * r)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        match where:
            case Standing.UNTOUCHED:
                painter.setPen(c.muted)
                painter.drawEllipse(circle)
            case Standing.BEGUN:
                ink = c.warning if summary.state is FieldState.STARTED else c.good
                painter.setPen(ink)
                painter.drawEllipse(circle)
                painter.setBrush(ink)
                if summary.state is not FieldState.STARTED:
                    painter.drawPie(circle, -90 * 16, 180 * 16)
            case Standing.WAITING:
                painter.setPen(c.accent)
                painter.setBrush(c.accent)
                x, y, s = at.x(), at.y(), r + 1
                painter.drawPolygon(
                    QPolygonF([QPointF(x, y - s), QPointF(x + s, y), QPointF(x, y + s), QPointF(x - s, y)])
                )
            case Standing.REVIEWED:
                painter.setPen(QPen(c.good, 2))
                x, y = at.x(), at.y()
                painter.drawPolyline(
                    QPolygonF([QPointF(x - r, y), QPointF(x - 0.5, y + r - 0.5), QPointF(x + r + 1, y - r)])
                )
            case Standing.SKIPPED:
                painter.setPen(c.muted)
                painter.drawEllipse(circle)
                painter.drawLine(circle.bottomLeft(), circle.topRight())
