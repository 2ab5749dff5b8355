"""The scale bar in the corner of the field: micrometres where the size of a pixel is known, else pixels.

napari's own bar takes its unit from the scale of all layers; ours count in pixels of the field, as the
store does, so it could only ever say pixels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, QPointF, Qt
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

from napari_lld.imaging import measure
from napari_lld.layers.camera import camera_of
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.widgets.display.zoom_view import paint_bar

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext

_SIZE = (190, 44)


class ScaleBar(QWidget):
    """Lies over the canvas, lets the mouse through, and follows the zoom."""

    def __init__(self, desk: DeskContext, canvas: QWidget) -> None:
        super().__init__(canvas)
        self.setObjectName("lld_scale_bar")
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self._desk = desk
        self._canvas = canvas
        self._bar = (0.0, "")
        canvas.installEventFilter(self)
        session = desk.session
        self._listening = Subscriptions()
        for signal in (
            session.fields.current_changed,
            session.marks.changed,
            session.display.switched,
            camera_of(desk.viewer).events.zoom,
        ):
            self._listening.add(signal, self._follow)
        self._place()
        self._follow()

    def release(self) -> None:
        """Disconnect from session and viewer."""
        self._listening.close()
        self._canvas.removeEventFilter(self)
        self.hide()
        self.deleteLater()

    @property
    def text(self) -> str:
        """What is written at the bar."""
        return self._bar[1]

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        """Keep the bar in the corner."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self._place()
        return False

    def _place(self) -> None:
        self.setGeometry(6, self._canvas.height() - _SIZE[1] - 6, *_SIZE)

    def _follow(self, *_args: object) -> None:
        session = self._desk.session
        shown = session.fields.current_id is not None and session.display["scale_bar"]
        self.setVisible(shown)
        if shown:
            zoom = float(camera_of(self._desk.viewer).zoom)
            bar = measure.bar(zoom, session.display.pixel_size_um, _SIZE[0] - 20)
            if bar != self._bar:
                self._bar = bar
                self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Paint the bar."""
        painter = QPainter(self)
        paint_bar(painter, QPointF(6, self.height() - 8), *self._bar)
