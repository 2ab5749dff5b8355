"""What must hold of the numbers on any fields at all; and on any fields they are those of known libraries."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, recall_score

from annotation_store.records import Proposal, Shape
from annotation_store.schema.reserved import UNSURE
from training.evaluation.ground_truth import FieldTruth, TrueCell
from training.evaluation.matching import evaluate_field
from training.evaluation.metrics import MIN_CELLS_WITHIN_CLASS, summarise

CLASSES = ("A", "B", "C")
GROUPS = {"A or B": ("A", "B")}
VALUES = {"size": ("small", "large"), "shape": ("round", "odd", "long")}
WIDTH, HEIGHT = 160, 120

Judged = tuple[FieldTruth, list[Proposal]]

# A coarse grid, so that boxes often touch, coincide and lie on borders; few scores, so that many are equal.
places = st.tuples(st.integers(0, 14), st.integers(0, 10)).map(lambda p: (10.0 * p[0], 10.0 * p[1]))
boxes = st.tuples(places, st.sampled_from([10.0, 20.0])).map(lambda b: (*b[0], b[1], b[1]))
scores = st.sampled_from([0.1, 0.3, 0.5, 0.7, 0.9, 1.0])
values = st.fixed_dictionaries({}, optional={k: st.sampled_from([*v, UNSURE]) for k, v in VALUES.items()})
classes = st.sampled_from([*CLASSES, "A or B", UNSURE, None])
cells = st.builds(TrueCell, boxes, classes, values)
shapes = st.one_of(
    boxes.map(lambda b: Shape.rectangle(b[0], b[1], 3 * b[2], 3 * b[3])),
    st.lists(places, min_size=3, max_size=4, unique=True)
    .map(Shape.polygon)
    .filter(lambda s: s.geometry.is_valid and s.geometry.area > 100),
)


@st.composite
def proposals(draw: st.DrawFn) -> Proposal:
    def shares(names: tuple[str, ...]) -> dict[str, float]:
        best = draw(st.sampled_from(names))
        return {name: 0.8 if name == best else 0.2 / (len(names) - 1) for name in names}

    return Proposal(
        draw(boxes), draw(scores), shares(CLASSES), {name: shares(some) for name, some in VALUES.items()}
    )


@st.composite
def fields(draw: st.DrawFn) -> Judged:
    inside = draw(st.one_of(st.none(), st.lists(shapes, max_size=3).map(tuple)))
    outside = tuple(draw(st.lists(shapes, max_size=1)))
    known = tuple(draw(st.lists(cells, max_size=5)))
    said = draw(st.lists(proposals(), max_size=7))
    found = [dataclasses.replace(p, box=cell.box) for p, cell in zip(said, known, strict=False)]
    kept = draw(st.integers(0, len(found)))  # so many are where a cell is, the others anywhere
    return FieldTruth("f", WIDTH, HEIGHT, known, inside, outside), [*found[:kept], *said[kept:]]


several = st.lists(fields(), min_size=2, max_size=4)


def numbers(some: list[Judged], threshold: float = 0.3) -> dict[str, Any]:
    results = [evaluate_field(t, p, classes=CLASSES, groups=GROUPS) for t, p in some]
    return summarise(results, attributes=tuple(VALUES), threshold=threshold)


def rounded(told: Any) -> Any:
    """Forget the last bits, which the order of a sum decides."""
    if isinstance(told, dict):
        return {name: rounded(value) for name, value in told.items()}
    return round(told, 12) if isinstance(told, float) else told


@settings(max_examples=40, deadline=None)
@given(several, st.randoms(use_true_random=False))
def test_the_order_of_the_fields_changes_no_number(some: list[Judged], random: Any) -> None:
    shuffled = list(some)
    random.shuffle(shuffled)
    assert rounded(numbers(shuffled)) == rounded(numbers(some))


@settings(max_examples=40, deadline=None)
@given(several, st.lists(proposals(), min_size=1, max_size=4))
def test_what_is_centred_outside_every_region_changes_no_number(
    some: list[Judged], more: list[Proposal]
) -> None:
    def outside(truth: FieldTruth, proposal: Proposal) -> bool:
        x, y, w, h = proposal.box
        point = shapely.Point(x + w / 2, y + h / 2)
        known = [shape.geometry for shape in truth.inside or ()]
        taken_out = any(shape.geometry.covers(point) for shape in truth.outside)
        return taken_out or not any(shape.covers(point) for shape in known)

    some = [(t, p) for t, p in some if t.inside is not None]
    added = [(t, [*(one for one in more if outside(t, one)), *p]) for t, p in some]
    assume(sum(len(p) for _, p in added) > sum(len(p) for _, p in some))
    assert numbers(added) == numbers(some)


@settings(max_examples=40, deadline=None)
@given(several, st.sampled_from(sorted(VALUES)), st.sampled_from([None, UNSURE]), st.data())
def test_a_missing_attribute_changes_no_score_of_anything_else(
    some: list[Judged], name: str, instead: str | None, data: st.DataObject
) -> None:
    """Its own scores are those of the cells that have it: see the test against scikit-learn."""
    which = [(i, j) for i, (t, _) in enumerate(some) for j in range(len(t.cells))]
    assume(which)
    i, j = data.draw(st.sampled_from(which))
    truth, said = some[i]
    cell = truth.cells[j]
    without = {k: v for k, v in cell.attributes.items() if k != name}
    if instead is not None:
        without[name] = instead
    bare = dataclasses.replace(cell, attributes=without)
    changed = dataclasses.replace(truth, cells=(*truth.cells[:j], bare, *truth.cells[j + 1 :]))
    after = numbers([(changed, said) if k == i else one for k, one in enumerate(some)])
    before = numbers(some)
    for told in (before, after):
        del told["attribute_f1"]
        del told["attributes"][name]
    assert after == before


def _by_library(some: list[Judged], name: str, threshold: float) -> dict[str, Any]:
    """Give the numbers of an attribute as scikit-learn has them, over the cells where it is present."""
    truth, said, lost, known = [], [], [], []
    for field, proposed in some:
        result = evaluate_field(field, proposed, classes=CLASSES, groups=GROUPS)
        for cell, proposal in result.matched:
            if cell.attributes.get(name, UNSURE) != UNSURE and proposal.confidence >= threshold:
                truth.append(cell.attributes[name])
                said.append(proposal.best_attributes[name])
                if cell.cell_class is not None:
                    known.append((cell.cell_class, truth[-1], said[-1]))
        below = [cell for cell, proposal in result.matched if proposal.confidence < threshold]
        unseen = (cell.attributes.get(name, UNSURE) for cell in (*result.missed, *below))
        lost += [value for value in unseen if value != UNSURE]

    def f1(given: list[str], answered: list[str]) -> Any:
        labels = sorted(set(given))
        if not labels:
            return None
        return pytest.approx(f1_score(given, answered, labels=labels, average="macro", zero_division=0))

    return {
        "f1": f1(truth, said),
        "f1_end_to_end": f1(truth + lost, said + ["nothing said"] * len(lost)),
        "accuracy": pytest.approx(accuracy_score(truth, said)) if truth else None,
        "n": len(truth),
        "look_up": f1([true for _, true, _ in known], _usual(known)),
        "within_class": _within(known),
    }


def _usual(known: list[tuple[str, str, str]]) -> list[str]:
    values = {name: [true for one, true, _ in known if one == name] for name, _, _ in known}
    return [max(sorted(values[name]), key=values[name].count) for name, _, _ in known]


def _within(known: list[tuple[str, str, str]]) -> Any:
    scores = []
    for name in {one for one, _, _ in known}:
        values = [true for one, true, _ in known if one == name]
        met = {value for value in values if values.count(value) >= MIN_CELLS_WITHIN_CLASS}
        rows = [(true, said) for one, true, said in known if one == name and true in met]
        if len(met) >= 2:
            scores.append(
                recall_score(*zip(*rows, strict=True), labels=sorted(met), average="macro", zero_division=0)
            )
    return pytest.approx(sum(scores) / len(scores)) if scores else None


@settings(max_examples=30, deadline=None)
@given(several)
def test_scores_of_attributes_are_those_of_scikit_learn(some: list[Judged]) -> None:
    told = numbers(some)["attributes"]
    for name in VALUES:
        assert told[name] == _by_library(some, name, threshold=0.3)


@st.composite
def all_known(draw: st.DrawFn) -> list[Judged]:
    """Draw whole fields of single classes whose scores all differ: what COCO has a word for."""
    some: list[Judged] = []
    ranks = draw(st.permutations(range(40)))
    for number in range(draw(st.integers(1, 4))):
        true = draw(st.lists(st.builds(TrueCell, boxes, st.sampled_from(CLASSES)), max_size=6))
        found = [
            dataclasses.replace(p, confidence=(ranks[10 * number + i] + 1) / 50)
            for i, p in enumerate(draw(st.lists(proposals(), max_size=8)))
        ]
        some.append((FieldTruth("f", WIDTH, HEIGHT, tuple(true)), found))
    return some


@settings(max_examples=25, deadline=None)
@given(all_known())
def test_average_precision_of_each_class_is_that_of_coco(some: list[Judged]) -> None:
    coco = pytest.importorskip("faster_coco_eval")
    told = numbers(some)
    images, annotations, detections = [], [], []
    for i, (truth, said) in enumerate(some, 1):
        images.append({"id": i, "width": WIDTH, "height": HEIGHT, "file_name": f"{i}.png"})
        for cell in truth.cells:
            about = {"id": len(annotations) + 1, "area": cell.box[2] * cell.box[3], "iscrowd": 0}
            number = CLASSES.index(str(cell.cell_class)) + 1
            annotations.append({**about, "image_id": i, "category_id": number, "bbox": list(cell.box)})
        for proposal in said:
            for number, name in enumerate(CLASSES, 1):
                score = proposal.confidence * proposal.class_probabilities[name]
                about = {"image_id": i, "category_id": number, "score": score}
                detections.append({**about, "bbox": list(proposal.box)})
    assume(annotations and detections)
    equal = [(d["category_id"], round(d["score"], 9)) for d in detections]
    assume(len(set(equal)) == len(equal))  # COCO's order of equal scores is that of the file
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASSES, 1)]
    reference = coco.COCO({"images": images, "annotations": annotations, "categories": categories})
    judge = coco.COCOeval_faster(reference, reference.loadRes(detections), "bbox")
    judge.params.iouThrs = judge.params.iouThrs[:1]  # an overlap of a half
    judge.evaluate()
    judge.accumulate()
    precision = judge.eval["precision"][0, :, :, 0, -1]  # recalls × classes, all sizes, most detections
    expected = {
        name: float(precision[:, n].mean()) for n, name in enumerate(CLASSES) if precision[:, n].min() >= 0
    }
    assert told["ap50_of"] == pytest.approx(expected, abs=1e-9)
    assert told["map50"] == pytest.approx(sum(expected.values()) / len(expected), abs=1e-9)
