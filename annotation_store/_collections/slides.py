"""Whole slides: referenced files that are read by tiles, and found again after they were moved."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from annotation_store._db import row_mappers
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import fields
from annotation_store.errors import ImageError, ProjectError
from annotation_store.files.layout import PIXELS, inside
from annotation_store.images import Slide, open_slide
from annotation_store.images.metadata import shown
from annotation_store.images.slide_files import fingerprint, is_same, one_of_each_series, size_on_disk
from annotation_store.images.zarr_reader import is_zarr
from annotation_store.images.zarr_writer import slide_options
from annotation_store.records import Edit, Field, FieldKind

_OPEN_SLIDES = 4


@dataclass(frozen=True, slots=True)
class RelocateReport:
    """What `Slides.relocate` found: ids of slides found again, and of those still missing."""

    found: list[int]
    missing: list[int]


class Slides:
    """`Project.slides`: the fields that are whole slides."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db
        self._opened: dict[int, Slide] = {}

    def all(self) -> list[Field]:
        """Return the fields that are slides, in the order in which they were added."""
        query = sa.select(*row_mappers.FIELD).where(fields.c.kind == FieldKind.SLIDE.value)
        return [row_mappers.field(row) for row in self._db.rows(query.order_by(fields.c.id))]

    def missing(self) -> list[Field]:
        """List the slides whose files are missing."""
        return [field for field in self.all() if not Path(field.source_path).exists()]

    def open(self, field_id: int) -> Slide:
        """Open a slide to read it by areas and levels; the project closes it, any thread may read it.

        Raises
        ------
        ImageError
            The field is not a slide, or the slide was moved.
        """
        field = self._db.field(field_id)
        if not field.is_slide:
            raise ImageError(f"The field {field.name} is not a whole slide: read it with Project.pixels.")
        opened = self._opened.pop(field_id, None)
        if opened is None:
            path = Path(field.source_path)
            if not path.exists():
                raise ImageError(
                    f"The slide {field.name} is no longer at {shown(path)}: "
                    "move it back, or search for it (napari-lld check PROJECT --slides FOLDER)."
                )
            opened = open_slide(path, slide_options(inside(self._db.path, PIXELS, str(field_id))))
            if (opened.width, opened.height) != (field.width, field.height):
                opened.close()
                raise ImageError(f"The file {shown(path)} is another slide: move {field.name} back there.")
        self._opened[field_id] = opened  # the newest last
        while len(self._opened) > _OPEN_SLIDES:
            self._opened.pop(next(iter(self._opened))).close()
        return opened

    def relocate(
        self,
        folder: str | Path | None = None,
        *,
        quick: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> RelocateReport:
        """Find slides that were moved or renamed, or whose files were replaced, by their content.

        Parameters
        ----------
        folder
            Where to look, subfolders included; the folder that the project lies in, where not given.
        quick
            Recognise a replaced file by its size only, and read no slide that is in its place.
        progress
            Called with (files compared, files to compare).
        """
        place = self._db.path.absolute().parent if folder is None else Path(folder).absolute()
        if not place.is_dir():
            raise ProjectError(f"There is no folder {shown(place)}: check the path.")
        missing = {field.content_hash: field for field in self._lost(quick)}
        found: list[int] = []
        if missing:
            query = sa.select(fields.c.content_hash, fields.c.source_bytes)
            sizes = {row.source_bytes for row in self._db.rows(query) if row.content_hash in missing}
            candidates = [p for p in _candidates(place) if (n := size_on_disk(p)) is None or n in sizes]
            for number, path in enumerate(candidates):
                with suppress(ImageError):
                    content_hash, _ = fingerprint(path)
                    if (field := missing.pop(content_hash, None)) is not None:
                        self._record_move(field, path)
                        found.append(field.id)
                if progress is not None:
                    progress(number + 1, len(candidates))
                if not missing:
                    break
        return RelocateReport(sorted(found), sorted(field.id for field in missing.values()))

    def _lost(self, quick: bool) -> list[Field]:
        """List the slides whose files are missing, or are others than those that were added."""
        rows = self._db.rows(sa.select(fields.c.id, fields.c.source_bytes))
        sizes = {row.id: row.source_bytes for row in rows}
        lost: list[Field] = []
        for field in self.all():
            path = Path(field.source_path)
            with suppress(ImageError):  # what cannot be read is not known to be another file
                if path.exists() and is_same(path, field.content_hash, sizes[field.id], quick=quick):
                    continue
                lost.append(field)
        return lost

    def _record_move(self, field: Field, path: Path) -> None:
        new = {"source_path": str(path).encode("utf-8", "replace").decode()}
        with self._db.writing() as connection:
            change = Change("field", field.id, {"source_path": field.source_path}, new)
            edit: Edit = self._db.write_edit(connection, field.id, "Find slide again", [change], system=True)
        self._db.announce([edit])
        if (opened := self._opened.pop(field.id, None)) is not None:
            opened.close()

    def close(self) -> None:
        """Close the slides that are open."""
        while self._opened:
            self._opened.popitem()[1].close()


def _candidates(folder: Path) -> list[Path]:
    paths: list[Path] = []
    for place, folders, names in os.walk(folder):
        parent = Path(place)
        zarrs = [name for name in folders if is_zarr(parent / name)]
        paths += [parent / name for name in zarrs]
        folders[:] = [name for name in folders if name not in zarrs and not name.startswith(".")]
        paths += [parent / name for name in names]
    dicom = [path for path in paths if path.suffix.lower() == ".dcm"]
    return sorted([*(path for path in paths if path.suffix.lower() != ".dcm"), *one_of_each_series(dicom)])
