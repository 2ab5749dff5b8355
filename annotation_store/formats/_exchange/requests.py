"""Requests to a format: to read a file, or to write one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from annotation_store.formats._exchange.export import (
    Contents,
    Progress,
    What,
    file_names,
    image_suffixes,
    put_image,
)
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._io.file_names import Names
from annotation_store.records import Field

if TYPE_CHECKING:
    from annotation_store.project import Project


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """A request to read a file; see `annotation_store.formats.read`.

    Attributes
    ----------
    project
        Whose schema has the words, and whose fields may be those of the file.
    images
        The folder of the images; ``None`` to look for them beside the file.
    patient_from
        How the caller says that a name tells the patient; ``None`` if it does not say.
    options
        Those of `Format.read_options` that were given.
    """

    project: Project
    path: Path
    images: Path | None
    patient_from: str | None
    options: Mapping[str, str]

    def finder(self, root: Path | None = None) -> Images:
        """Return a finder of images: in the given folder, or beside the file or in `root`."""
        return Images.for_file(self.path if root is None else root, self.images, self.project)


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """A request to write a file; see `annotation_store.formats.write`.

    Attributes
    ----------
    out
        A file or folder; nothing is in its way.
    options
        Those of `Format.write_options` that were given.
    named
        Gets the names of patients, slides and files that are written as they are.
    """

    project: Project
    out: Path
    what: What
    anonymise: bool
    progress: Progress | None
    options: Mapping[str, str]
    named: set[str] = field(default_factory=set)

    def contents(self) -> Contents:
        """Read what is to be written, as of one moment."""
        return Contents.of_project(self.project, self.what, self.progress)

    def names(self) -> Names:
        """Return how fields, patients, slides and domains are named."""
        return Names.of_project(self.project, anonymise=self.anonymise, given=self.named)

    def image_names(self, fields: Iterable[Field]) -> dict[int, str]:
        """Return the file names of the images of fields, which differ from each other on every system."""
        fields = list(fields)
        suffixes = image_suffixes(self.project, fields, anonymise=self.anonymise)
        return file_names(fields, self.names(), suffixes)

    def put_image(self, field: Field, place: Path) -> None:
        """Write the image of a field; without metadata if names are to be hidden."""
        put_image(self.project, field, place, anonymise=self.anonymise)
