"""Where pixels come from, so that another process can be told instead of being sent them; no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np

from annotation_store.errors import ImageError, ProjectError
from annotation_store.files.layout import PIXELS, inside
from annotation_store.images import Slide, read_image, read_pixels
from annotation_store.images.zarr_writer import stamps


@dataclass(frozen=True)
class StoredField:
    """A field's pixels as its project keeps them; called, it reads them: ``(H, W, 3)`` uint8.

    Attributes
    ----------
    project
        The project's folder.
    """

    project: Path
    field_id: int

    @property
    def folder(self) -> Path:
        """The OME-Zarr image."""
        return inside(self.project, PIXELS, str(int(self.field_id)))

    def __call__(self) -> np.ndarray:
        """Read the pixels."""
        return read_pixels(self.folder)


@dataclass(frozen=True)
class SlideArea:
    """An area of a whole slide that is open here; called, it reads it.

    Attributes
    ----------
    box
        x, y, width, height in pixels of the slide.
    """

    slide: Slide = field(repr=False)
    box: tuple[float, float, float, float]

    def __call__(self) -> np.ndarray:
        """Read the pixels."""
        return np.asarray(self.slide.read(self.box))


@dataclass(frozen=True)
class ImageFile:
    """A file that is an image; called, it reads it."""

    path: Path

    def __call__(self) -> np.ndarray:
        """Read the pixels."""
        return np.asarray(read_image(self.path))


def read(pixels: Callable[[], np.ndarray]) -> np.ndarray | None:
    """Read pixels; ``None`` where the image is damaged or gone."""
    try:
        return pixels()
    except (ProjectError, ImageError):
        return None


def is_readable(pixels: Callable[[], np.ndarray]) -> bool:
    """Return whether pixels can be read.

    Those of a stored field are read once per process, and again when a file of theirs has changed.
    """
    if not isinstance(pixels, StoredField):
        return read(pixels) is not None
    try:
        return _is_readable(pixels, stamps(pixels.folder))
    except (OSError, ProjectError):
        return False


@lru_cache(maxsize=100_000)
def _is_readable(pixels: StoredField, _stamps: tuple[tuple[int, int], ...]) -> bool:
    return read(pixels) is not None
