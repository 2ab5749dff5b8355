"""Proposals: inside the field, one per cell, in the words of the schema, where they are wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_store.geometry import iou_matrix
from annotation_store.records import Proposal, Shape
from tests.training.conftest import FieldMaker
from training.evaluation.prediction_sets import HeadSets, Sets
from training.inference.predict import RawProposals, calibrated, propose_raw, suggestible
from training.inference.stain import propose_from_stain, propose_if_nuclei, unboxed_nuclei
from training.inference.stain_proposals import is_from_stain
from training.models.calibration import Calibration
from training.models.model import new_model, read_model, starter_place
from training.networks.detector import STRIDE, letterbox, suppress
from training.networks.vocabulary import Vocabulary


def test_letterbox_brings_any_field_to_the_working_scale() -> None:
    for height, width in ((100, 300), (300, 100), (64, 64), (1, 500)):
        canvas, scale = letterbox(np.zeros((height, width, 3), np.uint8), 128)
        assert canvas.shape[0] % STRIDE == canvas.shape[1] % STRIDE == 0
        assert max(canvas.shape) == 128
        assert scale == pytest.approx(128 / max(height, width))


def test_suppression_keeps_the_better_of_two_that_overlap() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 11, 11], [20, 0, 30, 10], [0, 0, 10, 4]], np.float32)
    assert suppress(boxes, 0.5, 300) == [0, 2, 3]
    assert suppress(boxes, 0.9, 2) == [0, 1]
    assert suppress(boxes[:0], 0.5, 300) == []


def test_raw_outputs_become_calibrated_probabilities_by_name(words: Vocabulary) -> None:
    model = new_model(words)
    model.record_training([np.ones((2, len(values)), bool) for values in words.heads])
    model.calibration = Calibration(1.0, 0.0, {"size": 2.0})
    raw = RawProposals(
        np.array([[0, 0, 40, 40], [50, 50, 40, 40]], np.float32),
        np.array([0.3, 0.8]),
        [np.array([[0.0, 0, 5], [5, 0, 0]]), np.array([[2.0, 0], [0, 2]]), np.zeros((2, 3))],
    )
    best, other = calibrated(model, raw)
    assert best.confidence == pytest.approx(0.8)
    assert best.best_class == "Neutrophil"
    assert other.best_class == "Myeloblast"
    assert best.attribute_probabilities["size"]["large"] == pytest.approx(1 / (1 + np.exp(-1)))
    assert sum(best.class_probabilities.values()) == pytest.approx(1)
    assert len(calibrated(model, raw, min_confidence=0.5)) == 1


def test_of_a_cell_that_stands_out_the_class_is_less_certain_but_no_value(words: Vocabulary) -> None:
    model = new_model(words)
    model.record_training([np.ones((2, len(values)), bool) for values in words.heads])
    model.sets = Sets({"class": HeadSets(0.95), "size": HeadSets(0.95)})
    logits = [np.array([[9.0, 0, 0]] * 3), np.array([[9.0, 0]] * 3), np.zeros((3, 3))]
    boxes = np.array([[50 * i, 0, 40, 40] for i in range(3)], np.float32)
    raw = RawProposals(boxes, np.array([0.99, 0.9, 0.8]), logits, novelty=np.array([0.5, 0.1, 0.01]))
    typical, apart, unknown = calibrated(model, raw)
    stated = [max(p.class_probabilities.values()) for p in (typical, apart, unknown)]
    assert stated[0] > 0.99
    assert 0.8 < stated[1] < 0.95
    assert stated[2] < 0.8
    for one in (typical, apart, unknown):
        assert sum(one.class_probabilities.values()) == pytest.approx(1)
        assert one.best_class == typical.best_class
        assert one.attribute_probabilities == typical.attribute_probabilities
    assert apart.sets == typical.sets
    assert len(apart.sets["class"]) == 1, "a set is of taught classes"
    (_, unchecked, _) = calibrated(model, replace(raw, unchecked=True))
    assert max(unchecked.class_probabilities.values()) == pytest.approx(0.9, abs=1e-3), "as on any such film"


def test_where_nothing_was_checked_no_class_or_value_is_sure_and_the_order_stays(words: Vocabulary) -> None:
    model = new_model(words)
    model.record_training(
        [
            np.array([[True, False, False], [False, True, False]]),  # no Myeloblast yet
            np.ones((2, 2), bool),
            np.ones((2, 3), bool),
        ]
    )
    model.sets = Sets({"class": HeadSets(0.95), "size": HeadSets(0.95)})
    surest = np.array([30.0, 9.0, 4.0, 0.5])
    raw = RawProposals(
        np.array([[50 * i, 0, 40, 40] for i in range(4)], np.float32),
        np.array([0.99, 0.9, 0.8, 0.7]),
        [np.stack([surest, 0 * surest, 0 * surest], 1), np.stack([surest, -surest], 1), np.eye(4, 3) * 90],
    )
    checked, unchecked = calibrated(model, raw), calibrated(model, replace(raw, unchecked=True))
    assert [p.sets["class"] for p in checked][-1] == ("Neutrophil", "Lymphoblast")
    assert all(p.unchecked and p.sets == {} for p in unchecked)
    assert [p.best_class for p in unchecked] == [p.best_class for p in checked]
    assert [p.best_attributes for p in unchecked] == [p.best_attributes for p in checked]
    assert [p.confidence for p in unchecked] == [p.confidence for p in checked], "a cell all the same"
    stated = [max(p.class_probabilities.values()) for p in unchecked]
    assert stated == sorted(stated, reverse=True)
    for one in unchecked:
        for said in (one.class_probabilities, *one.attribute_probabilities.values()):
            assert max(said.values()) <= 0.9 + 1e-9
            assert sum(said.values()) == pytest.approx(1)
        assert set(one.class_probabilities) == {"Neutrophil", "Lymphoblast"}, "what nobody taught stays away"


def test_an_attribute_may_be_called_class() -> None:
    words = Vocabulary(("A", "B"), {}, {"class": ("x", "y")})
    raw = RawProposals(
        np.array([[0, 0, 40, 40.0]]), np.array([0.9]), [np.array([[3.0, 0]]), np.array([[0, 3.0]])]
    )
    model = new_model(words)
    model.record_training([np.eye(2, dtype=bool)] * 2)
    one = calibrated(model, raw)[0]
    assert one.best_class == "A"
    assert one.best_attributes == {"class": "y"}


def test_a_schema_without_classes_or_attributes_gets_boxes_only() -> None:
    raw = RawProposals(np.array([[0, 0, 40, 40.0]]), np.array([0.9]), [])
    one = calibrated(new_model(Vocabulary((), {}, {})), raw)[0]
    assert one.class_probabilities == {}
    assert one.attribute_probabilities == {}


def test_the_starter_finds_the_cells_of_a_bundled_field() -> None:
    from annotation_store.images import read_image
    from napari_lld import sample

    file = next(f for f in sample.fields() if f.name.startswith("pbc"))
    image = np.asarray(read_image(file))
    model = read_model(starter_place())
    found = calibrated(model, propose_raw(model, [lambda: image])[0], min_confidence=0.25)
    assert 10 <= len(found) <= 14
    height, width = image.shape[:2]
    for one in found:
        x, y, w, h = one.box
        assert x >= 0
        assert y >= 0
        assert x + w <= width + 1e-3
        assert y + h <= height + 1e-3


def test_suggestions_stay_out_of_regions_ignore_areas_cells_and_rejections() -> None:
    def at(x: float, y: float, confidence: float = 0.5) -> Proposal:
        return Proposal((x, y, 20, 20), confidence)

    kept = suggestible(
        [at(10, 10), at(110, 10), at(10, 110), at(112, 112), at(60, 110, 0.9), at(160, 160)],
        regions=[Shape.rectangle(0, 0, 50, 50)],
        ignore=[Shape.rectangle(100, 0, 50, 50)],
        occupied=[(10, 112, 20, 20), (110, 110, 20, 20)],
    )
    assert [p.box[:2] for p in kept] == [(60, 110), (160, 160)]
    assert len(suggestible([at(float(i), 0) for i in range(400)])) == 300
    assert suggestible([]) == []


def test_the_stain_alone_proposes_the_purple_cells(make_field: Any) -> None:
    field = make_field()
    boxes = [p.box for p in propose_from_stain(field.pixels())]
    assert len(boxes) == 2
    for cell in field.cells:
        x, y, w, h = cell.box
        assert any(
            abs(bx + bw / 2 - x - w / 2) < 4 and abs(by + bh / 2 - y - h / 2) < 4 for bx, by, bw, bh in boxes
        )


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_unstained_field_proposes_nothing(value: int) -> None:
    assert propose_from_stain(np.full((80, 100, 3), value, np.uint8)) == []


def test_what_nobody_taught_is_never_proposed(words: Vocabulary) -> None:
    model = new_model(words)
    model.record_training(
        [
            np.array([[True, False, False], [False, True, False]]),  # no Myeloblast yet
            np.array([[True, False]]),  # small cells only: nothing to tell apart
            np.zeros((0, 3), bool),
        ]
    )
    raw = RawProposals(
        np.array([[0, 0, 40, 40]], np.float32),
        np.array([0.8]),
        [np.array([[1.0, 0.0, 9.0]]), np.array([[5.0, 0.0]]), np.array([[0.0, 7.0, 0.0]])],
    )
    (proposal,) = calibrated(model, raw)
    assert set(proposal.class_probabilities) == {"Neutrophil", "Lymphoblast"}
    assert proposal.best_class == "Neutrophil"
    assert sum(proposal.class_probabilities.values()) == pytest.approx(1)
    assert proposal.attribute_probabilities == {}


def test_a_group_teaches_its_members(words: Vocabulary) -> None:
    model = new_model(words)
    model.record_training(
        [np.array([words.targets("blast", {})[0]]), np.zeros((0, 2), bool), np.zeros((0, 3), bool)]
    )
    assert model.taught["class"] == {"Lymphoblast": 0.5, "Myeloblast": 0.5}


def test_the_starter_does_not_speak_of_the_nucleolus() -> None:
    starter = read_model(starter_place())
    silent = dict(zip(starter.vocabulary.head_names, starter.trained_values(), strict=True))
    assert silent["nucleolus"] is None
    assert silent["cytoplasm"] is not None
    assert not silent["cell_size"][starter.vocabulary.attributes["cell_size"].index("medium")]


def test_the_stain_is_believed_only_where_there_are_dark_nuclei(make_field: FieldMaker) -> None:
    field = make_field()
    grey = np.round(0.6 * field.pixels() + 0.4 * field.pixels().mean(2, keepdims=True)).astype(np.uint8)
    found = propose_if_nuclei((grey * [1, 0.9, 0.6]).astype(np.uint8))
    overlaps = iou_matrix(np.array([c.box for c in field.cells]), np.array([p.box for p in found]))
    assert (overlaps.max(1) > 0.4).all(), "under a yellow lamp, in a pale stain"
    assert all(is_from_stain(p, None) for p in found)
    assert not any(is_from_stain(p, 3) for p in found)
    assert not is_from_stain(Proposal((0, 0, 9, 9), 0.5, {"Neutrophil": 1.0}), None)
    # red cells: eosin alone
    red = np.full((96, 128, 3), 235, np.uint8)
    red[20:60, 20:60] = (225, 160, 165)
    assert propose_if_nuclei(red) == []


def test_unboxed_nuclei_are_those_in_the_area_that_nothing_known_covers(make_field: FieldMaker) -> None:
    field = make_field()
    pixels, boxes = field.pixels(), [cell.box for cell in field.cells]
    height, width = pixels.shape[:2]
    whole = Shape.rectangle(0, 0, width, height)
    found = unboxed_nuclei(pixels, whole, [])
    assert len(found) == len(propose_if_nuclei(pixels)) > 1
    assert unboxed_nuclei(pixels, whole, boxes) == []
    assert len(unboxed_nuclei(pixels, whole, found[1:])) == 1
    x, y, w, h = found[0]
    assert unboxed_nuclei(pixels, Shape.rectangle(x, y, w, h), []) == [found[0]]


def test_ultralytics_leaves_pillow_as_it_is() -> None:
    """Its own `Image.open` asks for another package wherever a file is no image."""
    assert Image.open.__module__ == "PIL.Image"
