"""Image files to RGB, 8 bits per channel, by one rule.

The rule
--------
* 8-bit RGB stays as it is; grey is repeated in three channels; palettes are looked up; CMYK becomes RGB as
  (full - ink) x (full - black) / full; colour profiles are not applied (those of whole
  slides are: see `annotation_store.images.slide.SlideOptions`).
* Opacity is laid over white, the colour of an empty film. A fourth channel that the file does not call
  opacity is dropped.
* 16-bit values are scaled from the image's own bit depth: the smallest of 8, 10, 12, 14 or 16 bits that
  holds its largest value. Cameras of 12 bits write 0 to 4095 into 16-bit files, which would be black if
  65,535 were white. (Colour PNG of 16 bits: the high byte of each value.)
* Floating-point values must lie in 0 to 1, or in 0 to 255.
* Orientation (EXIF, TIFF) is applied: the field stands as a viewer shows it.
* Of a file with several images the first is read. A stack (focus planes, times) is refused, and so is
  anything but 1, 3 or 4 channels: no rule could choose for the annotator.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from annotation_store.errors import ImageError
from annotation_store.images import bounds, colour, tiff_reader, zarr_reader
from annotation_store.images.colour import ColourError, Pixels
from annotation_store.images.metadata import ImageMetadata, from_pillow, shown

PLAIN_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".bmp"})
"""File name endings of what every program reads."""

SLIDE_SUFFIXES = frozenset({".svs", ".ndpi", ".mrxs", ".scn", ".bif", ".dcm", ".czi"})
"""File name endings of slide scanners; CZI is refused with a sentence."""

IMAGE_SUFFIXES = PLAIN_SUFFIXES | SLIDE_SUFFIXES | {".ozx"}
"""File name endings that are taken for fields when a folder is added."""

MAX_BYTES = 1_000_000_000
MAX_PIXELS = 89_000_000
"""Below what Pillow warns of (89.5 million), so that its warning is never all there is."""
MIN_SIDE = 8


@dataclass(frozen=True, slots=True)
class Decoded:
    """A decoded image: RGB pixels ``(height, width, 3)``, and the metadata of the file."""

    pixels: Pixels
    facts: ImageMetadata


@dataclass(frozen=True, slots=True)
class Original:
    """A file as it stands on disk; of an OME-Zarr folder, the one zip file that holds it.

    Attributes
    ----------
    suffix
        For the copy that the project keeps; ``""`` where the name has none that is known.
    """

    path: Path
    data: bytes
    suffix: str

    @property
    def content_hash(self) -> str:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self.data).hexdigest()

    def decode(self) -> Decoded:
        """Decode it."""
        return decode_with_facts(self.data, self.path)


def read_image(path: Path) -> Pixels:
    """Read an image file, or an OME-Zarr folder, as an array ``(height, width, 3)`` of uint8.

    Raises
    ------
    ImageError
        With one sentence that names the file and the cure; also for a whole slide, which is not read
        whole: see `annotation_store.images.slide.open_slide`.
    """
    from annotation_store.images.slide import find_slide

    path = Path(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the size is judged here, by a rule of our own
        if (slide := find_slide(path)) is not None:
            slide.close()
            raise ImageError(
                f"{shown(path)} is a whole slide of {slide.width:,} x {slide.height:,} pixels: "
                "add it to a project, or export fields of view from it."
            )
        return read_original(path).decode().pixels


def check_image(path: Path) -> None:
    """Check whether a file can be added: read an image, or open a slide.

    Raises
    ------
    ImageError
        It cannot be read; the message gives the reason.
    """
    from annotation_store.images.slide import find_slide

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        slide = find_slide(Path(path))
        if slide is None:
            read_original(Path(path)).decode()
        else:
            slide.close()


def read_original(path: Path) -> Original:
    """Read the bytes of an image file, or of an OME-Zarr folder as one zip."""
    if path.is_dir() and zarr_reader.is_zarr(path):
        sink = io.BytesIO()
        try:
            zarr_reader.pack(zarr_reader.files_of(path, most_bytes=MAX_BYTES), sink)
        except OSError as error:
            raise _unreadable(path, error) from error
        except ColourError as error:
            raise ImageError(f"The image {shown(path)} {error}.") from error
        return Original(path, sink.getvalue(), ".ozx")
    suffix = path.suffix.lower()
    return Original(path, read_bytes(path), suffix if suffix in IMAGE_SUFFIXES else "")


def read_bytes(path: Path) -> bytes:
    """Read a file that should be an image; refuse what is missing, no file, empty or absurdly large."""
    name = shown(path)
    try:
        # opening a pipe would block; a pipe put there after this check does not block either
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(handle, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(f"{name} is not a file: give an image file.")
            if status.st_size == 0:
                raise ImageError(f"The image {name} is empty (0 bytes): export it again.")
            if status.st_size > MAX_BYTES:
                raise ImageError(
                    f"The image {name} is larger than 1 GB: export fields of view from it and add those."
                )
            return file.read(status.st_size)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ImageError(f"There is no file {name}: check the path.") from error
    except IsADirectoryError as error:
        raise ImageError(f"{name} is not a file: give an image file.") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    except ValueError as error:  # a zero byte in the name
        raise ImageError(f"There is no file {name}: check the path.") from error


def _unreadable(path: Path, error: OSError) -> ImageError:
    return ImageError(
        f"The image {shown(path)} cannot be read ({error.strerror or error}): check its permissions."
    )


def decode(data: bytes, path: Path) -> Pixels:
    """Decode an image's bytes; `path` is for the messages."""
    return decode_with_facts(data, path).pixels


