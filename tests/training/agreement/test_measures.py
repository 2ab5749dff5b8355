"""Kappas and alpha against the libraries, cases by hand, and properties."""

from __future__ import annotations

import math
import warnings

import krippendorff
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import fleiss_kappa

from training.agreement.measures import (
    _sums,
    alpha_of,
    coincidences,
    counts_of,
    f1,
    f1_interval,
    fleiss_of,
    kappa_of,
    measure,
    pair_tables,
)

coded = st.lists(st.tuples(*[st.integers(-1, 2)] * 3), min_size=1, max_size=25).map(np.array)


def test_cohens_kappa_of_a_case_by_hand() -> None:
    # 50 cells: both yes 20, both no 15, first only 5, second only 10: p = 0.7, chance 0.5, kappa 0.4
    rows = [("y", "y")] * 20 + [("n", "n")] * 15 + [("y", "n")] * 5 + [("n", "y")] * 10
    found = measure(rows, [f"p{i % 10}" for i in range(50)], ["Ada", "Bob"], resamples=200)
    (pair,) = found["pairs"]
    assert pair["kappa"] == pytest.approx(0.4)
    assert pair["agreement"] == pytest.approx(0.7)
    assert pair["n"] == 50
    low, high = pair["interval"]
    assert low < 0.4 < high
    assert found["values"] == ["n", "y"]


def test_krippendorffs_alpha_of_his_own_example() -> None:
    # Krippendorff (2011), "Computing Krippendorff's alpha-reliability": nominal, missing data, 0.743
    four = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    rows = [[None if v is None else str(v) for v in row] for row in zip(*four, strict=True)]
    found = measure(rows, [str(i) for i in range(12)], list("abcd"), resamples=50)
    assert found["alpha"]["value"] == pytest.approx(0.743, abs=5e-4)
    assert found["alpha"]["n"] == 11


def test_fleiss_kappa_of_his_own_example() -> None:
    # Fleiss (1971) as in Wikipedia: 10 subjects, 14 raters, 5 categories: 0.210
    table = np.array(
        [
            [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
            [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
        ]
    )  # fmt: skip
    rows = [[str(v) for v, n in enumerate(row) for _ in range(n)] for row in table]
    found = measure(rows, ["p"] * 10, [str(i) for i in range(14)], resamples=10)
    assert found["fleiss"]["value"] == pytest.approx(0.210, abs=5e-4)
    assert found["fleiss"]["interval"] is None  # one patient allows none


@settings(max_examples=100, deadline=None)
@given(coded)
def test_the_sums_behind_the_intervals_are_what_the_libraries_say(some: np.ndarray) -> None:
    def same(own: float, library: float) -> None:
        assert (math.isnan(own) and not math.isfinite(library)) or own == pytest.approx(library, abs=1e-9)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        both = some[(some[:, :2] >= 0).all(1)][:, :2]
        if len(np.unique(both)) > 1:
            same(kappa_of(pair_tables(both, 3).sum(0)), cohen_kappa_score(both[:, 0], both[:, 1]))
        full = some[(some >= 0).all(1)]
        if len(np.unique(full)) > 1:
            same(fleiss_of(_sums(counts_of(full, 3)).sum(0)), fleiss_kappa(counts_of(full, 3)))
        several = some[(some >= 0).sum(1) >= 2]
        if len(np.unique(several[several >= 0])) > 1:
            alpha = krippendorff.alpha(value_counts=counts_of(several, 3), level_of_measurement="nominal")
            same(alpha_of(coincidences(several, 3).sum(0)), alpha)


@settings(max_examples=40, deadline=None)
@given(coded, st.randoms())
def test_order_of_cells_and_of_readings_changes_nothing(some: np.ndarray, random: object) -> None:
    rows = [[None if v < 0 else "abc"[v] for v in row] for row in some]
    clusters = [f"p{i % 3}" for i in range(len(rows))]
    first = measure(rows, clusters, ["x", "y", "z"], resamples=20)
    order = list(range(len(rows)))
    random.shuffle(order)  # type: ignore[attr-defined]
    again = measure([rows[i] for i in order], [clusters[i] for i in order], ["x", "y", "z"], resamples=20)
    flipped = measure([row[::-1] for row in rows], clusters, ["z", "y", "x"], resamples=20)
    for name in ("fleiss", "alpha"):
        for other in (again, flipped):
            assert other[name]["n"] == first[name]["n"]
            assert other[name]["value"] == pytest.approx(first[name]["value"], abs=1e-9)


def test_nothing_to_compare_and_one_value_only_are_none_not_a_crash() -> None:
    for rows in ([], [(None, None)], [("a", None)], [("a", "a")] * 5):
        found = measure(rows, ["p"] * len(rows), ["x", "y"])
        assert found["pairs"][0]["kappa"] is None
        assert found["fleiss"]["value"] is None
        assert found["alpha"]["value"] is None
        assert found["pairs"][0]["interval"] is None
    assert measure([("a", "a")] * 5, list("pqrst"), ["x", "y"])["pairs"][0]["agreement"] == 1


def test_detection_agreement() -> None:
    assert f1(8, 10, 10) == pytest.approx(0.8)
    assert f1(0, 0, 0) is None
    low, high = f1_interval([(8, 10, 10), (2, 4, 2), (5, 5, 5)], ["a", "b", "c"]) or (1, 0)
    assert low <= 30 / 36 <= high
    assert f1_interval([(8, 10, 10)], ["a"]) is None
