"""Image files to RGB, 8 bits a channel, by one rule.

The rule
--------
* 8-bit RGB stays as it is; grey is repeated in three channels; palettes and CMYK are converted to RGB.
* Alpha is laid over white, the colour of an empty film.
* 16-bit values are scaled from the image's own bit depth: the smallest of 8, 10, 12, 14 or 16 bits that
  holds its largest value. Cameras of 12 bits write 0 to 4095 into 16-bit files, which would be black if
  65,535 were white. (Colour PNG of 16 bits: the high byte of each value.)
* Floating-point values must lie in 0 to 1, or in 0 to 255.
* EXIF orientation is applied: the field stands as a viewer shows it.
* Of a file with several pages of different size the first is read; a stack of planes is refused.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from annotation_store.errors import ImageError

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp"})
"""File name endings that are taken for fields when a folder is added."""

MAX_BYTES = 1_000_000_000
MAX_PIXELS = 100_000_000
MIN_SIDE = 8

Pixels = npt.NDArray[np.uint8]


def read_image(path: Path) -> Pixels:
    """Read an image file as an array ``(height, width, 3)`` of uint8.

    Raises
    ------
    ImageError
        With one sentence that names the file and the cure.
    """
    return decode(read_bytes(path), path)


def read_bytes(path: Path) -> bytes:
    """Read a file that should be an image; refuse what is missing, empty or absurdly large."""
    try:
        if not path.exists():
            raise ImageError(f"There is no file {path}: check the path.")
        if not path.is_file():
            raise ImageError(f"{path} is no file: give an image file.")
        size = path.stat().st_size
        if size == 0:
            raise ImageError(f"The image {path} is empty (0 bytes): export it again.")
        if size > MAX_BYTES:
            raise ImageError(
                f"The image {path} is larger than 1 GB: export fields of view from it and add those."
            )
        return path.read_bytes()
    except OSError as error:
        raise ImageError(
            f"The image {path} cannot be read ({error.strerror}): check its permissions."
        ) from error


def decode(data: bytes, path: Path) -> Pixels:
    """Decode an image's bytes; `path` is for the messages."""
    with warnings.catch_warnings():
        # the size is judged here, by a rule of our own
        warnings.simplefilter("ignore")
        try:
            pixels = _decode_tiff(data, path) if _is_tiff(data) else _decode_with_pillow(data, path)
        except ImageError:
            raise
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{path} is no image that can be read: save it as PNG, JPEG, TIFF or BMP."
            ) from error
        except Image.DecompressionBombError as error:
            raise _too_large(path) from error
        except MemoryError as error:
            raise ImageError(
                f"The image {path} does not fit into memory: export smaller fields of view."
            ) from error
        except Exception as error:  # decoders raise whatever they like on damaged files
            raise ImageError(f"The image {path} is damaged ({_brief(error)}): export it again.") from error
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ImageError(
            f"The image {path} is {width} x {height} pixels: a field needs {MIN_SIDE} a side at least."
        )
    return np.ascontiguousarray(pixels)


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def _too_large(path: Path, width: int = 0, height: int = 0) -> ImageError:
    size = f"{width} x {height} pixels" if width else "far too many pixels"
    return ImageError(
        f"The image {path} has {size}, more than {MAX_PIXELS // 1_000_000} million: "
        "export fields of view from it and add those."
    )


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise _too_large(path, width, height)


def _is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _decode_with_pillow(data: bytes, path: Path) -> Pixels:
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "BMP", "DIB", "TIFF")) as image:
        _check_size(path, *image.size)
        image.load()
        # exif_transpose copies even where there is nothing to turn
        upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        return _to_rgb(image if upright else ImageOps.exif_transpose(image), path)


def _to_rgb(image: Image.Image, path: Path) -> Pixels:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return scaled(np.asarray(image), path)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"))
    return np.asarray(image.convert("RGB"))


