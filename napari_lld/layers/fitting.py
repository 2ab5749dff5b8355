"""Keep the whole field in view until the user moves the camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_lld.layers.camera import camera_of

if TYPE_CHECKING:
    from napari.components import ViewerModel


class Fit:
    """Fits the field into the canvas, and again when the canvas is resized while the field is fitted."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._fitted: tuple[float, ...] | None = None
        if hasattr(viewer, "canvas"):  # since napari 0.9; before, the window calls `on_size`
            viewer.canvas.events.size.connect(self.on_size)

    def close(self) -> None:
        """Disconnect from the viewer."""
        if hasattr(self._viewer, "canvas"):
            self._viewer.canvas.events.size.disconnect(self.on_size)

    def fit(self) -> None:
        """Show the whole field."""
        self._viewer.reset_view()
        self._fitted = self._view()

    def _view(self) -> tuple[float, ...]:
        camera = camera_of(self._viewer)
        return (*camera.center[-2:], camera.zoom)

    def on_size(self) -> None:
        """Fit again after the canvas was resized, where the field was fitted."""
        if self._fitted is not None and np.allclose(self._view(), self._fitted, rtol=1e-3):
            self.fit()
