"""Intervals over whole patients."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.bootstrap import Bootstrap, interval


def test_cells_of_a_patient_are_drawn_together_and_as_many_patients_as_there_are() -> None:
    bootstrap = Bootstrap(["b", "a", "b", "c"], resamples=50)
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 10.0]])
    drawn = bootstrap.sums(rows)
    assert drawn.shape == (50, 2)
    assert set(drawn[:, 0]) <= {0.0, 2.0, 4.0, 6.0}, "both cells of b, or neither"
    assert (bootstrap.counts.sum(1) == 3).all()
    assert (drawn == np.array([[2 * b, a + 10 * c] for a, b, c in bootstrap.counts])).all()


def test_one_patient_alone_says_nothing_of_how_patients_differ() -> None:
    assert interval(Bootstrap(["a", "a"]).sums(np.ones(2))) is None
    assert Bootstrap([]).sums(np.zeros((0, 3))).shape == (0, 3)


def test_an_interval_is_the_middle_of_what_could_be_computed() -> None:
    values = np.r_[np.arange(101.0), np.full(50, np.nan)]
    assert interval(values) == pytest.approx([2.5, 97.5])
    assert interval(values, minimum=102) is None
