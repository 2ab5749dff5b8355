"""The numbers of a round are counted from what is true and what was proposed."""

from __future__ import annotations

import math

from annotation_store.records import Proposal, Shape
from napari_lld.demo import plan_review
from napari_lld.demo.scoring import score, tallies
from training.evaluation.ground_truth import FieldTruth, TrueCell


def test_each_value_is_counted_with_its_precision_recall_and_f1() -> None:
    table = tallies([("a", "a"), ("a", "b"), ("b", "b"), ("b", None)], ["a", "b", "c"])
    assert (table["a"].n, table["a"].precision, table["a"].recall) == (2, 1.0, 0.5)
    assert (table["b"].n, table["b"].precision, table["b"].recall) == (2, 0.5, 0.5)
    assert math.isclose(table["a"].f1 or 0, 2 / 3)
    assert (table["c"].n, table["c"].precision, table["c"].f1) == (0, None, None)


def test_only_cells_centred_outside_the_regions_count() -> None:
    from annotation_store.schema import load_schema

    schema = load_schema("lld")
    inside, outside = (10.0, 10.0, 20.0, 20.0), (150.0, 150.0, 20.0, 20.0)
    truth = FieldTruth(
        "a.png",
        200,
        200,
        (
            TrueCell(inside, "Monocyte", {"cell_size": "large"}),
            TrueCell(outside, "Basophil", {"cell_size": "large"}),
        ),
        outside=(Shape.rectangle(0, 0, 100, 100),),
    )
    found = Proposal(outside, 0.9, {"Basophil": 1.0}, {"cell_size": {"large": 0.2, "small": 0.8}})
    scores = score([truth], {"a.png": [found]}, schema)
    assert (scores.fields, scores.cells, scores.classed) == (1, 1, 1)
    assert scores.ap50 is not None
    assert math.isclose(scores.ap50, 1)
    assert list(scores.classes) == ["Basophil"]
    assert scores.attributes["cell_size"].values["large"].recall == 0
    assert scores.attributes["nucleolus"].n == 0
    nothing = score([truth], {}, schema)
    assert nothing.ap50 == 0
    assert nothing.attribute_macro_f1 is None


def test_half_of_each_source_is_never_reviewed_whatever_the_order() -> None:
    names = [f"pbc_{i:02}.jpg" for i in range(12)] + [f"txl_{i:02}.jpg" for i in range(6)]
    first, second, never = plan_review(names)
    assert sorted(first + second + never) == sorted(names)
    assert [sum(n.startswith("pbc") for n in part) for part in (first, second, never)] == [3, 3, 6]
    assert [sum(n.startswith("txl") for n in part) for part in (first, second, never)] == [2, 1, 3]
    assert plan_review(names[::-1]) == (first, second, never)
