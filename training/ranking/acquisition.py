"""Acquisition value of a candidate for labelling, given the labels so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotation_store.records import Cell, Proposal
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from training.evaluation.uncertainty import ATTRIBUTE_WEIGHT, Groups, uncertainty

LIKELY_FROM = 0.2
"""Minimum probability of a class or value to be likely for a candidate."""

RARE_BONUS = 0.5
"""Bonus of a candidate that certainly has a class without labels."""

VALUE_BONUS = RARE_BONUS * ATTRIBUTE_WEIGHT
"""The same for a value of an attribute."""


@dataclass(frozen=True)
class Labels:
    """Rarity of classes and values among the labels so far.

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
            attribute.name: rarity(
                (cell.attributes.get(attribute.name) for cell in cells),
                {v: (v,) for v in attribute.value_names},
            )
            for attribute in schema.attributes
        }
        return cls(classes, values)

    def stored(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict for `read`."""
        return {
            "rare": dict(self.rare),
            "rare_values": {name: dict(values) for name, values in self.rare_values.items()},
        }

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Labels:
        """Read what `stored` returned; invalid parts are ignored."""
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
    """Return the uncertainty of a candidate plus a bonus for each rare class and value that is likely."""
    bonus = RARE_BONUS * _expected(proposal.class_probabilities, labels.rare)
    bonus += VALUE_BONUS * math.fsum(
        _expected(values, labels.rare_values.get(name, {}))
        for name, values in proposal.attribute_probabilities.items()
    )
    return uncertainty(proposal, groups) + bonus


def _expected(probabilities: Mapping[str, float], rare: Mapping[str, float]) -> float:
    return math.fsum(
        p * rare[name] for name, p in probabilities.items() if p >= LIKELY_FROM and rare.get(name, 0.0) > 0
    )


def total_value(candidates: Iterable[Proposal], labels: Labels, groups: Groups = ()) -> float:
    """Sum the acquisition values of candidates."""
    return math.fsum(acquisition_value(candidate, labels, groups) for candidate in candidates)


def rarity(labels: Iterable[str | None], members: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Return the rarity of each class or value among labels: 0 = at least an equal share, 1 = absent.

    Parameters
    ----------
    labels
        Classes and groups, or values; a group counts for its classes in equal parts. Missing and unsure do
        not count.
    members
        Every class or value to itself, every group to its classes.
    """
    classes = sorted({name for names in members.values() for name in names})
    counts = dict.fromkeys(classes, 0.0)
    for label in labels:
        names = members.get(label, ()) if label is not None and label != UNSURE else ()
        for name in names:
            counts[name] += 1 / len(names)
    n_labels = math.fsum(counts.values())
    if n_labels < len(classes) or not classes:
        return {}  # too few labels to call anything rare
    return {name: round(max(0.0, 1 - n * len(classes) / n_labels), 6) for name, n in counts.items()}
