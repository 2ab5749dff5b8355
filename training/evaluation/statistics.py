"""Confidence intervals of proportions; no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion; 0 to 1 if `n` is 0.

    scipy and statsmodels have it too, and a test compares them; but the window computes it at every
    suggestion, and importing them takes a second or more.

    Parameters
    ----------
    hits
        Number of successes.
    n
        Number of trials.
    z
        1.96 for 95%.
    """
    if n <= 0:
        return 0.0, 1.0
    share = hits / n
    centre = share + z * z / (2 * n)
    half_width = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - half_width) / scale), min(1.0, (centre + half_width) / scale)


def effective_share(hits: Sequence[int], counts: Sequence[int]) -> float:
    """Return the effective sample size of a clustered proportion over its sample size.

    It is computed from the variance between clusters, with a correction for few clusters, according to Korn
    and Graubard (Survey Methodology 24, 1998).

    Parameters
    ----------
    hits, counts
        Number of successes and of trials in each cluster.
    """
    from scipy import special

    total, total_hits = sum(counts), sum(hits)
    clusters = sum(1 for count in counts if count)
    if clusters < 2:
        return 1.0
    share = total_hits / total
    squares = sum((x - share * n) ** 2 for x, n in zip(hits, counts, strict=True))
    variance = clusters / (clusters - 1) * squares / total**2
    effective = share * (1 - share) / variance if variance else float(total)
    t_ratio = special.stdtrit(total - 1, 0.975) / special.stdtrit(clusters - 1, 0.975)
    return float(min(1.0, effective / total) * t_ratio**2) if 0 < total_hits < total else float(t_ratio**2)


def clopper_pearson(hits: int, n: int, share: float = 1.0) -> tuple[float, float]:
    """Return the exact 95% interval of Clopper and Pearson, whose coverage is at least nominal.

    Parameters
    ----------
    share
        Effective sample size over sample size, see `effective_share`.
    """
    from scipy import special

    if n <= 0:
        return 0.0, 1.0
    successes, failures = hits * share, (n - hits) * share
    low = float(special.betaincinv(successes, failures + 1, 0.025)) if hits else 0.0
    high = float(special.betaincinv(successes + 1, failures, 0.975)) if hits < n else 1.0
    return low, high
