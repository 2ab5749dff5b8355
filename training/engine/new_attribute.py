"""Logistic regression for a new attribute, that no parent was trained on, from features and class.

A discriminant assumes equal priors, and confuses what separates classes with what separates the values of the
attribute. Combined with a head that was trained on thousands of cells this does no harm. From few cells
alone, it predicts a value for many cells of a class that hardly any of them has. A logistic regression on
features and class does not (``docs/adr/0029``). If the values have an order, one direction separates all of
them (``docs/adr/0031``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax

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
    ordered: bool = False,
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
    ordered
        Whether the values have an order: see `_regress_ordered`.
    """
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
    # the values that no cell has are left out of the order
    targets = np.searchsorted(np.flatnonzero(present), labels[rows])
    regress = _regress_ordered if ordered else _regress
    coefficients, intercepts = regress(np.concatenate((scaled, one_hot), 1), targets, weights[rows])
    weight[present] = coefficients[:, : features.shape[1]] * feature_weight / scale
    bias[present] = intercepts - weight[present] @ mean
    shift[:, present] = coefficients[:, features.shape[1] :].T * _CLASS_VARIANCE**0.5
    return LogisticFit(weight, bias, present, shift)


def _regress(inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients ``(k, p)`` and intercepts ``(k,)`` of a multinomial logistic regression."""
    from sklearn.linear_model import LogisticRegression

    regression = LogisticRegression(C=1.0, tol=1e-3, max_iter=300).fit(inputs, targets, sample_weight=weights)
    coefficients, intercepts = regression.coef_, regression.intercept_
    if len(coefficients) > 1:
        return np.asarray(coefficients), np.asarray(intercepts)
    # binary: one row, of the difference
    return np.outer((-0.5, 0.5), coefficients[0]), np.array((-0.5, 0.5)) * intercepts[0]


def _regress_ordered(
    inputs: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the coefficients and intercepts of a regression of ordered values, as `_regress` does.

    The log-odds of each value against the one before it have the same coefficients, and intercepts of their
    own: the adjacent-categories logit model with common slopes (Agresti, *Analysis of Ordinal Categorical
    Data*, 2nd ed. 2010, section 4.1). It is a softmax, unlike cumulative logits, so that a model stores and
    computes it like any other. With two values it is the regression of `_regress`.

    Parameters
    ----------
    inputs
        ``(n, p)``.
    targets
        ``(n,)``: 0 to k - 1, in the order of the values, each at least once.
    weights
        ``(n,)``.
    """
    k = int(targets.max()) + 1
    ranks = np.arange(k) - (k - 1) / 2
    is_target = targets[:, None] == np.arange(k)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        slope, intercepts = parameters[:-k], parameters[-k:]
        log_p = log_softmax(np.outer(inputs @ slope, ranks) + intercepts, axis=1)
        residuals = weights[:, None] * (np.exp(log_p) - is_target)
        value = slope @ slope / 2 - weights @ log_p[is_target]
        return float(value), np.concatenate((inputs.T @ (residuals @ ranks) + slope, residuals.sum(0)))

    fitted = minimize(loss, np.zeros(inputs.shape[1] + k), jac=True, method="L-BFGS-B").x
    return np.outer(ranks, fitted[:-k]), fitted[-k:]
