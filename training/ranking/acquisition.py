"""What labelling a candidate is worth, given what is labelled already."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotation_store.records import Cell, Proposal
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from training.evaluation.uncertainty import ATTRIBUTE_WEIGHT, Groups, uncertainty

RARE_FROM = 0.2
"""A class or value is likely when a candidate has it with this probability."""

RARE_BONUS = 0.5
"""Bonus of a class without labels for a candidate that certainly has it."""

VALUE_BONUS = RARE_BONUS * ATTRIBUTE_WEIGHT
"""The same for a value of an attribute."""


@dataclass(frozen=True)
class Labels:
    """What the labels so far mean for the next.

    Attributes
    ----------
    rare
        Class to 0 (common) … 1 (not labelled yet).
    rare_values
        Attribute to the same of its values.
    """

    rare: Mapping[str, float] = field(default_factory=dict)
    rare_values: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: Schema, cells: Sequence[Cell]) -> Labels:
        """Count the labels of cells."""
        names = [*schema.class_names, *(group.name for group in schema.groups)]
        classes = rarity((cell.cell_class for cell in cells), {n: schema.members(n) for n in names})
        values = {
            one.name: rarity(
                (cell.attributes.get(one.name) for cell in cells), {v: (v,) for v in one.value_names}
            )
            for one in schema.attributes
        }
        return cls(classes, values)

    def stored(self) -> dict[str, Any]:
        """Return what `read` takes."""
        return {
            "rare": dict(self.rare),
            "rare_values": {name: dict(values) for name, values in self.rare_values.items()},
        }

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Labels:
        """Restore a stored value; ignore what cannot be read."""
        values = stored.get("rare_values")
        return cls(
            _numbers(stored.get("rare")),
            {str(k): _numbers(v) for k, v in values.items()} if isinstance(values, Mapping) else {},
        )


def _numbers(content: object) -> dict[str, float]:
    if not isinstance(content, Mapping):
        return {}
    return {str(k): float(v) for k, v in content.items() if isinstance(v, int | float)}


def acquisition_value(proposal: Proposal, labels: Labels, groups: Groups = ()) -> float:
    """Return the information of a candidate, with a bonus for each rare class and value that is likely."""
    bonus = RARE_BONUS * _expected(proposal.class_probabilities, labels.rare)
    bonus += VALUE_BONUS * math.fsum(
        _expected(values, labels.rare_values.get(name, {}))
        for name, values in proposal.attribute_probabilities.items()
    )
    return uncertainty(proposal, groups) + bonus


def _expected(probabilities: Mapping[str, float], rare: Mapping[str, float]) -> float:
    return math.fsum(
        p * rare[name] for name, p in probabilities.items() if p >= RARE_FROM and rare.get(name, 0.0) > 0
    )


def total(candidates: Iterable[Proposal], labels: Labels, groups: Groups = ()) -> float:
    """Sum up what candidates are worth."""
    return math.fsum(acquisition_value(one, labels, groups) for one in candidates)


def rarity(labels: Iterable[str | None], members: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return how rare each class or value is among labels: 0 = at least an equal share, 1 = never.

    Parameters
    ----------
    labels
        Classes and groups, or values; a group counts for its classes in equal parts. Missing and unsure do
        not count.
    members
        Every class or value to itself, every group to its classes.
    """
    classes = sorted({name for some in members.values() for name in some})
    counts = dict.fromkeys(classes, 0.0)
    for label in labels:
        some = members.get(label, ()) if label is not None and label != UNSURE else ()
        for name in some:
            counts[name] += 1 / len(some)
    sum_ = math.fsum(counts.values())
    if sum_ < len(classes) or not classes:
        return {}  # too few labels to call anything rare
    return {name: round(max(0.0, 1 - n * len(classes) / sum_), 6) for name, n in counts.items()}
