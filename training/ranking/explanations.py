"""Why something is worth a look, in words for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from annotation_store.records import Proposal
from annotation_store.schema import Schema
from training.evaluation.uncertainty import normalised_entropy
from training.ranking.acquisition import RARE_FROM, Labels
from training.reasons import Reason

LIKELY = 0.5
"""Confidence from which a candidate is called a likely cell."""

CONTENDS = 0.5
"""The second most probable class contends with the first when it is at least this share of it."""

IN_DOUBT = 0.8
"""An attribute is in doubt from this share of the greatest possible entropy."""


UNKNOWN = Reason("Unlike the cells it was taught")
"""Why a model asks for an unknown cell first."""

RARE = 0.5
"""A class or value is called rare when it has at most half of an equal share of the labels."""


@dataclass(frozen=True)
class Words:
    """Titles of the schema's names, and what the labels so far mean."""

    schema: Schema = field(default_factory=lambda: Schema(name="none"))
    labels: Labels = field(default_factory=Labels)

    def title(self, name: str) -> str:
        """Return the title of a class or group."""
        return self.schema.class_title(name)

    def value(self, attribute: str, value: str) -> str:
        """Return an attribute's title with that of a value."""
        title, word = self.schema.attribute_title(attribute), self.schema.value_title(attribute, value)
        return f"{title} {word}".lower()

    def candidates(self, some: Sequence[Proposal]) -> list[Reason]:
        """Describe which candidates are worth annotating."""
        if not some:
            return [Reason("No cell is suggested here: looking it over shows whether one was missed")]
        likely = [one for one in some if one.confidence >= LIKELY]
        if likely:
            counted = Reason("{count} likely cell", "{count} likely cells", count=len(likely))
        else:
            counted = Reason("{count} possible cell", "{count} possible cells", count=len(some))
        statements = [self._doubts(counted, likely or list(some))]
        if unknown := sum(one.is_unknown for one in some):
            statements.append(
                Reason(
                    "{count} is unlike the cells it was taught",
                    "{count} are unlike the cells it was taught",
                    count=unknown,
                )
            )
        if names := self.rare_among(some):
            statements.append(
                Reason(
                    "a rare class is likely: {names}",
                    "rare classes are likely: {names}",
                    count=len(names),
                    names=", ".join(self.title(name) for name in names[:3]),
                )
            )
        if pairs := self.rare_values_among(some):
            statements.append(
                Reason(
                    "a rare value is likely: {names}",
                    "rare values are likely: {names}",
                    count=len(pairs),
                    names=", ".join(self.value(*pair) for pair in pairs[:3]),
                )
            )
        return statements

    def _doubts(self, cells: Reason, some: Sequence[Proposal]) -> Reason:
        """Describe what most of the uncertain candidates are uncertain about."""
        pairs = Counter(pair for one in some if (pair := contenders(one)) is not None)
        if pairs:
            (first, second), count = min(pairs.items(), key=lambda item: (-item[1], item[0]))
            between = {"cells": cells, "first": self.title(first), "second": self.title(second)}
            if count < len(some):
                return Reason("{cells}, {some} of them between {first} and {second}", some=count, **between)
            if count > 1:
                return Reason("{cells}, all between {first} and {second}", **between)
            return Reason("{cells}, between {first} and {second}", **between)
        doubtful = Counter(
            name
            for one in some
            for name, values in one.attribute_probabilities.items()
            if (normalised_entropy(values) or 0.0) >= IN_DOUBT
        )
        if doubtful:
            name, count = min(doubtful.items(), key=lambda item: (-item[1], item[0]))
            name = self.schema.attribute_title(name).lower()
            return Reason(
                "{cells}, the {attribute} of {some} in doubt", cells=cells, attribute=name, some=count
            )
        return cells

    def rare_among(self, some: Sequence[Proposal]) -> list[str]:
        """List the rare classes that are likely among candidates, the rarest first."""
        likely = {
            name
            for one in some
            if not one.is_unknown
            for name, p in one.class_probabilities.items()
            if p >= RARE_FROM and self.labels.rare.get(name, 0.0) >= RARE
        }
        return sorted(likely, key=lambda name: (-self.labels.rare[name], name))

    def rare_values_among(self, some: Sequence[Proposal]) -> list[tuple[str, str]]:
        """List the rare values that are likely among candidates, as attribute and value, the rarest first."""
        rare = self.labels.rare_values
        likely = {
            (attribute, value)
            for one in some
            for attribute, values in one.attribute_probabilities.items()
            for value, p in values.items()
            if p >= RARE_FROM and rare.get(attribute, {}).get(value, 0.0) >= RARE
        }
        return sorted(likely, key=lambda pair: (-rare[pair[0]][pair[1]], pair))


def contenders(proposal: Proposal) -> tuple[str, str] | None:
    """Return the two classes that contend for a candidate, by name; ``None`` if one is clear, or unknown."""
    if proposal.is_unknown:
        return None
    ordered = sorted(proposal.class_probabilities.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) < 2 or not ordered[1][1] >= CONTENDS * ordered[0][1] or ordered[1][1] <= 0:
        return None
    first, second = sorted(name for name, _ in ordered[:2])
    return first, second
