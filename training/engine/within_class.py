"""What the class of a cell leaves open of its attributes: a shift of each value's log-odds in each class.

A head that sees all classes at once gives every cell of a class its commonest value: the nucleus of a
lymphocyte is round, that of a monocyte is not. It ranks the cells of a class well all the same; what is wrong
is where it draws the line. So the line is drawn anew in each class, from the project's own cells, with those
of rare values weighing more (``docs/adr/0025``).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

MIN_CELLS_PER_VALUE = 3
"""Cells of a value in a class from which on they move its line: fewer may be slips of the hand."""

RARE = 0.5
"""How much more cells of a rare value weigh: 0 = as all others, 1 = each value as much as each other."""

_STRENGTH = 2.0
"""How firmly a shift leans on what was known before: the inverse of a variance in squared log-odds."""


def fit_shift(
    logits: np.ndarray, classes: np.ndarray, labels: np.ndarray, weights: np.ndarray, before: np.ndarray
) -> np.ndarray:
    """Fit what is added to the log-odds of an attribute's values in each class.

    Parameters
    ----------
    logits
        ``(n, K)``: what is said of cells by what was not fitted on them.
    classes, labels
        ``(n,)``: the class and the value of each, -1 = none.
    weights
        ``(n,)``: the share of the votes that each label has.
    before
        ``(classes, K)``: the shift where these cells say nothing.

    Returns
    -------
    numpy.ndarray
        ``(classes, K)``. Moved only in classes in which two values have `MIN_CELLS_PER_VALUE` cells, and only
        of these values.
    """
    shift = before.astype(np.float64).copy()
    for k in range(len(shift)):
        rows = (classes == k) & (labels >= 0)
        counts = np.bincount(labels[rows], weights[rows], minlength=shift.shape[1])
        values = np.flatnonzero(counts >= MIN_CELLS_PER_VALUE)
        if len(values) < 2:
            continue
        rows &= np.isin(labels, values)
        of, counts = np.searchsorted(values, labels[rows]), counts[values]
        weight = weights[rows] * ((counts.sum() / (len(values) * counts)) ** RARE)[of]
        shift[k, values] = _fitted(logits[rows][:, values], of, weight, shift[k, values])
    return shift


def classes_of(labels: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return of each row of labels the class of its cell: that with most votes, which its first row has.

    Parameters
    ----------
    labels
        ``(m,)``: of the class.
    of
        ``(m,)``: which cell each row is of, see `training.engine.data.Labels`.
    """
    return np.asarray(labels[np.searchsorted(of, of)])


def _fitted(logits: np.ndarray, labels: np.ndarray, weights: np.ndarray, before: np.ndarray) -> np.ndarray:
    """Return the most probable shift ``(k,)`` where `before` is likely; logits ``(n, k)``."""
    met = np.bincount(labels, weights, minlength=len(before))

    def loss(shift: np.ndarray) -> tuple[float, np.ndarray]:
        likely = log_softmax(logits + shift, axis=1)
        off = shift - before
        value = _STRENGTH / 2 * off @ off - weights @ likely[np.arange(len(labels)), labels]
        return float(value), weights @ np.exp(likely) - met + _STRENGTH * off

    return np.asarray(minimize(loss, before, jac=True, method="L-BFGS-B").x)