def _decode_tiff(data: bytes, path: Path) -> Pixels:
    import tifffile  # slow to import, and most fields are no TIFF

    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        if not tiff.series:
            raise ImageError(f"The image {path} has no pages: export it again.")
        series = tiff.series[0]
        page: Any = series.keyframe
        axes, shape = series.axes, series.shape
        sizes = dict(zip(axes, shape, strict=True))
        if "Y" not in sizes or "X" not in sizes:
            raise ImageError(f"The image {path} has no plane of pixels: export it as one plane.")
        _check_size(path, sizes["X"], sizes["Y"])
        planes = [n for axis, n in sizes.items() if axis not in "YXSC" and n > 1]
        if planes:
            raise ImageError(
                f"The image {path} is a stack of {int(np.prod(planes))} planes: export one plane as a field."
            )
        photometric = str(getattr(page.photometric, "name", ""))
        if series.dtype == np.uint8 and photometric in ("PALETTE", "SEPARATED", "YCBCR", "CIELAB"):
            return _decode_with_pillow(data, path)
        try:
            array = series.asarray()
        except Exception:  # a codec that tifffile lacks (LZW, JPEG) is often one that Pillow has
            return _decode_with_pillow(data, path)
        order = [axes.index(a) for a in "YX"]
        rest = [i for i, a in enumerate(axes) if a in "SC" and shape[i] > 1]
        if len(rest) > 1:
            raise ImageError(f"The image {path} has channels of channels: export it as RGB.")
        singles = tuple(i for i in range(array.ndim) if i not in order + rest)
        array = array.transpose([*order, *rest, *singles]).reshape([shape[i] for i in order + rest])
        if photometric == "MINISWHITE":
            array = array.max() - array
        orientation = page.tags.valueof(274, 1)
    return scaled(_turned(array, int(orientation or 1)), path)


def _turned(array: npt.NDArray[Any], orientation: int) -> npt.NDArray[Any]:
    """Apply a TIFF orientation tag (what `ImageOps.exif_transpose` does for Pillow's images)."""
    if orientation in (2, 4):
        array = np.flip(array, 1 if orientation == 2 else 0)
    elif orientation == 3:
        array = np.flip(array, (0, 1))
    elif orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
        flips: dict[int, tuple[int, ...]] = {6: (1,), 7: (0, 1), 8: (0,)}
        array = np.flip(array, flips.get(orientation, ()))
    return array


def scaled(array: npt.NDArray[Any], path: Path) -> Pixels:
    """Bring grey, RGB or RGBA values of any depth to RGB uint8 by the module's rule."""
    if array.ndim == 3 and array.shape[2] not in (2, 3, 4):
        raise ImageError(f"The image {path} has {array.shape[2]} channels: export it as RGB or grey.")
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    colour, alpha = array, None
    if array.ndim == 3 and array.shape[2] in (2, 4):
        colour, alpha = array[..., :-1], array[..., -1:]
    if array.dtype == np.uint8:
        values: npt.NDArray[Any] = colour
        opacity = None if alpha is None else alpha / 255.0
    elif np.issubdtype(array.dtype, np.integer):
        low, high = int(colour.min()), int(colour.max())
        if low < 0 or high > 65_535:
            raise ImageError(
                f"The image {path} has values from {low} to {high}: export it with 8 or 16 bits a channel."
            )
        depth = next(bits for bits in (8, 10, 12, 14, 16) if high < 2**bits)
        values = np.rint(colour * (255.0 / (2**depth - 1)))
        opacity = None if alpha is None else alpha / float(np.iinfo(array.dtype).max)
    elif np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            raise ImageError(f"The image {path} has pixels that are no numbers: export it again.")
        least, most = float(colour.min()), float(colour.max())
        if least < 0 or most > 255:
            raise ImageError(
                f"The image {path} has values from {least:g} to {most:g}: export it with 8 or 16 bits."
            )
        values = np.rint(colour * (255.0 if most <= 1 else 1.0))
        opacity = None if alpha is None else np.clip(alpha, 0, 1)
    else:
        raise ImageError(f"The image {path} has values of type {array.dtype}: export it as RGB.")
    if opacity is not None:
        values = np.rint(values * opacity + 255.0 * (1 - opacity))
    if values.ndim == 2:
        values = values[..., None]
    return np.broadcast_to(values.astype(np.uint8), (*values.shape[:2], 3))
