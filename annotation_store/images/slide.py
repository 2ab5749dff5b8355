"""Whole slides: referenced where they lie, read by tiles, never as a whole.

A slide is a tiled TIFF (SVS and OME-TIFF included) or an OME-Zarr of more than `SLIDE_PIXELS` pixels.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from annotation_store.errors import ImageError
from annotation_store.images import bounds, colour, metadata, tiff_reader, zarr_reader
from annotation_store.images.colour import ColourError, Pixels
from annotation_store.images.metadata import Facts, shown

SLIDE_PIXELS = 36_000_000
"""Tiled images of more pixels (6,000 x 6,000) are slides; smaller ones are fields, copied like all others."""

MAX_READ_PIXELS = 89_000_000
"""The most that is read at once."""

MAX_SLIDE_PIXELS = 10**11

_COMPRESSIONS_REFUSED = {6: "old-style JPEG", 33003: "JPEG 2000 in YCbCr"}


class SlideLevel:
    """One resolution of a slide, as an array ``(height, width, 3)`` uint8 that is read when it is sliced.

    It has what napari asks of a level of a multiscale image; any thread may slice it.
    """

    ndim = 3
    dtype = np.dtype(np.uint8)

    def __init__(self, array: Any, axes: str, read: Callable[[SlideLevel, int, int, int, int], Pixels]):
        self._array = array
        self._axes = axes
        self._read = read
        sizes = dict(zip(axes, array.shape, strict=True))
        self.height, self.width = int(sizes["Y"]), int(sizes["X"])
        chunks = dict(zip(axes, array.chunks, strict=True))
        self.tile = (int(chunks["X"]), int(chunks["Y"]))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width, 3."""
        return self.height, self.width, 3

    @property
    def size(self) -> int:
        """Number of values."""
        return 3 * self.height * self.width

    def __getitem__(self, key: Any) -> Any:
        keys = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys[at : at + 1] = [slice(None)] * (4 - len(keys))
        keys += [slice(None)] * (3 - len(keys))
        spans: list[tuple[int, int]] = []
        inner: list[slice | int] = []
        for given, length in zip(keys[:2], self.shape[:2], strict=True):
            if isinstance(given, slice):
                start, stop, step = given.indices(length)
                if step < 1:
                    raise IndexError("A slide can only be read forwards.")
                spans.append((start, max(start, stop)))
                inner.append(slice(None, None, step))
            else:
                start = range(length)[int(given)]
                spans.append((start, start + 1))
                inner.append(0)
        (y0, y1), (x0, x1) = spans
        return self._read(self, x0, y0, x1, y1)[(inner[0], inner[1], keys[2])]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self[:, :], dtype=dtype)

    def read(self, x0: int, y0: int, x1: int, y1: int) -> Pixels:
        """Read a window in this level's pixels."""
        spans = {"X": slice(x0, x1), "Y": slice(y0, y1)}
        window = np.asarray(self._array[tuple(spans.get(axis, slice(None)) for axis in self._axes)])
        return np.ascontiguousarray(colour.scaled(colour.plane(window, self._axes)))


