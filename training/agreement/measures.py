"""Kappas and alpha, from well-kept libraries, with bootstrap intervals over patients.

The intervals come from sums of small tables of each patient: a resample is a weighted sum, so a thousand of
them cost no more than a matrix product. A test holds the formulas here equal to the libraries'.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from training.evaluation.bootstrap import RESAMPLES, Bootstrap, interval

Labels = Sequence[str | None]
"""The label of each reading for one cell; ``None`` = none."""

_AT_ONCE = 10_000
"""Cells whose tables are in memory together."""


def measure(
    rows: Sequence[Labels],
    clusters: Sequence[str],
    names: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure the agreement of readings on one question.

    Parameters
    ----------
    rows
        One row per cell, one column per reading.
    clusters
        Whose each cell is: what is resampled as one.
    names
        Of the readings.

    Returns
    -------
    dict
        ``pairs`` (a row for each two readings: ``readings``, ``kappa`` (Cohen), ``agreement`` (share),
        ``n``, ``interval`` of kappa), ``fleiss`` (on cells that all have labelled) and ``alpha``
        (Krippendorff, nominal, on all that two have), each with ``value``, ``interval``, ``n``. ``None``
        where nothing can be said: no cell, or all say one and the same, which chance would do as well.
    """
    values = sorted({value for row in rows for value in row if value is not None})
    place = {value: i for i, value in enumerate(values)} | {None: -1}
    coded = np.array([[place[v] for v in row] for row in rows], int)
    coded = coded.reshape(len(rows), len(names))
    drawn = Bootstrap(clusters, resamples, seed)
    k = len(values)
    pairs = []
    for a, b in combinations(range(len(names)), 2):
        both = np.asarray((coded[:, [a, b]] >= 0).all(1))
        some = coded[both][:, [a, b]]
        pairs.append(
            {
                "readings": [names[a], names[b]],
                "kappa": _cohen(some),
                "agreement": float((some[:, 0] == some[:, 1]).mean()) if len(some) else None,
                "n": len(some),
                "interval": _interval(drawn, some, both, lambda part: pair_tables(part, k), kappa_of),
            }
        )
    complete = np.asarray((coded >= 0).all(1))
    several = np.asarray((coded >= 0).sum(1) >= 2)
    return {
        "values": values,
        "pairs": pairs,
        "fleiss": {
            "value": _fleiss(coded[complete], k),
            "interval": _interval(
                drawn, coded[complete], complete, lambda part: _sums(counts_of(part, k)), fleiss_of
            ),
            "n": int(complete.sum()),
        },
        "alpha": {
            "value": _alpha(coded[several], k),
            "interval": _interval(
                drawn, coded[several], several, lambda part: coincidences(part, k), alpha_of
            ),
            "n": int(several.sum()),
        },
        "clusters": drawn.clusters,
        "of_fields": drawn.fields,
    }


def f1(both: int, a: int, b: int) -> float | None:
    """Return 2 · both / (a + b): detection agreement, where neither reading is the truth."""
    return 2 * both / (a + b) if a + b else None


