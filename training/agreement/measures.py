"""Cohen's and Fleiss' kappa and Krippendorff's alpha from libraries, with cluster bootstrap intervals.

The intervals are computed from sums of small tables per patient: a resample is a weighted sum, so a thousand
of them are one matrix product. A test compares the formulas here with the libraries.
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

_BATCH_SIZE = 10_000
"""Number of cells whose tables are in memory at once."""


def measure(
    rows: Sequence[Labels],
    clusters: Sequence[str],
    names: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure the agreement of readings on the class or one attribute.

    Parameters
    ----------
    rows
        One row per cell, one column per reading.
    clusters
        Cluster (patient) of each cell, the unit of resampling.
    names
        Names of the readings.

    Returns
    -------
    dict
        ``pairs`` (a row for each two readings: ``readings``, ``kappa`` (Cohen), ``agreement`` (share),
        ``n``, ``interval`` of kappa), ``fleiss`` (on cells that all have labelled) and ``alpha``
        (Krippendorff, nominal, on cells that at least two have labelled), each with ``value``, ``interval``,
        ``n``. ``None`` if undefined: no cell, or all labels are equal.
    """
    values = sorted({value for row in rows for value in row if value is not None})
    code = {value: i for i, value in enumerate(values)} | {None: -1}
    coded = np.array([[code[v] for v in row] for row in rows], int)
    coded = coded.reshape(len(rows), len(names))
    bootstrap = Bootstrap(clusters, resamples, seed)
    k = len(values)
    pairs = []
    for a, b in combinations(range(len(names)), 2):
        labelled = np.asarray((coded[:, [a, b]] >= 0).all(1))
        pair_labels = coded[labelled][:, [a, b]]
        pairs.append(
            {
                "readings": [names[a], names[b]],
                "kappa": _cohen_kappa(pair_labels),
                "agreement": float((pair_labels[:, 0] == pair_labels[:, 1]).mean())
                if len(pair_labels)
                else None,
                "n": len(pair_labels),
                "interval": _interval(
                    bootstrap, pair_labels, labelled, lambda part: pair_tables(part, k), kappa_of
                ),
            }
        )
    complete = np.asarray((coded >= 0).all(1))
    multiple = np.asarray((coded >= 0).sum(1) >= 2)
    return {
        "values": values,
        "pairs": pairs,
        "fleiss": {
            "value": _fleiss_kappa(coded[complete], k),
            "interval": _interval(
                bootstrap, coded[complete], complete, lambda part: _sums(counts_of(part, k)), fleiss_of
            ),
            "n": int(complete.sum()),
        },
        "alpha": {
            "value": _krippendorff_alpha(coded[multiple], k),
            "interval": _interval(
                bootstrap, coded[multiple], multiple, lambda part: coincidences(part, k), alpha_of
            ),
            "n": int(multiple.sum()),
        },
        "clusters": bootstrap.clusters,
        "of_fields": bootstrap.fields,
    }


def f1(both: int, a: int, b: int) -> float | None:
    """Return 2 · both / (a + b): agreement of detection, with neither reading as the truth."""
    return 2 * both / (a + b) if a + b else None