def decode_with_facts(data: bytes, path: Path) -> Decoded:
    """Decode an image's bytes, and read its pixel size (µm) and magnification.

    Raises
    ------
    ImageError
        Whatever is wrong with it, and nothing else.
    """
    name = shown(path)
    try:
        pixels, facts = _decode(data, path)
    except ImageError:
        raise
    except ColourError as error:
        raise ImageError(f"The image {name} {error}.") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{name} cannot be read as an image: save it as PNG, JPEG, TIFF or BMP.") from error
    except Image.DecompressionBombError as error:
        raise _too_large(path) from error
    except MemoryError as error:
        raise ImageError(
            f"The image {name} does not fit into memory: export smaller fields of view."
        ) from error
    except Exception as error:  # decoders raise any exception on damaged files
        raise ImageError(f"The image {name} is damaged ({_brief(error)}): export it again.") from error
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise ImageError(
            f"The image {name} is {width} x {height} pixels: a field needs at least {MIN_SIDE} on each side."
        )
    return Decoded(np.ascontiguousarray(pixels), facts)


def _decode(data: bytes, path: Path) -> tuple[Pixels, ImageMetadata]:
    def check(width: int, height: int) -> None:
        if width * height > MAX_PIXELS:
            raise _too_large(path, width, height)

    bounds.judge(data)
    if tiff_reader.is_tiff(data):
        try:
            return tiff_reader.decode(data, path.name, check)
        except tiff_reader.AnotherDecoderError as other:
            return _decode_with_pillow(data, check)[0], other.facts
    if data[:4] == b"PK\x03\x04":
        return zarr_reader.decode_packed(data, check)
    return _decode_with_pillow(data, check)


def _brief(error: Exception) -> str:
    return shown((str(error).splitlines() or [type(error).__name__])[0][:120]) or type(error).__name__


def _too_large(path: Path, width: int = 0, height: int = 0) -> ImageError:
    size = f"{width:,} x {height:,} pixels" if width else "far too many pixels"
    return ImageError(
        f"The image {shown(path)} has {size}, more than {MAX_PIXELS // 1_000_000} million: "
        "export it as a pyramidal TIFF with tiles, or export fields of view from it."
    )


def _decode_with_pillow(data: bytes, check: Any) -> tuple[Pixels, ImageMetadata]:
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "BMP", "DIB", "TIFF")) as image:
        check(*image.size)
        image.load()
        facts = from_pillow(image.info)
        # exif_transpose copies even where there is nothing to turn
        upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
        return _to_rgb(image if upright else ImageOps.exif_transpose(image)), facts


def _to_rgb(image: Image.Image) -> Pixels:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return colour.scaled(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return np.asarray(Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB"))
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))  # which copies even so
