"""A new model takes the place of the old one unless patients, not cells, show that it is worse."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from annotation_store.splits import field_unit
from training.evaluation.gate import MARGIN, Comparison, compare
from training.evaluation.matching import FieldResult, Ranking
from training.evaluation.units import MIN_UNITS, of_units
from training.reasons import Reason


def results(shares: list[np.ndarray]) -> list[FieldResult]:
    """Give a result a patient; `hits` say which cells are right."""
    return [
        FieldResult(f"p{i}", Ranking(np.ones(len(hits)), hits, len(hits)), {}, [], [])
        for i, hits in enumerate(shares)
    ]


def share(some: Any, _attributes: Any) -> float:
    return float(np.concatenate([one.found.hits for one in some]).mean())


def verdicts(patients: int, loss: float, trials: int = 100) -> list[Comparison]:
    """Compare models on patients who differ: one is right in nine of ten cells, the other less often."""
    found = []
    for seed in range(trials):
        rng = np.random.default_rng(seed)
        skill = np.clip(0.9 + rng.normal(0, 0.05, patients), 0, 1)
        new, old = ([rng.random(20) < s - less for s in skill] for less in (loss, 0.0))
        found.append(compare(results(new), results(old), measure=share))
    return found


@pytest.mark.parametrize("patients", [1, 2, 3, MIN_UNITS - 1])
def test_too_few_patients_are_not_judged_by(patients: int) -> None:
    """A loss on the only patient was always "worse": equal models were refused in 38 of 100 cases."""
    bad, good = [np.zeros(20, bool)] * patients, [np.ones(20, bool)] * patients
    comparison = compare(results(bad), results(good), measure=share)
    assert (comparison.verdict, comparison.units, comparison.worse) == ("cannot_judge", patients, False)
    assert f"{patients} patient" in str(comparison.reason)
    empty = results([np.zeros(0, bool)] * 20)
    more = compare(results(bad) + empty, results(good) + empty, measure=share)
    assert more.verdict == "cannot_judge", "a patient without cells shows nothing"


def test_what_is_too_few_is_said_in_the_unit_that_was_counted() -> None:
    unknown = [replace(one, patient=field_unit(one.patient)) for one in results([np.ones(20, bool)] * 4)]
    assert "are of 4 fields whose patients are unknown, and 5 are needed" in str(
        compare(unknown, unknown).reason
    )
    mixed = [*unknown[:3], *results([np.ones(20, bool)])]
    assert "are of 1 patient and of 3 fields whose" in str(compare(mixed, mixed).reason)
    assert of_units(1, 1) == "of 1 field whose patient is unknown"
    assert of_units(2, None) == "of 2 patients (a field counts as one if the patient is unknown)"


@pytest.mark.parametrize(("patients", "refused"), [(5, 45), (8, 65), (20, 95)])
def test_an_equal_model_is_hardly_ever_refused_and_a_clearly_worse_one_mostly_is(
    patients: int, refused: int
) -> None:
    equal, worse = verdicts(patients, 0.0), verdicts(patients, 0.1)
    assert sum(one.worse for one in equal) <= 6  # of 100
    assert sum(one.worse for one in worse) >= refused
    assert sum(one.verdict == "not_worse" for one in worse) <= 6


def test_a_loss_within_the_margin_is_taken_and_what_is_open_is_said() -> None:
    slight = compare(results([np.arange(100) < 97] * 6), results([np.arange(100) < 99] * 6), measure=share)
    assert (slight.verdict, slight.reason) == ("not_worse", None)
    assert slight.difference == pytest.approx(-0.02)
    rng = np.random.default_rng(1)
    hits = [rng.random(6) < 0.7 for _ in range(6)]
    vague = compare(results(hits), results([rng.random(6) < 0.7 for _ in range(6)]), measure=share)
    assert vague.verdict == "undecided"
    assert vague.low is not None
    assert vague.low < -MARGIN
    told = Reason.read(vague.stored()["told"])
    assert "6 patients" in told
    assert "too few" in told


def test_the_interval_is_that_of_students_t_for_a_mean() -> None:
    """The delete-one jackknife of a mean over equal patients is its standard error."""
    new = [np.arange(10) < k for k in (9, 7, 8, 10, 6)]
    old = [np.arange(10) < 8] * 5
    comparison = compare(results(new), results(old), measure=share)
    differences = np.array([0.1, -0.1, 0, 0.2, -0.2])
    reach = 2.1318 * differences.std(ddof=1) / math.sqrt(5)
    assert comparison.low == pytest.approx(-reach, abs=1e-4)
    assert comparison.high == pytest.approx(reach, abs=1e-4)
