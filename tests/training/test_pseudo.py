"""What a model is sure of beyond the regions is learnt from a little, and never where people know better."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from annotation_store.records import Proposal, Shape
from annotation_store.schema.reserved import UNSURE
from training.engine.data import LabelledCell, prepare_field
from training.evaluation.ground_truth import TrueCell
from training.evaluation.matching import FieldResult, Ranking
from training.inference.pseudo_labels import add_pseudo_labels, trusted_confidence

EMPTY = Ranking(np.zeros(0), np.zeros(0, bool), 0)


def outcome(rows: list[tuple[float, str, str | None]]) -> FieldResult:
    """Rows: confidence, predicted class, true class (``None`` = there was no cell)."""
    box = (0.0, 0.0, 10.0, 10.0)
    said = [(Proposal(box, confidence, {name: 1.0}), truth) for confidence, name, truth in rows]
    matched = [(TrueCell(box, truth), p) for p, truth in said if truth is not None]
    return FieldResult("p", EMPTY, {}, matched, [], [p for p, truth in said if truth is None])


def test_a_class_is_trusted_from_where_nine_in_ten_were_right() -> None:
    good = [(0.9 - i / 100, "A", "A") for i in range(20)]  # 0.90 to 0.71
    bad = [(0.5 - i / 100, "A", None) for i in range(20)]
    trusted = trusted_confidence([outcome(good + bad)], {})
    # of 22 above 0.49 twenty were right (0.909), of 23 it would be 0.87
    assert trusted == {"A": pytest.approx(0.49)}


def test_a_class_with_little_evidence_is_not_trusted_at_all() -> None:
    assert trusted_confidence([outcome([(0.9, "A", "A")] * 4)], {}) == {}
    assert trusted_confidence([outcome([(0.9, "A", "B")] * 40)], {}) == {}
    assert trusted_confidence([], {}) == {}


@pytest.mark.parametrize("label", [UNSURE, "either"])
def test_an_unsure_class_and_a_group_that_holds_the_proposed_class_contradict_nothing(label: str) -> None:
    rows = [(0.9, "A", label)] * 20
    assert trusted_confidence([outcome(rows)], {"either": ("A", "B")}) == {"A": 0.9}
    others = [(0.9, "A", "others")] * 20
    assert trusted_confidence([outcome(others)], {"others": ("B", "C")}) == {}


@pytest.fixture
def finding(monkeypatch: pytest.MonkeyPatch) -> Any:
    def install(boxes: list[tuple[float, float, float, float]], *, mirrored: bool = True) -> Any:
        from training.inference.predict import RawProposals

        calls = []

        def propose_raw(_model: Any, pixels: Any, *, cell_sides: Any, min_score: float) -> list[RawProposals]:
            images = [load() for load in pixels]
            calls.append(images)
            rows = np.array(boxes, float).reshape(-1, 4)
            if len(calls) == 2:
                rows[:, 0] = images[0].shape[1] - rows[:, 0] - rows[:, 2]
                rows = rows if mirrored else rows[:0]
            return [RawProposals(rows, np.full(len(rows), 0.9), []) for _ in images]

        def calibrated(_model: Any, raw: RawProposals) -> list[Proposal]:
            return [Proposal(tuple(box), 0.9, {"A": 1.0}) for box in raw.boxes]

        monkeypatch.setattr("training.inference.pseudo_labels.propose_raw", propose_raw)
        monkeypatch.setattr("training.inference.pseudo_labels.calibrated", calibrated)

        class Model:
            class calibration:  # noqa: N801
                @staticmethod
                def raw(confidence: float) -> float:
                    return confidence

        return Model()

    return install


def test_pseudo_cells_keep_off_regions_ignore_areas_cells_and_rejections(
    make_field: Any, finding: Any
) -> None:
    field = dataclasses.replace(
        make_field(),
        cells=(LabelledCell((10, 60, 20, 20), "A"),),
        regions=(Shape.rectangle(0, 0, 50, 50),),
        ignore=(Shape.rectangle(60, 0, 20, 20),),
        rejections=((60.0, 60.0, 20.0, 20.0),),
    )
    free = (34.0, 60.0, 20.0, 20.0)
    boxes = [
        (40.0, 40.0, 20.0, 20.0),
        (62.0, 2.0, 10.0, 10.0),
        (11.0, 61.0, 20.0, 20.0),
        (60.0, 61.0, 20.0, 20.0),
    ]
    (taught,) = add_pseudo_labels(finding([*boxes, free]), [field], {"A": 0.8})
    assert [cell.box for cell in taught.cells] == [(10, 60, 20, 20), free]
    pseudo = taught.cells[1]
    assert (pseudo.cell_class, dict(pseudo.attributes)) == (None, {})
    ready = prepare_field(taught, 128)
    np.testing.assert_allclose(ready.weights, [[1, 1], [0.5, 0.1]])
    assert not ready.known[70:, 100:].any()  # a pseudo-cell makes nothing known around it


def test_what_the_mirror_image_does_not_show_is_no_pseudo_cell(make_field: Any, finding: Any) -> None:
    field = dataclasses.replace(make_field(), cells=(), regions=())
    (taught,) = add_pseudo_labels(finding([(30, 30, 20, 20)], mirrored=False), [field], {"A": 0.8})
    assert taught.cells == ()


def test_below_its_classes_confidence_nothing_is_taken(make_field: Any, finding: Any) -> None:
    field = dataclasses.replace(make_field(), cells=(), regions=())
    model = finding([(30, 30, 20, 20)])
    assert add_pseudo_labels(model, [field], {"B": 0.1})[0].cells == ()
    assert add_pseudo_labels(finding([(30, 30, 20, 20)]), [field], {"A": 0.95})[0].cells == ()