def f1_interval(
    counts: Sequence[tuple[int, int, int]],
    clusters: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[float] | None:
    """Return the interval of `f1` of counts ``(both, a, b)``, one row per field."""

    def of(table: np.ndarray) -> float:
        return 2 * table[0] / (table[1] + table[2]) if table[1] + table[2] else math.nan

    rows = np.array(counts, float).reshape(-1, 3)
    every = np.ones(len(rows), bool)
    return _interval(Bootstrap(clusters, resamples, seed), rows, every, lambda part: part, of)


# --- the libraries ---------------------------------------------------------------------------------------


def _cohen(some: np.ndarray) -> float | None:
    from sklearn.metrics import cohen_kappa_score

    if not len(some) or len(np.unique(some)) < 2:
        return None
    return _number(cohen_kappa_score(some[:, 0], some[:, 1]))


def _fleiss(some: np.ndarray, k: int) -> float | None:
    from statsmodels.stats.inter_rater import fleiss_kappa

    if not len(some) or some.shape[1] < 2 or len(np.unique(some)) < 2:
        return None
    return _number(fleiss_kappa(counts_of(some, k)))


def _alpha(some: np.ndarray, k: int) -> float | None:
    import krippendorff

    if not len(some) or len(np.unique(some[some >= 0])) < 2:
        return None
    counts = counts_of(some, k)
    return _number(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# --- the same from sums ----------------------------------------------------------------------------------


def pair_tables(some: np.ndarray, k: int) -> np.ndarray:
    """Return each cell's table ``(n, k, k)`` of the labels of two readings."""
    tables = np.zeros((len(some), k, k))
    tables[np.arange(len(some)), some[:, 0], some[:, 1]] = 1
    return tables


def kappa_of(table: np.ndarray) -> float:
    """Return Cohen's kappa of a sum of `pair_tables`; NaN where chance agrees always."""
    n = table.sum()
    if not n:
        return math.nan
    chance = float(table.sum(0) @ table.sum(1)) / n**2
    return float((np.trace(table) / n - chance) / (1 - chance)) if chance < 1 - 1e-12 else math.nan


def counts_of(some: np.ndarray, k: int) -> np.ndarray:
    """Return the number of readings with each value, per cell, ``(n, k)``."""
    return np.stack([(some == value).sum(1) for value in range(k)], 1) if k else np.zeros((len(some), 0))


def fleiss_of(table: np.ndarray) -> float:
    """Return Fleiss' kappa of a weighted sum of ``(k + 2,)`` rows; see `_sums`."""
    counts, same, cells = table[:-2], table[-2], table[-1]
    if not cells or not counts.sum():
        return math.nan
    chance = float(((counts / counts.sum()) ** 2).sum())
    return float((same / cells - chance) / (1 - chance)) if chance < 1 - 1e-12 else math.nan


def coincidences(some: np.ndarray, k: int) -> np.ndarray:
    """Return each cell's coincidence matrix ``(n, k, k)`` (Krippendorff)."""
    counts = counts_of(some, k).astype(float)
    pairs = counts[:, :, None] * counts[:, None, :]
    index = np.arange(k)
    pairs[:, index, index] -= counts
    return np.asarray(pairs / np.maximum(counts.sum(1) - 1, 1)[:, None, None])


def alpha_of(table: np.ndarray) -> float:
    """Return Krippendorff's nominal alpha of a sum of `coincidences`."""
    sums = table.sum(0)
    n = sums.sum()
    if n <= 1:
        return math.nan
    expected = (n * n - float((sums**2).sum())) / (n - 1)
    return float(1 - (n - np.trace(table)) / expected) if expected > 1e-12 else math.nan


def _interval(
    bootstrap: Bootstrap,
    rows: np.ndarray,
    which: np.ndarray,
    tables_of: Callable[[np.ndarray], np.ndarray],
    of: Callable[[np.ndarray], float],
) -> list[float] | None:
    """Return the interval of a number of the sum of tables; ``None`` if there are too few clusters.

    Tables are summed over clusters first: of 100,000 cells a thousand resamples each would be a gigabyte.

    Parameters
    ----------
    rows
        Of the cells of `which`, ``(n, …)``; `tables_of` makes a table of each.
    which
        ``(cells,)`` bool.
    """
    if not len(bootstrap.counts) or not len(rows):
        return None
    of_row = bootstrap.cluster_of_row[which]
    shape = tables_of(rows[:1]).shape[1:]
    sums = np.zeros((bootstrap.clusters, *shape))
    for start in range(0, len(rows), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        np.add.at(sums, of_row[part], tables_of(rows[part]))
    drawn = bootstrap.counts @ sums.reshape(bootstrap.clusters, -1)
    resampled = np.array([of(row.reshape(shape)) for row in drawn])
    return interval(resampled, minimum=0.5 * len(resampled))


def _sums(counts: np.ndarray) -> np.ndarray:
    """Return each cell's counts, its share of agreeing pairs, and 1, in one row."""
    raters = counts.sum(1)
    pairs = (counts * (counts - 1)).sum(1) / np.maximum(raters * (raters - 1), 1)
    return np.concatenate((counts, pairs[:, None], np.ones((len(counts), 1))), 1)
