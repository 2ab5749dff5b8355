"""Names of images as files of annotations state them, and how well they fit files and fields.

Folders must agree from the image upwards, as far as both sides state them: ``P2/field1.png`` is never found
in ``P1/field1.png``, nor in a folder ``films/P1``. An absolute path or a web address begins at the root of an
unknown machine: its first folders may be others than here, its last ones may not, and one that says whose the
image is must agree.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from annotation_store.images import IMAGE_SUFFIXES
from annotation_store.records import Field

Key = Callable[[str], str]
"""What a project makes of a folder's name."""

IMAGE_FOLDERS = ("images", "Images", "JPEGImages", "image", "imgs", "img")
"""Folders that are named for their content, not for a patient."""
_SAY_NOTHING = frozenset(name.lower() for name in IMAGE_FOLDERS)
# folders that many patients have: a magnification, a share of a data set
_OF_MANY = re.compile(r"x?\d+x?|train\d*|val\d*|test\d*|default|raw|data", re.IGNORECASE)
_ROOT = re.compile(r"[a-z]:|/", re.IGNORECASE)


class Rank(IntEnum):
    """How well a file or field fits a name; the lowest fits best.

    *Loose* is but for capitals, Unicode composition and folders of another machine; *stem* without the
    suffix; *far* where the machines' folders part at the searched place; *alone* without the name's folders.
    """

    EXACT = 0
    NAME = 1
    LOOSE_NAME = 2
    STEM = 3
    LOOSE_STEM = 4
    FAR = 5
    ALONE = 6
    NOTHING = 7


class Candidate(NamedTuple):
    """A file or field: the folders that it states, below its place and of its place, and its name.

    Those of a field's place are known by `key` alone (`annotation_store._db.pseudonyms`).
    """

    inside: tuple[str, ...]
    outside: tuple[str, ...]
    name: str
    path: Path | None = None
    field: Field | None = None
    key: Key | None = None

    def __str__(self) -> str:
        return str(self.path) if self.field is None else f"the field {self.field.name}"


class StatedName(NamedTuple):
    """A name as a file of annotations states it: backslashes are slashes.

    An `absolute` one has lost its drive, scheme and host.
    """

    folders: tuple[str, ...]
    name: str
    absolute: bool = False

    @classmethod
    def parse(cls, text: str) -> StatedName | None:
        """Read a name; ``None`` for one that is empty or leads upwards."""
        plain = text.replace("\\", "/")
        scheme, is_address, rest = plain.partition("://")
        if is_address and scheme.isalnum():
            plain = "/" + unquote(re.split(r"[?#]", rest.partition("/")[2])[0])
        absolute = _ROOT.match(plain)
        plain = plain[absolute.end() :] if absolute else plain
        parts = tuple(part for part in plain.split("/") if part not in ("", "."))
        return None if not parts or ".." in parts else cls(parts[:-1], parts[-1], absolute is not None)

    def rank(self, candidate: Candidate) -> Rank:
        """Return how well a candidate of the same stem fits."""
        loose = tuple(map(folded, self.folders))
        if self.absolute:
            return self._rank_from_elsewhere(loose, candidate)
        inside, outside = (tuple(map(folded, f)) for f in (candidate.inside, candidate.outside))
        if not _agree(loose, inside, outside, candidate.key):
            return Rank.NOTHING
        strict = _agree(self.folders, candidate.inside, candidate.outside, candidate.key)
        if strict and self.name == candidate.name:
            return Rank.NAME
        if folded(self.name) == folded(candidate.name):
            return Rank.LOOSE_NAME
        return Rank.STEM if strict and stem_of(self.name) == stem_of(candidate.name) else Rank.LOOSE_STEM

    def may_lie_flat(self, candidate: Candidate) -> bool:
        """Return whether a candidate lies in no folder that contradicts the name's."""
        above = set(map(folded, candidate.outside))
        others = {folded(folder) for folder in self.folders} - above
        return not candidate.inside and set(map(_unnumbered, others)).isdisjoint(map(_unnumbered, above))

    def _rank_from_elsewhere(self, loose: tuple[str, ...], candidate: Candidate) -> Rank:
        inside, outside = (tuple(map(folded, f)) for f in (candidate.inside, candidate.outside))
        if candidate.key is None:
            near = _agree_from_elsewhere(loose, inside, outside, None)
        else:
            near = _agree_from_elsewhere(self.folders, candidate.inside, candidate.outside, candidate.key)
        if near == Rank.NAME:
            return Rank.LOOSE_NAME if folded(self.name) == folded(candidate.name) else Rank.LOOSE_STEM
        return near if folded(self.name) == folded(candidate.name) else Rank.NOTHING


