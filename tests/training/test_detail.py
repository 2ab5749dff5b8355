"""Intervals, confusion and calibration: by hand, by property, and against scikit-learn."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, f1_score

from annotation_store.records import Proposal, Shape
from training.evaluation.extra_metrics import describe
from training.evaluation.ground_truth import FieldTruth, TrueCell
from training.evaluation.matching import FieldResult, Ranking, evaluate_field
from training.evaluation.metrics import average_precision, expected_calibration_error, macro_f1, merged

CLASSES = ("A", "B", "C")
VALUES = {"size": ("small", "large"), "shape": ("round", "odd", "long")}
TALL = Shape.rectangle(0, 0, 100, 260)
LEFT = Shape.rectangle(0, 0, 100, 200)


def one_hot(names: tuple[str, ...], name: str, p: float) -> dict[str, float]:
    rest = (1 - p) / (len(names) - 1)
    return {n: p if n == name else rest for n in names}


def field_of(rng: np.random.Generator, number: int) -> tuple[FieldTruth, list[Proposal]]:
    """Draw a field with cells in its left half, found and named rightly more often than not."""
    cells, proposals = [], []
    for place in rng.choice(36, rng.integers(0, 9), replace=False):
        box = (4.0 + 32 * (place % 6), 4.0 + 32 * (place // 6), 20.0, 20.0)
        truth = {name: str(rng.choice(values)) for name, values in VALUES.items()}
        name = str(rng.choice(CLASSES))
        kept = {k: v for k, v in truth.items() if rng.random() < 0.7}
        cells.append(TrueCell(box, name if rng.random() < 0.9 else None, kept))
        if rng.random() < 0.8:
            said = {k: v if rng.random() < 0.7 else str(rng.choice(VALUES[k])) for k, v in truth.items()}
            x, y, w, h = box
            proposals.append(
                Proposal(
                    (x + float(rng.normal()), y, w, h),
                    round(float(rng.uniform(0.2, 1)), 1),  # many are equal
                    one_hot(CLASSES, name if rng.random() < 0.7 else str(rng.choice(CLASSES)), 0.8),
                    {k: one_hot(VALUES[k], v, 0.9) for k, v in said.items()},
                )
            )
    for _ in range(3):
        x, y = map(float, rng.uniform(0, 180, 2))
        proposals.append(Proposal((x, y, 20, 20), round(float(rng.uniform(0, 0.9)), 1)))
    truth_ = FieldTruth(f"f{number}", 200, 200, tuple(cells), inside=(LEFT,), patient=f"p{number % 7}")
    return truth_, proposals


def judged(fields: list[tuple[FieldTruth, list[Proposal]]]) -> list[FieldResult]:
    return [evaluate_field(t, p, classes=CLASSES) for t, p in fields]


def numbers(fields: list[tuple[FieldTruth, list[Proposal]]]) -> dict[str, Any]:
    return describe(judged(fields), classes=CLASSES, attributes=VALUES, resamples=50)


def some(seed: int, n: int = 12) -> list[tuple[FieldTruth, list[Proposal]]]:
    rng = np.random.default_rng(seed)
    return [field_of(rng, i) for i in range(n)]


@pytest.mark.parametrize("seed", range(4))
def test_the_order_of_fields_changes_nothing(seed: int) -> None:
    fields = some(seed)
    assert numbers(fields) == numbers([fields[i] for i in np.random.default_rng(seed).permutation(12)])


@pytest.mark.parametrize("seed", range(4))
def test_what_is_proposed_outside_every_region_changes_nothing(seed: int) -> None:
    fields = some(seed)
    rng = np.random.default_rng(100 + seed)
    more = [
        (t, [*p, Proposal((float(rng.uniform(91, 180)), float(rng.uniform(0, 180)), 20, 20), 0.99)])
        for t, p in fields
    ]
    assert numbers(fields) == numbers(more)


@pytest.mark.parametrize("seed", range(4))
def test_a_missing_attribute_changes_no_score_of_attributes(seed: int) -> None:
    fields = [(dataclasses.replace(t, height=260, inside=(TALL,)), p) for t, p in some(seed)]
    said = {k: one_hot(v, v[0], 0.9) for k, v in VALUES.items()}
    box = (40.0, 230.0, 20.0, 20.0)
    found = Proposal(box, 0.95, one_hot(CLASSES, "A", 0.9), said)
    for attributes in ({}, {"size": "unsure"}):
        cell = TrueCell(box, "A", attributes)
        more = [(dataclasses.replace(t, cells=(*t.cells, cell)), [*p, found]) for t, p in fields]
        before, after = numbers(fields), numbers(more)
        assert after["cells"] == before["cells"] + len(fields)
        assert before["attribute_f1"] == after["attribute_f1"]
        for part in ("confusion", "calibration"):
            assert before[part]["attributes"] == after[part]["attributes"]
        assert before["attributes"] == after["attributes"]


@pytest.mark.parametrize("seed", range(3))
def test_f1_and_confusion_are_those_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = [str(v) for v in rng.choice(CLASSES, 200)]
    said = [str(v) for v in rng.choice([*CLASSES, "D"], 200)]
    labels = sorted(set(truth))
    reference = f1_score(truth, said, labels=labels, average="macro", zero_division=0)
    assert macro_f1(truth, said) == pytest.approx(reference)
    cells = [TrueCell((30 * i, 0, 20, 20), t) for i, t in enumerate(truth)]
    names = (*CLASSES, "D")
    proposals = [Proposal((30 * i, 0, 20, 20), 0.9, one_hot(names, s, 0.9)) for i, s in enumerate(said)]
    result = evaluate_field(FieldTruth("f", 30 * 200, 20, tuple(cells)), proposals, classes=names)
    told = describe([result], classes=names, resamples=10)
    table = told["confusion"]["class"]
    assert (table["truth"], table["said"]) == (list(CLASSES), [*names, None])
    wanted = confusion_matrix(truth, said, labels=names)[:3]
    assert [row[:-1] for row in table["counts"]] == wanted.tolist()
    assert [row[-1] for row in table["counts"]] == [0, 0, 0]
    assert told["class_f1"] == pytest.approx(reference)
    each = f1_score(truth, said, labels=CLASSES, average=None)
    assert [told["classes"][name]["f1"] for name in CLASSES] == pytest.approx(each.tolist())
    assert told["intervals"]["class_f1"] is None  # one field: nothing to resample


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_is_that_of_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.uniform(size=1500)  # 100 in each of 15 bins
    hits = rng.uniform(size=1500) < scores**2
    share, mean = calibration_curve(hits, scores, n_bins=15, strategy="quantile")
    assert expected_calibration_error(Ranking(scores, hits, 1)) == pytest.approx(
        float(np.abs(share - mean).mean())
    )


def test_equal_scores_are_judged_together() -> None:
    hits = np.array([True] * 80 + [False] * 20)
    for order in (hits, ~hits[::-1], np.random.default_rng(0).permutation(hits)):
        ranking = Ranking(np.full(100, 0.8), np.sort(hits)[:: 1 if order[0] else -1], 100)
        assert expected_calibration_error(ranking) == pytest.approx(0)
        assert average_precision(ranking) == pytest.approx(0.8 * 81 / 101, abs=0.01)


def test_confusion_by_hand() -> None:
    def cell(x: float, name: str | None, **attributes: str) -> TrueCell:
        return TrueCell((x, 0, 20, 20), name, attributes)

    def said(x: float, name: str, size: str, confidence: float = 0.9) -> Proposal:
        return Proposal(
            (x, 0, 20, 20),
            confidence,
            one_hot(CLASSES, name, 0.8),
            {"size": one_hot(VALUES["size"], size, 0.9)},
        )

    cells = (
        cell(0, "A", size="small"),
        cell(30, "A", size="large"),
        cell(60, "B"),  # nobody looked at its size
        cell(90, "B", size="small"),  # found, but not sure enough
        cell(120, None, size="unsure"),
        cell(150, "C", size="large"),  # not found
    )
    proposals = [
        said(0, "A", "small"),
        said(30, "B", "small"),
        said(60, "B", "large"),
        said(90, "B", "small", 0.3),
        said(120, "C", "large"),
        said(200, "C", "large"),  # nothing is there
    ]
    result = evaluate_field(FieldTruth("f", 300, 20, cells), proposals, classes=CLASSES)
    told = describe([result], classes=CLASSES, attributes={"size": VALUES["size"]}, resamples=10)
    assert told["confusion"]["class"] == {
        "truth": ["A", "B", "C", None],
        "said": ["A", "B", "C", None],
        "counts": [[1, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1], [0, 0, 1, 0]],
    }
    assert told["confusion"]["attributes"]["size"] == {
        "truth": ["small", "large"],
        "said": ["small", "large", None],
        "counts": [[1, 0, 1], [1, 0, 1]],
    }
    assert {name: row["n"] for name, row in told["classes"].items()} == {"A": 2, "B": 1, "C": 0}
    assert told["attributes"]["size"]["values"]["small"] == {
        "f1": pytest.approx(2 / 3),
        "n": 1,
        "interval": None,
    }
    assert told["attributes"]["size"]["n"] == 2


def test_intervals_hold_the_number_and_are_wider_where_a_patient_is_one_draw() -> None:
    fields = some(3, 60)
    told = numbers(fields)
    apart = numbers([(dataclasses.replace(t, patient=""), p) for t, p in fields])
    assert (told["intervals"]["patients"], apart["intervals"]["patients"]) == (7, 60)
    for key in ("ap50", "precision", "recall", "class_f1", "attribute_f1"):
        low, high = told["intervals"][key]
        assert low <= told[key] <= high, key
        assert high - low < 0.5
    assert told == numbers(fields)  # seeded
    size = told["attributes"]["size"]
    assert size["intervals"]["f1"][0] <= size["f1"] <= size["intervals"]["f1"][1]
    assert told["classes"]["A"]["intervals"]["ap50"] is not None


def test_calibration_is_compared_on_the_same_suggestions() -> None:
    fields = some(5, 40)
    after = judged(fields)
    halved = judged(
        [(t, [dataclasses.replace(p, confidence=p.confidence / 2) for p in ps]) for t, ps in fields]
    )
    told = describe(after, classes=CLASSES, attributes=VALUES, uncalibrated=halved, resamples=10)[
        "calibration"
    ]
    shown = merged(r.found for r in after)
    assert told["bins"] == 15
    assert told["cells"]["n"] == int((shown.scores >= 0.25).sum())
    assert told["cells"]["before"] != told["cells"]["after"]
    assert told["class"]["before"] == told["class"]["after"]
    assert set(told["attributes"]) == set(VALUES)


def test_each_domain_has_the_numbers_of_its_fields_alone() -> None:
    fields = [
        (dataclasses.replace(t, domain=("iris 640×480", "red 360×363")[i % 3 == 0]), p)
        for i, (t, p) in enumerate(some(6, 30))
    ]
    told = numbers(fields)
    assert list(told["domains"]) == ["iris 640×480", "red 360×363"]
    for name, row in told["domains"].items():
        alone = numbers([(t, p) for t, p in fields if t.domain == name])
        assert alone["domains"] == {}  # one domain: its row would say the same again
        assert row.pop("attribute_n") == sum(one["n"] for one in alone["attributes"].values()) > 0
        assert row == {key: alone[key] for key in row}
        assert {"ap50", "precision", "recall", "class_f1", "attribute_f1"} <= set(row)
    for key in ("fields", "cells", "class_n"):
        assert sum(row[key] for row in told["domains"].values()) == told[key]


def test_a_domain_without_a_cell_has_no_numbers_and_does_no_harm() -> None:
    empty = FieldTruth("empty", 100, 100, (), domain="new camera")
    row = numbers([*some(2), (empty, [])])["domains"]["new camera"]
    assert (row["fields"], row["cells"], row["class_n"], row["attribute_n"]) == (1, 0, 0, 0)
    assert row["ap50"] is row["recall"] is row["class_f1"] is row["attribute_f1"] is None


def test_a_thousand_cells_are_described(record_property: Any) -> None:
    results = judged(some(7, 550))
    assert sum(r.found.truths for r in results) > 900
    begun = time.process_time()
    told = describe(results, classes=CLASSES, attributes=VALUES, uncalibrated=results)
    record_property("processor_s", round(time.process_time() - begun, 2))  # idle: under 2
    assert told["cells"] > 900


def test_nothing_to_measure_is_no_number() -> None:
    told = describe([], classes=CLASSES, attributes=VALUES)
    assert told["classes"] == told["domains"] == {}
    assert told["calibration"]["cells"] == {"before": None, "after": None, "n": 0, "curve": []}
    assert told["intervals"]["ap50"] is None
