"""The numbers are right: by hand, and against another implementation of COCO's."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from annotation_store.records import Proposal, Shape
from training.evaluation.extra_metrics import describe
from training.evaluation.ground_truth import FieldTruth, TrueCell
from training.evaluation.matching import Ranking, evaluate_field
from training.evaluation.metrics import (
    acceptance_precision,
    average_precision,
    beyond_class,
    expected_calibration_error,
    macro_f1,
    merged,
    precision_recall,
    score,
    summarise,
)


def proposal(x: float, y: float, confidence: float, side: float = 20, **said: str) -> Proposal:
    classes = {said.pop("cls"): 1.0} if "cls" in said else {}
    return Proposal((x, y, side, side), confidence, classes, {k: {v: 1.0} for k, v in said.items()})


def truth(*cells: TrueCell, inside: tuple[Shape, ...] | None = None, **options: object) -> FieldTruth:
    return FieldTruth("f", 200, 200, cells, inside=inside, **options)  # type: ignore[arg-type]


def cell(x: float, y: float, cls: str | None = None, side: float = 20, **attributes: str) -> TrueCell:
    return TrueCell((x, y, side, side), cls, attributes)


def test_average_precision_by_hand() -> None:
    # hit, miss, hit of two: precision 1 up to recall 0.5 (51 of 101 recalls), 2/3 up to 1 (50)
    ranking = Ranking(np.array([0.9, 0.8, 0.7]), np.array([True, False, True]), 2)
    assert average_precision(ranking) == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)
    assert math.isnan(average_precision(Ranking(np.zeros(0), np.zeros(0, bool), 0)))
    assert average_precision(Ranking(np.zeros(0), np.zeros(0, bool), 3)) == 0


def test_average_precision_is_that_of_coco() -> None:
    coco = pytest.importorskip("faster_coco_eval")
    rng = np.random.default_rng(0)
    images, annotations, detections, results = [], [], [], []
    for i in range(1, 13):
        images.append({"id": i, "width": 200, "height": 200, "file_name": f"{i}.png"})
        cells, proposals = [], []
        for _ in range(rng.integers(0, 7)):
            x, y = rng.uniform(0, 170, 2)
            cells.append(cell(float(x), float(y)))
        for one in cells:
            if rng.random() < 0.8:
                dx, dy = rng.normal(0, 4, 2)
                proposals.append(proposal(one.box[0] + dx, one.box[1] + dy, float(rng.uniform(0.2, 1))))
        proposals += [proposal(*map(float, rng.uniform(0, 170, 2)), float(rng.uniform())) for _ in range(3)]
        for one in cells:
            number = len(annotations) + 1
            annotations.append(
                {
                    "id": number,
                    "image_id": i,
                    "category_id": 1,
                    "bbox": list(one.box),
                    "area": 400,
                    "iscrowd": 0,
                }
            )
        for one_proposal in proposals:
            detections.append(
                {
                    "image_id": i,
                    "category_id": 1,
                    "bbox": [float(v) for v in one_proposal.box],
                    "score": one_proposal.confidence,
                }
            )
        results.append(evaluate_field(truth(*cells), proposals))
    reference = coco.COCO(
        {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cell"}]}
    )
    judge = coco.COCOeval_faster(reference, reference.loadRes(detections), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert summarise(results)["ap50"] == pytest.approx(judge.stats[1], abs=1e-6)


def test_only_the_finished_regions_are_judged() -> None:
    region = Shape.rectangle(0, 0, 100, 200)
    result = evaluate_field(
        truth(cell(40, 40), cell(150, 40), inside=(region,)),
        [proposal(40, 40, 0.9), proposal(150, 40, 0.8), proposal(40, 120, 0.7), proposal(150, 150, 0.6)],
    )
    assert result.found.truths == 1
    assert result.found.hits.tolist() == [True, False]  # what is centred outside does not exist


def test_an_unmatched_proposal_at_the_border_is_ignored_but_not_at_the_fields_edge() -> None:
    region = Shape.rectangle(0, 0, 100, 200)
    inside = (region,)
    at_border = [proposal(86, 100, 0.9)]  # centre 4 pixels from the border, a quarter of its side is 5
    assert len(evaluate_field(truth(cell(40, 40), inside=inside), at_border).found.scores) == 0
    further = [proposal(84, 100, 0.9)]
    assert len(evaluate_field(truth(cell(40, 40), inside=inside), further).found.scores) == 1
    at_edge = [proposal(0, 100, 0.9, side=10)]
    assert len(evaluate_field(truth(cell(40, 40), inside=inside), at_edge).found.scores) == 1


def test_ignore_areas_are_outside_every_number() -> None:
    one = truth(cell(40, 40), cell(150, 150), outside=(Shape.rectangle(120, 120, 80, 80),))
    result = evaluate_field(one, [proposal(150, 150, 0.9), proposal(160, 130, 0.8)])
    assert result.found.truths == 1
    assert len(result.found.scores) == 0
    assert len(result.missed) == 1


def test_a_cell_without_a_class_is_neither_hit_nor_fault_of_a_class() -> None:
    result = evaluate_field(
        truth(cell(10, 10), cell(60, 60, "A"), cell(120, 120, "unsure")),
        [proposal(10, 10, 0.9, cls="A"), proposal(60, 60, 0.8, cls="A"), proposal(120, 120, 0.7, cls="B")],
        classes=("A", "B"),
    )
    assert result.classes["A"].hits.tolist() == [True]
    assert result.classes["A"].truths == 1
    assert len(result.classes["B"].hits) == 0
    assert summarise([result])["map50"] == 1.0


def test_a_group_is_ignored_for_its_members_only() -> None:
    result = evaluate_field(
        truth(cell(10, 10, "blast"), cell(60, 60, "blast")),
        [proposal(10, 10, 0.9, cls="Myeloblast"), proposal(60, 60, 0.8, cls="Neutrophil")],
        classes=("Myeloblast", "Neutrophil"),
        groups={"blast": ("Myeloblast",)},
    )
    assert len(result.classes["Myeloblast"].hits) == 0
    assert result.classes["Neutrophil"].hits.tolist() == [False]


def test_one_cell_is_found_once_and_by_the_better_score() -> None:
    result = evaluate_field(truth(cell(10, 10)), [proposal(11, 10, 0.5), proposal(10, 10, 0.9)])
    assert result.found.hits.tolist() == [True, False]


def test_macro_f1_by_hand() -> None:
    # a: 2 of 2 found, one false: 4/5; b: 1 of 2: 2/3
    assert macro_f1(["a", "a", "b", "b"], ["a", "a", "a", "b"]) == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert macro_f1(["a", "b"], ["a", None]) == pytest.approx(0.5)
    assert math.isnan(macro_f1([], []))


def test_what_an_attribute_says_beyond_the_class_is_measured_within_classes() -> None:
    small = [("Lymphocyte", "small", "small")] * 8  # of one value: says nothing within
    monocytes = [("Monocyte", "large", "large")] * 10 + [("Monocyte", "small", "large")] * 5
    told = beyond_class([*small, *monocytes])
    assert told["within_class"] == 0.5  # the commonest value of the class, whatever is seen
    assert told["look_up"] == macro_f1(
        [t for _, t, _ in [*small, *monocytes]], ["small"] * 8 + ["large"] * 15
    )
    better = [("Monocyte", "large", "large")] * 10 + [("Monocyte", "small", "small")] * 4
    assert beyond_class([*better, ("Monocyte", "small", "large")])["within_class"] == pytest.approx(0.9)
    assert beyond_class(better)["within_class"] is None  # four cells are too few
    assert beyond_class([]) == {"look_up": None, "within_class": None}


def test_how_many_places_an_ordered_value_is_off_is_measured_beside_its_f1() -> None:
    sizes = ("small", "medium", "large")
    rng = np.random.default_rng(0)
    pairs = [(i, min(2, max(0, i + off))) for i, off in rng.integers((0, -1), (3, 2), (60, 2))]
    pairs += [(0, 2)] * 3
    results = [
        evaluate_field(
            FieldTruth(f"field {n % 9}", 200, 200, (cell(10, 10, size=sizes[true]),)),
            [proposal(10, 10, 0.9, size=sizes[predicted])],
        )
        for n, (true, predicted) in enumerate(pairs)
    ]
    row = describe(results, attributes={"size": sizes}, ordered=["size"])["attributes"]["size"]
    assert row["rank_error"] == pytest.approx(np.mean([abs(t - p) for t, p in pairs]))
    assert row["weighted_kappa"] == pytest.approx(
        cohen_kappa_score(*zip(*pairs, strict=True), weights="quadratic")
    )
    low, high = row["intervals"]["weighted_kappa"]
    assert low < row["weighted_kappa"] < high
    assert "rank_error" not in describe(results, attributes={"size": sizes})["attributes"]["size"]
    all_small = [evaluate_field(truth(cell(10, 10, size="small")), [proposal(10, 10, 0.9, size="small")])]
    row = describe(all_small, attributes={"size": sizes}, ordered=["size"])["attributes"]["size"]
    assert (row["rank_error"], row["weighted_kappa"]) == (0.0, None)


def test_attributes_count_where_present_and_missed_cells_end_to_end() -> None:
    result = evaluate_field(
        truth(
            cell(10, 10, size="big"), cell(60, 60, size="small"), cell(120, 120), cell(10, 150, size="unsure")
        ),
        [
            proposal(10, 10, 0.9, size="big"),
            proposal(120, 120, 0.8, size="small"),
            proposal(10, 150, 0.8, size="big"),
        ],
    )
    numbers = summarise([result], attributes=("size", "shape"))
    assert numbers["attributes"]["size"] == {
        "f1": 1.0,
        "f1_end_to_end": 0.5,  # big 1, small 0
        "accuracy": 1.0,
        "n": 1,
        "look_up": None,  # the cell has no class
        "within_class": None,
    }
    assert numbers["attributes"]["shape"]["n"] == 0
    assert numbers["attribute_f1"] == 1.0


def test_what_a_model_does_not_predict_is_not_scored_as_0() -> None:
    cells = [cell(10, 10 + 40 * i, "AB"[i % 2], size="big", shape="round") for i in range(4)]
    sizes_only = [proposal(10, 10 + 40 * i, 0.9, size="big") for i in range(4)]
    fields = [FieldTruth(f"field {i}", 200, 200, tuple(cells)) for i in range(3)]
    results = [evaluate_field(field, sizes_only, classes=("A", "B")) for field in fields]
    names = {"size": ("big",), "shape": ("round", "oval")}
    numbers = describe(results, classes=("A", "B"), attributes=names, ordered=["shape"], resamples=20)
    shape = numbers["attributes"]["shape"]
    assert (shape["n"], shape["look_up"]) == (12, 1.0)
    assert shape["values"] == {"round": {"f1": None, "n": 12, "interval": None}}
    assert {shape[key] for key in ("f1", "f1_end_to_end", "accuracy", "within_class", "rank_error")} == {None}
    assert set(shape["intervals"].values()) == {None}
    assert (numbers["attribute_f1"], numbers["intervals"]["attribute_f1"]) == (1.0, [1.0, 1.0])
    assert (numbers["class_n"], numbers["class_f1"], numbers["map50"]) == (12, None, None)
    assert numbers["intervals"]["class_f1"] is None
    assert {row["f1"] for row in numbers["classes"].values()} == {None}
    assert {bounds for row in numbers["classes"].values() for bounds in row["intervals"].values()} == {None}
    assert score(results, list(names)) == pytest.approx(0.5), "to choose a model it counts as wrong"


def test_a_class_that_is_predicted_for_no_cell_is_wrong() -> None:
    says_a = [proposal(10, 10 + 40 * i, 0.9, cls="A") for i in range(4)]
    cells = [cell(10, 10 + 40 * i, "B") for i in range(4)]
    numbers = describe([evaluate_field(truth(*cells), says_a, classes=("A", "B"))], classes=("A", "B"))
    assert (numbers["class_f1"], numbers["map50"], numbers["classes"]["B"]["f1"]) == (0, 0, 0)


def test_precision_and_recall_at_a_threshold() -> None:
    ranking = Ranking(np.array([0.9, 0.6, 0.3]), np.array([True, False, True]), 4)
    assert precision_recall(ranking, 0.5) == (0.5, 0.25)
    precision, recall = precision_recall(ranking, 0.95)
    assert np.isnan(precision), "nothing was proposed"
    assert recall == 0


def test_calibration_error_by_hand() -> None:
    scores = np.array([0.8] * 10 + [0.2] * 10)
    hits = np.array([True] * 8 + [False] * 2 + [True] * 2 + [False] * 8)
    assert expected_calibration_error(Ranking(scores, hits, 10), bins=2) == pytest.approx(0)
    assert expected_calibration_error(
        Ranking(np.full(4, 0.9), np.zeros(4, bool), 1), bins=1
    ) == pytest.approx(0.9)


def test_nothing_measured_is_none() -> None:
    numbers = summarise([])
    assert numbers["ap50"] is None
    assert numbers["class_f1"] is None
    assert numbers["cells"] == 0
    assert merged([]).truths == 0


def test_what_would_be_written_is_counted_by_its_own_probability() -> None:
    """Accepting writes a class: that a box is on a cell does not make it right."""
    vague = {"Eosinophil": 0.4, "Neutrophil": 0.3, "Monocyte": 0.3}
    sure = {"Eosinophil": 0.9, "Neutrophil": 0.1, "Monocyte": 0.0}
    cells = [cell(10 + 30 * i, 10, name) for i, name in enumerate(("Eosinophil", "Monocyte", None, "unsure"))]
    proposals = [Proposal((10 + 30 * i, 10, 20, 20), 1.0, sure) for i in range(4)]
    proposals += [
        Proposal((10, 60, 20, 20), 0.9, sure),  # there is no cell
        Proposal((60, 60, 20, 20), 1.0, vague),  # a cell for certain, its class at 40%
        Proposal((110, 60, 20, 20), 0.8),  # without class: right where it finds a cell
    ]
    cells += [cell(60, 60, "Eosinophil"), cell(110, 60, "Monocyte")]
    result = evaluate_field(truth(*cells), proposals, classes=list(sure))
    written = acceptance_precision([result], 0.5)
    assert written == {"threshold": 0.5, "right": 2, "of": 4, "classes": {"Eosinophil": [1, 3], "": [1, 1]}}
    assert acceptance_precision([result], 0.3)["classes"]["Eosinophil"] == [2, 4]
    assert summarise([result], threshold=0.5)["written"] == written


def test_at_the_border_hits_and_misses_are_left_out_alike() -> None:
    """Counted hits beside dropped misses made a precision of 0.88 look like 0.94."""
    inside = (Shape.rectangle(0, 0, 100, 200),)
    cells = [cell(87, 20 + 40 * i, "A") for i in range(4)] + [cell(30, 40, "A"), cell(30, 100, "B")]
    said = [proposal(87, 20 + 40 * i, 0.9, cls="A") for i in range(4)]  # right, 3 px from the border
    said += [proposal(86, 40 * i, 0.8, cls="A") for i in range(4)]  # wrong, 4 px from it
    said += [proposal(30, 40, 0.7, cls="A"), proposal(10, 150, 0.6, cls="A")]
    result = evaluate_field(truth(*cells, inside=inside), said, classes=("A", "B"))
    assert (result.found.hits.tolist(), result.found.truths) == ([True, False], 2)
    assert (result.classes["A"].hits.tolist(), result.classes["A"].truths) == ([True, False], 1)
    assert ([c.box[0] for c, _ in result.matched], len(result.missed), len(result.spurious)) == ([30], 1, 1)
    numbers = summarise([result])
    assert (numbers["precision"], numbers["recall"]) == (0.5, 0.5)
    assert (numbers["written"]["right"], numbers["written"]["of"]) == (1, 2)


def test_precision_is_that_of_the_whole_field_wherever_the_region_ends() -> None:
    """Over random regions of fields with full truth the two differed by 0.06."""
    rng = np.random.default_rng(0)
    results, whole = [], []
    for _ in range(40):
        places = rng.permutation([(25 * i, 25 * j) for i in range(16) for j in range(16)])[:160]
        cells = [cell(float(x), float(y)) for x, y in places[:120]]
        said = [proposal(float(x), float(y), float(rng.uniform(0.5, 1))) for x, y in places[20:]]
        area = Shape.rectangle(*rng.uniform(0, 250, 2), 150, 150)
        field = FieldTruth("f", 400, 400, tuple(cells), inside=(area,))
        results.append(evaluate_field(field, said))
        whole.append(evaluate_field(FieldTruth("f", 400, 400, tuple(cells)), said))
    in_regions, everywhere = summarise(results)["precision"], summarise(whole)["precision"]
    assert everywhere == pytest.approx(100 / 140)
    assert in_regions == pytest.approx(everywhere, abs=0.03)


def test_where_votes_tie_any_of_the_tied_values_is_right_and_a_majority_is_the_truth() -> None:
    ties = {"class": ("Lymphocyte", "Monocyte"), "size": ("large", "small")}
    tied = TrueCell((10, 10, 20, 20), "Lymphocyte", {"size": "large", "shape": "round"}, ties)
    for name, right in (("Lymphocyte", 1), ("Monocyte", 1), ("Basophil", 0)):
        said = proposal(10, 10, 0.9, cls=name, size="small", shape="round")
        result = evaluate_field(truth(tied), [said], classes=("Basophil", "Lymphocyte", "Monocyte"))
        ((found, _),) = result.matched
        assert found.cell_class == (name if right else "Lymphocyte")
        numbers = summarise([result], attributes=["size", "shape"])
        assert (numbers["class_f1"], numbers["written"]["right"]) == (right, right)
        assert numbers["attributes"]["size"]["accuracy"] == 1
        ranks = {one: (ranking.truths, len(ranking.hits)) for one, ranking in result.classes.items()}
        other = "Monocyte" if name == "Lymphocyte" else "Lymphocyte"
        assert ranks[other] == ((0, 0) if right else ranks[other])
    (missed,) = evaluate_field(truth(tied), []).missed
    assert missed == tied
    clear = cell(10, 10, "Monocyte")
    result = evaluate_field(truth(clear), [proposal(10, 10, 0.9, cls="Lymphocyte")], classes=("Lymphocyte",))
    assert result.matched[0][0] is clear
