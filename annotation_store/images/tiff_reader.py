"""TIFF and OME-TIFF to pixels."""

from __future__ import annotations

import io
import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np

from annotation_store.images import colour, metadata
from annotation_store.images.bounds import judge_jpeg
from annotation_store.images.colour import ColourError, Pixels, Values

MAX_CHUNK_BYTES = 512_000_000
"""Tiles and strips larger than this are claims of a damaged or hostile file."""

MAX_CHUNKS = 100_000
"""Tiles, strips or chunks of a field: one by one they cost far more than their pixels."""

LEAST_CHUNK = 64 * 64
"""Pixels that a tile of a slide, or a chunk among many, has at least."""

_MAX_BYTES = 1_600_000_000
_PLAIN = frozenset({"MINISBLACK", "MINISWHITE", "RGB", "SEPARATED", "PALETTE"})
_JPEG = 7
_J2K = frozenset({33003, 33005, 34712})
_BOUNDED = frozenset({1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 50000})
"""Compressions whose decoders stop at the size of the tile; JPEG and JPEG 2000 state a size of their own."""

# without a handler of their own, its complaints about damaged files would be printed beside ours
logging.getLogger("tifffile").addHandler(logging.NullHandler())


class AnotherDecoderError(Exception):
    """tifffile cannot decode this kind of TIFF; Pillow may."""

    def __init__(self, facts: metadata.ImageMetadata) -> None:
        super().__init__()
        self.facts = facts


