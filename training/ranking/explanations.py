"""Explain rankings: reasons in sentences for users."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from annotation_store.records import Proposal
from annotation_store.schema import Schema
from training.evaluation.uncertainty import normalised_entropy
from training.ranking.acquisition import LIKELY_FROM, Labels
from training.reasons import Reason

LIKELY = 0.5
"""Minimum confidence of a likely cell."""

CONTENDER_RATIO = 0.5
"""Minimum ratio of the second highest class probability to the highest for the two to be contenders."""

UNCERTAIN_FROM = 0.8
"""Minimum normalised entropy of an uncertain attribute."""


UNKNOWN_CELL = Reason("Unlike its training cells")
"""Reason to label an unknown cell first."""

RARE = 0.5
"""Minimum rarity of a rare class or value: at most half of an equal share of the labels."""


@dataclass(frozen=True)
class Words:
    """Writes reasons with the titles of a schema and the rarity of its classes and values."""

    schema: Schema = field(default_factory=lambda: Schema(name="none"))
    labels: Labels = field(default_factory=Labels)

    def title(self, name: str) -> str:
        """Return the title of a class or group."""
        return self.schema.class_title(name)

    def value(self, attribute: str, value: str) -> str:
        """Return an attribute's title with that of a value."""
        title, word = self.schema.attribute_title(attribute), self.schema.value_title(attribute, value)
        return f"{title} {word}".lower()

    def candidates(self, proposals: Sequence[Proposal]) -> list[Reason]:
        """Describe the candidates of a field or region."""
        if not proposals:
            return [Reason("No cell is suggested here: check whether one was missed")]
        likely = [proposal for proposal in proposals if proposal.confidence >= LIKELY]
        if likely:
            counted = Reason("{count} likely cell", "{count} likely cells", count=len(likely))
        else:
            counted = Reason("{count} possible cell", "{count} possible cells", count=len(proposals))
        statements = [self._describe_uncertainty(counted, likely or list(proposals))]
        if unknown := sum(proposal.is_unknown for proposal in proposals):
            statements.append(
                Reason(
                    "{count} is unlike its training cells",
                    "{count} are unlike its training cells",
                    count=unknown,
                )
            )
        if names := self.rare_among(proposals):
            statements.append(
                Reason(
                    "a rare class is likely: {names}",
                    "rare classes are likely: {names}",
                    count=len(names),
                    names=", ".join(self.title(name) for name in names[:3]),
                )
            )
        if pairs := self.rare_values_among(proposals):
            statements.append(
                Reason(
                    "a rare value is likely: {names}",
                    "rare values are likely: {names}",
                    count=len(pairs),
                    names=", ".join(self.value(*pair) for pair in pairs[:3]),
                )
            )
        return statements

    def _describe_uncertainty(self, cells: Reason, proposals: Sequence[Proposal]) -> Reason:
        """Describe what most of the uncertain candidates are uncertain about."""
        pairs = Counter(pair for proposal in proposals if (pair := contenders(proposal)) is not None)
        if pairs:
            (first, second), count = min(pairs.items(), key=lambda item: (-item[1], item[0]))
            between = {"cells": cells, "first": self.title(first), "second": self.title(second)}
            if count < len(proposals):
                return Reason("{cells}, {some} of them between {first} and {second}", some=count, **between)
            if count > 1:
                return Reason("{cells}, all between {first} and {second}", **between)
            return Reason("{cells}, between {first} and {second}", **between)
        uncertain = Counter(
            name
            for proposal in proposals
            for name, values in proposal.attribute_probabilities.items()
            if (normalised_entropy(values) or 0.0) >= UNCERTAIN_FROM
        )
        if uncertain:
            name, count = min(uncertain.items(), key=lambda item: (-item[1], item[0]))
            name = self.schema.attribute_title(name).lower()
            return Reason(
                "{cells}, the {attribute} of {some} in doubt", cells=cells, attribute=name, some=count
            )
        return cells

    def rare_among(self, proposals: Sequence[Proposal]) -> list[str]:
        """List the rare classes that are likely among candidates, the rarest first."""
        likely = {
            name
            for proposal in proposals
            if not proposal.is_unknown
            for name, p in proposal.class_probabilities.items()
            if p >= LIKELY_FROM and self.labels.rare.get(name, 0.0) >= RARE
        }
        return sorted(likely, key=lambda name: (-self.labels.rare[name], name))

    def rare_values_among(self, proposals: Sequence[Proposal]) -> list[tuple[str, str]]:
        """List the rare values that are likely among candidates, as attribute and value, the rarest first."""
        rare = self.labels.rare_values
        likely = {
            (attribute, value)
            for proposal in proposals
            for attribute, values in proposal.attribute_probabilities.items()
            for value, p in values.items()
            if p >= LIKELY_FROM and rare.get(attribute, {}).get(value, 0.0) >= RARE
        }
        return sorted(likely, key=lambda pair: (-rare[pair[0]][pair[1]], pair))


def contenders(proposal: Proposal) -> tuple[str, str] | None:
    """Return the two most probable classes, by name, if they are close; ``None`` otherwise, or if unknown."""
    if proposal.is_unknown:
        return None
    ordered = sorted(proposal.class_probabilities.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) < 2 or not ordered[1][1] >= CONTENDER_RATIO * ordered[0][1] or ordered[1][1] <= 0:
        return None
    first, second = sorted(name for name, _ in ordered[:2])
    return first, second
