"""How probable a class is when the cell may be of none that was taught; no torch.

A model knows how probable each class is *among those it was taught*. That the cell is of one of them hangs on
its p-value (`training.similarity.novelty`). Of taught cells all p-values are equally frequent; those of other
cells lie near 0. Where a few in a hundred cells are of other classes, Bayes' rule gives the probability of a
taught one (Scheirer, Jain & Boult, *Probability Models for Open Set Recognition*, 2014, have the idea).

The numbers were measured on classes that starters were made without (``docs/adr/0008``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

OTHERS = 0.05
"""Share of the cells of a film that is taken to be of classes that were not taught."""

_FARTHEST = 0.3
"""p-value below which cells of other classes lie: of left-out classes 98% did."""

_SHAPE = 0.35
"""How close to 0 they lie there: their density is as p to the power of this less 1."""

_MOST_EVEN = 0.95
"""Share of the even distribution in a mixture at most: the most probable class stays so."""


def probability_taught(p_values: np.ndarray) -> np.ndarray:
    """Return the probability that cells are of a taught class ``(n,)``, from their p-values ``(n,)``."""
    p = np.maximum(np.asarray(p_values, np.float64), 1e-9)
    density = np.where(p < _FARTHEST, _SHAPE * p ** (_SHAPE - 1) / _FARTHEST**_SHAPE, 0.0)
    return np.asarray((1 - OTHERS) / (1 - OTHERS + OTHERS * density))


def drawn_to_even(probabilities: np.ndarray, taught: np.ndarray, most: np.ndarray | float) -> np.ndarray:
    """Mix distributions with the even one, so that what was certain is less so; the order stays.

    Parameters
    ----------
    probabilities
        ``(n, K)``.
    taught
        ``(K,)`` bool: which values were taught, two or more.
    most
        What a probability of 1 becomes, of all or of each ``(n,)``.
    """
    share = _share_of_even(most, int(taught.sum()))[..., None]
    return np.asarray((1 - share) * probabilities + share * taught / taught.sum())


def among_taught(probabilities: Mapping[str, float], novelty: float | None) -> Mapping[str, float]:
    """Return the probabilities of the classes, given that the cell is of one of those that were taught.

    This undoes what `drawn_to_even` did by `probability_taught`.
    """
    values = len(probabilities)
    if novelty is None or values < 2:
        return probabilities
    share = float(_share_of_even(probability_taught(np.array(novelty)), values))
    return {name: max(0.0, (p - share / values) / (1 - share)) for name, p in probabilities.items()}


def _share_of_even(most: np.ndarray | float, values: int) -> np.ndarray:
    return np.clip((1 - np.asarray(most)) / (1 - 1 / values), 0, _MOST_EVEN)
