"""How far off the values of an ordered attribute are predicted; no torch.

To call a small cell large is worse than to call it medium, which F1 and accuracy do not see.
"""

from __future__ import annotations

import numpy as np

from training.evaluation.bootstrap import Bootstrap, interval

Measured = dict[str, tuple[float | None, list[float] | None]]
"""Name of a number to it and its interval; ``None`` where there is nothing to say."""


def rank_measures(tables: np.ndarray, bootstrap: Bootstrap) -> Measured:
    """Measure an ordered attribute on found cells of which a value was predicted.

    Parameters
    ----------
    tables
        ``(fields, K, K)``: cells of each field by true and predicted value, both in their order.
    bootstrap
        Of these fields.

    Returns
    -------
    dict
        ``rank_error``: how many places the predicted value is off, on average; ``weighted_kappa``: agreement
        beyond chance, errors weighing as the square of their places (nothing where chance would agree
        always).
    """
    sums, whole = bootstrap.sums(tables), tables.sum(0, keepdims=True)
    return {
        name: (float(value) if np.isfinite(value := of(whole)[0]) else None, interval(of(sums)))
        for name, of in (("rank_error", _rank_error), ("weighted_kappa", _weighted_kappa))
    }


def _rank_error(tables: np.ndarray) -> np.ndarray:
    return _mean_of(tables, np.abs(_off(tables.shape[-1])))


def _weighted_kappa(tables: np.ndarray) -> np.ndarray:
    """Return Cohen's kappa with quadratic weights of tables ``(R, K, K)``."""
    squares = _off(tables.shape[-1]) ** 2
    by_chance = tables.sum(2)[:, :, None] * tables.sum(1)[:, None, :]
    seen, expected = _mean_of(tables, squares), _mean_of(by_chance, squares)
    return np.asarray(1 - np.divide(seen, expected, out=np.full(len(tables), np.nan), where=expected > 0))


def _off(values: int) -> np.ndarray:
    return np.subtract.outer(np.arange(values), np.arange(values)).astype(np.float64)


def _mean_of(tables: np.ndarray, cost: np.ndarray) -> np.ndarray:
    total = tables.sum((1, 2))
    return np.asarray(
        np.divide((tables * cost).sum((1, 2)), total, out=np.full(len(tables), np.nan), where=total > 0)
    )
