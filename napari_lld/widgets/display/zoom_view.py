"""The current cell in large, with its surroundings; and how it would look with one stain only."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QImage, QPainter, QPaintEvent, QPen, QWheelEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from annotation_store.records import Box
from napari_lld.imaging import measure
from napari_lld.widgets.base.theme import Colours, colours

_AIR = 1.2
"""Side of the view over that of the cell in it."""
_MOST = 8.0
"""Pixels of the view for one of the field at most: more only blurs."""

Area = tuple[int, int, int, int]


class CropView(QWidget):
    """A part of the field, enlarged, centred on a box."""

    wheeled = Signal(int)
    """Steps of the mouse wheel."""

    def __init__(self, *, smallest: int, title: str = "") -> None:
        super().__init__()
        self.colours: Colours = colours()
        self.title = title
        self.hint = ""
        self.smooth = True
        self._smallest = smallest
        self._image: QImage | None = None
        self._origin = (0.0, 0.0)
        self._box: Box | None = None
        self._scale = 1.0
        self._pixel_size: float | None = None
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)

    def sizeHint(self) -> QSize:
        """Square."""
        return QSize(self._smallest, self._smallest)

    def minimumSizeHint(self) -> QSize:
        """Small, but seen."""
        return QSize(self._smallest // 2, self._smallest // 2)

    def scale_for(self, box: Box, closer: float = 1.0) -> float:
        """Return how many pixels of the view a pixel of the field gets: the cell fills it, up to a limit."""
        side = max(box[2], box[3], 1.0) * _AIR
        return float(min(min(self.width(), self.height()) / side, _MOST) * closer)

    def area(self, box: Box, scale: float) -> Area:
        """Return the part of the field that is seen around a box: left, top, right, bottom."""
        x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
        half_x, half_y = self.width() / scale / 2, self.height() / scale / 2
        return (
            max(0, math.floor(x - half_x)),
            max(0, math.floor(y - half_y)),
            math.ceil(x + half_x),
            math.ceil(y + half_y),
        )

    def show_crop(
        self,
        pixels: npt.NDArray[np.uint8],
        origin: tuple[float, float],
        box: Box,
        scale: float,
        pixel_size_um: float | None,
    ) -> None:
        """Show pixels, colour or grey, of which the first is at `origin` of the field."""
        height, width = pixels.shape[:2]
        grey = pixels.ndim == 2
        data = np.ascontiguousarray(pixels)
        form = QImage.Format.Format_Grayscale8 if grey else QImage.Format.Format_RGB888
        # A copy: the image must not outlive the array it looks into.
        self._image = QImage(data.data, width, height, width * (1 if grey else 3), form).copy()
        self._origin, self._box, self._scale, self._pixel_size = origin, box, scale, pixel_size_um
        self.update()

    def clear(self, hint: str = "") -> None:
        """Show nothing but a word on why."""
        self._image, self._box, self.hint = None, None, hint
        self.update()

    @property
    def showing(self) -> bool:
        """Whether pixels are shown."""
        return self._image is not None

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Closer, or further off."""
        if event is not None and event.angleDelta().y():
            self.wheeled.emit(1 if event.angleDelta().y() > 0 else -1)
            event.accept()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Paint the crop, its box and its scale."""
        painter = QPainter(self)
        frame = QRectF(self.rect())
        painter.fillRect(frame, self.colours.raised)
        if self._image is None or self._box is None:
            painter.setPen(self.colours.muted)
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(frame.adjusted(12, 0, -12, 0), flags, self.hint)
            return
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, self.smooth)
        painter.drawImage(
            QRectF(self._at(*self._origin), self._at(*self._end())),
            self._image,
            QRectF(self._image.rect()),
        )
        self._paint_corners(painter)
        if self.title:
            self._write(painter, self.title, QPointF(5, 4))
        else:
            self._paint_bar(painter)

    def _end(self) -> tuple[float, float]:
        assert self._image is not None
        return (self._origin[0] + self._image.width(), self._origin[1] + self._image.height())

    def _at(self, x: float, y: float) -> QPointF:
        """Return where a point of the field is in the view."""
        assert self._box is not None
        bx, by, bw, bh = self._box
        return QPointF(
            self.width() / 2 + (x - bx - bw / 2) * self._scale,
            self.height() / 2 + (y - by - bh / 2) * self._scale,
        )

    def _paint_corners(self, painter: QPainter) -> None:
        """Paint the corners of the box only: the cell itself is to be seen."""
        assert self._box is not None
        x, y, w, h = self._box
        painter.setPen(QPen(self.colours.accent, 1.5))
        a, b = self._at(x, y), self._at(x + w, y + h)
        arm = min(10.0, (b.x() - a.x()) / 4, (b.y() - a.y()) / 4)
        for px, py, dx, dy in (
            (a.x(), a.y(), arm, arm),
            (b.x(), a.y(), -arm, arm),
            (a.x(), b.y(), arm, -arm),
            (b.x(), b.y(), -arm, -arm),
        ):
            painter.drawLine(QPointF(px, py), QPointF(px + dx, py))
            painter.drawLine(QPointF(px, py), QPointF(px, py + dy))

    def _paint_bar(self, painter: QPainter) -> None:
        length, text = measure.bar(self._scale, self._pixel_size, self.width() * 0.35)
        paint_bar(painter, QPointF(8, self.height() - 8), length, text)

    def _write(self, painter: QPainter, text: str, place: QPointF) -> None:
        metrics = painter.fontMetrics()
        back = QRectF(place.x(), place.y(), metrics.horizontalAdvance(text) + 8, metrics.height() + 2)
        painter.fillRect(back, Qt.GlobalColor.black)
        painter.setPen(Qt.GlobalColor.white)
        painter.drawText(back, Qt.AlignmentFlag.AlignCenter, text)


def paint_bar(painter: QPainter, corner: QPointF, length: float, text: str) -> None:
    """Paint a scale bar upwards and to the right of its lower left corner, read on light and on dark."""
    metrics = painter.fontMetrics()
    wide = max(length, metrics.horizontalAdvance(text))
    back = QRectF(corner.x() - 4, corner.y() - metrics.height() - 8, wide + 8, metrics.height() + 12)
    painter.setOpacity(0.72)
    painter.fillRect(back, Qt.GlobalColor.black)
    painter.setOpacity(1)
    painter.setPen(QPen(Qt.GlobalColor.white, 2))
    left, right, y = corner.x(), corner.x() + length, corner.y()
    painter.drawLine(QPointF(left, y), QPointF(right, y))
    for x in (left, right):
        painter.drawLine(QPointF(x, y - 3), QPointF(x, y))
    painter.drawText(QPointF(left, y - 6), text)
