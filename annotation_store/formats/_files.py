"""File names from strangers, and the names that an export gives."""

from __future__ import annotations

import hmac
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa

from annotation_store._db.tables import project as project_table
from annotation_store.errors import FormatError

if TYPE_CHECKING:
    from annotation_store.project import Project


def safe_name(name: object, source: str) -> str:
    """Check a file name that a file of annotations gives: it must stay inside the images' folder.

    Raises
    ------
    FormatError
        It is no text, empty, absolute, or climbs out with ``..``.
    """
    if not isinstance(name, str) or not name.strip():
        raise FormatError(f"An image in {source} has no file name: correct the file.")
    parts = name.replace("\\", "/").split("/")
    drive = parts[0][1:2] == ":"
    if ".." in parts or parts[0] == "" or drive or "\x00" in name:
        raise FormatError(
            f"The file name {name[:100]!r} in {source} leads out of the images' folder: "
            "give names inside that folder."
        )
    return name


def pseudonym(secret: str, text: str) -> str:
    """Give the keyed hash that stands for a name in anonymised exports: the same name, the same hash."""
    return hmac.new(bytes.fromhex(secret), text.encode("utf-8", "replace"), "sha256").hexdigest()[:16]


class Names(NamedTuple):
    """How fields, patients and slides are named in an export."""

    secret: str | None = None

    @classmethod
    def of_project(cls, project: Project, *, anonymise: bool) -> Names:
        """Give the project's own names, or keyed hashes in their place; the key stays in the project."""
        if not anonymise:
            return cls()
        return cls(str(project._rows(sa.select(project_table.c.secret))[0].secret))

    @property
    def anonymous(self) -> bool:
        """Whether hashes stand for the names."""
        return self.secret is not None

    def of(self, name: str) -> str:
        """Give a file's name, or what stands for it."""
        if self.secret is None:
            return name
        suffix = Path(name).suffix.lower()
        return pseudonym(self.secret, name) + (suffix if suffix.isascii() and len(suffix) <= 5 else "")

    def person(self, name: str | None) -> str | None:
        """Give a patient or slide, or what stands for it."""
        return name if name is None or self.secret is None else pseudonym(self.secret, name)
