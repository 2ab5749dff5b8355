"""Whole slides: referenced by path, read by tiles, never as a whole.

A slide is a tiled TIFF (SVS and OME-TIFF included) or an OME-Zarr of more than `SLIDE_PIXELS` pixels, or of
any size in a format that only slide scanners write (NDPI, MRXS, SCN, BIF, DICOM), which OpenSlide reads.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from annotation_store.errors import ImageError
from annotation_store.images import (
    bounds,
    colour,
    metadata,
    openslide_reader,
    slide_files,
    tiff_reader,
    zarr_reader,
)
from annotation_store.images.colour import ColourError, Pixels
from annotation_store.images.metadata import ImageMetadata, shown
from annotation_store.images.profile import to_srgb

SLIDE_PIXELS = 36_000_000
"""Tiled images of more pixels (6,000 x 6,000) are slides; smaller ones are fields, copied like all others."""

MAX_READ_PIXELS = 89_000_000
"""The most that is read at once."""

MAX_SLIDE_PIXELS = 10**11

_OLD_JPEG, _J2K_YCBCR = 6, 33003
_CZI = b"ZISRAWFILE"
_ICC_PROFILE = 34675


@dataclass(frozen=True, slots=True)
class SlideOptions:
    """How a slide is read; the project keeps it with the slide, so that its pixels stay what they are.

    Attributes
    ----------
    colour_profile
        Apply the scanner's colour profile, where the file has one.
    plane
        Which focus plane of a stack, counted from 0; ``None`` = the middle one.
    """

    colour_profile: bool = False
    plane: int | None = None


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
        self.plane = 0

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
        for index, length in zip(keys[:2], self.shape[:2], strict=True):
            if isinstance(index, slice):
                start, stop, step = index.indices(length)
                if step < 1:
                    raise IndexError("A slide can only be read forwards.")
                spans.append((start, max(start, stop)))
                inner.append(slice(None, None, step))
            else:
                start = range(length)[int(index)]
                spans.append((start, start + 1))
                inner.append(0)
        (y0, y1), (x0, x1) = spans
        return self._read(self, x0, y0, x1, y1)[(inner[0], inner[1], keys[2])]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self[:, :], dtype=dtype)

    def read(self, x0: int, y0: int, x1: int, y1: int) -> Pixels:
        """Read a window in this level's pixels."""
        spans = {"X": slice(x0, x1), "Y": slice(y0, y1), "Z": slice(self.plane, self.plane + 1)}
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
    planes
        Number of focus planes.
    options
        How it is read: `plane` is stated where there are several, `colour_profile` only where one is applied.
    """

    def __init__(
        self,
        path: Path,
        levels: list[tuple[Any, str]],
        facts: ImageMetadata,
        close: Callable[[], None],
        *,
        options: SlideOptions,
        profile: bytes | None = None,
    ) -> None:
        self.path = path
        self.levels = tuple(SlideLevel(array, axes, self._read_level) for array, axes in levels)
        self.facts = facts
        sizes = dict(zip(levels[0][1], levels[0][0].shape, strict=True))
        self.planes = int(sizes.get("Z", 1))
        plane = _plane(options.plane, self.planes)
        for level in self.levels:
            level.plane = plane
        self._to_srgb = to_srgb(profile) if options.colour_profile else None
        self.options = SlideOptions(self._to_srgb is not None, plane if self.planes > 1 else None)
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
        chosen = self.levels[level]
        down_x, down_y = self.width / chosen.width, self.height / chosen.height
        x, y, w, h = box
        x0, y0 = max(0, math.floor(x / down_x + 1e-6)), max(0, math.floor(y / down_y + 1e-6))
        x1 = min(chosen.width, math.ceil((x + w) / down_x - 1e-6))
        y1 = min(chosen.height, math.ceil((y + h) / down_y - 1e-6))
        if x1 <= x0 or y1 <= y0:
            raise ImageError(f"The area lies outside the slide {shown(self.path)}, or is empty.")
        return self._read_level(chosen, x0, y0, x1, y1)

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
                pixels = level.read(x0, y0, x1, y1)
                return pixels if self._to_srgb is None else self._to_srgb(pixels)
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
        chosen = self.levels[level]
        if chosen.width * chosen.height > MAX_READ_PIXELS:
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


def find_slide(path: Path, options: SlideOptions | None = None) -> Slide | None:
    """Open a file or OME-Zarr folder if it is a whole slide; anything else gives ``None``.

    Raises
    ------
    ImageError
        It is a slide, of a kind that is not read.
    """
    options = options or SlideOptions()
    try:
        if path.is_dir():
            return _zarr_slide(path, options) if zarr_reader.is_zarr(path) else None
        if not path.is_file():  # a pipe would be waited for
            return None
        with path.open("rb") as file:
            head = file.read(132)
            if head[:10] == _CZI:
                raise ColourError("is a CZI of ZEISS, which is not read: export it as OME-TIFF or DICOM")
            if tiff_reader.is_tiff(head):
                bounds.judge_tiff(file)
                return _tiff_slide(path, options)
        if slide_files.is_mrxs(path):
            slide_files.mrxs_folder(path)
            return _openslide(path, options)
        return _dicom_slide(path, options) if head[128:] == b"DICM" else None
    except ColourError as error:
        raise ImageError(f"The slide {shown(path)} {error}.") from error
    except ImageError:
        raise
    except Exception:  # damaged in one way or another: reading it as a field says in which
        return None


def open_slide(path: Path, options: SlideOptions | None = None) -> Slide:
    """Open a whole slide.

    Parameters
    ----------
    options
        Without it no colour profile is applied, and of a focus stack the middle plane is read.

    Raises
    ------
    ImageError
        It is none, or not there.
    """
    slide = find_slide(path, options)
    if slide is None:
        raise ImageError(f"{shown(path)} is not a readable whole slide: check the path.")
    return slide


def _plane(requested: int | None, planes: int) -> int:
    if requested is None or planes == 1:
        return planes // 2
    if not 0 <= requested < planes:
        raise ColourError(f"has {planes} focus planes: choose one from 1 to {planes}")
    return requested


def _dicom_slide(path: Path, options: SlideOptions) -> Slide:
    series = slide_files.series_of(path)
    for instance in series:
        _check_size(instance.width, instance.height)
    if any(instance.planes > 1 for instance in series):
        raise ColourError("is a DICOM stack of focus planes, which is not read: export one plane")
    return _openslide(path, options)


def _openslide(path: Path, options: SlideOptions) -> Slide:
    opened = openslide_reader.open_levels(path)
    try:
        height, width, _ = opened.levels[0].shape
        _check_size(width, height)
        if min(height, width) < 8:
            raise ColourError(f"has {width} x {height} pixels: choose another")
        levels = [(level, "YXS") for level in opened.levels]
        return Slide(path, levels, opened.facts, opened.close, options=options, profile=opened.profile)
    except BaseException:
        opened.close()
        raise


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_SLIDE_PIXELS:
        raise ColourError(f"declares an implausible size of {width:,} x {height:,} pixels: export it again")


def _tiff_slide(path: Path, options: SlideOptions) -> Slide | None:
    import zarr  # half a second, not needed to list cells

    tiff = tiff_reader.open_tiff(path, path.name)
    try:
        series = tiff.series[0]
        page: Any = series.keyframe
        of_a_maker = tiff.is_ndpi or tiff.is_scn or tiff.is_bif or tiff.is_philips
        if of_a_maker or (page.compression == _J2K_YCBCR and page.is_tiled):
            _check_size(page.imagewidth, page.imagelength)
            for level in series.levels if page.compression == _J2K_YCBCR else ():
                tiff_reader.refuse_absurd_tiles(level.keyframe)
            tiff.close()
            return _openslide(path, options)
        axes = series.axes
        width, height = series.shape[axes.index("X")], series.shape[axes.index("Y")]
        if width * height <= SLIDE_PIXELS or not page.is_tiled:
            tiff.close()
            return None
        _check_size(width, height)
        without_planes = [(axis, n) for axis, n in zip(axes, series.shape, strict=True) if axis != "Z"]
        colour.refuse_stacks("".join(axis for axis, _ in without_planes), tuple(n for _, n in without_planes))
        model = tiff_reader.photometric(page)
        if page.compression == _OLD_JPEG:
            raise ColourError("stores its tiles as old-style JPEG: convert it to JPEG or JPEG 2000 in RGB")
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
        profile = page.tags.valueof(_ICC_PROFILE)
        return Slide(
            path,
            levels,
            metadata.from_tiff(tiff, page),
            tiff.close,
            options=options,
            profile=profile if isinstance(profile, bytes) else None,
        )
    except BaseException:
        tiff.close()
        raise


def _zarr_slide(folder: Path, options: SlideOptions) -> Slide | None:
    plan = zarr_reader.examine(zarr_reader.folder_reader(folder), planes=True)
    width, height = plan.size
    if width * height <= SLIDE_PIXELS:
        return None
    _check_size(width, height)
    if any(np.dtype(kind) != np.uint8 for kind in plan.types):
        raise ColourError("does not have 8 bits per channel: export it with 8 bits per channel")

    import zarr  # half a second, not needed to list cells

    levels = [(zarr.open_array(store=str(folder), path=path, mode="r"), plan.axes) for path in plan.paths]
    return Slide(folder, levels, plan.facts, lambda: None, options=options)
