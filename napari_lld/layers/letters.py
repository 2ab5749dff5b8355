"""Letters above boxes, in an ink that is read on what lies behind them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from napari.layers import Points

from annotation_store.records import Box
from napari_lld.layers import palette
from napari_lld.layers.backdrop import Backdrop
from napari_lld.layers.layer_set import LayerSet

if TYPE_CHECKING:
    from napari.components import ViewerModel

_LETTER = (8.0, 14.0)
"""About how wide and high a letter above a box is, in pixels of the screen."""


class Letters:
    """Writes on layers of points.

    Parameters
    ----------
    backdrop
        Returns how bright the field is behind letters; ``None`` where none is shown.
    """

    def __init__(
        self,
        layers: LayerSet,
        viewer: ViewerModel,
        backdrop: Callable[[], Backdrop | None],
        shows_marks: Callable[[], bool],
    ) -> None:
        self._layers, self._viewer = layers, viewer
        self._backdrop, self._shows_marks = backdrop, shows_marks

    def draw(self, name: str, boxes: Sequence[Box] | None, texts: Sequence[str]) -> None:
        """Write letters above boxes; ``None`` = the boxes are those of the last time."""
        layer: Points = self._layers.layer(
            name,
            lambda: Points(
                np.zeros((0, 2)),
                ndim=2,
                name=name,
                size=0.01,
                face_color="transparent",
                border_color="transparent",
                border_width=0,
                features={"text": np.zeros(0, dtype=object)},
                text={"string": "{text}", "size": 10, "color": "white", "anchor": "upper_left"},
                visible=self._shows_marks(),
            ),
        )
        if boxes is not None:
            positions = np.array([(y, x) for x, y, _w, _h in boxes]).reshape(-1, 2)
            if not np.array_equal(layer.data, positions):
                if len(layer.data) != len(positions):
                    # One colour for all, before napari meets as many colours as there were texts.
                    layer.text.color = palette.MISSING
                self._layers.put(layer, positions)
                layer.selected_data = set()
        if layer.features["text"].tolist() != list(texts):
            layer.features = {"text": np.array(texts, dtype=object)}
        self._ink(layer)
        layer.refresh_text()

    def _ink(self, layer: Points) -> None:
        """Write in black or white, whichever is read on what lies behind each letter."""
        backdrop = self._backdrop()
        if backdrop is None or not len(layer.data):
            return
        width, height = (side / self._layers.zoom for side in _LETTER)
        lengths = np.array([max(len(text), 1) for text in layer.features["text"]])
        rows, columns = layer.data[:, 0], layer.data[:, 1]
        areas = np.stack([rows - height, columns, rows, columns + lengths * width], 1)
        canvas = 1.0 if self._viewer.theme == "light" else 0.0
        inks = palette.ink(backdrop.behind(areas, canvas))
        layer.text.color = inks

    def ink_all(self) -> None:
        """Choose the ink of all letters anew."""
        for layer in self._layers.all():
            if isinstance(layer, Points):
                self._ink(layer)
                layer.refresh_text()
