"""How much one would learn from labelling a candidate."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from annotation_store.records import Proposal

NOTHING_KNOWN = 1.0
"""Of a candidate without predictions: the highest possible uncertainty of the class."""

ATTRIBUTES = 0.5
"""What the attributes together weigh beside the class."""

WITHIN_GROUP = 0.5
"""What doubt between classes of one group weighs: the group is often the honest answer from a film alone."""

Groups = Sequence[Collection[str]]


def information(proposal: Proposal, groups: Groups = ()) -> float:
    """Return ``u = H(class)/log K + 0.5 · mean over attributes of H/log n``.

    Only classes and values that the model speaks of count, K and n too; a part of which it says nothing
    adds nothing.

    Parameters
    ----------
    groups
        The classes of each class group. Doubt within a group weighs half, by the chain rule of entropy.

    Returns
    -------
    float
        0 to 1.5; `NOTHING_KNOWN` without any prediction. The class of an unknown cell is wholly
        in doubt, however sure the model is of a candidate.
    """
    class_part = 1.0 if proposal.is_unknown else class_doubt(proposal.class_probabilities, groups)
    parts = [d for v in proposal.attribute_probabilities.values() if (d := doubt(v)) is not None]
    if class_part is None and not parts:
        return NOTHING_KNOWN
    attributes = math.fsum(parts) / len(parts) if parts else 0.0
    return (class_part or 0.0) + ATTRIBUTES * attributes


def doubt(probabilities: Mapping[str, float]) -> float | None:
    """Return the entropy over its greatest possible value, 0 to 1; ``None`` if nothing is known."""
    mass, entropy = _entropy(probabilities.values())
    if not mass:
        return None
    return entropy / math.log(len(probabilities)) if len(probabilities) > 1 else 0.0


def class_doubt(probabilities: Mapping[str, float], groups: Groups = ()) -> float | None:
    """Return `doubt` of the class, that within a group at half its weight; ``None`` if nothing is known."""
    mass, whole = _entropy(probabilities.values())
    if not mass or len(probabilities) < 2:
        return 0.0 if mass else None
    taken: set[str] = set()
    within = 0.0
    for group in groups:
        members = [name for name in group if name in probabilities and name not in taken]
        taken.update(members)
        part, entropy = _entropy([probabilities[name] for name in members])
        within += part / mass * entropy
    return max(0.0, whole - (1 - WITHIN_GROUP) * within) / math.log(len(probabilities))


def _entropy(shares: Iterable[float]) -> tuple[float, float]:
    """Return the sum of shares and the entropy of what they are of it; what is no share counts as none.

    One pass, for this is called for each attribute of hundreds of candidates while a window waits.
    """
    mass = total = 0.0
    for p in shares:
        if p > 0:
            p = p if p < 1 else 1.0
            mass += p
            total += p * math.log(p)
    return mass, max(0.0, math.log(mass) - total / mass) if mass else 0.0
