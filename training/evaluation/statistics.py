"""Confidence intervals of proportions; no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence


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


def worth(hits: Sequence[int], of: Sequence[int]) -> float:
    """Return how many independent draws each of those counted is worth, at most 1: places hold what is alike.

    By how far the places differ more than chance would have it, and the fewer places, the less: the effective
    sample size of Korn and Graubard (Survey Methodology 24, 1998), over the counted ones.

    Parameters
    ----------
    hits, of
        How many were so, and how many were looked at, in each place.
    """
    from scipy import special

    total, found = sum(of), sum(hits)
    places = sum(1 for one in of if one)
    if places < 2:
        return 1.0
    share = found / total
    off = sum((x - share * n) ** 2 for x, n in zip(hits, of, strict=True))
    variance = places / (places - 1) * off / total**2
    draws = share * (1 - share) / variance if variance else float(total)
    fewer = special.stdtrit(total - 1, 0.975) / special.stdtrit(places - 1, 0.975)
    return float(min(1.0, draws / total) * fewer**2) if 0 < found < total else float(fewer**2)


def exact(hits: int, of: int, each: float = 1.0) -> tuple[float, float]:
    """Return the 95% interval of Clopper and Pearson, which holds a share at least as often as it says.

    Parameters
    ----------
    each
        See `worth`.
    """
    from scipy import special

    if of <= 0:
        return 0.0, 1.0
    so, not_so = hits * each, (of - hits) * each
    low = float(special.betaincinv(so, not_so + 1, 0.025)) if hits else 0.0
    high = float(special.betaincinv(so + 1, not_so, 0.975)) if hits < of else 1.0
    return low, high