class Slide:
    """An open slide; close it when done. Any thread may read.

    Attributes
    ----------
    levels
        Finest first.
    facts
        Pixel size and magnification, where the file states them.
    """

    def __init__(
        self, path: Path, levels: list[tuple[Any, str]], facts: Facts, close: Callable[[], None]
    ) -> None:
        self.path = path
        self.levels = tuple(SlideLevel(array, axes, self._read_level) for array, axes in levels)
        self.facts = facts
        self._close = close
        # the readers of some formats seek in one open file
        self._lock = threading.RLock()
        self._closed = False

    @property
    def width(self) -> int:
        """Pixels across at full resolution."""
        return self.levels[0].width

    @property
    def height(self) -> int:
        """Pixels down at full resolution."""
        return self.levels[0].height

    def scale(self, level: int) -> float:
        """Return how many pixels of the full resolution a pixel of a level spans."""
        return self.width / self.levels[level].width

    def level_for(self, scale: float) -> int:
        """Return the coarsest level of which a pixel spans no more than `scale` full pixels."""
        fitting = [n for n in range(len(self.levels)) if self.scale(n) <= scale * 1.001]
        return fitting[-1] if fitting else 0

    def read(self, box: tuple[float, float, float, float], level: int = 0) -> Pixels:
        """Read an area.

        Parameters
        ----------
        box
            ``x, y, width, height`` in pixels of the full resolution; what passes the edge is cut off.
        level
            0 is the full resolution; see `levels`.

        Raises
        ------
        ImageError
            The area is empty or too large to be read at once, or the file is damaged there.
        """
        if not 0 <= level < len(self.levels):
            raise ImageError(
                f"The slide {shown(self.path)} has {len(self.levels)} levels: "
                f"choose one from 0 to {len(self.levels) - 1}, not {level}."
            )
        if not all(math.isfinite(v) for v in box):
            raise ImageError("The area contains a value that is not a number.")
        one = self.levels[level]
        down_x, down_y = self.width / one.width, self.height / one.height
        x, y, w, h = box
        x0, y0 = max(0, math.floor(x / down_x + 1e-6)), max(0, math.floor(y / down_y + 1e-6))
        x1 = min(one.width, math.ceil((x + w) / down_x - 1e-6))
        y1 = min(one.height, math.ceil((y + h) / down_y - 1e-6))
        if x1 <= x0 or y1 <= y0:
            raise ImageError(f"The area lies outside the slide {shown(self.path)}, or is empty.")
        return self._read_level(one, x0, y0, x1, y1)

    def _read_level(self, level: SlideLevel, x0: int, y0: int, x1: int, y1: int) -> Pixels:
        if (x1 - x0) * (y1 - y0) > MAX_READ_PIXELS:
            raise ImageError(
                f"An area of {x1 - x0:,} x {y1 - y0:,} pixels is too large to be read at once: "
                "read a smaller one, or a coarser level."
            )
        with self._lock:
            if self._closed:
                raise ImageError(f"The slide {shown(self.path)} is closed: open it again.")
            try:
                return level.read(x0, y0, x1, y1)
            except Exception as error:  # decoders raise any exception on damaged tiles
                raise ImageError(
                    f"The slide {shown(self.path)} cannot be read at ({x0}, {y0}): "
                    "the file is damaged, copy it again."
                ) from error

    def overview(self, side: int) -> Pixels:
        """Return the whole slide, its longer side `side` pixels.

        Raises
        ------
        ImageError
            No level is small enough to be read whole.
        """
        level = self.level_for(max(1.0, max(self.width, self.height) / side))
        one = self.levels[level]
        if one.width * one.height > MAX_READ_PIXELS:
            raise ImageError(
                f"The slide {shown(self.path)} has no overview level: export it as a pyramidal TIFF."
            )
        return shrunk(self.read((0, 0, self.width, self.height), level), side)

    def close(self) -> None:
        """Close the file; a closed slide can be closed again."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def shrunk(pixels: Pixels, side: int) -> Pixels:
    """Scale pixels to at most `side` on the longer side."""
    height, width = pixels.shape[:2]
    if max(height, width) <= side:
        return pixels
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = Image.fromarray(pixels).resize(size, Image.Resampling.BOX, reducing_gap=2.0)
    return np.asarray(small)


def find_slide(path: Path) -> Slide | None:
    """Open a file or OME-Zarr folder if it is a whole slide; anything else gives ``None``.

    Raises
    ------
    ImageError
        It is a slide, of a kind that is not read.
    """
    try:
        if path.is_dir():
            return _zarr_slide(path) if zarr_reader.is_zarr(path) else None
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            if not tiff_reader.is_tiff(file.read(4)):
                return None
            bounds.judge_tiff(file)
        return _tiff_slide(path)
    except ColourError as error:
        raise ImageError(f"The slide {shown(path)} {error}.") from error
    except ImageError:
        raise
    except Exception:  # damaged in one way or another: reading it as a field says in which
        return None


def open_slide(path: Path) -> Slide:
    """Open a whole slide.

    Raises
    ------
    ImageError
        It is none, or not there.
    """
    slide = find_slide(path)
    if slide is None:
        raise ImageError(f"{shown(path)} is not a readable whole slide: check the path.")
    return slide


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_SLIDE_PIXELS:
        raise ColourError(f"declares an implausible size of {width:,} x {height:,} pixels: export it again")


def _tiff_slide(path: Path) -> Slide | None:
    import zarr  # half a second, not needed to list cells

    tiff = tiff_reader.open_tiff(path, path.name)
    try:
        series = tiff.series[0]
        page: Any = series.keyframe
        axes = series.axes
        width, height = series.shape[axes.index("X")], series.shape[axes.index("Y")]
        if width * height <= SLIDE_PIXELS or not page.is_tiled:
            tiff.close()
            return None
        _check_size(width, height)
        colour.refuse_stacks(axes, series.shape)
        model = tiff_reader.photometric(page)
        if page.compression in _COMPRESSIONS_REFUSED:
            kind = _COMPRESSIONS_REFUSED[page.compression]
            raise ColourError(f"stores its tiles as {kind}: convert it to JPEG or JPEG 2000 in RGB")
        if np.dtype(series.dtype) != np.uint8 or page.bitspersample != 8:
            raise ColourError("does not have 8 bits per channel: export it with 8 bits per channel")
        if model not in ("RGB", "MINISBLACK") and not (model == "YCBCR" and page.compression == 7):
            raise ColourError(f"stores its colours as {model}: export it as RGB")
        if int(page.tags.valueof(274, 1) or 1) != 1:
            raise ColourError("is stored rotated: export it upright")
        channels = {axis: n for axis, n in zip(axes, series.shape, strict=True) if axis in "SC"}
        if not set(channels.values()) <= {1, 3}:
            raise ColourError("has an alpha channel: export it as RGB")
        levels = []
        for number, level in enumerate(series.levels):
            tiff_reader.refuse_absurd_tiles(level.keyframe)
            tiff_reader.guard(level.keyframe)
            store = series.aszarr(level=number, fillvalue=255)
            array = zarr.open_array(store=store, mode="r")
            level_axes = level.get_axes(squeeze=None) if len(array.shape) != len(level.axes) else level.axes
            levels.append((array, level_axes))
        return Slide(path, levels, metadata.from_tiff(tiff, page), tiff.close)
    except BaseException:
        tiff.close()
        raise


def _zarr_slide(folder: Path) -> Slide | None:
    plan = zarr_reader.examine(zarr_reader.folder_reader(folder))
    width, height = plan.size
    if width * height <= SLIDE_PIXELS:
        return None
    _check_size(width, height)
    if any(np.dtype(kind) != np.uint8 for kind in plan.types):
        raise ColourError("does not have 8 bits per channel: export it with 8 bits per channel")

    import zarr  # half a second, not needed to list cells

    levels = [(zarr.open_array(store=str(folder), path=path, mode="r"), plan.axes) for path in plan.paths]
    return Slide(folder, levels, plan.facts, lambda: None)


class _Counting:
    """A hash that counts what it was fed."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return len(data)


def fingerprint(path: Path) -> tuple[str, int]:
    """Return SHA-256 and size of a file, or of the one zip that an OME-Zarr folder would be.

    Raises
    ------
    ImageError
        It cannot be read.
    """
    try:
        if path.is_dir():
            sink = _Counting()
            zarr_reader.pack(zarr_reader.files_of(path), sink)
            return sink.hash.hexdigest(), sink.size
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size
    except OSError as error:
        raise ImageError(
            f"The slide {shown(path)} cannot be read ({error.strerror or error}): check its permissions."
        ) from error
    except ColourError as error:
        raise ImageError(f"The slide {shown(path)} {error}.") from error


def size_on_disk(path: Path) -> int | None:
    """Return what `fingerprint` would say of the size, without reading; ``None`` for a folder or no file."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
