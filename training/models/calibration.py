"""Calibration: Platt scaling of the detection score, temperature scaling of each head.

Both are regularised towards a prior (the parent's calibration, or none), so that a handful of cells cannot
turn a sound calibration into an absurd one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Calibration:
    """Map raw outputs to probabilities.

    Attributes
    ----------
    slope, intercept
        ``p(cell) = sigmoid(slope * logit(score) + intercept)``.
    temperatures
        Head name to its temperature; 1 if absent.
    note
        Description of the cells it was fitted on.
    """

    slope: float = 1.0
    intercept: float = 0.0
    temperatures: Mapping[str, float] = field(default_factory=dict)
    note: str = "not calibrated"

    def confidence(self, scores: np.ndarray) -> np.ndarray:
        """Convert raw detection scores ``(n,)`` into probabilities ``(n,)``."""
        z = self.slope * _logit(scores) + self.intercept
        return np.asarray(1 / (1 + np.exp(-z)))

    def raw(self, confidence: float) -> float:
        """Return the raw score of a confidence: the inverse of `confidence`."""
        if confidence <= 0:
            return 0.0
        if confidence >= 1:
            return 1.0
        z = (float(_logit(np.array([confidence]))[0]) - self.intercept) / self.slope
        return float(1 / (1 + np.exp(-z)))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict, for a model's card."""
        return {
            "slope": self.slope,
            "intercept": self.intercept,
            "temperatures": dict(self.temperatures),
            "note": self.note,
        }

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> Calibration:
        """Read what `to_dict` wrote."""
        return cls(
            float(numbers["slope"]),
            float(numbers["intercept"]),
            {str(k): float(v) for k, v in numbers["temperatures"].items()},
            str(numbers.get("note", "")),
        )


MIN_PROBABILITY = 1e-6
"""Probabilities are clipped to this and to one minus this."""


def _logit(p: np.ndarray) -> np.ndarray:
    p = np.clip(np.asarray(p, np.float64), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return np.asarray(np.log(p / (1 - p)))


def fit_platt(
    scores: np.ndarray, hits: np.ndarray, *, prior: tuple[float, float] = (1.0, 0.0), strength: float = 4.0
) -> tuple[float, float]:
    """Fit the slope and intercept of Platt scaling by regularised logistic regression.

    Parameters
    ----------
    scores
        ``(n,)`` raw scores of predictions.
    hits
        ``(n,)`` bool: whether each was a white cell.
    prior, strength
        Mean of the Gaussian prior of slope and intercept, and its precision (1 / variance).

    Returns
    -------
    tuple
        Slope (at least 0.1) and intercept.
    """
    x = np.stack((_logit(scores), np.ones(len(scores))), 1)
    y = np.asarray(hits, np.float64)
    mean = np.array(prior, np.float64)
    theta = mean.copy()
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(x @ theta, -30, 30)))
        gradient = x.T @ (p - y) + strength * (theta - mean)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + strength * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        theta -= np.clip(step, -2, 2)
        if float(np.abs(step).max()) < 1e-8:
            break
    return max(0.1, float(theta[0])), float(theta[1])


def fit_temperature(
    logits: np.ndarray, allowed: np.ndarray, *, prior: float = 1.0, strength: float = 5.0
) -> float:
    """Fit the temperature of a head.

    Parameters
    ----------
    logits
        ``(n, K)``.
    allowed
        ``(n, K)`` bool: the values that the label allows; rows without any are ignored.
    prior, strength
        Prior temperature, and the weight of the squared log ratio to it.

    Returns
    -------
    float
        Between 0.25 and 4.
    """
    rows = allowed.any(1)
    logits, allowed = logits[rows].astype(np.float64), allowed[rows]
    candidates = np.exp(np.linspace(np.log(0.25), np.log(4), 97))
    costs = []
    for temperature in candidates:
        z = logits / temperature
        z = z - z.max(1, keepdims=True) if len(z) else z
        log_all = np.log(np.exp(z).sum(1))
        log_allowed = np.log(np.where(allowed, np.exp(z), 0).sum(1) + 1e-12)
        costs.append(
            float((log_all - log_allowed).sum()) + strength * float(np.log(temperature / prior)) ** 2
        )
    return float(candidates[int(np.argmin(costs))])
