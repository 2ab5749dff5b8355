"""A part of the window that lies over the canvas, and follows its size."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_lld.widgets.base.parts import Part


class OverCanvas(Part):
    """Without a canvas it is never seen; it lets go of the canvas, which outlives the dock."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._canvas: QWidget | None = None

    def attach(self, canvas: QWidget) -> None:
        """Lie over a canvas."""
        self._canvas = canvas
        self.setParent(canvas)
        canvas.installEventFilter(self)
        self.refresh()

    def release(self) -> None:
        """Disconnect from session and canvas."""
        super().release()
        if self._canvas is not None:
            self._canvas.removeEventFilter(self)
            self._canvas = None
            self.setParent(None)
            self.deleteLater()

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        """Follow the size of the canvas."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self.place_soon()
        return False

    def place_soon(self, *_args: object) -> None:
        """Find another place: the canvas or the view has changed."""
        if self.isVisible():
            self._place()

    def _place(self) -> None:
        """Find a place on the canvas."""
        raise NotImplementedError
