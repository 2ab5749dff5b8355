"""Open-set probabilities: class probabilities if a cell may be of no taught class; no torch.

A model predicts the probability of each class *given that the cell is of a taught class*. The probability of
that depends on the cell's p-value (`training.similarity.novelty`). The p-values of taught cells are uniformly
distributed; those of other cells lie near 0. With a prior of a few percent of other cells, Bayes' rule gives
the posterior (the idea is from Scheirer, Jain & Boult, *Probability Models for Open Set Recognition*, 2014).

The parameters were measured on classes that starters were trained without (``docs/adr/0008``).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

UNTAUGHT_SHARE = 0.05
"""Prior probability that a cell of a film is of no taught class."""

_MAX_P_VALUE = 0.3
"""Upper limit of the p-values of other cells: 98% of those of left-out classes lie below."""

_SHAPE = 0.35
"""Shape of their density, which is proportional to p to the power of this minus 1."""

_MAX_UNIFORM = 0.95
"""Maximum share of the uniform distribution in a mixture: the most probable class does not change."""


def probability_taught(p_values: np.ndarray) -> np.ndarray:
    """Return the posterior probability ``(n,)`` that cells are of a taught class, from p-values ``(n,)``."""
    p = np.maximum(np.asarray(p_values, np.float64), 1e-9)
    density = np.where(p < _MAX_P_VALUE, _SHAPE * p ** (_SHAPE - 1) / _MAX_P_VALUE**_SHAPE, 0.0)
    return np.asarray((1 - UNTAUGHT_SHARE) / (1 - UNTAUGHT_SHARE + UNTAUGHT_SHARE * density))


def mix_with_uniform(
    probabilities: np.ndarray, taught: np.ndarray, maximum: np.ndarray | float
) -> np.ndarray:
    """Mix distributions with the uniform one, so that they are less certain; the order does not change.

    Parameters
    ----------
    probabilities
        ``(n, K)``.
    taught
        ``(K,)`` bool: which values were taught, at least two.
    maximum
        What a probability of 1 becomes, for all or for each ``(n,)``.
    """
    share = _uniform_share(maximum, int(taught.sum()))[..., None]
    return np.asarray((1 - share) * probabilities + share * taught / taught.sum())


def given_taught(probabilities: Mapping[str, float], novelty: float | None) -> Mapping[str, float]:
    """Return the class probabilities given that the cell is of a taught class.

    This is the inverse of `mix_with_uniform` by `probability_taught`.
    """
    values = len(probabilities)
    if novelty is None or values < 2:
        return probabilities
    share = float(_uniform_share(probability_taught(np.array(novelty)), values))
    return {name: max(0.0, (p - share / values) / (1 - share)) for name, p in probabilities.items()}


def _uniform_share(maximum: np.ndarray | float, values: int) -> np.ndarray:
    return np.clip((1 - np.asarray(maximum)) / (1 - 1 / values), 0, _MAX_UNIFORM)
