"""Split fields for training and validation, without separating related fields.

Neighbouring fields repeat cells, and the same cells come again through other microscopes, magnifications
and cameras: a split by field, or by domain, measures memory. So the *unit* of every split, and of every
interval, is the patient, across all domains; without a patient the slide; without a slide the field's file
name without its folders (the same field in two domains has the same file name).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Protocol

from annotation_store.errors import FormatError
from annotation_store.records import Field


class Splittable(Protocol):
    """What a unit is read from: a field of a project, or one that a file describes."""

    @property
    def name(self) -> str:
        """Return the name of the field, with its folders."""

    @property
    def patient(self) -> str | None:
        """Patient, if known."""

    @property
    def slide(self) -> str | None:
        """Slide, if known."""


def units(fields: Iterable[Splittable]) -> list[str]:
    """Return the unit of each field, in order: fields of one unit never lie on both sides of a split.

    Give all the fields there are: a field without a patient goes with the only patient of its slide.
    """
    fields = list(fields)
    patients: dict[str, set[str]] = {}
    for field in fields:
        if field.patient and field.slide:
            patients.setdefault(field.slide, set()).add(field.patient)
    return [_unit(field, patients) for field in fields]


def field_unit(name: str) -> str:
    """Return the unit of a field on its own, because neither patient nor slide is known."""
    return f"field {name}"


def stands_for_itself(unit: str) -> bool:
    """Return whether a unit is a slide or a field whose patient is not known."""
    return unit.startswith(("slide ", "field "))


def units_of_fields(fields: Iterable[Field]) -> dict[int, str]:
    """Return the id of each field with its unit; see `units`."""
    fields = list(fields)
    return dict(zip((field.id for field in fields), units(fields), strict=True))


def _unit(field: Splittable, patients: Mapping[str, set[str]]) -> str:
    if field.patient:
        return f"patient {field.patient}"
    owners = patients.get(field.slide or "", set())
    if len(owners) == 1:
        return f"patient {next(iter(owners))}"
    if field.slide:
        return f"slide {field.slide}"
    return field_unit(PurePosixPath(field.name.replace(chr(92), "/")).stem)


def split_fields(fields: Sequence[Field], fractions: Mapping[str, float], *, seed: int = 0) -> dict[int, str]:
    """Assign every field to a part, units kept whole, the same every time for one seed.

    Parameters
    ----------
    fractions
        Name of each part to its share of the fields; the shares add up to 1. A part with a share above 0
        gets a unit at least, as long as there are enough of them.
    seed
        Another seed, another split.

    Returns
    -------
    dict
        Id of each field to the name of its part.

    Raises
    ------
    FormatError
        A share is negative, or they do not add up to 1.
    """
    if any(not 0 <= share <= 1 for share in fractions.values()) or abs(sum(fractions.values()) - 1) > 1e-6:
        listed = ", ".join(f"{name} {share:g}" for name, share in fractions.items())
        raise FormatError(f"The shares of a split must lie between 0 and 1 and add up to 1, not {listed}.")
    by_unit: dict[str, list[Field]] = {}
    for field, unit in zip(fields, units(fields), strict=True):
        by_unit.setdefault(unit, []).append(field)
    order = sorted(
        by_unit, key=lambda key: hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "replace")).digest()
    )
    parts: dict[str, list[str]] = {name: [] for name, share in fractions.items() if share > 0}
    missing = {name: fractions[name] * len(fields) for name in parts}
    for key in order:
        # the part that lacks most of its share; the first of them where they lack the same
        part = max(missing, key=missing.__getitem__)
        parts[part].append(key)
        missing[part] -= len(by_unit[key])
    for empty in [name for name, keys in parts.items() if not keys]:
        richest = max(parts, key=lambda name: len(parts[name]))
        if len(parts[richest]) > 1:
            smallest = min(parts[richest], key=lambda key: len(by_unit[key]))
            parts[richest].remove(smallest)
            parts[empty].append(smallest)
    return {field.id: part for part, keys in parts.items() for key in keys for field in by_unit[key]}
