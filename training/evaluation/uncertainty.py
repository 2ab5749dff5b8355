"""Uncertainty of predictions, as acquisition score of candidates for labelling."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

from annotation_store.records import Proposal

NOTHING_KNOWN = 1.0
"""Uncertainty of a candidate without predictions: the maximum of the class."""

ATTRIBUTE_WEIGHT = 0.5
"""Weight of all attributes together relative to the class."""

WITHIN_GROUP_WEIGHT = 0.5
"""Weight of the entropy within a class group: often a film alone shows the group only."""

Groups = Sequence[Collection[str]]


def uncertainty(proposal: Proposal, groups: Groups = ()) -> float:
    """Return ``u = H(class)/log K + 0.5 · mean over attributes of H/log n``.

    K and n are the numbers of classes and values that the model predicts; a head without prediction adds 0.

    Parameters
    ----------
    groups
        The classes of each class group. Entropy within a group has half the weight (chain rule of entropy).

    Returns
    -------
    float
        0 to 1.5; `NOTHING_KNOWN` without any prediction. The class of an unknown cell has the maximum
        entropy, whatever the model's probabilities.
    """
    class_part = 1.0 if proposal.is_unknown else class_entropy(proposal.class_probabilities, groups)
    parts = [d for v in proposal.attribute_probabilities.values() if (d := normalised_entropy(v)) is not None]
    if class_part is None and not parts:
        return NOTHING_KNOWN
    attributes = math.fsum(parts) / len(parts) if parts else 0.0
    return (class_part or 0.0) + ATTRIBUTE_WEIGHT * attributes


def normalised_entropy(probabilities: Mapping[str, float]) -> float | None:
    """Return the entropy over its maximum, 0 to 1; ``None`` without a prediction."""
    mass, entropy = _entropy(probabilities.values())
    if not mass:
        return None
    return entropy / math.log(len(probabilities)) if len(probabilities) > 1 else 0.0


def class_entropy(probabilities: Mapping[str, float], groups: Groups = ()) -> float | None:
    """Return the normalised entropy of the class, that within a group at half weight; ``None`` = unknown."""
    mass, entropy_of_all = _entropy(probabilities.values())
    if not mass or len(probabilities) < 2:
        return 0.0 if mass else None
    seen: set[str] = set()
    within = 0.0
    for group in groups:
        members = [name for name in group if name in probabilities and name not in seen]
        seen.update(members)
        group_mass, entropy = _entropy([probabilities[name] for name in members])
        within += group_mass / mass * entropy
    return max(0.0, entropy_of_all - (1 - WITHIN_GROUP_WEIGHT) * within) / math.log(len(probabilities))


def _entropy(weights: Iterable[float]) -> tuple[float, float]:
    """Return the sum of weights and the entropy of their distribution; negative weights count as 0.

    It takes one pass, as it is called for each attribute of hundreds of candidates while a window waits.
    """
    mass = total = 0.0
    for p in weights:
        if p > 0:
            p = p if p < 1 else 1.0
            mass += p
            total += p * math.log(p)
    return mass, max(0.0, math.log(mass) - total / mass) if mass else 0.0
