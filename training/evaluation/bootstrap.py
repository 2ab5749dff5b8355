"""Cluster bootstrap: intervals by resampling patients (fields, if the patient is unknown); no torch.

Cells of one patient are correlated, so resampling single cells would give intervals that are too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.evaluation.patient_split import count_fields

RESAMPLES = 1000
LEVEL = 0.95
_MIN_FINITE = 20


class Bootstrap:
    """Resamples of clusters with replacement.

    Attributes
    ----------
    clusters, fields
        Number of clusters, and number of those that are fields with unknown patient.
    cluster_of_row
        ``(rows,)``: the cluster of each row.
    counts
        ``(R, clusters)``: how often each cluster is in each resample. R is 0 if there is only one cluster,
        which gives no estimate of the variance between clusters.
    """

    def __init__(self, clusters: Sequence[str], resamples: int = RESAMPLES, seed: int = 0) -> None:
        names = sorted(set(clusters))
        index = {name: i for i, name in enumerate(names)}
        self.clusters, self.fields = len(names), count_fields(names)
        self.cluster_of_row = np.array([index[name] for name in clusters], int)
        n = self.clusters
        rng = np.random.default_rng(seed)
        self.counts = (
            rng.multinomial(n, np.full(n, 1 / n), size=resamples) if n > 1 else np.zeros((0, n), int)
        )

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """Sum values of rows ``(rows, …)`` over each resample: ``(R, …)``."""
        cluster_sums = np.zeros((self.clusters, *rows.shape[1:]))
        np.add.at(cluster_sums, self.cluster_of_row, rows)
        return np.tensordot(self.counts, cluster_sums, axes=(1, 0))


def interval(resampled: np.ndarray, minimum: float = _MIN_FINITE) -> list[float] | None:
    """Return the percentile interval of 95%; ``None`` if fewer than `minimum` values are finite."""
    finite = resampled[np.isfinite(resampled)]
    if len(finite) < minimum:
        return None
    low, high = np.quantile(finite, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]
