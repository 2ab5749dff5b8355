"""Filter and order of the field list; no Qt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from annotation_store.records import Field, FieldState, FieldSummary
from napari_lld.i18n.translate import later

QUALITIES = (later("good"), later("thick"), later("blurred"), later("badly stained"))
"""What may be said of a field as a whole."""
_NUMBER = re.compile(r"\d+")
_DIGITS = 20
"""Up to so many digits of a name are sorted as a number."""
NO_PATIENT = ""
"""Stands for the fields of which no patient is known."""


class Standing(StrEnum):
    """Where the work on a field stands, in the words of the list."""

    UNTOUCHED = later("untouched")
    BEGUN = later("annotated in part")
    WAITING = later("suggestions pending")
    REVIEWED = later("reviewed")
    SKIPPED = later("skipped")


class FieldOrder(StrEnum):
    """How the list is sorted."""

    ADDED = later("as added")
    NAME = later("by name")
    WAITING = later("most suggestions first")
    RANK = later("most to learn first")


def standing(summary: FieldSummary) -> Standing:
    """Return where the work on a field stands."""
    if summary.field.skipped:
        return Standing.SKIPPED
    if summary.pending_suggestions:
        return Standing.WAITING
    if summary.state is FieldState.REVIEWED:
        return Standing.REVIEWED
    return Standing.UNTOUCHED if summary.state is FieldState.UNTOUCHED else Standing.BEGUN


@dataclass(frozen=True)
class FieldFilter:
    """What a field must be like to stand in the list; empty means any.

    Attributes
    ----------
    patient
        A patient, `NO_PATIENT`, or ``None`` for all.
    classes
        Classes and groups of which it holds a cell.
    text
        Words that all occur in its name, patient, slide, quality or comment.
    """

    standings: frozenset[Standing] = frozenset()
    patient: str | None = None
    quality: str | None = None
    text: str = ""
    classes: frozenset[str] = frozenset()

    def lets_through(self, summary: FieldSummary, texts: FieldTexts) -> bool:
        """Return whether a field passes the filter."""
        field = summary.field
        if self.standings and standing(summary) not in self.standings:
            return False
        if self.patient is not None and (field.patient or NO_PATIENT) != self.patient:
            return False
        if self.quality is not None and field.quality != self.quality:
            return False
        if self.classes and not self.classes & summary.classes:
            return False
        if not self.text:
            return True
        text = texts.get(field)
        return all(word in text for word in self.text.casefold().split())


class FieldTexts:
    """What is searched for words, kept by field: of a hundred thousand it takes long to make."""

    def __init__(self) -> None:
        self._fields: dict[int, Field] = {}
        self._texts: dict[int, str] = {}

    def get(self, field: Field) -> str:
        """Return name, patient, slide, quality and comment of a field, for comparing without case."""
        if self._fields.get(field.id) is not field:
            parts = (field.name, field.patient, field.slide, field.quality, field.note)
            self._fields[field.id] = field
            self._texts[field.id] = " ".join(filter(None, parts)).casefold()
        return self._texts[field.id]


def find_fields(summaries: Iterable[FieldSummary], text: str, texts: FieldTexts) -> list[Field]:
    """Find the fields that match a number or words of a name, the best first.

    A number is a field's own; what is written in full comes before what begins so, and that before what
    holds all the words in name, patient or slide.
    """
    query = text.strip().casefold()
    words = query.split()
    matches: list[tuple[int, str, Field]] = []
    for summary in summaries:
        field = summary.field
        if query != str(field.id) and not all(word in texts.get(field) for word in words):
            continue
        name = field.name.casefold()
        everywhere = " ".join(filter(None, (name, field.patient, field.slide))).casefold()
        ranks = (
            query in (str(field.id), name),
            name.startswith(query),
            all(w in everywhere for w in words),
        )
        if any(ranks):
            matches.append((ranks.index(True), _natural(field.name), field))
    matches.sort(key=lambda match: match[:2])
    return [field for _rank, _name, field in matches]


NO_FILTER = FieldFilter()


def arrange(
    summaries: Iterable[FieldSummary],
    passing: FieldFilter,
    order: FieldOrder,
    texts: FieldTexts,
    ranks: Mapping[int, int] | None = None,
) -> list[int]:
    """Return the ids of the fields that pass, in order; equal ones stay as they were added.

    Parameters
    ----------
    ranks
        Field id to its place among all; fields without one come last.
    """
    passed = [summary for summary in summaries if passing.lets_through(summary, texts)]
    if order is FieldOrder.NAME:
        passed.sort(key=lambda s: _natural(s.field.name))
    elif order is FieldOrder.WAITING:
        passed.sort(key=lambda s: -s.pending_suggestions)
    elif order is FieldOrder.RANK and ranks:
        passed.sort(key=lambda s: ranks.get(s.field.id, len(ranks)))
    return [summary.field.id for summary in passed]


def _natural(name: str) -> str:
    """Sort ``field_2`` before ``field_10``: each number is filled up with zeros.

    One string a name, not a list of parts: the garbage collector would go through a hundred thousand lists.
    """
    return _NUMBER.sub(lambda found: found[0].zfill(_DIGITS), name.casefold())
