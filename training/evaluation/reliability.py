"""Reliability: how often predictions of a given confidence are right; no torch."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.evaluation.metrics import Ranking

STEPS = 10
"""Tenths of confidence: what people read off a diagram, and whole numbers of cells in each."""


def curve(ranking: Ranking, steps: int = STEPS) -> list[dict[str, Any]]:
    """Return a reliability diagram: a row for each tenth of confidence with predictions.

    Parameters
    ----------
    ranking
        Confidences, and whether each was right.
    steps
        How many steps of equal width lie between 0 and 1; the last one holds 1 itself.

    Returns
    -------
    list of dict
        ``from`` and ``to``; ``n``, how many were that sure; ``right``, how many of them were right;
        ``mean``, how sure they were on average. The order of the ranking changes nothing.
    """
    place = np.clip((ranking.scores * steps).astype(int), 0, steps - 1)
    rows = []
    for step in range(steps):
        inside = place == step
        n = int(inside.sum())
        if n:
            rows.append(
                {
                    "from": step / steps,
                    "to": (step + 1) / steps,
                    "n": n,
                    "right": int(ranking.hits[inside].sum()),
                    "mean": round(float(np.sort(ranking.scores[inside]).mean()), 4),
                }
            )
    return rows
