"""Pixels out: whole fields, areas, slides by tiles, thumbnails; finding slides that were moved."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import sqlalchemy as sa
from PIL import Image

from annotation_store._db.history import Change
from annotation_store._db.session import ProjectBase
from annotation_store._db.tables import fields
from annotation_store.errors import EditError, ImageError, OutputError, ProjectError
from annotation_store.files.disk import hash_of
from annotation_store.files.layout import PIXELS, THUMBNAILS, inside, is_link, original_path
from annotation_store.files.outputs import write_file
from annotation_store.images import Slide, open_slide, read_pixels
from annotation_store.images.metadata import shown
from annotation_store.images.slide import fingerprint, shrunk, size_on_disk
from annotation_store.images.zarr_reader import is_zarr
from annotation_store.images.zarr_writer import is_slide, level_sizes, read_overview, read_window
from annotation_store.records import Box, Edit, Field, FieldKind

Pixels = npt.NDArray[np.uint8]

THUMBNAIL_SIDES = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Longer sides of the thumbnails that are kept: what is asked for is made of the next larger one."""
_LEAST_SIDE = 16
_OPEN_SLIDES = 4


@dataclass(frozen=True, slots=True)
class RelocateReport:
    """What `Project.relocate` found: ids of slides found again, and of those still missing."""

    found: list[int]
    missing: list[int]


