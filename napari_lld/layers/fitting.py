"""Keep the whole field in view until the user moves the camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari.components import ViewerModel


class Fit:
    """Fits the field into the canvas, and again when the canvas is resized while the field is fitted."""

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._fitted: tuple[float, ...] | None = None
        viewer.canvas.events.size.connect(self._on_size)

    def close(self) -> None:
        """Disconnect from the viewer."""
        self._viewer.canvas.events.size.disconnect(self._on_size)

    def fit(self) -> None:
        """Show the whole field."""
        self._viewer.reset_view()
        self._fitted = self._view()

    def _view(self) -> tuple[float, ...]:
        camera = self._viewer.scene.camera
        return (*camera.center[-2:], camera.zoom)

    def _on_size(self) -> None:
        if self._fitted is not None and np.allclose(self._view(), self._fitted, rtol=1e-3):
            self.fit()
