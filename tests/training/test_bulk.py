"""What is promised of suggestions accepted many at once is kept, with patients who differ."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from annotation_store.records import Proposal
from training.evaluation.bulk_accept import (
    MAX_ERROR_RATE,
    RISK,
    THRESHOLDS,
    Bulk,
    fit_bulk,
    may_be_accepted,
    upper_bound,
)
from training.evaluation.ground_truth import TrueCell
from training.evaluation.matching import FieldResult, Ranking
from training.evaluation.metrics import acceptances
from training.evaluation.statistics import wilson

CLASSES = ("Neutrophil", "Lymphocyte", "Monocyte", "Eosinophil", "Basophil")
SHARES = (0.4, 0.3, 0.15, 0.1, 0.05)
BOX = (0.0, 0.0, 9.0, 9.0)


def patient(
    rng: np.random.Generator, *, cells: int = 12, differ: float = 0.7, sure: float = 5.0
) -> FieldResult:
    """Make a patient whose suggestions are all surer, or all less sure, than they should be."""
    off = rng.normal(0, differ)
    pairs = []
    for name in rng.choice(CLASSES, 1 + rng.poisson(cells), p=SHARES):
        how = rng.normal(sure, 1.8)
        says, is_right = 1 / (1 + np.exp(-how)), rng.random() < 1 / (1 + np.exp(-how - off))
        true = name if is_right else CLASSES[CLASSES.index(name) - 1]
        pairs.append((TrueCell(BOX, true), Proposal(BOX, 1.0, {str(name): max(float(says), 0.3)})))
    nothing = Ranking(np.ones(len(pairs)), np.ones(len(pairs), bool), len(pairs))
    return FieldResult(f"p{rng.integers(2**60)}", nothing, dict.fromkeys(CLASSES, nothing), pairs, [])


def accepted(found: Bulk, others: list[FieldResult]) -> tuple[int, int]:
    """Count what would be accepted of other patients, and what of that is wrong."""
    some = [
        one
        for one in acceptances(others)
        if found.least is not None
        and one.probability >= found.least
        and may_be_accepted(*found.classes.get(one.cell_class, (0, 0)))
    ]
    return len(some), sum(not one.right for one in some)


def by_wilson(measured: list[FieldResult], others: list[FieldResult]) -> int:
    """Count what the former rule accepts: 95% is the lower Wilson bound, in all and of the class."""
    right: Counter[str] = Counter()
    of: Counter[str] = Counter()
    for one in acceptances(measured):
        if one.probability >= 0.5:
            right.update({one.cell_class: one.right, "all": one.right})
            of.update([one.cell_class, "all"])
    if wilson(right["all"], of["all"])[0] < 0.95:
        return 0
    good = {name for name in CLASSES if wilson(right[name], of[name])[0] >= 0.95}
    return sum(one.cell_class in good and one.probability >= 0.5 for one in acceptances(others))


@pytest.mark.parametrize(
    ("patients", "sure", "differ", "least"),
    [(30, 5.0, 0.7, 50_000), (20, 4.2, 0.7, 20_000), (30, 4.2, 1.2, 20_000)],
)
def test_of_a_hundred_draws_of_patients_ninety_five_keep_the_promise_and_more_is_accepted(
    patients: int, sure: float, differ: float, least: int
) -> None:
    """Of 100 suggestions 3, 5, 7 are wrong from a half on; Wilson's bound takes a tenth of it, or none."""
    rng = np.random.default_rng(0)
    everybody = [patient(rng, sure=sure, differ=differ) for _ in range(90)]
    kept = ours = theirs = 0
    for _ in range(100):
        drawn = rng.permutation(len(everybody))
        measured = [everybody[i] for i in drawn[:patients]]
        others = [everybody[i] for i in drawn[patients:]]
        took, wrong = accepted(fit_bulk(measured), others)
        kept += wrong <= MAX_ERROR_RATE * took
        ours += took
        theirs += by_wilson(measured, others)
    assert kept >= 95
    assert ours >= max(1.5 * theirs, least)


def test_of_too_few_patients_nothing_is_promised_however_many_cells_they_have() -> None:
    rng = np.random.default_rng(0)
    few = [patient(rng, cells=400) for _ in range(4)]
    assert fit_bulk(few) == Bulk(None, 4)
    little = fit_bulk([patient(rng, cells=3) for _ in range(5)])
    assert (little.least, little.units, little.of) == (None, 5, 0)


def test_patients_who_are_wrong_together_promise_less_than_as_many_single_cells() -> None:
    of = np.full(20, 20)
    spread, together = np.full(20, 1), np.array([20] + [0] * 19)
    assert upper_bound(of, spread) < upper_bound(of, together)
    alone = upper_bound(np.ones(400, int), (np.arange(400) < 20).astype(int))
    exact = proportion_confint(20, 400, alpha=2 * RISK, method="beta")[1]
    assert alone == pytest.approx(exact, rel=0.01), "cells of as many patients are independent"
    assert upper_bound(of, of * 0) > exact / 10


def test_fields_drawn_at_random_are_judged_by_alone_where_they_are_of_enough_patients() -> None:
    rng = np.random.default_rng(1)
    good = [patient(rng, differ=0.0) for _ in range(40)]
    hard = [FieldResult(r.patient + "h", r.found, r.classes, [], [], [p for _, p in r.matched]) for r in good]
    drawn = [True] * 40 + [False] * 40
    assert fit_bulk(good + hard).least is None
    found = fit_bulk(good + hard, drawn)
    assert found.reserve
    assert found.least in THRESHOLDS
    assert not fit_bulk(good + hard, [True] * 4 + [False] * 76).reserve


def test_a_class_seldom_seen_or_often_wrong_is_left_to_a_look() -> None:
    assert may_be_accepted(5, 5)
    assert not may_be_accepted(4, 4)
    assert not may_be_accepted(17, 20)
    assert not may_be_accepted(0, 0)
