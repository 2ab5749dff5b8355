"""Decide which original files an export may copy: those that every program reads as the project shows them.

A camera's 12 bits in a 16-bit TIFF are black in most readers, a turned JPEG lies on its side in some, and few
know Zstandard. So only the plain forms count, by what the file's head says; of everything else an export
writes a PNG of the pixels.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image

_SUFFIXES = {
    "PNG": (".png",),
    "JPEG": (".jpg", ".jpeg"),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
}
"""What names of each kind of file end with; a file that is named otherwise gets the first."""

_PNG_BIT_DEPTH = 24  # its place in the file: signature, length and name of IHDR, width, height

# Tags of TIFF and the values that old readers and new ones take alike
_PLAIN_TIFF: dict[int, tuple[tuple[int, ...], int]] = {
    259: ((1, 5, 8, 32946, 32773), 1),  # compression: none, LZW, deflate (two numbers), PackBits
    262: ((1, 2), 1),  # black is zero, or RGB
    266: ((1,), 1),  # fill order
    284: ((1,), 1),  # channels side by side
    317: ((1, 2), 1),  # predictor: none, horizontal
}
_BITS, _EXTRA, _SAMPLE_FORMAT = 258, 338, 339


def plain_suffix(path: Path, size: tuple[int, int]) -> str | None:
    """Return the suffix under which a file can be copied; ``None`` if its pixels must be written.

    Parameters
    ----------
    path
        The original; a link is never followed.
    size
        Width and height as the project shows them.
    """
    if path.is_symlink() or not path.is_file():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path, formats=tuple(_SUFFIXES)) as image:
                if image.size != size or not _is_plain(image, path):
                    return None
                suffixes = _SUFFIXES[str(image.format)]
        except Exception:  # decoders raise any exception on damaged files
            return None
    suffix = path.suffix.lower()
    return suffix if suffix in suffixes else suffixes[0]


def _is_plain(image: Any, path: Path) -> bool:
    if image.format not in _SUFFIXES or image.mode not in ("L", "RGB"):
        return False  # palettes, opacity, CMYK, 1, 16 and 32 bits, a JPEG with further pictures
    if "transparency" in image.info or getattr(image, "n_frames", 1) != 1:
        return False
    if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
        return False
    if image.format == "PNG":
        with path.open("rb") as file:
            return file.read(_PNG_BIT_DEPTH + 1)[_PNG_BIT_DEPTH] == 8
    return image.format != "TIFF" or _is_plain_tiff(image.tag_v2, path)


def _is_plain_tiff(tags: Any, path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(4) not in (b"II*\x00", b"MM\x00*"):  # BigTIFF
            return False
    return (
        set(tags.get(_BITS, (1,))) == {8}
        and set(tags.get(_SAMPLE_FORMAT, (1,))) == {1}
        and not tags.get(_EXTRA)
        and all(tags.get(tag, default) in values for tag, (values, default) in _PLAIN_TIFF.items())
    )
