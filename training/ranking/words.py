"""Why something is worth a look, in words for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from annotation_store.records import Proposal
from annotation_store.schema import Schema
from training.ranking.information import doubt
from training.ranking.items import plural

LIKELY = 0.5
"""Confidence from which a candidate is called a likely cell."""

CONTENDS = 0.5
"""The second most probable class contends with the first when it is at least this share of it."""

IN_DOUBT = 0.8
"""An attribute is in doubt from this share of the greatest possible entropy."""

RARE_FROM = 0.2
"""A class is likely among candidates when one of them has it with this probability."""


@dataclass(frozen=True)
class Words:
    """Titles of the schema's names, and how rare each class is among the labelled cells.

    Attributes
    ----------
    rare
        Class to 0 (common) … 1 (nobody has labelled one yet).
    """

    titles: Mapping[str, str] = field(default_factory=dict)
    attributes: Mapping[str, str] = field(default_factory=dict)
    rare: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: Schema, rare: Mapping[str, float] | None = None) -> Words:
        """Take the words of a schema."""
        titles = {one.name: one.title or one.name for one in schema.classes}
        titles |= {one.name: one.title or one.name for one in schema.groups}
        return cls(
            titles,
            {one.name: one.title or one.name for one in schema.attributes},
            dict(rare or {}),
        )

    def title(self, name: str) -> str:
        """Give the title of a class or group."""
        return self.titles.get(name, name)

    def candidates(self, some: Sequence[Proposal]) -> list[str]:
        """Say what is worth a look among candidates; sentences without a full stop."""
        if not some:
            return ["No cell is suggested here: looking it over shows whether one was missed"]
        likely = [one for one in some if one.confidence >= LIKELY]
        counted = plural(len(likely), "likely cell") if likely else plural(len(some), "possible cell")
        said = [counted + self._doubts(likely or list(some))]
        if names := self.rare_among(some):
            kind = "a rare class is likely" if len(names) == 1 else "rare classes are likely"
            said.append(f"{kind}: {', '.join(self.title(name) for name in names[:3])}")
        return said

    def _doubts(self, some: Sequence[Proposal]) -> str:
        pairs = Counter(pair for one in some if (pair := contenders(one)) is not None)
        if pairs:
            (first, second), count = min(pairs.items(), key=lambda item: (-item[1], item[0]))
            how_many = f"{count} of them " if count < len(some) else "all " if count > 1 else ""
            return f", {how_many}between {self.title(first)} and {self.title(second)}"
        doubtful = Counter(
            name
            for one in some
            for name, values in one.attribute_probabilities.items()
            if (doubt(values) or 0.0) >= IN_DOUBT
        )
        if doubtful:
            name, count = min(doubtful.items(), key=lambda item: (-item[1], item[0]))
            return f", the {self.attributes.get(name, name).lower()} of {count} in doubt"
        return ""

    def rare_among(self, some: Sequence[Proposal]) -> list[str]:
        """Name the rare classes that are likely among candidates, the rarest first."""
        likely = {
            name
            for one in some
            for name, p in one.class_probabilities.items()
            if p >= RARE_FROM and self.rare.get(name, 0.0) >= 0.5
        }
        return sorted(likely, key=lambda name: (-self.rare[name], name))


def contenders(proposal: Proposal) -> tuple[str, str] | None:
    """Give the two classes that contend for a candidate, by name; ``None`` where one is clear."""
    ordered = sorted(proposal.class_probabilities.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) < 2 or not ordered[1][1] >= CONTENDS * ordered[0][1] or ordered[1][1] <= 0:
        return None
    first, second = sorted(name for name, _ in ordered[:2])
    return first, second
