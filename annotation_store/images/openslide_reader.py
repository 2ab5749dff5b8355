"""Slides of makers whose formats OpenSlide reads: Hamamatsu, 3DHISTECH, Leica, Ventana, Philips, DICOM.

Only the pyramid is ever asked for: the images of label and slide, which OpenSlide calls associated, are not.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from annotation_store.images import metadata
from annotation_store.images.colour import ColourError, Pixels

_MAX_LEVELS = 50
_MAX_TILE_BYTES = 64_000_000
_TILE = 512


@dataclass(frozen=True, slots=True)
class Opened:
    """What OpenSlide makes of a file.

    Attributes
    ----------
    levels
        Finest first.
    profile
        ICC profile of the scanner, ``None`` where the file has none.
    """

    levels: list[OpenSlideLevel]
    facts: metadata.ImageMetadata
    profile: bytes | None
    close: Callable[[], None]


class _Handle:
    """An open file; one that met a damaged tile refuses everything after it, and is opened anew."""

    def __init__(self, path: Path) -> None:
        import openslide  # loads its library, which few fields need

        self._open: Callable[[], Any] = lambda: openslide.OpenSlide(str(path))
        self.slide: Any = self._open()

    def region(self, at: tuple[int, int], level: int, size: tuple[int, int]) -> Any:
        try:
            return self.slide.read_region(at, level, size)
        except Exception:
            self.close()
            self.slide = self._open()
            raise

    def close(self) -> None:
        self.slide.close()


class OpenSlideLevel:
    """One level as an array ``(height, width, 3)``, sliced by three slices."""

    def __init__(self, handle: _Handle, number: int, empty: tuple[int, int, int]) -> None:
        slide = handle.slide
        self._handle, self._number, self._empty = handle, number, empty
        (width, height), self._full = slide.level_dimensions[number], slide.dimensions
        tile_sides = [
            slide.properties.get(f"openslide.level[{number}].tile-{side}") for side in ("height", "width")
        ]
        sides = [int(side) if side and side.isdecimal() and len(side) < 9 else _TILE for side in tile_sides]
        if sides[0] * sides[1] * 3 > _MAX_TILE_BYTES:
            raise ColourError("has tiles that are too large: export it with tiles of 256 to 1,024")
        self.shape = (int(height), int(width), 3)
        self.chunks = (max(1, sides[0]), max(1, sides[1]), 3)

    def __getitem__(self, key: tuple[slice, slice, slice]) -> Pixels:
        (y0, y1, _), (x0, x1, _) = (part.indices(n) for part, n in zip(key[:2], self.shape[:2], strict=True))
        # OpenSlide counts places at full resolution
        at = (round(x0 * self._full[0] / self.shape[1]), round(y0 * self._full[1] / self.shape[0]))
        values = np.asarray(self._handle.region(at, self._number, (x1 - x0, y1 - y0)))
        opacity = values[..., 3:]
        if opacity.size == 0 or int(opacity.min()) == 255:
            return np.ascontiguousarray(values[..., :3])
        # what was not scanned has no colour
        share = opacity.astype(np.float32) / 255
        laid = values[..., :3] * share + np.array(self._empty, np.float32) * (1 - share)
        return np.asarray(np.rint(laid), np.uint8)


def open_levels(path: Path) -> Opened:
    """Open a slide with OpenSlide.

    Raises
    ------
    ColourError
        OpenSlide is missing, or refuses the file.
    """
    try:
        import openslide
    except (ImportError, OSError) as error:
        raise ColourError("needs OpenSlide, which is missing here: pip install openslide-bin") from error
    try:
        handle = _Handle(path)
    except (openslide.OpenSlideError, OSError) as error:
        why = re.sub(r"\s+", " ", metadata.shown(str(error)))[:120]
        raise ColourError(f"cannot be opened ({why}): copy it again with all its files") from error
    try:
        slide = handle.slide
        if not 0 < slide.level_count <= _MAX_LEVELS:
            raise ColourError("has an implausible number of levels: export it again")
        properties = slide.properties
        colour = re.fullmatch(r"([0-9A-Fa-f]{2}){3}", properties.get("openslide.background-color", ""))
        empty = tuple(bytes.fromhex(colour[0])) if colour else (255, 255, 255)
        levels = [OpenSlideLevel(handle, n, (empty[0], empty[1], empty[2])) for n in range(slide.level_count)]
        mpp = [properties.get(f"openslide.mpp-{axis}") for axis in "xy"]
        sides = [metadata.in_micrometres(size, "µm") for size in mpp]
        power = metadata.magnification(properties.get("openslide.objective-power"))
        facts = metadata.ImageMetadata(metadata.square(*sides), power)
        return Opened(levels, facts, _profile(slide), handle.close)
    except BaseException:
        handle.close()
        raise


def _profile(slide: Any) -> bytes | None:
    try:
        profile = slide.color_profile
        return None if profile is None else bytes(profile.tobytes())
    except Exception:  # a damaged profile
        return None
