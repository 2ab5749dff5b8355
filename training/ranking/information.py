"""How much one would learn from labelling a candidate."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from annotation_store.records import Proposal

NOTHING_KNOWN = 1.0
"""Of a candidate that nobody says anything of: no doubt could be greater than that about its class."""

ATTRIBUTES = 0.5
"""What the attributes together weigh beside the class."""

WITHIN_GROUP = 0.5
"""What doubt between classes of one group weighs: the group is often the honest answer from a film alone."""

Groups = Sequence[Collection[str]]


def information(proposal: Proposal, groups: Groups = ()) -> float:
    """Give ``u = H(class)/log K + 0.5 · mean over attributes of H/log n``.

    Only classes and values that the model speaks of count, K and n too; a part of which it says nothing
    adds nothing.

    Parameters
    ----------
    groups
        The classes of each class group. Doubt within a group weighs half, by the chain rule of entropy.

    Returns
    -------
    float
        0 to 1.5; `NOTHING_KNOWN` where the model says nothing at all.
    """
    class_part = class_doubt(proposal.class_probabilities, groups)
    parts = [d for v in proposal.attribute_probabilities.values() if (d := doubt(v)) is not None]
    if class_part is None and not parts:
        return NOTHING_KNOWN
    attributes = math.fsum(parts) / len(parts) if parts else 0.0
    return (class_part or 0.0) + ATTRIBUTES * attributes


def doubt(probabilities: Mapping[str, float]) -> float | None:
    """Give the entropy over its greatest possible value, 0 to 1; ``None`` where nothing is known."""
    shares = _clean(probabilities)
    if not shares:
        return None
    return _entropy(shares.values()) / math.log(len(shares)) if len(shares) > 1 else 0.0


def class_doubt(probabilities: Mapping[str, float], groups: Groups = ()) -> float | None:
    """Give `doubt` of the class, that within a group at half its weight; ``None`` where nothing is known."""
    shares = _clean(probabilities)
    if len(shares) < 2:
        return 0.0 if shares else None
    whole = _entropy(shares.values())
    taken: set[str] = set()
    within = []
    for group in groups:
        members = [name for name in shares if name in group and name not in taken]
        taken.update(members)
        mass = math.fsum(shares[name] for name in members)
        if mass > 0:
            within.append(mass * _entropy(shares[name] / mass for name in members))
    return max(0.0, whole - (1 - WITHIN_GROUP) * math.fsum(within)) / math.log(len(shares))


def _clean(probabilities: Mapping[str, float]) -> dict[str, float]:
    """Bring what stands there to shares that sum to 1; nothing where there is nothing to be brought."""
    shares = {n: min(float(p), 1.0) if p > 0 else 0.0 for n, p in probabilities.items()}
    total = math.fsum(shares.values())
    return {name: p / total for name, p in shares.items()} if total > 0 else {}


def _entropy(shares: Iterable[float]) -> float:
    return math.fsum(-p * math.log(p) for p in shares if p > 0)
