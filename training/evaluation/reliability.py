"""Reliability diagrams: accuracy as a function of confidence; no torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.evaluation.matching import Ranking

STEPS = 10
"""Number of bins of equal width."""


def curve(ranking: Ranking, steps: int = STEPS) -> list[dict[str, Any]]:
    """Return a reliability diagram: a row for each non-empty bin of confidence.

    Parameters
    ----------
    ranking
        Confidences, and whether each prediction was correct.
    steps
        Number of bins of equal width between 0 and 1; the last one includes 1.

    Returns
    -------
    list of dict
        ``from`` and ``to``; ``n``, number of predictions; ``right``, number of correct ones; ``mean``, mean
        confidence. It does not depend on the order of the ranking.
    """
    bin_index = np.clip((ranking.scores * steps).astype(int), 0, steps - 1)
    rows = []
    for step in range(steps):
        in_bin = bin_index == step
        n = int(in_bin.sum())
        if n:
            rows.append(
                {
                    "from": step / steps,
                    "to": (step + 1) / steps,
                    "n": n,
                    "right": int(ranking.hits[in_bin].sum()),
                    "mean": round(float(np.sort(ranking.scores[in_bin]).mean()), 4),
                }
            )
    return rows