class FieldPixels(ProjectBase):
    """The part of `Project` that hands out pixels."""

    _slides: dict[int, Slide]

    def pixels(self, field_id: int) -> Pixels:
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
            0 is the full resolution; each level of an image halves it, those of a slide are in `tiles`.

        Raises
        ------
        ImageError
            The area is empty or too large to be read at once, or a slide is not where it was.
        """
        field = self.field(field_id)
        if field.is_slide:
            return self.tiles(field_id).read(box, level)
        sizes = level_sizes(field.width, field.height)
        if not 0 <= level < len(sizes):
            raise ImageError(f"The field {field.name} has {len(sizes)} levels: there is no level {level}.")
        if not all(math.isfinite(v) for v in box):
            raise ImageError("The area has a number that is none.")
        width, height = sizes[level]
        down = 2**level
        x, y, w, h = box
        x0, y0 = max(0, math.floor(x / down)), max(0, math.floor(y / down))
        x1, y1 = min(width, math.ceil((x + w) / down)), min(height, math.ceil((y + h) / down))
        if x1 <= x0 or y1 <= y0:
            raise ImageError(f"The area lies outside the field {field.name}, or is empty.")
        return read_window(self._pixel_folder(field_id), x0, y0, x1, y1, level=level)

    def tiles(self, field_id: int) -> Slide:
        """Open a slide to read it by areas and levels; the project closes it, any thread may read it.

        Raises
        ------
        ImageError
            The field is no slide, or the slide is not where it was.
        """
        field = self.field(field_id)
        if not field.is_slide:
            raise ImageError(f"The field {field.name} is no whole slide: read its pixels.")
        opened = self._slides.pop(field_id, None)
        if opened is None:
            path = Path(field.source_path)
            if not path.exists():
                raise ImageError(
                    f"The slide {field.name} is no longer at {shown(path)}: "
                    "put it back, or say where to look (napari-lld check --slides FOLDER)."
                )
            opened = open_slide(path)
            if (opened.width, opened.height) != (field.width, field.height):
                opened.close()
                raise ImageError(f"Another slide lies at {shown(path)}: put {field.name} back.")
        self._slides[field_id] = opened  # the newest last
        while len(self._slides) > _OPEN_SLIDES:
            self._slides.pop(next(iter(self._slides))).close()
        return opened

    def thumbnail(self, field_id: int, side: int = 96) -> Pixels:
        """Give a small picture of a field, its longer side `side` pixels (16 to 1024).

        It is kept on disk once made. Asks no database: any thread may call it.
        """
        side = min(max(int(side), _LEAST_SIDE), THUMBNAIL_SIDES[-1])
        kept = next(larger for larger in THUMBNAIL_SIDES if larger >= side)
        file = self._thumbnail_file(field_id, kept)
        picture = _read_jpeg(file, kept)
        if picture is None:
            picture = shrunk(self._coarse(field_id, kept), kept)
            if not self.read_only:
                with suppress(OSError, OutputError):  # a full disk is no reason to show nothing
                    _write_jpeg(file, picture)
        return picture if side == kept else shrunk(picture, side)

    def _thumbnail_file(self, field_id: int, side: int) -> Path:
        return inside(self.path, THUMBNAILS) / f"{int(field_id)}-{side}.jpg"

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
        """Give the file that the field was made from, byte for byte, as the project keeps it.

        Of an OME-Zarr folder it is one zip file (``.ozx``); of a slide the file itself, where it lies.

        Raises
        ------
        ImageError
            It is missing or altered, or a slide is not where it was.
        """
        query = sa.select(fields.c.content_hash, fields.c.suffix, fields.c.kind, fields.c.source_path)
        rows = self._rows(query.where(fields.c.id == field_id))
        if not rows:
            raise EditError(f"There is no field {field_id} in the project {self.path}.")
        if rows[0].kind == FieldKind.SLIDE:
            path = Path(rows[0].source_path)
            if not path.exists():
                raise ImageError(
                    f"The slide at {shown(path)} is no longer there: "
                    "put it back, or say where to look (napari-lld check --slides FOLDER)."
                )
            return path
        path = original_path(self.path, rows[0].content_hash, rows[0].suffix)
        if not path.is_file():
            raise ImageError(f"The original {path} is missing: run napari-lld check --repair.")
        if hash_of(path) != rows[0].content_hash:
            raise ImageError(f"The original {path} has been altered: run napari-lld check --repair.")
        return path

    def missing_slides(self) -> list[Field]:
        """List the slides that are not where they were."""
        return [field for field in self.fields_of(FieldKind.SLIDE) if not Path(field.source_path).exists()]

    def fields_of(self, kind: FieldKind) -> list[Field]:
        """List the fields of a kind."""
        return [
            self.field(row.id)
            for row in self._rows(sa.select(fields.c.id).where(fields.c.kind == kind.value))
        ]

    def relocate(
        self, folder: str | Path | None = None, *, progress: Callable[[int, int], None] | None = None
    ) -> RelocateReport:
        """Find slides that were moved or renamed, by their content.

        Parameters
        ----------
        folder
            Where to look, subfolders included; the folder that the project lies in, where not given.
        progress
            Called with (files compared, files to compare).
        """
        place = self.path.absolute().parent if folder is None else Path(folder).absolute()
        if not place.is_dir():
            raise ProjectError(f"There is no folder {shown(place)}: check the path.")
        missing = {field.content_hash: field for field in self.missing_slides()}
        found: list[int] = []
        if missing:
            query = sa.select(fields.c.content_hash, fields.c.source_bytes)
            sizes = {row.source_bytes for row in self._rows(query) if row.content_hash in missing}
            candidates = [p for p in _candidates(place) if (n := size_on_disk(p)) is None or n in sizes]
            for number, path in enumerate(candidates):
                with suppress(ImageError):
                    content_hash, _ = fingerprint(path)
                    if (field := missing.pop(content_hash, None)) is not None:
                        self._moved(field, path)
                        found.append(field.id)
                if progress is not None:
                    progress(number + 1, len(candidates))
                if not missing:
                    break
        return RelocateReport(sorted(found), sorted(field.id for field in missing.values()))

    def _moved(self, field: Field, path: Path) -> None:
        new = {"source_path": str(path).encode("utf-8", "replace").decode()}
        with self._writing() as connection:
            change = Change("field", field.id, {"source_path": field.source_path}, new)
            edit: Edit = self._write_edit(connection, field.id, "Find slide again", [change], system=True)
        self._tell([edit])
        if (opened := self._slides.pop(field.id, None)) is not None:
            opened.close()

    def _pixel_folder(self, field_id: int) -> Path:
        return inside(self.path, PIXELS, str(int(field_id)))

    def _close_slides(self) -> None:
        while self._slides:
            self._slides.popitem()[1].close()


def _candidates(folder: Path) -> list[Path]:
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        here = Path(place)
        zarrs = [name for name in folders if is_zarr(here / name)]
        found += [here / name for name in zarrs]
        folders[:] = [name for name in folders if name not in zarrs and not name.startswith(".")]
        found += [here / name for name in names]
    return sorted(found)


def _read_jpeg(path: Path, side: int) -> Pixels | None:
    """Read a thumbnail; ``None`` where there is none, or what lies there is damaged or is none."""
    if is_link(path):
        return None
    with suppress(Exception), Image.open(path, formats=("JPEG",)) as image:
        if max(image.size) <= side:
            return np.asarray(image.convert("RGB"))
    return None


def _write_jpeg(path: Path, pixels: Pixels) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88, subsampling=0)
    path.parent.mkdir(exist_ok=True)  # not those above it: the project may be gone
    write_file(path, buffer.getvalue(), durable=False)
