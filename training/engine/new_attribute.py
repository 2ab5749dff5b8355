"""Lines of an attribute that no parent was taught: what a cell looks like, and which class it is of.

A discriminant takes all values as equally probable, and what tells classes apart for a sign of the
attribute. Beside a head that thousands of cells have taught this does no harm. Where few cells are all there
is, it gives many cells of a class a value that hardly any of them has. A logistic regression on features and
class does not (``docs/adr/0029``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.networks.describer import NEVER

_OF_FEATURES = 9.0
"""Variance of what all features together say of the log-odds of a value, before any cell is seen."""

_OF_CLASS = 2.0
"""The same of a class."""


class Lines(NamedTuple):
    """What a fit gives.

    Attributes
    ----------
    weight, bias
        ``(K, F)`` and ``(K,)``: `NEVER` of a value that no cell has.
    met
        ``(K,)`` bool: which values any cell has.
    shift
        ``(classes, K)``: what is added in a cell of each class.
    """

    weight: np.ndarray
    bias: np.ndarray
    met: np.ndarray
    shift: np.ndarray

    def scores(self, features: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return ``(n, K)`` of cells ``(n, F)`` whose class is known, or -1."""
        of_class = np.concatenate((self.shift, np.zeros((1, len(self.bias)))))[classes]
        return np.asarray(np.where(self.met, features @ self.weight.T + self.bias + of_class, NEVER))


def fit_lines(
    features: np.ndarray,
    labels: np.ndarray,
    classes: np.ndarray,
    weights: np.ndarray,
    *,
    values: int,
    of_classes: int,
) -> Lines:
    """Fit a logistic regression on the features, each by its spread, and on the class.

    Parameters
    ----------
    features
        ``(n, F)``.
    labels, classes
        ``(n,)``: of each cell its value and its class, -1 = none.
    weights
        ``(n,)``: what each label weighs.
    values, of_classes
        How many there are.
    """
    from sklearn.linear_model import LogisticRegression

    rows = labels >= 0
    met = np.bincount(labels[rows], minlength=values) > 0
    weight, bias = np.zeros((values, features.shape[1])), np.where(met, 0.0, NEVER)
    shift = np.zeros((of_classes, values))
    if met.sum() < 2:
        return Lines(weight, bias, met, shift)
    mean, spread = features.mean(0), features.std(0)
    scale = np.where(spread > 1e-6, spread, 1.0)
    a_feature = (_OF_FEATURES / features.shape[1]) ** 0.5
    seen = (features[rows] - mean) / scale * a_feature
    is_of = (classes[rows, None] == np.arange(of_classes)) * _OF_CLASS**0.5
    found = LogisticRegression(C=1.0, tol=1e-3, max_iter=300).fit(
        np.concatenate((seen, is_of), 1), labels[rows], sample_weight=weights[rows]
    )
    lines, levels = found.coef_, found.intercept_
    if len(lines) == 1:  # of two values the difference
        lines, levels = np.stack((-lines[0], lines[0])) / 2, np.stack((-levels[0], levels[0])) / 2
    weight[met] = lines[:, : features.shape[1]] * a_feature / scale
    bias[met] = levels - weight[met] @ mean
    shift[:, met] = lines[:, features.shape[1] :].T * _OF_CLASS**0.5
    return Lines(weight, bias, met, shift)
