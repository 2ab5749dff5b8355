"""The cells kept for pictures: the right ones, whichever way the fields stand; and the reliability curve."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation_store.records import Proposal
from annotation_store.schema.reserved import UNSURE
from training.evaluation.cell_outcomes import FILE, outcomes, read_outcomes, write_outcomes
from training.evaluation.ground_truth import TrueCell
from training.evaluation.matching import FieldResult, Ranking
from training.evaluation.reliability import curve

GROUPS = {"blast": ("Myeloblast", "Lymphoblast")}
BOX = (10.0, 10.0, 20.0, 20.0)


def said(confidence: float, cell_class: str, p: float, size: str | None = None, q: float = 0.9) -> Proposal:
    other = "Monocyte" if cell_class != "Monocyte" else "Neutrophil"
    sizes = {} if size is None else {"size": {size: q, ("large" if size == "small" else "small"): 1 - q}}
    return Proposal(BOX, confidence, {cell_class: p, other: 1 - p}, sizes)


def result(
    matched: list[tuple[TrueCell, Proposal]] = (),  # type: ignore[assignment]
    missed: list[TrueCell] = (),  # type: ignore[assignment]
    spurious: list[Proposal] = (),  # type: ignore[assignment]
) -> FieldResult:
    nothing = Ranking(np.zeros(0), np.zeros(0, bool), 0)
    return FieldResult("p", nothing, {}, list(matched), list(missed), list(spurious))


def cell(cell_class: str | None = None, **attributes: str) -> TrueCell:
    return TrueCell(BOX, cell_class, attributes)


def of(rows: list[dict[str, Any]], kind: str) -> list[tuple[int, str]]:
    return [(row["field"], row["what"]) for row in rows if row["kind"] == kind]


def test_an_unknown_cell_is_counted_by_its_most_similar_class_and_is_never_the_best() -> None:
    unknown = replace(said(0.9, "Monocyte", 0.99), novelty=0.0)
    (row,) = outcomes([result([(cell("Neutrophil"), unknown)])], [0])
    assert (row["kind"], row["what"], row["unknown"]) == ("worst", "class", True)
    assert (row["said_class"], row["most_similar"]) == (None, ["Monocyte", 0.99])
    (row,) = outcomes([result([(cell("Monocyte"), unknown)])], [0])
    assert (row["kind"], row["what"]) == ("unsure", "right")
    (row,) = outcomes([result([(cell("Neutrophil"), replace(unknown, novelty=0.5))])], [0])
    assert (row["kind"], row["what"], row["unknown"]) == ("worst", "class", False)
    assert (row["said_class"], row["most_similar"]) == (["Monocyte", 0.99], None)


def test_each_kind_of_label_error_is_shown_in_turn_the_gravest_first() -> None:
    fields = [
        result([(cell("Neutrophil"), said(0.9, "Neutrophil", 0.95))]),
        result([(cell("Neutrophil"), said(0.9, "Monocyte", 0.8))]),
        result([(cell("Neutrophil"), said(0.9, "Monocyte", 0.99))]),
        result(
            missed=[cell("Neutrophil")], spurious=[said(0.8, "Monocyte", 0.9), said(0.4, "Monocyte", 0.9)]
        ),
        result([(cell("Neutrophil", size="small"), said(0.9, "Neutrophil", 0.9, "large"))]),
        result([(cell("Neutrophil"), said(0.3, "Neutrophil", 0.9))]),  # too unsure to be shown: not found
    ]
    rows = outcomes(fields, range(6))
    assert of(rows, "best") == [(0, "right")]
    kinds = [what for _, what in of(rows, "worst")]
    assert kinds[:4] == ["class", "not found", "no cell", "attribute"]
    assert [field for field, what in of(rows, "worst") if what == "class"] == [2, 1]
    assert sorted(field for field, what in of(rows, "worst") if what == "not found") == [3, 5]
    assert kinds.count("no cell") == 1
    assert of(rows, "unsure") == []  # all are shown already


def test_a_group_and_its_classes_do_not_contradict_each_other_and_unsure_is_no_label() -> None:
    fields = [
        result([(cell("blast"), said(0.9, "Myeloblast", 0.8))]),
        result([(cell(UNSURE, size=UNSURE), said(0.9, "Monocyte", 0.8, "small"))]),
        result([(cell(None), said(0.9, "Monocyte", 0.8))]),
    ]
    rows = outcomes(fields, (1, 2, 3), groups=GROUPS)
    assert of(rows, "worst") == []
    assert of(rows, "best") == [(1, "right")]  # of the others nothing was labelled that could be right
    assert sorted(of(rows, "unsure")) == [(2, "right"), (3, "right")]


def test_the_least_certain_are_those_of_the_greatest_doubt_that_are_not_shown_already() -> None:
    fields = [result([(cell(), said(0.9, "Neutrophil", p))]) for p in (0.95, 0.55, 0.75)]
    assert of(outcomes(fields, (1, 2, 3)), "unsure") == [(2, "right"), (3, "right"), (1, "right")]
    assert of(outcomes(fields, (1, 2, 3), each=1), "unsure") == [(2, "right")]


@given(st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_the_order_of_fields_changes_no_outcome_and_no_curve(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fields = []
    for _ in range(6):
        pairs = [
            (
                cell(str(rng.choice(["Neutrophil", "Monocyte"])), size=str(rng.choice(["small", "large"]))),
                said(
                    float(rng.choice([0.4, 0.8, 0.9])),
                    str(rng.choice(["Neutrophil", "Monocyte"])),
                    float(rng.choice([0.6, 0.9])),
                    str(rng.choice(["small", "large"])),
                ),
            )
            for _ in range(int(rng.integers(0, 3)))
        ]
        fields.append(result(pairs, [cell("Monocyte")] * int(rng.integers(0, 2))))
    order = rng.permutation(6)
    there = outcomes([fields[i] for i in order], [int(i) for i in order], each=4)
    # rows of one field that are alike in all that counts may change places
    key = lambda row: (row["kind"], row["field"], row["what"], str(row))  # noqa: E731
    assert sorted(outcomes(fields, range(6), each=4), key=key) == sorted(there, key=key)
    scores, hits = rng.choice([0.1, 0.35, 0.9, 1.0], 20), rng.random(20) < 0.5
    places = rng.permutation(20)
    assert curve(Ranking(scores, hits, 9)) == curve(Ranking(scores[places], hits[places], 9))


def test_a_curve_counts_what_was_right_in_each_tenth() -> None:
    ranking = Ranking(np.array([0.81, 0.89, 0.9, 1.0, 0.2]), np.array([True, False, True, True, False]), 4)
    rows = curve(ranking)
    assert [(r["from"], r["to"], r["n"], r["right"]) for r in rows] == [
        (0.2, 0.3, 1, 0),
        (0.8, 0.9, 2, 1),
        (0.9, 1.0, 2, 2),
    ]
    assert rows[1]["mean"] == pytest.approx(0.85)
    assert curve(Ranking(np.zeros(0), np.zeros(0, bool), 0)) == []


def test_what_is_kept_is_read_again_and_what_is_broken_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    assert read_outcomes(tmp_path) == {}
    rows = outcomes(
        [result([(cell("Neutrophil", size="small"), said(0.9, "Neutrophil", 0.9, "small"))])], [7]
    )
    write_outcomes(tmp_path, {"held_out": rows, "trained_on": []})
    assert read_outcomes(tmp_path) == {"held_out": rows, "trained_on": []}
    for broken in ("", "[]", '{"version": 99}', "{", '{"held_out": []}', "[" * 10_000):
        (tmp_path / FILE).write_text(broken)
        assert read_outcomes(tmp_path) == {}
