"""Intervals of counted shares."""

from __future__ import annotations

import pytest
from scipy.stats import binomtest

from training.evaluation.statistics import wilson


@pytest.mark.parametrize(("hits", "of"), [(10, 10), (50, 100), (0, 10), (1, 1), (299, 300)])
def test_the_wilson_interval_is_that_of_scipy(hits: int, of: int) -> None:
    expected = binomtest(hits, of).proportion_ci(method="wilson")
    assert wilson(hits, of) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_where_nothing_was_counted_every_share_is_possible() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
