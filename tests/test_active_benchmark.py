"""The numbers of ``examples/benchmarks/benchmark_active.py`` are those that one computes by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotation_store.records import Proposal
from training.evaluation.ground_truth import TrueCell
from training.evaluation.matching import FieldResult, Ranking
from training.ranking.cost import CostModel
from training.simulate import AnnotationWork, SimulatedAnnotator

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "benchmarks"))

from active_benchmark import prices, run, stats
from bench import project as driven


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


def test_a_score_is_no_worse_where_the_interval_of_its_difference_stays_above_the_margin() -> None:
    # mean 0.01, standard error 0.01 / √2, and 6.314 of these to the one-sided 95% of one degree of freedom
    assert stats.least([0.0, 0.02]) == pytest.approx(0.01 - 6.314 * 0.01, abs=1e-5)


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, AnnotationWork]:
    """The same work of an annotator who counts acts, and of one who counts seconds."""
    done, tmp_path = {}, tmp_path_factory.mktemp("worked")
    truth = [
        TrueCell((10.0 + 40 * i, 10.0, 20.0, 20.0), "Neutrophil", {"cell_size": "large"}) for i in range(4)
    ]
    Image.new("RGB", (200, 100)).save(tmp_path / "a.png")
    said = [
        Proposal(truth[0].box, 0.9, {"Neutrophil": 1.0}, {"cell_size": {"large": 1.0}}),  # right
        Proposal(truth[1].box, 0.8, {"Monocyte": 1.0}, {"cell_size": {"small": 1.0}}),  # class and size wrong
        Proposal((54.0, 10.0, 20.0, 20.0), 0.7, {"Neutrophil": 1.0}, {}),  # a second on the same cell
        Proposal(truth[2].box, 0.6, {"Neutrophil": 1.0}, {}),  # says no size
    ]
    for name, cost in (("acts", prices.counting()), ("seconds", CostModel())):
        with driven.new(tmp_path / name) as made:
            made.fields.add([tmp_path / "a.png"])
            (only,) = made.fields.all()
            made.suggestions.replace(only.id, said, model_id=None)
            person = SimulatedAnnotator(made, {only.id: truth}, cost=cost)
            done[name] = person.finish(only.id, (0, 0, 200, 50))
    return done


def test_acts_at_the_assumed_prices_are_the_seconds_of_the_cost_model(
    worked: dict[str, AnnotationWork],
) -> None:
    acts, by_hand = (prices.counted(v) for v in (worked["acts"].seconds, worked["acts"].by_hand))
    assert acts["reject"] == 1
    assert (acts["accept"], acts["box"], acts["scan"]) == (3, 1, 0.5)
    assert prices.seconds(acts) == pytest.approx(worked["seconds"].seconds)
    assert prices.seconds(by_hand) == pytest.approx(worked["seconds"].by_hand)
    slower = prices.scenario("reviewing suggestions × 2")
    assert prices.seconds(by_hand, slower) == pytest.approx(worked["seconds"].by_hand)
    assert prices.seconds(acts, slower) > worked["seconds"].seconds


def test_acts_of_a_run_that_kept_only_seconds_are_reconstructed(worked: dict[str, AnnotationWork]) -> None:
    total = worked["seconds"]
    did = {name: getattr(total, name) for name in ("drawn", "accepted", "corrected", "rejected", "regions")}
    kept = {"seconds": total.seconds, "by_hand": total.by_hand, "did": did | {"parts": dict(total.parts)}}
    (again,) = prices.with_acts({"rounds": [kept]}, attributes=1)["rounds"]
    for name, truth in (("acts", worked["acts"].seconds), ("acts_by_hand", worked["acts"].by_hand)):
        assert prices.vector(again[name]) == pytest.approx(prices.vector(prices.counted(truth)))


def test_bulk_acceptance_is_measured_on_every_other_field() -> None:
    def field(number: int, right: int, wrong: int) -> FieldResult:
        said = Proposal((0, 0, 9, 9), 1.0, {"a": 0.9, "b": 0.1})
        pairs = [(TrueCell((0, 0, 9, 9), "a"), said)] * right + [(TrueCell((0, 0, 9, 9), "b"), said)] * wrong
        nothing = Ranking(np.zeros(0), np.zeros(0, bool), right + wrong)
        return FieldResult(f"p{number}", nothing, {"a": nothing, "b": nothing}, pairs, [])

    told = run._bulk([field(i, 20, 0) if i % 2 == 0 else field(i, 9, 1) for i in range(20)])
    assert (told["taken"], told["wrong"]) == (100, 10)
    assert told["allowed"] == pytest.approx(5)
    assert run._bulk([field(i, 9, 1) for i in range(20)])["taken"] == 0
