"""Metrics of ordered attributes; no torch.

Predicting "large" for a small cell is worse than predicting "medium", which F1 and accuracy do not show.
"""

from __future__ import annotations

import numpy as np

from training.evaluation.bootstrap import Bootstrap, interval

Measured = dict[str, tuple[float | None, list[float] | None]]
"""Name of a metric to its value and interval; ``None`` if undefined."""


def rank_measures(tables: np.ndarray, bootstrap: Bootstrap) -> Measured:
    """Compute the metrics of an ordered attribute on found cells with a predicted value.

    Parameters
    ----------
    tables
        ``(fields, K, K)``: cells of each field by true and predicted value, both in their order.
    bootstrap
        Resamples of these fields.

    Returns
    -------
    dict
        ``rank_error``: mean absolute difference of the ranks; ``weighted_kappa``: Cohen's kappa with
        quadratic weights (undefined if the expected disagreement is 0).
    """
    resampled, observed = bootstrap.sums(tables), tables.sum(0, keepdims=True)
    return {
        name: (
            float(value) if np.isfinite(value := measure(observed)[0]) else None,
            interval(measure(resampled)),
        )
        for name, measure in (("rank_error", _rank_error), ("weighted_kappa", _weighted_kappa))
    }


def _rank_error(tables: np.ndarray) -> np.ndarray:
    return _mean_of(tables, np.abs(_rank_differences(tables.shape[-1])))


def _weighted_kappa(tables: np.ndarray) -> np.ndarray:
    """Return Cohen's kappa with quadratic weights of tables ``(R, K, K)``."""
    squares = _rank_differences(tables.shape[-1]) ** 2
    expected_tables = tables.sum(2)[:, :, None] * tables.sum(1)[:, None, :]
    observed, expected = _mean_of(tables, squares), _mean_of(expected_tables, squares)
    return np.asarray(1 - np.divide(observed, expected, out=np.full(len(tables), np.nan), where=expected > 0))


def _rank_differences(values: int) -> np.ndarray:
    return np.subtract.outer(np.arange(values), np.arange(values)).astype(np.float64)


def _mean_of(tables: np.ndarray, cost: np.ndarray) -> np.ndarray:
    total = tables.sum((1, 2))
    return np.asarray(
        np.divide((tables * cost).sum((1, 2)), total, out=np.full(len(tables), np.nan), where=total > 0)
    )
