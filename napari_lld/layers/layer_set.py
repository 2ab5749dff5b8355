"""The plugin's layers in a viewer: created when something is drawn on them, again when one was deleted."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from napari.layers import Layer, Vectors

from napari_lld.layers import outlines, palette
from napari_lld.layers.camera import camera_of

if TYPE_CHECKING:
    from napari.components import ViewerModel

FIELD, UNKNOWN, REGIONS = "Field", "Unknown area", "Regions"
SUGGESTIONS, CELLS, CURRENT = "Suggestions", "Cells", "Current"
PROPOSED_LETTERS = "Proposed: letters"
SUGGESTION_LETTERS, CELL_LETTERS = "Suggestions: letters", "Cells: letters"
SIZES = "Sizes"
CASINGS = {name: f"{name}: casing" for name in (REGIONS, SUGGESTIONS, CELLS, CURRENT)}
"""Layers of dark lines below those of coloured ones."""
MARKS = (
    *CASINGS.values(),
    UNKNOWN,
    REGIONS,
    SUGGESTIONS,
    SUGGESTION_LETTERS,
    CELLS,
    CELL_LETTERS,
    PROPOSED_LETTERS,
    CURRENT,
    SIZES,
)
LINE = {REGIONS: 2.0, SUGGESTIONS: 2.4, CELLS: 2.2, CURRENT: 2.6}
LINE |= {CASINGS[name]: width + 2.4 for name, width in LINE.items()}
"""Line widths in pixels of the screen."""


class _Marks(Vectors):
    """Vectors without a thumbnail: drawing that one costs more than drawing the marks."""

    _type_string = "vectors"

    def _update_thumbnail(self) -> None:
        pass


class LayerSet:
    """The layers by name.

    Parameters
    ----------
    shows_marks
        Whether a layer of marks that is created is visible.
    on_created
        Called with the name of a layer that was created: nothing is drawn on it yet.

    Attributes
    ----------
    zoom
        Pixels of the screen for one of the field, as lines were last fitted to it.
    laid_out
        Whether the extent of all layers is that of the field that is shown.
    """

    def __init__(
        self, viewer: ViewerModel, shows_marks: Callable[[], bool], on_created: Callable[[str], None]
    ) -> None:
        self._viewer = viewer
        self._shows_marks = shows_marks
        self._on_created = on_created
        self._layers: dict[str, Any] = {}
        self.zoom = 1.0
        self.laid_out = False

    def __contains__(self, name: str) -> bool:
        return name in self._layers

    def __len__(self) -> int:
        return len(self._layers)

    def get(self, name: str) -> Any:
        """Return a layer; ``None`` where it was not created."""
        return self._layers.get(name)

    def all(self) -> list[Any]:
        """List the layers."""
        return list(self._layers.values())

    def lost(self) -> list[str]:
        """Return the names of layers that the user has deleted."""
        return [name for name, layer in self._layers.items() if layer not in self._viewer.layers]

    def owns(self, layer: Layer | None) -> bool:
        """Return whether a layer is one of ours."""
        return any(layer is own for own in self._layers.values())

    def select(self) -> None:
        """Activate the layer of the field, which handles mouse and keys."""
        if FIELD in self._layers:
            self._viewer.layers.selection.active = self._layers[FIELD]

    def remove(self) -> None:
        """Remove all."""
        with self._at_once() if self._layers else nullcontext():
            for layer in self._layers.values():
                with suppress(ValueError):
                    self._viewer.layers.remove(layer)
        self._layers.clear()

    def _at_once(self) -> AbstractContextManager[None]:
        """Have the canvas rebuild its scene once for all layers that go, where napari can (0.9).

        It takes a tenth of a second, mostly for collecting garbage: 12 layers would freeze the window.
        Layers that come so would never be drawn, only the field.
        """
        batched = getattr(self._viewer.layers, "batched_update", nullcontext)
        return cast("AbstractContextManager[None]", batched())

    def insert_field(self, image: Layer) -> None:
        """Put the image of the field below all others, in the place of the one before."""
        if (before := self._layers.get(FIELD)) is not None:
            with suppress(ValueError):
                self._viewer.layers.remove(before)
        self._layers[FIELD] = image
        self._viewer.layers.insert(0, image)
        self._viewer.layers.selection.active = image
        self._take_help_off(image)

    def layer(self, name: str, make: Callable[[], Layer]) -> Any:
        """Return a layer, created again where the user deleted it."""
        layer = self._layers.get(name)
        if layer is None or layer not in self._viewer.layers:
            layer = make()
            self._layers[name] = layer
            self._append(layer)
            self._on_created(name)
        return layer

    def _append(self, layer: Layer) -> None:
        """Put a layer above all others; the active one stays.

        Napari activates each layer that comes, and exchanges its controls for it: a third of the time that
        creating the layers takes. So it does not hear of it, nor of the way back.
        """
        selection = self._viewer.layers.selection
        active = selection.active
        with selection.events.blocker_all():
            self._viewer.layers.append(layer)
            selection.active = active
        self._take_help_off(layer)

    def _take_help_off(self, layer: Layer) -> None:
        """Have napari's status bar name none of its keys for a layer: on our layers they are ours.

        Napari writes that help when a layer comes or its mode changes, and shows that of the active one.
        """

        def clear(_event: object = None) -> None:
            layer.help = ""
            if self._viewer.layers.selection.active is layer:
                self._viewer.help = ""

        layer.events.mode.connect(clear)  # called after napari has written it
        clear()

    def vectors(self, name: str) -> Vectors:
        """Return a layer of lines, with the one of dark lines below it where it has one."""
        if name in CASINGS:
            self.vectors(CASINGS[name])  # first, so that it lies below
        return self.layer(
            name,
            lambda: _Marks(
                None,
                ndim=2,
                name=name,
                vector_style="line",
                edge_width=LINE[name] / self.zoom,
                edge_color=palette.CURRENT,
                visible=self._shows_marks(),
            ),
        )

    def draw_lines(
        self, name: str, segments: outlines.Segments | None, colours: npt.NDArray[np.float64] | None
    ) -> None:
        """Draw coloured lines on dark ones; ``None`` = as they are."""
        casing, lines = self.vectors(CASINGS[name]), self.vectors(name)
        if segments is not None:
            for layer in (casing, lines):
                if not np.array_equal(layer.data, segments):
                    self.put(layer, segments)
        if colours is None or not len(lines.data):
            return
        shades = np.tile(palette.rgba(palette.CASING), (len(colours), 1))
        shades[:, 3] = colours[:, 3]
        for layer, shown in ((lines, colours), (casing, shades)):
            if not np.array_equal(layer.edge_color, shown.astype(layer.edge_color.dtype)):
                layer.edge_color = shown

    def put(self, layer: Any, data: npt.NDArray[Any]) -> None:
        """Set a layer's data; the extent of all layers is that of the field, and stays.

        So napari, which would lay them all out anew for two milliseconds each time, does not hear of it.
        """
        with layer.events.data.blocker() if self.laid_out else nullcontext():
            layer.data = data

    def show_marks(self, shown: bool) -> None:
        """Show or hide all but the field."""
        for name in MARKS:
            if name in self._layers:
                self._layers[name].visible = shown

    def fit_lines(self) -> None:
        """Have lines keep their width on the screen."""
        self.zoom = max(float(camera_of(self._viewer).zoom), 1e-3)
        for name, width in LINE.items():
            layer = self._layers.get(name)
            # napari builds all lines of a layer anew for a width, be it the one that they have
            if layer is not None and layer.edge_width != width / self.zoom:
                layer.edge_width = width / self.zoom