def is_tiff(head: bytes) -> bool:
    """Return whether a file begins as a TIFF or BigTIFF does."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def open_tiff(source: io.BytesIO | Path, name: str) -> Any:
    """Open with tifffile; the files that an OME-XML names beside it are never opened."""
    import tifffile  # slow to import, and most fields are no TIFF

    if isinstance(source, Path):
        return tifffile.TiffFile(source, _multifile=False)
    return tifffile.TiffFile(source, name=name, _multifile=False)


def first_series(tiff: Any) -> Any:
    """Return the first image of the file: what else it holds (labels, thumbnails, masks) is passed over."""
    if not tiff.series:
        raise ColourError("has no pages: export it again")
    return tiff.series[0]


def photometric(page: Any) -> str:
    """Return the name of the colour model."""
    return str(getattr(page.photometric, "name", page.photometric))


def decode(data: bytes, name: str, check_size: Any) -> tuple[Pixels, metadata.ImageMetadata]:
    """Decode the first image of a TIFF.

    Parameters
    ----------
    check_size
        Called with (width, height) before anything is decoded; raises where it is too large.
    """
    with open_tiff(io.BytesIO(data), name) as tiff:
        series = first_series(tiff)
        page: Any = series.keyframe
        axes, shape = series.axes, series.shape
        colour.refuse_stacks(axes, shape)
        check_size(shape[axes.index("X")], shape[axes.index("Y")])
        refuse_absurd(shape, page)
        for other_page in series.pages:
            refuse_incomplete(other_page, len(data))
        guard(page)
        facts = metadata.from_tiff(tiff, page)
        model = photometric(page)
        # what it decodes to RGB is YCbCr in JPEG only; libtiff behind Pillow prints its complaints about
        # damaged files beside ours, so nothing else is given to it
        if model == "YCBCR" and page.compression != _JPEG:
            raise AnotherDecoderError(facts)
        if model not in _PLAIN | {"YCBCR"}:
            raise ColourError(f"stores its colours as {model}: export it as RGB")
        array = colour.plane(series.asarray(), axes)
        bits = page.bitspersample if isinstance(page.bitspersample, int) else None
        orientation = int(page.tags.valueof(274, 1) or 1)
        array, alpha = to_light(array, page)
    bits = bits if array.dtype.kind == "u" and bits != array.dtype.itemsize * 8 else None
    return colour.scaled(colour.turned(array, orientation), bits=bits, alpha=alpha), facts


def refuse_absurd(shape: tuple[int, ...], page: Any) -> None:
    """Reject what would fill the memory before it shows that nothing is behind it."""
    item = np.dtype(page.dtype).itemsize if page.dtype is not None else 1
    whole = int(np.prod([int(n) for n in shape], dtype=object)) * item
    chunk = int(np.prod([int(n) for n in page.chunks], dtype=object)) * item
    if whole > _MAX_BYTES or chunk > max(MAX_CHUNK_BYTES, 2 * whole):
        raise ColourError("declares an implausible size: export it again")
    if int(np.prod([int(n) for n in page.chunked], dtype=object)) > MAX_CHUNKS:
        raise ColourError("has an implausible number of tiles or strips: export it again")


def to_light(array: Values, page: Any) -> tuple[Values, str | None]:
    """Undo the colour model, so that high values are light; return the kind of the last channel."""
    model = photometric(page)
    if model == "MINISWHITE":
        if array.dtype.kind != "u":
            return (~array if array.dtype.kind == "b" else array), None
        bits = page.bitspersample if isinstance(page.bitspersample, int) else array.dtype.itemsize * 8
        return ((1 << bits) - 1 - array).astype(array.dtype), None
    channels = array.shape[2] if array.ndim == 3 else 1
    if model == "PALETTE":
        if channels > 1 or page.colormap is None or array.dtype.kind != "u":
            raise ColourError("has a palette that cannot be read: export it as RGB")
        return (page.colormap[:, array] >> 8).astype(np.uint8).transpose(1, 2, 0), None
    if model == "SEPARATED":
        if channels < 4:
            raise ColourError(f"has {channels} inks: export it as RGB")
        return colour.from_cmyk(array[..., :4]), None
    colours = 1 if channels in (1, 2) else 3
    if channels == colours:
        return array, None
    # 1: colours multiplied by opacity, 2: not multiplied; anything else is not an opacity and says nothing
    kind = {1: "premultiplied", 2: "straight"}.get(int((page.extrasamples or (0,))[0]))
    return (array, kind) if kind else (array[..., :colours], None)


def refuse_absurd_tiles(page: Any) -> None:
    """Reject a level whose tiles are too large to be read one by one, or not as many as it claims."""
    item = np.dtype(page.dtype).itemsize
    if int(np.prod([int(n) for n in page.chunks], dtype=object)) * item > 64_000_000:
        raise ColourError("has tiles that are too large: export it with tiles of 256 to 1,024")
    expected = int(np.prod([int(n) for n in page.chunked], dtype=object))
    if expected > MAX_CHUNKS and int(np.prod([int(n) for n in page.chunks], dtype=object)) < LEAST_CHUNK:
        raise ColourError("has tiles of only a few pixels: export it with tiles of 256 to 1,024")
    if len(page.dataoffsets) < expected or len(page.databytecounts) < expected:
        raise ColourError("has missing tiles: copy it again")


def refuse_incomplete(page: Any, length: int) -> None:
    """Reject missing pixels: they would be read as black."""
    expected = int(np.prod([int(n) for n in page.keyframe.chunked], dtype=object))
    spans = list(zip(page.dataoffsets, page.databytecounts, strict=False))[:expected]
    if len(spans) < expected or any(not at or not size or at + size > length for at, size in spans):
        raise ColourError("is missing some of its pixels: export it again")


def guard(page: Any) -> None:
    """Make the page's decoder reject a tile that states to be larger than tiles are.

    A JPEG of a few bytes may claim 65,535 x 65,535 pixels, and is decoded so before anybody compares.
    """
    if page.compression not in _BOUNDED | _J2K | {_JPEG}:
        raise ColourError(f"uses an unsupported compression ({int(page.compression)})")
    if page.compression in _BOUNDED:
        return
    stated_size = _j2k_size if page.compression in _J2K else _jpeg_size
    height, width = (int(n) for n in (page.chunks[:2] if page.planarconfig == 1 else page.chunks[-2:]))
    decode_tile = page.decode

    def decode(data: Any, index: int, **options: Any) -> Any:
        size = stated_size(bytes(data)) if data is not None else None
        if data is not None and page.compression == _JPEG:
            judge_jpeg(bytes(data))
        # an encoder may pad to its blocks
        if size is not None and size[0] * size[1] > 2 * (width + 64) * (height + 64):
            raise ColourError("has an invalid tile: export it again")
        return decode_tile(data, index, **options)

    page.__dict__["decode"] = decode  # where its cached property is kept


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        # fill bytes, and markers without a body
        at += 1 if marker == 0xFF else 2
        if marker not in (0xFF, 0x00, 0x01) and not 0xD0 <= marker <= 0xD9:
            at += struct.unpack(">H", data[at : at + 2])[0]
    return None


def _j2k_size(data: bytes) -> tuple[int, int] | None:
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(data) < at + 24:
        return None
    width, height, left, top = struct.unpack(">IIII", data[at + 8 : at + 24])
    return max(0, width - left), max(0, height - top)
