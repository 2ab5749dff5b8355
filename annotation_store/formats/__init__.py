"""Annotations in and out: one module a format, behind one registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from annotation_store.errors import FormatError
from annotation_store.formats import coco
from annotation_store.records import ExportReport, ImportReport

if TYPE_CHECKING:
    from annotation_store.project import Project

__all__ = ["FORMATS", "Format", "coco", "names", "read", "write"]

RegionsMode = Literal["file", "none", "full"]


class Reader(Protocol):
    """Brings a file's annotations into a project."""

    def __call__(
        self,
        project: Project,
        path: Path,
        *,
        images: Path | None,
        regions: RegionsMode,
        patient_from: str | None,
        progress: Callable[[int, int], None] | None,
    ) -> ImportReport: ...


class Writer(Protocol):
    """Writes a project's annotations to a file."""

    def __call__(
        self, project: Project, out: Path, *, what: Literal["cells", "suggestions"], anonymise: bool
    ) -> ExportReport: ...


@dataclass(frozen=True, slots=True)
class Format:
    """A format of annotations; `read` or `write` is ``None`` where it goes one way only."""

    name: str
    title: str
    read: Reader | None
    write: Writer | None


FORMATS: Mapping[str, Format] = MappingProxyType(
    {"coco": Format("coco", "COCO JSON, with regions and attributes", coco.read, coco.write)}
)
"""Every format by name; a new one is a module here and a line in this table."""


def names(*, reading: bool = False, writing: bool = False) -> list[str]:
    """Name the formats, or those that can be read or written."""
    return [
        f.name
        for f in FORMATS.values()
        if not ((reading and f.read is None) or (writing and f.write is None))
    ]


def read(
    name: str,
    project: Project,
    path: str | Path,
    images: str | Path | None = None,
    regions: str = "file",
    patient_from: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportReport:
    """Merge a file's annotations into the current reading of a project; nothing is overwritten.

    Parameters
    ----------
    name
        The format (see `names`).
    images
        The folder of the images; looked for beside the file, and in ``images/`` there, where not given.
    regions
        ``"file"``: the regions that the file states (COCO without any states that the whole field is
        annotated); ``"none"``: no regions; ``"full"``: every field is annotated as a whole.
    patient_from
        As in `Project.add_fields`.
    progress
        Called with (images done, images in all).

    Raises
    ------
    FormatError
        The file cannot be read, or nothing in it can be used. Nothing was imported.
    """
    if regions not in ("file", "none", "full"):
        raise FormatError(f"Regions cannot be {regions!r}: give file, none or full.")
    reader = _format(name).read
    if reader is None:
        raise FormatError(f"The format {name} can only be written.")
    mode: Any = regions
    return reader(
        project,
        Path(path),
        images=None if images is None else Path(images),
        regions=mode,
        patient_from=patient_from,
        progress=progress,
    )


def write(
    name: str, project: Project, path: str | Path, what: str = "cells", anonymise: bool = False
) -> ExportReport:
    """Write the current reading's cells, or the pending suggestions, to a file, in one step.

    Parameters
    ----------
    what
        ``"cells"`` or ``"suggestions"``.
    anonymise
        Replace patient, slide and file names by keyed hashes (the key stays in the project), and leave
        comments out.
    """
    if what not in ("cells", "suggestions"):
        raise FormatError(f"{what!r} cannot be exported: give cells or suggestions.")
    writer = _format(name).write
    if writer is None:
        raise FormatError(f"The format {name} can only be read.")
    choice: Any = what
    return writer(project, Path(path), what=choice, anonymise=anonymise)


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise FormatError(f"There is no format {name!r}: choose one of {', '.join(FORMATS)}.")
    return FORMATS[name]
