"""The field's pixels on their layer, and how bright they are behind letters."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Image

from annotation_store.errors import LLDError, ProjectGoneError
from annotation_store.records import Field
from napari_lld.imaging.display import ShownLevel
from napari_lld.layers.backdrop import Backdrop
from napari_lld.layers.layer_set import FIELD, UNKNOWN, LayerSet

if TYPE_CHECKING:
    from napari_lld.session.session import Session

DIM = 0.42
"""How much the area about which nothing is known is darkened."""

Pixels = npt.NDArray[np.uint8] | Sequence[Any]
"""A field, or the levels of a slide."""


class FieldImage:
    """Shows the pixels of the session's field.

    Attributes
    ----------
    backdrop
        How bright they are; ``None`` before any were shown.
    """

    def __init__(self, session: Session, layers: LayerSet) -> None:
        self._session, self._layers = session, layers
        self._source: Pixels | None = None
        self.backdrop: Backdrop | None = None

    def forget(self) -> None:
        """Forget the pixels; the layer is another's matter."""
        self._source = None

    @property
    def is_multiscale(self) -> bool:
        """Whether napari reads what it shows from a slide, which is closed with its project."""
        image = self._layers.get(FIELD)
        return image is not None and bool(image.multiscale)

    def read(self, field: Field) -> tuple[Pixels, float]:
        """Return a field's pixels, or a placeholder (and a notice), and the size of one in the field's."""
        session = self._session
        assert session.project is not None
        try:
            # Of a slide its levels, which napari reads as far as they are seen.
            pixels: Pixels = (
                session.project.slides.open(field.id).levels
                if field.is_slide
                else session.fields.pixels(field.id)
            )
        except ProjectGoneError as error:
            session.unsaved.keep(str(error))  # a bar says it; the field is shown once the folder is back
            return self._stand_in(field)
        except LLDError as error:
            session.notify("error", str(error))
            return self._stand_in(field)
        return pixels, 1.0

    def _stand_in(self, field: Field) -> tuple[npt.NDArray[np.uint8], float]:
        """Return a placeholder for a field whose pixels cannot be read, and its pixel size."""
        project = self._session.project
        with suppress(LLDError):
            if project is not None:
                small = project.pixels.thumbnail(field.id, side=1024)
                return small, field.width / small.shape[1]
        scale = max(1.0, max(field.width, field.height) / 64)
        size = (max(1, round(field.height / scale)), max(1, round(field.width / scale)), 3)
        return np.full(size, 128, dtype=np.uint8), scale

    def show(self, pixels: Pixels, scale: float) -> None:
        """Show pixels on the layer that is there, or on a new one."""
        self._source = pixels  # as stored; what is shown of it may be a copy
        levels = not isinstance(pixels, np.ndarray)
        shown = self._as_shown(pixels)
        image = self._layers.get(FIELD)
        if image is None or FIELD in self._layers.lost() or levels or image.multiscale:
            image = Image(shown, rgb=True, multiscale=levels, name=FIELD, interpolation2d="linear")
            self._layers.insert_field(image)
        else:
            image.data = shown
        lay(image, scale)
        self._measure(image.data)

    def show_look(self) -> bool:
        """Show the pixels under the session's look; false if there are none."""
        image = self._layers.get(FIELD)
        if image is None or self._source is None or FIELD in self._layers.lost():
            return False
        image.data = self._as_shown(self._source)
        self._measure(image.data)
        return True

    def _measure(self, shown: Any) -> None:
        """Store how bright the field is behind the letters."""
        field = self._session.fields.current
        if field is not None:
            pixels = shown if isinstance(shown, np.ndarray) else None
            self.backdrop = Backdrop(pixels, field.width, field.height)
            if UNKNOWN in self._layers:
                unknown = self._layers.get(UNKNOWN)
                self.backdrop.dim(unknown.data, float(unknown.scale[-1]), DIM)

    def _as_shown(self, pixels: Pixels) -> Any:
        look = self._session.display.look
        if isinstance(pixels, np.ndarray):
            return look.shown(pixels)
        return [level if look.plain else ShownLevel(level, look) for level in pixels]

    def part(self, area: tuple[int, int, int, int]) -> npt.NDArray[np.uint8] | None:
        """Return the pixels of a part of the field that is shown (left, top, right, bottom).

        They are in memory already, or of a slide a few tiles; ``None`` if only a stand-in is shown.
        """
        image, source = self._layers.get(FIELD), self._source
        if image is None or source is None or tuple(image.scale[-2:]) != (1.0, 1.0):
            return None
        left, top, right, bottom = (max(0, edge) for edge in area)
        data = source if isinstance(source, np.ndarray) else source[0]
        try:
            return np.asarray(data[top:bottom, left:right])[..., :3]
        except LLDError:  # a damaged tile of a slide; napari tells of it when it is shown
            return None


def lay(image: Image, scale: float) -> None:
    """Lay pixels out so that world coordinates are those of the store, (0, 0) a corner: half a pixel further.

    Only what differs is set: for each of both, napari lays out all layers anew.
    """
    if tuple(image.scale) != (scale, scale):
        image.scale = (scale, scale)
    if tuple(image.translate) != (scale / 2, scale / 2):
        image.translate = (scale / 2, scale / 2)
