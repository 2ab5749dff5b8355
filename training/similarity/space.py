"""The space in which cells of a class lie closest together: where a discriminant is the nearest mean."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from training.networks.describer import NEVER

SHRINKAGE = 0.3
"""Share of the identity in the covariance of the standardised features within a class: there are far more
features than cells. Chosen on ``train`` (``docs/adr/0007``)."""


_LOOKS = 0.5
"""What the looks of other laboratories weigh beside the spread within a class (``docs/adr/0010``)."""


class Space:
    """The covariance of features within a class, shrunk: where a discriminant is the nearest mean.

    How other laboratories' looks move features (`training.models.memory.Memory.looks`) counts as spread
    within a class: a discriminant then leans on what stays as it is. The first head (the class, where there
    is one) that has two values and labels half of the cells groups them for all heads: an attribute may have
    more values, but only the few cells of one project may have it.
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray, looks: np.ndarray | None = None) -> None:
        grouping = labels[:, _grouping(labels)]
        rows = features[grouping >= 0]
        groups, counts = np.unique(grouping[grouping >= 0], return_inverse=True, return_counts=True)[1:]
        sums = np.zeros((len(counts), features.shape[1]))
        np.add.at(sums, groups, rows)
        rest = rows - (sums / counts[:, None])[groups]
        self._features = features
        self._centre = features.mean(0)
        moves = np.zeros((0, features.shape[1])) if looks is None else _LOOKS**0.5 * looks.astype(np.float64)
        spread = np.sqrt(rest.var(0) + (moves**2).sum(0))
        self._scale = np.maximum(spread, 1e-3 * features.std(0) + 1e-6)
        rest /= self._scale
        moves /= self._scale
        covariance = (1 - SHRINKAGE) * ((rest.T @ rest) / max(1, len(rest)) + moves.T @ moves)
        covariance[np.diag_indices_from(covariance)] += SHRINKAGE
        self._factor = cho_factor(covariance, check_finite=False)

    def discriminant(self, labels: np.ndarray, values: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fit the discriminant of one head, all values equally probable.

        Parameters
        ----------
        labels
            ``(n,)`` of the cells that the space was made from, -1 = none.

        Returns
        -------
        tuple
            Weights ``(K, F)``, biases ``(K,)``, and which values any cell has ``(K,)`` bool.
        """
        met = np.bincount(labels[labels >= 0], minlength=values) > 0
        weight, bias = np.zeros((values, self._features.shape[1])), np.full(values, NEVER)
        if met.any():
            means = np.stack([self._features[labels == value].mean(0) for value in np.flatnonzero(met)])
            standard = (means - self._centre) / self._scale
            solved = cho_solve(self._factor, standard.T, check_finite=False).T
            weight[met] = solved / self._scale
            bias[met] = -0.5 * (solved * standard).sum(1) - weight[met] @ self._centre
        return weight, bias, met


def _grouping(labels: np.ndarray) -> int:
    labelled = (labels >= 0).sum(0)
    values = np.array([len(np.unique(column[column >= 0])) for column in labels.T])
    for head in np.flatnonzero((values >= 2) & (2 * labelled >= len(labels))):
        return int(head)
    return int(np.argmax(labelled))
