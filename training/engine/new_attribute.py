"""Logistic regression for a new attribute, that no parent was trained on, from features and class.

A discriminant assumes equal priors, and confuses what separates classes with what separates the values of the
attribute. Combined with a head that was trained on thousands of cells this does no harm. From few cells
alone, it predicts a value for many cells of a class that hardly any of them has. A logistic regression on
features and class does not (``docs/adr/0029``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from training.networks.describer import NEVER

_FEATURE_VARIANCE = 9.0
"""Prior variance of the contribution of all features together to the log-odds of a value."""

_CLASS_VARIANCE = 2.0
"""Prior variance of the contribution of the class."""


class LogisticFit(NamedTuple):
    """A fitted logistic regression.

    Attributes
    ----------
    weight, bias
        ``(K, F)`` and ``(K,)``: `NEVER` for a value without cells.
    present
        ``(K,)`` bool: which values any cell has.
    shift
        ``(classes, K)``: log-odds added in a cell of each class.
    """

    weight: np.ndarray
    bias: np.ndarray
    present: np.ndarray
    shift: np.ndarray

    def scores(self, features: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return scores ``(n, K)`` of features ``(n, F)`` and classes ``(n,)``, -1 = unknown."""
        class_shift = np.concatenate((self.shift, np.zeros((1, len(self.bias)))))[classes]
        return np.asarray(np.where(self.present, features @ self.weight.T + self.bias + class_shift, NEVER))


def fit_logistic(
    features: np.ndarray,
    labels: np.ndarray,
    classes: np.ndarray,
    weights: np.ndarray,
    *,
    n_values: int,
    n_classes: int,
) -> LogisticFit:
    """Fit a logistic regression on the standardised features and the one-hot class.

    Parameters
    ----------
    features
        ``(n, F)``.
    labels, classes
        ``(n,)``: the value and the class of each cell, -1 = none.
    weights
        ``(n,)``: the weight of each label.
    n_values, n_classes
        Number of values and classes.
    """
    from sklearn.linear_model import LogisticRegression

    rows = labels >= 0
    present = np.bincount(labels[rows], minlength=n_values) > 0
    weight, bias = np.zeros((n_values, features.shape[1])), np.where(present, 0.0, NEVER)
    shift = np.zeros((n_classes, n_values))
    if present.sum() < 2:
        return LogisticFit(weight, bias, present, shift)
    mean, spread = features.mean(0), features.std(0)
    scale = np.where(spread > 1e-6, spread, 1.0)
    feature_weight = (_FEATURE_VARIANCE / features.shape[1]) ** 0.5
    scaled = (features[rows] - mean) / scale * feature_weight
    one_hot = (classes[rows, None] == np.arange(n_classes)) * _CLASS_VARIANCE**0.5
    regression = LogisticRegression(C=1.0, tol=1e-3, max_iter=300).fit(
        np.concatenate((scaled, one_hot), 1), labels[rows], sample_weight=weights[rows]
    )
    coefficients, intercepts = regression.coef_, regression.intercept_
    if len(coefficients) == 1:  # binary: one row, of the difference
        coefficients, intercepts = (
            np.stack((-coefficients[0], coefficients[0])) / 2,
            np.stack((-intercepts[0], intercepts[0])) / 2,
        )
    weight[present] = coefficients[:, : features.shape[1]] * feature_weight / scale
    bias[present] = intercepts - weight[present] @ mean
    shift[:, present] = coefficients[:, features.shape[1] :].T * _CLASS_VARIANCE**0.5
    return LogisticFit(weight, bias, present, shift)
