"""File names from untrusted files, and the names that an export gives."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from annotation_store._db.pseudonyms import domain_pseudonym, pseudonym
from annotation_store.errors import FormatError

if TYPE_CHECKING:
    from annotation_store.project import Project
    from annotation_store.records import Field


def safe_name(name: object, source: str, *, foreign: bool = False) -> str:
    """Check a file name that a file of annotations gives: it must stay inside the images' folder.

    Parameters
    ----------
    foreign
        Take an absolute path too, as other programs write it: it is one of an unknown machine, is compared
        with what is here, and never opened. See `_exchange/images.py`.

    Raises
    ------
    FormatError
        It is not text, empty, absolute (unless `foreign`), or climbs out with ``..``.
    """
    if not isinstance(name, str) or not name.strip():
        raise FormatError(f"An image in {source} has no file name: correct the file.")
    climbs = ".." in name.replace("\\", "/").split("/")
    if climbs or "\x00" in name or (is_absolute(name) and not foreign):
        raise FormatError(
            f"The file name {name[:100]!r} in {source} points outside the folder of the images: "
            "use names inside that folder."
        )
    return name


def is_absolute(name: str) -> bool:
    """Return whether a file name is a path from the root or a drive, on any system."""
    return name.startswith(("/", "\\")) or name[1:2] == ":"


class Names(NamedTuple):
    """How fields, patients and slides are named in an export.

    Attributes
    ----------
    given
        Gets the names of patients, slides and files that are given as they are.
    """

    secret: str | None = None
    given: set[str] | None = None

    @classmethod
    def of_project(cls, project: Project, *, anonymise: bool, given: set[str] | None = None) -> Names:
        """Return the project's own names, or keyed hashes in their place; the key stays in the project."""
        if not anonymise:
            return cls(None, given)
        return cls(project.pseudonyms.key)

    @property
    def anonymous(self) -> bool:
        """Whether names are replaced by hashes."""
        return self.secret is not None

    def file(self, name: str) -> str:
        """Return a file's name, or its pseudonym."""
        if self.secret is None:
            self._note(name)
            return name
        suffix = Path(name).suffix.lower()
        return pseudonym(self.secret, name) + (suffix if suffix.isascii() and len(suffix) <= 5 else "")

    def person(self, name: str | None) -> str | None:
        """Return a patient or slide, or its pseudonym."""
        if name is None or self.secret is None:
            self._note(name)
            return name
        return pseudonym(self.secret, name)

    def domain(self, name: str | None) -> str | None:
        """Return a domain, or its pseudonym: it is often the name of a folder."""
        return name if name is None or self.secret is None else domain_pseudonym(self.secret, name)

    def _note(self, name: str | None) -> None:
        if self.given is not None and name is not None:
            self.given.add(name)


def patients_named(fields: Iterable[Field], given: Collection[str]) -> int:
    """Count the patients whom an export names: by their name, or in the name of a file.

    Parameters
    ----------
    given
        See `Names`.
    """
    named = set()
    for field in fields:
        if (patient := field.patient) and patient not in named:
            # an underscore ends a name too: Miller in Miller_07
            part = rf"(?<![^\W_]){re.escape(patient)}(?![^\W_])"
            if patient in given or (field.name in given and re.search(part, field.name)):
                named.add(patient)
    return len(named)
