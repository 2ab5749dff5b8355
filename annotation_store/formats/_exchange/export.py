"""Shared by all writers: the contents of a project, names, images, and folders made in one step."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from annotation_store._collections.fields import covers
from annotation_store.copies.naming import Numbers, numbers_of
from annotation_store.errors import FormatError, ImageError, OutputError
from annotation_store.files.disk import why_not_written
from annotation_store.files.outputs import place_beside
from annotation_store.formats._exchange.document import Skipped
from annotation_store.formats._exchange.originals import plain_suffix
from annotation_store.formats._io.file_names import Names
from annotation_store.images import IMAGE_SUFFIXES
from annotation_store.records import Box, Cell, Field, IgnoreArea, Region, Shape, Suggestion
from annotation_store.schema import Schema

if TYPE_CHECKING:
    from annotation_store.project import Project

What = Literal["cells", "suggestions"]
Progress = Callable[[int, int], None]
_T = TypeVar("_T", Region, IgnoreArea, Cell, Suggestion)

# what Windows refuses in a file name, control characters, and marks that turn text around
_UNUSABLE = re.compile(r"[\x00-\x1f\x7f-\x9f<>:\"/\\|?*\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
_RESERVED = re.compile(r"^(con|prn|aux|nul|conin\$|conout\$|com[\d¹²³]|lpt[\d¹²³]) *$", re.IGNORECASE)


def with_progress(fields: Iterable[Field], progress: Progress | None) -> Iterator[Field]:
    """Iterate over the fields to write, and report progress: (done, of all)."""
    fields = list(fields)
    for done, field in enumerate(fields):
        if progress is not None:
            progress(done, len(fields))
        yield field
    if progress is not None:
        progress(len(fields), len(fields))


def reading_all(project: Project, progress: Progress | None) -> AbstractContextManager[None]:
    """Report no field done again and again while much is read: `progress` may raise, to stop it."""
    total = project.fields.count()
    return project.edit_writer.session.checking(lambda: progress(0, total) if progress is not None else None)


@dataclass(frozen=True, slots=True)
class SlidePicture(Field):
    """A part of a whole slide that is written as a field; see `pictures`.

    Attributes
    ----------
    slide_id
        The slide's id.
    box
        x, y, width, height on it, in whole pixels.
    """

    slide_id: int = 0
    box: Box = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class ExportOrder:
    """The order and numbers of what is exported: the same in whatever order copies came together."""

    numbers: Numbers | None

    @classmethod
    def of_project(cls, project: Project) -> ExportOrder:
        """Return the order of a project; it changes nothing if nothing came from another copy."""
        return cls(numbers_of(project))

    def fields(self, fields: Sequence[Field]) -> list[Field]:
        """Put fields into order; they keep their ids, by which their pixels are found."""
        if self.numbers is None:
            return list(fields)
        numbers = self.numbers["field"]
        return sorted(fields, key=lambda field: numbers[field.id])

    def marks(self, kind: str, marks: Iterable[_T]) -> list[_T]:
        """Put what lies on fields into order, and number it."""
        if self.numbers is None:
            return list(marks)
        numbers = self.numbers[kind]
        renumbered = [replace(mark, id=numbers[mark.id]) for mark in marks]
        # suggestions: those whose statement is most probable first
        return sorted(renumbered, key=lambda mark: (-getattr(mark, "probability", 0.0), mark.id))

    def ids(self, kind: str) -> list[int] | None:
        """Return the ids of all rows of a kind in order; ``None`` = as they are numbered here."""
        if self.numbers is None:
            return None
        numbers = self.numbers[kind]
        return sorted(numbers, key=numbers.__getitem__)


@dataclass(frozen=True, slots=True)
class Contents:
    """The current reading of a project, by field: finished regions only, suggestions that wait.

    Attributes
    ----------
    numbers
        What fields are numbered in files, where that is not their id: see `copies.naming`. Whatever lies on
        them has its number for an id already.
    progress
        Called while all is read, and after each field; an exception raised in it ends the export.
    """

    schema: Schema
    fields: Sequence[Field]
    regions: Mapping[int, Sequence[Region]]
    ignore_areas: Mapping[int, Sequence[IgnoreArea]]
    cells: Mapping[int, Sequence[Cell]]
    suggestions: Mapping[int, Sequence[Suggestion]]
    progress: Progress | None = None
    numbers: Mapping[int, int] = dataclass_field(default_factory=dict)

    @classmethod
    def of_project(cls, project: Project, what: What, progress: Progress | None = None) -> Contents:
        """Read the contents of a project, with one statement per kind."""
        order = ExportOrder.of_project(project)
        with reading_all(project, progress):
            finished = [r for r in project.regions.all() if r.finished]
            return cls(
                project.schema,
                order.fields(project.fields.all()),
                _by_field(order.marks("region", finished)),
                _by_field(order.marks("ignore_area", project.ignore_areas.all())),
                _by_field(order.marks("cell", project.cells.all()) if what == "cells" else ()),
                _by_field(
                    order.marks("suggestion", project.suggestions.find()) if what == "suggestions" else ()
                ),
                progress,
                order.numbers["field"] if order.numbers else {},
            )

    def number(self, field: Field) -> int:
        """Return the number of a field in files."""
        return self.numbers.get(field.id, field.id)

    def annotated(self) -> list[Field]:
        """List the fields with any annotation: a finished region, an ignore area, a cell, a suggestion."""
        parts = [self.regions, self.ignore_areas, self.cells, self.suggestions]
        return [field for field in self.fields if any(field.id in kind for kind in parts)]

    def covered(self, field: Field) -> bool:
        """Return whether finished regions (with the ignore areas) leave nothing of a field unknown."""
        shapes = self.shapes(field)
        if not shapes:
            return False
        return covers(field, [*shapes, *(area.shape for area in self.ignore_areas.get(field.id, ()))])

    def shapes(self, field: Field) -> list[Shape]:
        """List the finished regions of a field."""
        return [region.shape for region in self.regions.get(field.id, ())]

    def count(self, fields: Iterable[Field]) -> dict[str, int]:
        """Count what an export of some fields holds."""
        ids = [field.id for field in fields]
        return {
            "fields": len(ids),
            "cells": sum(len(self.cells.get(i, ())) for i in ids),
            "regions": sum(len(self.regions.get(i, ())) for i in ids),
            "suggestions": sum(len(self.suggestions.get(i, ())) for i in ids),
        }


def _by_field(records: Iterable[_T]) -> dict[int, list[_T]]:
    by_field: dict[int, list[_T]] = {}
    for record in records:
        by_field.setdefault(record.field_id, []).append(record)
    return by_field


def refuse_nothing(fields: Sequence[Field], skipped: Skipped) -> None:
    """Reject an export that would be an empty folder.

    Raises
    ------
    FormatError
        There is no field to write; the text gives the first reason.
    """
    if not fields:
        reasons = skipped.sentences()
        raise FormatError(f"There is nothing to export. {reasons[0] if reasons else 'The project is empty.'}")


# -- names ---------------------------------------------------------------------------------------


def usable(name: str) -> str:
    """Make a name usable as one part of a path on every system."""
    name = _UNUSABLE.sub("_", name).strip().rstrip(".")
    name = f"_{name}" if name.startswith(".") or _RESERVED.match(name.partition(".")[0]) else name
    # 255 bytes is what file systems take; a suffix and a number may follow
    return name.encode("utf-8", "replace")[:200].decode("utf-8", "ignore") or "_"


def file_names(
    fields: Iterable[Field], names: Names, suffixes: Mapping[int, str] | None = None
) -> dict[int, str]:
    """Choose a file name for each field's image, flat and without duplicates, ignoring case.

    The stems differ too: annotations often stand in a file of the same stem.
    """
    file_names: dict[int, str] = {}
    used: set[str] = set()
    for field in fields:
        name = Path(usable(names.file(field.name)))
        suffix = (suffixes or {}).get(field.id, name.suffix.lower())
        is_image = name.suffix.lower() in IMAGE_SUFFIXES
        stem = base = name.stem if is_image else name.name
        number = 2
        while stem.lower() in used:
            stem = f"{base}_{number}"
            number += 1
        used.add(stem.lower())
        file_names[field.id] = stem + suffix
    return file_names


# -- images --------------------------------------------------------------------------------------


def fields_with_pictures(
    contents: Contents, what: What, skipped: Skipped, *, covered: bool
) -> tuple[list[Field], int]:
    """Choose the fields of a data set of pictures, and report those that are left out.

    Parameters
    ----------
    covered
        Whether fields with unknown area are left out.

    Returns
    -------
    tuple
        The fields, and how many of them have unknown area, which a program may take for background.
    """
    annotated = contents.annotated()
    if what == "suggestions":
        return [field for field in annotated if field.id in contents.suggestions], 0
    for _ in range(len(contents.fields) - len(annotated)):
        skipped.count("{n} fields have no region and no cell: left out.")
    whole = [field for field in annotated if contents.covered(field)]
    partly = len(annotated) - len(whole)
    if not covered:
        return annotated, partly
    for _ in range(partly):
        skipped.count("{n} fields have unknown area: left out, as asked.")
    return whole, 0


def image_suffixes(project: Project, fields: Iterable[Field], *, anonymise: bool) -> dict[int, str]:
    """Return the suffix that the image of each field will have in an export."""
    return {field.id: _original(project, field, anonymise=anonymise)[1] for field in fields}


def put_image(project: Project, field: Field, target: Path, *, anonymise: bool) -> None:
    """Write a field's image: its original bytes, or its pixels as PNG and nothing else.

    The bytes are handed on where every program reads them as the project shows them; see `originals`.
    """
    original, _ = _original(project, field, anonymise=anonymise)
    if isinstance(field, SlidePicture):
        target.write_bytes(png(project.pixels.read_area(field.slide_id, field.box)))
    elif original is None:
        target.write_bytes(png(project.pixels.read(field.id)))
    else:
        shutil.copyfile(original, target)


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode pixels as PNG without any metadata."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _original(project: Project, field: Field, *, anonymise: bool) -> tuple[Path | None, str]:
    """Find the bytes to hand on, if any, and the suffix of what is written."""
    if not (anonymise or isinstance(field, SlidePicture)):
        with suppress(ImageError):  # one that is missing or altered is not handed on, the pixels are
            path = project.pixels.original(field.id)
            if (suffix := plain_suffix(path, (field.width, field.height))) is not None:
                return path, suffix
    return None, ".png"


# -- folders -------------------------------------------------------------------------------------


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Yield a hidden folder to fill; rename it when all is written, else remove it.

    Raises
    ------
    OutputError
        `out` is a file or a folder that is not empty, or cannot be written.
    """
    try:
        refuse_full(out)
        with place_beside(out) as hidden:
            filled = hidden / "export"
            filled.mkdir()
            yield filled
            if out.is_dir():
                out.rmdir()
            filled.replace(out)
    except OSError as error:
        raise OutputError(why_not_written(f"The folder {out}", error)) from error


def refuse_full(out: Path) -> None:
    """Reject a target folder that holds something, or is a file."""
    if out.is_dir():
        if any(out.iterdir()):
            raise OutputError(f"The folder {out} is not empty: name a new folder to export to.")
    elif out.exists():
        raise OutputError(f"{out} is a file: name a new folder to export to.")
