"""Intervals of counted shares."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from training.evaluation.statistics import clopper_pearson, effective_share, wilson


@pytest.mark.parametrize(("hits", "of"), [(10, 10), (50, 100), (0, 10), (1, 1), (299, 300)])
def test_the_wilson_interval_is_that_of_scipy(hits: int, of: int) -> None:
    expected = binomtest(hits, of).proportion_ci(method="wilson")
    assert wilson(hits, of) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_where_nothing_was_counted_every_share_is_possible() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("hits", "of"), [(0, 9), (3, 20), (20, 20), (7, 200)])
def test_counted_in_one_place_the_interval_is_the_exact_one_of_scipy(hits: int, of: int) -> None:
    expected = binomtest(hits, of).proportion_ci(method="exact")
    assert effective_share([hits], [of]) == effective_share([hits, 0], [of, 0]) == 1, (
        "empty places say nothing"
    )
    assert clopper_pearson(hits, of) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_where_nothing_was_counted_in_any_place_every_share_is_possible() -> None:
    assert effective_share([], []) == effective_share([0, 0], [0, 0]) == 1
    assert clopper_pearson(0, 0) == (0.0, 1.0)


def test_alike_within_places_the_interval_still_holds_the_share_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    for share, alike, least in ((0.3, 8.0, 0.94), (0.05, 8.0, 0.94), (0.3, 1e6, 0.95)):
        held = narrow = 0
        for _ in range(400):
            of = 1 + rng.poisson(7, 26)
            hits = rng.binomial(of, rng.beta(alike * share, alike * (1 - share), 26))
            low, high = clopper_pearson(
                int(hits.sum()), int(of.sum()), effective_share(hits.tolist(), of.tolist())
            )
            held += low <= share <= high
            low, high = wilson(int(hits.sum()), int(of.sum()))
            narrow += low <= share <= high
        assert held >= least * 400
        assert alike > 100 or narrow < 0.92 * 400, "as if each cell were drawn alone, it does not"
