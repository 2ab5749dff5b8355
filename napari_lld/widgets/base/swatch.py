"""The square that stands for a class: its colour, with its letter."""

from __future__ import annotations

from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPen

from napari_lld.widgets.base.theme import contrasting

SIDE = 15


def paint_swatch(
    painter: QPainter,
    left: float,
    top: float,
    colour: QColor,
    letter: str,
    *,
    edge: QColor | None = None,
    points: float = 8,
) -> float:
    """Paint a swatch, and return where it ends; pen, brush and font stay as they are.

    Parameters
    ----------
    edge
        Colour of its edge; ``None`` = none.
    points
        Size of the letter.
    """
    swatch = QRectF(left, top, SIDE, SIDE)
    painter.save()
    painter.setPen(Qt.PenStyle.NoPen if edge is None else QPen(edge, 0.8))
    painter.setBrush(colour)
    painter.drawRoundedRect(swatch, 3, 3)
    font = painter.font()
    font.setBold(True)
    font.setPointSizeF(points)
    painter.setFont(font)
    painter.setPen(contrasting(colour))
    painter.drawText(swatch, Qt.AlignmentFlag.AlignCenter, letter)
    painter.restore()
    return float(swatch.right())
