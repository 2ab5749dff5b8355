"""Confidence intervals of proportions; no torch."""

from __future__ import annotations

import math


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval of a share; all of 0 to 1 where nothing was counted.

    scipy and statsmodels have it too, and a test holds it to theirs; but the window asks for it at every
    suggestion, and to import them takes a second or more.

    Parameters
    ----------
    hits
        How many were so.
    of
        How many were looked at.
    z
        1.96 for 95%.
    """
    if of <= 0:
        return 0.0, 1.0
    share = hits / of
    middle = share + z * z / (2 * of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    scale = 1 + z * z / of
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