def f1_interval(
    counts: Sequence[tuple[int, int, int]],
    clusters: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[float] | None:
    """Return the interval of `f1` of counts ``(both, a, b)``, one row per field."""

    def f1_of(table: np.ndarray) -> float:
        return 2 * table[0] / (table[1] + table[2]) if table[1] + table[2] else math.nan

    rows = np.array(counts, float).reshape(-1, 3)
    all_rows = np.ones(len(rows), bool)
    return _interval(Bootstrap(clusters, resamples, seed), rows, all_rows, lambda part: part, f1_of)


# --- the libraries ---------------------------------------------------------------------------------------


def _cohen_kappa(labels: np.ndarray) -> float | None:
    from sklearn.metrics import cohen_kappa_score

    if not len(labels) or len(np.unique(labels)) < 2:
        return None
    return _number(cohen_kappa_score(labels[:, 0], labels[:, 1]))


def _fleiss_kappa(labels: np.ndarray, k: int) -> float | None:
    from statsmodels.stats.inter_rater import fleiss_kappa

    if not len(labels) or labels.shape[1] < 2 or len(np.unique(labels)) < 2:
        return None
    return _number(fleiss_kappa(counts_of(labels, k)))


def _krippendorff_alpha(labels: np.ndarray, k: int) -> float | None:
    import krippendorff

    if not len(labels) or len(np.unique(labels[labels >= 0])) < 2:
        return None
    counts = counts_of(labels, k)
    return _number(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


# --- the same from sums ----------------------------------------------------------------------------------


def pair_tables(labels: np.ndarray, k: int) -> np.ndarray:
    """Return each cell's table ``(n, k, k)`` of the labels of two readings."""
    tables = np.zeros((len(labels), k, k))
    tables[np.arange(len(labels)), labels[:, 0], labels[:, 1]] = 1
    return tables


def kappa_of(table: np.ndarray) -> float:
    """Return Cohen's kappa of a sum of `pair_tables`; NaN if the expected agreement is 1."""
    n = table.sum()
    if not n:
        return math.nan
    chance = float(table.sum(0) @ table.sum(1)) / n**2
    return float((np.trace(table) / n - chance) / (1 - chance)) if chance < 1 - 1e-12 else math.nan


def counts_of(labels: np.ndarray, k: int) -> np.ndarray:
    """Return the number of readings with each value, per cell, ``(n, k)``."""
    return np.stack([(labels == value).sum(1) for value in range(k)], 1) if k else np.zeros((len(labels), 0))


def fleiss_of(table: np.ndarray) -> float:
    """Return Fleiss' kappa of a weighted sum of ``(k + 2,)`` rows; see `_sums`."""
    counts, same, cells = table[:-2], table[-2], table[-1]
    if not cells or not counts.sum():
        return math.nan
    chance = float(((counts / counts.sum()) ** 2).sum())
    return float((same / cells - chance) / (1 - chance)) if chance < 1 - 1e-12 else math.nan


def coincidences(labels: np.ndarray, k: int) -> np.ndarray:
    """Return each cell's coincidence matrix ``(n, k, k)`` (Krippendorff)."""
    counts = counts_of(labels, k).astype(float)
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
    mask: np.ndarray,
    tables_of: Callable[[np.ndarray], np.ndarray],
    statistic: Callable[[np.ndarray], float],
) -> list[float] | None:
    """Return the interval of a statistic of summed tables; ``None`` if there are too few clusters.

    Tables are summed over clusters first: a thousand resamples of 100,000 cells would take a gigabyte.

    Parameters
    ----------
    rows
        Of the cells of `which`, ``(n, …)``; `tables_of` makes a table of each.
    which
        ``(cells,)`` bool.
    """
    if not len(bootstrap.counts) or not len(rows):
        return None
    clusters = bootstrap.cluster_of_row[mask]
    shape = tables_of(rows[:1]).shape[1:]
    sums = np.zeros((bootstrap.clusters, *shape))
    for start in range(0, len(rows), _BATCH_SIZE):
        part = slice(start, start + _BATCH_SIZE)
        np.add.at(sums, clusters[part], tables_of(rows[part]))
    resampled_sums = bootstrap.counts @ sums.reshape(bootstrap.clusters, -1)
    resampled = np.array([statistic(row.reshape(shape)) for row in resampled_sums])
    return interval(resampled, minimum=0.5 * len(resampled))


def _sums(counts: np.ndarray) -> np.ndarray:
    """Return each cell's counts, its share of agreeing pairs, and 1, in one row."""
    raters = counts.sum(1)
    pairs = (counts * (counts - 1)).sum(1) / np.maximum(raters * (raters - 1), 1)
    return np.concatenate((counts, pairs[:, None], np.ones((len(counts), 1))), 1)
