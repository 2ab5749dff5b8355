"""Paint a field in the list: thumbnail, name, counts, state as a sign and in words."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QModelIndex, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPolygonF
from qtpy.QtWidgets import QStyleOptionViewItem

from annotation_store.records import FieldState, FieldSummary
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.field_order import Standing, standing
from napari_lld.widgets.base.row_list import RowDelegate
from napari_lld.widgets.base.theme import mix
from napari_lld.widgets.fields.field_model import SUMMARY_ROLE, THUMBNAIL, WHY_ROLE, state_words

_APART = 16
"""Pixels between the name and what is said of the field."""


class FieldDelegate(RowDelegate):
    """Paints one field."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Paint thumbnail, name, state and counts."""
        summary: FieldSummary | None = index.data(SUMMARY_ROLE)
        if summary is None:
            return
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        selected = self.paint_ground(painter, option)
        paint = self._paint_line if self.is_low(option) else self._paint_lines
        paint(painter, QRectF(option.rect), index, summary, selected)
        painter.restore()

    def _paint_line(
        self, painter: QPainter, rect: QRectF, index: QModelIndex, summary: FieldSummary, selected: bool
    ) -> None:
        """Paint sign, name, and what else there is room for: the sign tells the state without its words."""
        c, where = self.colours, standing(summary)
        self._sign(painter, QPointF(rect.left() + 13, rect.center().y()), where, summary)
        rect = rect.adjusted(23, 0, -8, 0)
        metrics = QFontMetricsF(painter.font())
        room = rect.width() - metrics.horizontalAdvance(summary.field.name) - _APART
        told = in_a_line(
            summary, index.data(WHY_ROLE) or "", lambda text: metrics.horizontalAdvance(text) <= room
        )
        ink = c.accent if where is Standing.WAITING else c.muted
        name_ink = c.muted if summary.field.skipped else c.text
        self._pair(painter, rect, summary.field.name, told, (name_ink, ink), selected)

    def _paint_lines(
        self, painter: QPainter, rect: QRectF, index: QModelIndex, summary: FieldSummary, selected: bool
    ) -> None:
        """Paint thumbnail and name, and under it the state."""
        c, field = self.colours, summary.field
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
        inks = (c.muted if field.skipped else c.text, c.muted)
        self._pair(painter, top, field.name, _counts(summary), inks, selected)
        where = standing(summary)
        self._sign(painter, QPointF(left + 4, bottom.center().y()), where, summary)
        font = painter.font()
        font.setPointSizeF(max(font.pointSizeF() - 1, 6))
        painter.setFont(font)
        remarks = _remarks(summary)
        ink = c.accent if where is Standing.WAITING else c.muted
        right = c.warning if len(remarks) > bool(field.note) else c.muted
        # The sign tells the state anyway; the words have their place where the order says nothing.
        words = index.data(WHY_ROLE) or state_words(summary)
        self._pair(painter, bottom.adjusted(13, 0, 0, 0), words, "  ".join(remarks), (ink, right), False)

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


def _counts(summary: FieldSummary) -> str:
    return trn("{count} cell", "{count} cells", summary.cells)


def _remarks(summary: FieldSummary) -> list[str]:
    field = summary.field
    remarks = [tr(field.quality)] if field.quality and field.quality != "good" else []
    return [*remarks, "✎"] if field.note else remarks


def in_a_line(summary: FieldSummary, why: str, fits: Callable[[str], bool]) -> str:
    """Return what is said of a field beside its name: all, else what its sign and the order do not tell.

    Parameters
    ----------
    why
        Why to look at it next, where the list is sorted by that.
    fits
        Whether there is room for a text.
    """
    words, counts = why or state_words(summary), _counts(summary)
    texts = ["  ".join([*_remarks(summary), text]) for text in (f"{words} · {counts}", words, why or counts)]
    return next((text for text in texts if fits(text)), texts[-1])
