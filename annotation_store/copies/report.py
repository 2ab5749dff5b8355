"""Reports of merging projects, or of its dry run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference of two copies; it stays in `Project.conflicts` until a person decides.

    Attributes
    ----------
    what
        ``"cell"``, ``"region"`` or ``"field"``.
    reader
        Who said what stands in `there`.
    """

    field: str
    what: str
    reader: str
    here: Mapping[str, Any]
    there: Mapping[str, Any]


@dataclass(slots=True)
class Brought:
    """What came in from one project."""

    source: Path
    fields: int = 0
    readings: list[str] = field(default_factory=list)
    cells: int = 0
    regions: int = 0
    edits: int = 0
    models: int = 0
    words: list[str] = field(default_factory=list)  # that the schema did not have
    other: int = 0  # times at work, random samples, suggestions that somebody settled
    differences: list[Difference] = field(default_factory=list)

    @property
    def nothing(self) -> bool:
        """Whether nothing changes here."""
        return not (
            self.fields or self.edits or self.cells or self.regions or self.models or self.words or self.other
            or self.differences or self.readings
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What `merge` did, by project; `backup` is the database from before, ``None`` if nothing changed."""

    brought: list[Brought]
    backup: Path | None
    conflicts: int  # open ones, in all readings
