"""Confidence means what it says, and few cells cannot spoil it."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.calibration import Calibration, fit_platt, fit_temperature


def test_platt_finds_the_true_curve() -> None:
    rng = np.random.default_rng(0)
    scores = rng.uniform(0.02, 0.98, 5000)
    z = 2.0 * np.log(scores / (1 - scores)) - 1.0
    hits = rng.uniform(size=5000) < 1 / (1 + np.exp(-z))
    assert fit_platt(scores, hits) == pytest.approx((2.0, -1.0), abs=0.15)


def test_without_cells_the_calibration_stays() -> None:
    assert fit_platt(np.zeros(0), np.zeros(0, bool), prior=(0.7, 0.2)) == pytest.approx((0.7, 0.2))
    nothing = np.zeros((0, 3))
    assert fit_temperature(nothing, nothing.astype(bool), prior=1.5) == pytest.approx(1.5, rel=0.03)


def test_three_lucky_cells_move_it_only_a_little() -> None:
    slope, intercept = fit_platt(np.array([0.4, 0.5, 0.6]), np.ones(3, bool))
    assert 0.8 < slope < 1.2
    assert 0 < intercept < 1


def test_a_head_too_sure_of_itself_is_cooled() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 2000)
    said = np.where(rng.uniform(size=2000) < 0.7, truth, 1 - truth)  # right in 70%
    logits = np.where(said[:, None] == np.arange(2), 4.0, 0.0)  # sure to 98%
    assert fit_temperature(logits, truth[:, None] == np.arange(2)) > 3


def test_confidence_and_raw_score_are_inverse() -> None:
    calibration = Calibration(1.7, -0.4)
    for confidence in (0.05, 0.25, 0.9):
        raw = calibration.raw(confidence)
        assert calibration.confidence(np.array([raw]))[0] == pytest.approx(confidence)
    assert Calibration.from_dict(calibration.to_dict()) == calibration
