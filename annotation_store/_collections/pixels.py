"""Pixels out: whole fields, areas, thumbnails, originals."""

from __future__ import annotations

import io
import math
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from PIL import Image

from annotation_store._collections.slides import Slides
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import fields
from annotation_store.errors import EditError, ImageError, OutputError
from annotation_store.files.disk import hash_of
from annotation_store.files.layout import PIXELS, THUMBNAILS, inside, is_link, original_path
from annotation_store.files.outputs import write_file
from annotation_store.images import read_pixels
from annotation_store.images.metadata import shown
from annotation_store.images.slide import shrunk
from annotation_store.images.zarr_writer import is_slide, level_sizes, read_overview, read_window
from annotation_store.records import Box, FieldKind

Pixels = npt.NDArray[np.uint8]

THUMBNAIL_SIDES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Longer sides of the thumbnails that are kept: what is asked for is made of the next larger one."""
_LEAST_SIDE = 16


class FieldPixels:
    """`Project.pixels`: the pixels of fields, their thumbnails and the files they were made from."""

    def __init__(self, db: DatabaseSession, slides: Slides) -> None:
        self._db, self._slides = db, slides

    def read(self, field_id: int) -> Pixels:
        """Read a field's pixels, ``(height, width, 3)`` uint8; asks no database, any thread may call it.

        Raises
        ------
        ImageError
            The field is a whole slide: read an area of it.
        """
        return read_pixels(self._pixel_folder(field_id))

    def read_area(self, field_id: int, box: Box, *, level: int = 0) -> Pixels:
        """Read an area of a field, slide or not.

        Parameters
        ----------
        box
            ``x, y, width, height`` in pixels of the field; what passes its edge is cut off.
        level
            0 is the full resolution; each level of an image halves it, those of a slide are in `Slides.open`.

        Raises
        ------
        ImageError
            The area is empty or too large to be read at once, or a slide is not where it was.
        """
        field = self._db.field(field_id)
        if field.is_slide:
            return self._slides.open(field_id).read(box, level)
        sizes = level_sizes(field.width, field.height)
        if not 0 <= level < len(sizes):
            raise ImageError(f"The field {field.name} has {len(sizes)} levels: there is no level {level}.")
        if not all(math.isfinite(v) for v in box):
            raise ImageError("The area contains a value that is not a number.")
        width, height = sizes[level]
        down = 2**level
        x, y, w, h = box
        x0, y0 = max(0, math.floor(x / down)), max(0, math.floor(y / down))
        x1, y1 = min(width, math.ceil((x + w) / down)), min(height, math.ceil((y + h) / down))
        if x1 <= x0 or y1 <= y0:
            raise ImageError(f"The area lies outside the field {field.name}, or is empty.")
        return read_window(self._pixel_folder(field_id), x0, y0, x1, y1, level=level)

    def thumbnail(self, field_id: int, side: int = 96) -> Pixels:
        """Return a small picture of a field, its longer side `side` pixels (16 to 1024).

        It is kept on disk once made. Asks no database: any thread may call it.
        """
        side = min(max(int(side), _LEAST_SIDE), THUMBNAIL_SIDES[-1])
        stored_side = next(larger for larger in THUMBNAIL_SIDES if larger >= side)
        file = thumbnail_file(self._db.path, field_id, stored_side)
        picture = _read_jpeg(file, stored_side)
        if picture is None:
            picture = shrunk(self._coarse(field_id, stored_side), stored_side)
            if not self._db.read_only:
                with suppress(OSError, OutputError):  # a full disk is no reason to show nothing
                    _write_jpeg(file, picture)
        return picture if side == stored_side else shrunk(picture, side)

    def _coarse(self, field_id: int, side: int) -> Pixels:
        """Read the coarsest pixels of a field that are fine enough."""
        folder = self._pixel_folder(field_id)
        if is_slide(folder):
            return read_overview(folder)
        level = 0
        while (folder / str(level + 1)).is_dir():  # levels are halves, the last at most 2048 pixels
            level += 1
        if level and side < 1024:
            return read_window(folder, 0, 0, 2**31, 2**31, level=level)
        return read_pixels(folder)

    def original(self, field_id: int) -> Path:
        """Return the file that the field was made from, byte for byte, as the project keeps it.

        Of an OME-Zarr folder it is one zip file (``.ozx``); of a slide the file itself, where it lies.

        Raises
        ------
        ImageError
            It is missing or altered, or a slide is not where it was.
        """
        query = sa.select(fields.c.content_hash, fields.c.suffix, fields.c.kind, fields.c.source_path)
        rows = self._db.rows(query.where(fields.c.id == field_id))
        if not rows:
            raise EditError(f"There is no field {field_id} in the project {self._db.path}.")
        if rows[0].kind == FieldKind.SLIDE:
            path = Path(rows[0].source_path)
            if not path.exists():
                raise ImageError(
                    f"The slide at {shown(path)} is no longer there: "
                    "move it back, or search for it (napari-lld check PROJECT --slides FOLDER)."
                )
            return path
        path = original_path(self._db.path, rows[0].content_hash, rows[0].suffix)
        if not path.is_file() or hash_of(path) != rows[0].content_hash:
            raise ImageError(
                f"The original {path} is missing or was changed: "
                f"run napari-lld check {self._db.path} --repair."
            )
        return path

    def _pixel_folder(self, field_id: int) -> Path:
        return inside(self._db.path, PIXELS, str(int(field_id)))


def thumbnail_file(project: Path, field_id: int, side: int) -> Path:
    """Return where the thumbnail of a field is kept."""
    return inside(project, THUMBNAILS) / f"{int(field_id)}-{side}.jpg"


def _read_jpeg(path: Path, side: int) -> Pixels | None:
    """Read a thumbnail; ``None`` if there is none, or what lies there is damaged or is none."""
    if is_link(path):
        return None
    with suppress(Exception), Image.open(path, formats=("JPEG",)) as image:
        if max(image.size) <= side:
            return np.asarray(image.convert("RGB"))
    return None


def _write_jpeg(path: Path, pixels: Pixels) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88, subsampling=0)
    write_file(path, buffer.getvalue(), durable=False, parents=False)