def comparable(name: str) -> str:
    """Return a form of a name that is equal for names that differ in slashes, capitals or composition."""
    return folded(name.replace("\\", "/"))


def states_folders(name: str) -> bool:
    """Return whether a name has folders that tell images apart, so not just ``images``."""
    parsed = StatedName.parse(name)
    return parsed is not None and any(folder.lower() not in _SAY_NOTHING for folder in parsed.folders)


class _Step(NamedTuple):
    """A folder of a name beside one of a candidate: whether they agree, whether it is below the place."""

    stated: str
    there: str
    agrees: bool
    below: bool


def _upwards(
    stated: Sequence[str], below: list[str], outside: Sequence[str], key: Key | None
) -> Iterator[_Step]:
    """Compare a name's folders with a candidate's, upwards, to the first that differ.

    A folder *images* of the candidate may go unnamed; one that is named may be called otherwise, if it is the
    place itself (which the user chose). With a `key`, `outside` holds what it makes of folders. What is left
    of `below` was not reached.
    """
    left, above = list(stated), list(outside)
    while left and (parts := below or above):
        part = left[-1] if below or key is None else key(left[-1])
        if part == parts[-1]:
            yield _Step(left[-1], parts[-1], True, bool(below))
            left.pop()
            parts.pop()
        elif parts[-1].lower() in _SAY_NOTHING:
            parts.pop()
        elif not below and left[-1].lower() in _SAY_NOTHING:
            left.pop()
        else:
            yield _Step(left[-1], parts[-1], False, bool(below))
            return


def _agree(
    stated: Sequence[str], inside: Sequence[str], outside: Sequence[str], key: Key | None = None
) -> bool:
    """Return whether the folders of a name and those of a candidate agree, upwards, as far as both go."""
    return all(step.agrees for step in _upwards(stated, list(inside), outside, key))


def _agree_from_elsewhere(
    stated: Sequence[str], inside: Sequence[str], outside: Sequence[str], key: Key | None
) -> Rank:
    """Return how well the folders of an absolute name agree with those of a candidate, upwards.

    Those below the place must all agree. Above it the two part where the machines differ: then a folder that
    tells images apart must have agreed, and the two folders may not be numbered alike (``P1``, ``P2``).

    Returns
    -------
    Rank
        `Rank.NAME`; `Rank.FAR` where they part at the place itself; `Rank.NOTHING`.
    """
    below = list(inside)
    agreed, near = 0, Rank.FAR
    for step in _upwards(stated, below, outside, key):
        if not step.agrees:
            alike = step.below or _unnumbered(step.stated) == _unnumbered(step.there)
            return Rank.NOTHING if alike or not agreed else near
        if step.stated.lower() not in _SAY_NOTHING and not _OF_MANY.fullmatch(step.stated):
            agreed += 1
            near = near if step.below else Rank.NAME
    return Rank.NAME if agreed and not below else Rank.NOTHING


def _unnumbered(folder: str) -> str:
    """Replace the numbers in a folder's name, so that ``P1`` and ``P2`` are one."""
    return re.sub(r"\d+", "0", folder)


@lru_cache(maxsize=65_536)
def folded(text: str) -> str:
    """Return a form of a text that is equal for texts that differ in capitals or composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def stem_of(name: str) -> str:
    """Remove the suffix of an image; what follows another dot belongs to the name."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and f"{dot}{suffix}".lower() in IMAGE_SUFFIXES else name
