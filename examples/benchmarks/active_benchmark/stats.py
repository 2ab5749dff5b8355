"""Learning curves over expert seconds, and the comparison of two strategies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import permutation_test, t

Curves = Mapping[int, Sequence[tuple[float, float]]]
"""Points (expert seconds, score) by seed, in the order of the rounds."""


def curves(results: Mapping[int, Mapping[str, Any]], metric: str, clock: str) -> Curves:
    """Return the curves of one arm from its results.

    Parameters
    ----------
    results
        Results of `active_benchmark.run.run` by seed.
    metric
        A metric such as ``"map50"``.
    clock
        ``"seconds"`` (with suggestions) or ``"by_hand"``.
    """
    return {
        seed: [(float(item[clock]), float(item[metric])) for item in result["rounds"]]
        for seed, result in results.items()
    }


def at(points: Sequence[tuple[float, float]], seconds: np.ndarray) -> np.ndarray:
    """Interpolate a curve linearly between the rounds; it is constant after the last."""
    x, y = np.array(points).T
    return np.asarray(np.interp(seconds, x, y))


def seconds_to(mean: np.ndarray, grid: np.ndarray, level: float) -> float:
    """Return the first time at which a curve reaches a level; infinity if it does not."""
    reached = np.flatnonzero(mean >= level)
    if not len(reached):
        return float("inf")
    i = int(reached[0])
    if i == 0:
        return float(grid[0])
    share = (level - mean[i - 1]) / (mean[i] - mean[i - 1])
    return float(grid[i - 1] + share * (grid[i] - grid[i - 1]))


def area(points: Sequence[tuple[float, float]], start: float, end: float) -> float:
    """Return the mean height of a curve between two times."""
    grid = np.linspace(start, end, 400)
    return float(at(points, grid).mean())


def end_of(some: Curves) -> float:
    """Return the latest time that all curves cover."""
    return min(points[-1][0] for points in some.values())


def ratio(ours: Curves, other: Curves, seeds: Sequence[int]) -> float:
    """Return the ratio of our seconds to the other's until the mean curves reach the other's final score.

    Both include the common start. The other's seconds are those at which its mean curve first reaches its
    final score, so that a curve that falls at the end does not favour us.
    """
    end = end_of({s: other[s] for s in seeds})
    start = max(ours[s][0][0] for s in seeds)
    grid = np.linspace(start, max(end, end_of({s: ours[s] for s in seeds})), 2000)
    grid_other = grid[grid <= end]
    mean_other = np.mean([at(other[s], grid_other) for s in seeds], 0)
    mean_ours = np.mean([at(ours[s], grid) for s in seeds], 0)
    level = float(mean_other[-1])
    return seconds_to(mean_ours, grid, level) / seconds_to(mean_other, grid_other, level)


def compare(ours: Curves, other: Curves, *, resamples: int = 1000) -> dict[str, Any]:
    """Compare two arms over the seeds that both have.

    Returns
    -------
    dict
        ``seeds``; ``time``: ratio of our final seconds to theirs; ``final`` and ``area``: differences of the
        final scores, and of the mean heights of the curves over the time that both cover, each with mean,
        spread (standard deviation over seeds) and p (sign-flip permutation test, two-sided, exact);
        ``least``: the lower end of the one-sided 95% interval of the final difference; ``ratio`` (see
        `ratio`) with its 95% bootstrap interval over seeds, ``low`` and ``high``.
    """
    seeds = sorted(set(ours) & set(other))
    rng = np.random.default_rng(0)
    ratios = [
        ratio(ours, other, [seeds[i] for i in rng.integers(len(seeds), size=len(seeds))])
        for _ in range(resamples)
    ]
    finals = [ours[s][-1][1] - other[s][-1][1] for s in seeds]
    areas = []
    for seed in seeds:
        start = max(ours[seed][0][0], other[seed][0][0])
        end = min(ours[seed][-1][0], other[seed][-1][0])
        areas.append(area(ours[seed], start, end) - area(other[seed], start, end))
    low, high = np.quantile(ratios, [0.025, 0.975], method="nearest")
    return {
        "seeds": len(seeds),
        "time": sum(ours[s][-1][0] for s in seeds) / sum(other[s][-1][0] for s in seeds),
        "final": _paired(finals),
        "least": least(finals),
        "area": _paired(areas),
        "ratio": ratio(ours, other, seeds),
        "low": float(low),
        "high": float(high),
    }


def least(differences: Sequence[float]) -> float:
    """Return the lower end of the one-sided 95% interval of a mean difference (Student's t); NaN for one."""
    if len(differences) < 2:
        return float("nan")
    error = float(np.std(differences, ddof=1)) / len(differences) ** 0.5
    return float(np.mean(differences)) - float(t.ppf(0.95, len(differences) - 1)) * error


def _paired(differences: Sequence[float]) -> tuple[float, float, float]:
    """Return mean, standard deviation and p of paired differences; NaN for one difference."""
    if len(differences) < 2:
        return float(np.mean(differences)), float("nan"), float("nan")
    test = permutation_test(
        (differences,), np.mean, permutation_type="samples", vectorized=False, n_resamples=np.inf
    )
    return float(np.mean(differences)), float(np.std(differences, ddof=1)), float(test.pvalue)
