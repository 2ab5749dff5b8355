"""Intervals by resampling whole clusters: patients, or what stands in for them if none is known; no torch.

Cells of one patient are alike, and to resample them one by one would promise more than the data hold.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.evaluation.patient_split import count_fields

RESAMPLES = 1000
LEVEL = 0.95
_LEAST = 20


class Bootstrap:
    """Counts how often each cluster stands in each resample of all of them.

    Attributes
    ----------
    clusters, fields
        How many there are, and how many of them are fields whose patient is not known.
    of_row
        ``(rows,)``: the cluster of each row.
    drawn
        ``(R, clusters)``: how often each cluster was drawn. R is 0 if there is one cluster alone: it says
        nothing of how clusters differ.
    """

    def __init__(self, clusters: Sequence[str], resamples: int = RESAMPLES, seed: int = 0) -> None:
        names = sorted(set(clusters))
        place = {name: i for i, name in enumerate(names)}
        self.clusters, self.fields = len(names), count_fields(names)
        self.of_row = np.array([place[name] for name in clusters], int)
        n = self.clusters
        rng = np.random.default_rng(seed)
        self.drawn = rng.multinomial(n, np.full(n, 1 / n), size=resamples) if n > 1 else np.zeros((0, n), int)

    def sums(self, rows: np.ndarray) -> np.ndarray:
        """Sum numbers of rows ``(rows, …)`` over each resample ``(R, …)``."""
        of_cluster = np.zeros((self.clusters, *rows.shape[1:]))
        np.add.at(of_cluster, self.of_row, rows)
        return np.tensordot(self.drawn, of_cluster, axes=(1, 0))


def interval(resampled: np.ndarray, least: float = _LEAST) -> list[float] | None:
    """Return the middle 95% of resampled numbers; ``None`` if fewer than `least` could be computed."""
    known = resampled[np.isfinite(resampled)]
    if len(known) < least:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [float(low), float(high)]
