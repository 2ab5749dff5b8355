"""The numbers of ``examples/benchmark_active.py`` are those that one computes by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from annotation_store.records import Proposal
from training.evaluate import FieldResult, Ranking, TrueCell

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

from active_benchmark import stats


def rising(*scores: float, start: float = 100.0, step: float = 100.0) -> list[tuple[float, float]]:
    return [(start + i * step, score) for i, score in enumerate(scores)]


def test_the_seconds_to_a_score_are_read_off_straight_lines_between_the_rounds() -> None:
    ours = {0: rising(0.2, 0.6, 0.8)}
    other = {0: rising(0.2, 0.3, 0.4)}
    # theirs is 0.4 after 300 s; ours is 0.4 half way between 100 and 200 s
    assert stats.ratio(ours, other, [0]) == pytest.approx(150 / 300, rel=0.01)


def test_a_curve_that_falls_at_the_end_is_timed_when_it_was_first_as_high() -> None:
    assert stats.ratio({0: rising(0.2, 0.2, 0.4)}, {0: rising(0.2, 0.8, 0.4)}, [0]) == pytest.approx(
        300 / (100 + 100 / 3), rel=0.01
    )


def test_what_is_never_reached_has_no_ratio() -> None:
    assert stats.ratio({0: rising(0.1, 0.2)}, {0: rising(0.1, 0.5)}, [0]) == float("inf")


def test_eight_seeds_that_all_gain_are_as_sure_as_eight_signs_can_be() -> None:
    ours = {seed: rising(0.2, 0.5 + seed / 100, 0.6) for seed in range(8)}
    other = {seed: rising(0.2, 0.3, 0.4) for seed in range(8)}
    told = stats.compare(ours, other, resamples=10)
    assert told["final"] == pytest.approx((0.2, 0.0, 2 / 2**8), abs=1e-9)
    assert told["time"] == 1.0
    assert (told["seeds"], told["low"] <= told["ratio"] <= told["high"]) == (8, True)
    # the mean height between 100 and 300 s: trapezes
    gain = sum(((0.2 + 0.5 + s / 100) / 2 + (0.5 + s / 100 + 0.6) / 2) / 2 - 0.3 for s in range(8)) / 8
    assert told["area"][0] == pytest.approx(gain, abs=2e-3)


def test_bulk_acceptance_is_measured_on_every_other_field() -> None:
    from active_benchmark.run import _bulk

    def field(number: int, right: int, wrong: int) -> FieldResult:
        said = Proposal((0, 0, 9, 9), 1.0, {"a": 0.9, "b": 0.1})
        pairs = [(TrueCell((0, 0, 9, 9), "a"), said)] * right + [(TrueCell((0, 0, 9, 9), "b"), said)] * wrong
        nothing = Ranking(np.zeros(0), np.zeros(0, bool), right + wrong)
        return FieldResult(f"p{number}", nothing, {"a": nothing, "b": nothing}, pairs, [])

    told = _bulk([field(i, 20, 0) if i % 2 == 0 else field(i, 9, 1) for i in range(20)])
    assert (told["taken"], told["wrong"]) == (100, 10)
    assert told["allowed"] == pytest.approx(5)
    assert _bulk([field(i, 9, 1) for i in range(20)])["taken"] == 0
