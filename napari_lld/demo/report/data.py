"""Data of a report: plain records, filled by the caller who ran the rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Tally:
    """Metrics of one class or value: `n` true cells with it; ``None`` if nothing can be counted."""

    n: int
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True, slots=True)
class AttributeScores:
    """One attribute over the found cells in which the truth knows it."""

    n: int
    macro_f1: float | None
    values: Mapping[str, Tally]


@dataclass(frozen=True, slots=True)
class Scores:
    """What a model scored on some fields.

    Attributes
    ----------
    fields, cells, classed
        Number of fields, true cells, and true cells with a class.
    ap50
        Average precision at IoU 0.5 of "white cell or not", class-free.
    map50
        Mean over the classes of the average precision at IoU 0.5.
    attribute_macro_f1
        Mean over the attributes of their macro-F1.
    """

    fields: int
    cells: int
    classed: int
    ap50: float | None
    map50: float | None
    class_macro_f1: float | None
    classes: Mapping[str, Tally]
    attributes: Mapping[str, AttributeScores]
    attribute_macro_f1: float | None


@dataclass(frozen=True, slots=True)
class Effort:
    """What became of suggestions that were looked at."""

    accepted: int = 0
    corrected: int = 0
    not_a_cell: int = 0
    duplicate: int = 0
    bad_box: int = 0

    @property
    def total(self) -> int:
        """How many were looked at."""
        return self.accepted + self.rejected + self.corrected

    @property
    def rejected(self) -> int:
        """How many were rejected, for whatever reason."""
        return self.not_a_cell + self.duplicate + self.bad_box

    @property
    def unchanged(self) -> float | None:
        """The share accepted as they stood."""
        return self.accepted / self.total if self.total else None


@dataclass(frozen=True, slots=True)
class Round:
    """One round: a model, what it suggested and scored, and what the review made of it.

    Attributes
    ----------
    cells
        Annotated cells that the round's model had to learn from (all there were, for the starter).
    suggestions
        Suggestions it put on the project.
    everywhere, unseen
        Scores outside the regions on all fields, and on the fields never reviewed.
    reviewed
        What the review did, written to the project; ``None`` if the round ends without one.
    judged
        The same rule applied to the fields never reviewed, and not written.
    """

    number: int
    model: str
    cells: int
    suggestions: int
    everywhere: Scores
    unseen: Scores
    reviewed: Effort | None
    judged: Effort


@dataclass(frozen=True, slots=True)
class FieldPage:
    """One field, drawn before and after."""

    name: str
    composed: bool
    reviewed: bool
    before: bytes
    after: bytes
    size: tuple[int, int]
    annotated: int
    added: int
    waiting: int
    missed: int


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report shows."""

    title: str
    made: str
    version: str
    seconds: float
    schema: str
    rounds: Sequence[Round]
    fields: Sequence[FieldPage]
    class_titles: Mapping[str, str]
    attribute_titles: Mapping[str, str]
    value_titles: Mapping[tuple[str, str], str]
    reviewer: str
    card: Mapping[str, Any] = field(default_factory=dict)
    licences: str = ""
    remarks: Sequence[str] = ()
