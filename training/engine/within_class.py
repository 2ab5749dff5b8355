"""Attributes within a class: a shift of the log-odds of each value in each class.

A head that is trained on all classes at once predicts the most common value for every cell of a class: the
nucleus of a lymphocyte is round, that of a monocyte is not. It still ranks the cells of a class well; only
its decision threshold is wrong. So the threshold is fitted in each class, on the project's own cells, rare
values weighted higher (``docs/adr/0025``).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

MIN_CELLS_PER_VALUE = 3
"""Minimum number of cells of a value in a class to shift it: fewer may be label errors."""

RARITY_EXPONENT = 0.5
"""Exponent of the inverse frequency that weights the cells: 0 = no weighting, 1 = equal values."""

_PRIOR_PRECISION = 2.0
"""Precision of the Gaussian prior of a shift: the inverse of a variance in squared log-odds."""


def fit_shift(
    logits: np.ndarray, classes: np.ndarray, labels: np.ndarray, weights: np.ndarray, before: np.ndarray
) -> np.ndarray:
    """Fit the shift of an attribute's log-odds in each class.

    Parameters
    ----------
    logits
        ``(n, K)``: out-of-fold log probabilities.
    classes, labels
        ``(n,)``: the class and the value of each cell, -1 = none.
    weights
        ``(n,)``: the share of the votes of each label.
    before
        ``(classes, K)``: mean of the prior.

    Returns
    -------
    numpy.ndarray
        ``(classes, K)``. It differs from `before` only in classes in which at least two values have
        `MIN_CELLS_PER_VALUE` cells, and only for these values.
    """
    shift = before.astype(np.float64).copy()
    for k in range(len(shift)):
        rows = (classes == k) & (labels >= 0)
        counts = np.bincount(labels[rows], weights[rows], minlength=shift.shape[1])
        values = np.flatnonzero(counts >= MIN_CELLS_PER_VALUE)
        if len(values) < 2:
            continue
        rows &= np.isin(labels, values)
        targets, counts = np.searchsorted(values, labels[rows]), counts[values]
        weight = weights[rows] * ((counts.sum() / (len(values) * counts)) ** RARITY_EXPONENT)[targets]
        shift[k, values] = _fit(logits[rows][:, values], targets, weight, shift[k, values])
    return shift


def classes_of(labels: np.ndarray, cell_ids: np.ndarray) -> np.ndarray:
    """Return the class of each row's cell: the majority class, that of its first row.

    Parameters
    ----------
    labels
        ``(m,)``: the class label of each row.
    cell_ids
        ``(m,)``: the cell of each row, see `training.engine.data.Labels`.
    """
    return np.asarray(labels[np.searchsorted(cell_ids, cell_ids)])


def _fit(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the maximum a posteriori shift ``(k,)`` around `before`; logits ``(n, k)``."""
    observed = np.bincount(labels, weights, minlength=len(before))

    def loss(shift: np.ndarray) -> tuple[float, np.ndarray]:
        log_p = log_softmax(logits + shift, axis=1)
        difference = shift - before
        value = (
            _PRIOR_PRECISION / 2 * difference @ difference - weights @ log_p[np.arange(len(labels)), labels]
        )
        return float(value), weights @ np.exp(log_p) - observed + _PRIOR_PRECISION * difference

    return np.asarray(minimize(loss, before, jac=True, method="L-BFGS-B").x)
