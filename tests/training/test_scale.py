"""Fields of every objective and sensor are shown to a model at a scale that it has learnt."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from annotation_store.errors import ImageError
from annotation_store.images import read_image
from annotation_store.records import Field
from napari_lld import sample
from tests.training.conftest import FieldMaker
from training.engine.data import prepare_field
from training.evaluation.ground_truth import FieldTruth, TrueCell
from training.evaluation.metrics import precision_recall
from training.inference.measure import evaluate
from training.inference.predict import (
    Pixels,
    RawProposals,
    calibrated,
    cell_sides,
    propose_raw,
    seen_side,
)
from training.models.calibration import Calibration
from training.models.model import new_model, read_model, starter_place
from training.networks.scale import (
    MAX_PIXELS,
    MIN_ATTRIBUTE_SIDE,
    STARTER_SIDES,
    WHITE_CELL_UM,
    CellSides,
    domain_of,
    field_side,
    sides_around,
    working_factor,
    zooming_side,
)
from training.networks.vocabulary import Vocabulary
from training.worker.suggest import Sides

FIELD = Field(1, "a.png", 800, 600, "hash", "a.png")


def test_fields_as_the_starter_learnt_them_stay_as_they_were() -> None:
    for cell in (None, 100.0, 70.0, 230.0):
        assert working_factor(800, 600, 448, cell) == pytest.approx(0.56)
    assert field_side(800, 600, None) == 800
    assert field_side(800, 600, 90.0) == 800, "an eighth, as near as a few cells tell"


def test_cells_too_small_or_too_large_are_brought_to_sides_that_are_known() -> None:
    for cell in (16.0, 40.0, 500.0):
        shown = cell * working_factor(800, 600, 448, cell) / 448
        assert STARTER_SIDES[0] < shown < STARTER_SIDES[1]
        assert field_side(800, 600, cell) == 8 * cell, "large means the same under every objective"


def test_a_field_is_not_magnified_without_end() -> None:
    for cell in (1.0, 8.0):
        factor = working_factor(2560, 1920, 448, cell)
        assert 2560 * 1920 * factor**2 <= MAX_PIXELS * 1.001
    assert working_factor(100, 100, 448, 1.0) == 4.48, "never less than the ordinary scale"


def test_narrow_knowledge_is_not_overshot() -> None:
    for cell in (20.0, 300.0):
        shown = cell * working_factor(800, 800, 448, cell, (0.1, 0.11)) / 448
        assert 0.1 <= shown <= 0.11
    least, greatest = sides_around([0.2, 0.3, 0.25])
    assert least < 0.2 < 0.3 < greatest
    assert sides_around([]) == STARTER_SIDES


def test_micrometres_come_before_the_cells_of_the_domain() -> None:
    other = dataclasses.replace(FIELD, id=2, pixel_size_um=0.1)
    assert CellSides().on(FIELD) is None
    sides = CellSides.learn([(FIELD, [50.0] * 9), (other, [])])
    assert sides.on(FIELD) == 50
    assert sides.on(other) == pytest.approx(WHITE_CELL_UM / 0.1)
    # once five cells are measured in micrometres they replace what is usual
    sides = CellSides.learn([(other, [180.0] * 5)])
    assert sides.on(dataclasses.replace(other, pixel_size_um=0.2)) == pytest.approx(90)
    # the resolution of a printer is no scale
    assert sides.on(dataclasses.replace(FIELD, pixel_size_um=352.8)) == 180


@pytest.mark.parametrize("at_once", [1, 3])
def test_each_domain_is_looked_at_once_and_by_many_machines_several_at_a_time(at_once: int) -> None:
    together, asked = threading.Barrier(at_once), []

    class Machines:
        domains_at_once = at_once

        def seen_side(self, _model: Any, pixels: Any) -> float:
            together.wait(60)
            asked.append(len(pixels))
            if len(pixels) == 3:
                raise ImageError("damaged")
            return 10.0 * len(pixels)

    known: list[Any] = [
        SimpleNamespace(cell_side=None, field=dataclasses.replace(FIELD, domain=str(n)))
        for n in (1, 2, 3)
        for _ in range(n)
    ]
    known.append(SimpleNamespace(cell_side=7.0, field=FIELD))
    project: Any = SimpleNamespace(path=Path("project"))
    model: Any = None
    machines: Any = Machines()
    sides = Sides(project, model, known, machines)
    assert [sides.on(one) for one in known] == [10.0, 20.0, 20.0, None, None, None, 7.0]
    assert sorted(asked) == [1, 2, 3]


def test_in_whatever_order_fields_come_the_same_ones_show_the_scale_of_a_domain() -> None:
    shown: list[list[str]] = []

    class Looks:
        domains_at_once = 1

        def seen_side(self, _model: Any, pixels: Any) -> None:
            shown.append([one.folder.name for one in pixels])

    known: list[Any] = [
        SimpleNamespace(cell_side=None, field=dataclasses.replace(FIELD, id=n)) for n in (1, 2, 3)
    ]
    project: Any = SimpleNamespace(path=Path("project"))
    looks: Any = Looks()
    for order in (known, known[::-1]):
        Sides(project, looks, order, looks).on(order[0])
    assert shown == [["1", "2", "3"]] * 2


def test_too_few_cells_say_nothing_of_a_domain() -> None:
    assert CellSides.learn([(FIELD, [50.0] * 4)]).on(FIELD) is None
    named = dataclasses.replace(FIELD, domain="H 100x C1")
    sides = CellSides.learn([(named, [50.0] * 5)])
    assert sides.on(named) == 50
    assert sides.on(FIELD) is None, "another domain, though of the same size"
    assert (domain_of(named), domain_of(FIELD)) == ("H 100x C1", "800×600 px")


def test_training_sees_the_working_scale(make_field: FieldMaker) -> None:
    field = make_field()
    small = dataclasses.replace(field, cell_side=4.0)
    ordinary, magnified = prepare_field(field, 128), prepare_field(small, 128)
    ratio = magnified.image.shape[1] / ordinary.image.shape[1]
    assert ratio > 2
    assert magnified.known.shape == magnified.image.shape[:2]
    assert magnified.boxes == pytest.approx(ordinary.boxes * ratio, rel=0.01)


def test_a_cell_of_few_pixels_gets_no_attributes(words: Vocabulary) -> None:
    model = new_model(words)
    model.record_training([np.ones((2, len(values)), bool) for values in words.heads])
    model.calibration = Calibration()
    side = MIN_ATTRIBUTE_SIDE
    raw = RawProposals(
        np.array([[0, 0, side, 9], [0, 0, side - 1, side - 1]]),
        np.array([0.9, 0.8]),
        [np.zeros((2, len(values))) for values in words.heads],
    )
    seen, too_small = calibrated(model, raw)
    assert set(seen.attribute_probabilities) == {"size", "vacuoles"}
    assert not too_small.attribute_probabilities
    assert too_small.class_probabilities


def test_the_starter_finds_cells_under_a_quarter_of_the_magnification() -> None:
    import cv2

    model = read_model(starter_place())
    content = json.loads(sample.truth().read_text(encoding="utf-8"))
    images = [i for i in content["images"] if i["width"] == 800][:4]
    canvas = np.full((600, 800, 3), 235, np.uint8)
    cells = []
    for number, image in enumerate(images):
        file = sample.truth().parent / "fields" / image["file_name"]
        small = cv2.resize(np.asarray(read_image(file)), (200, 150), interpolation=cv2.INTER_AREA)
        left, top = 200 * number, 100
        canvas[top : top + 150, left : left + 200] = small
        for one in content["annotations"]:
            if one["image_id"] == image["id"]:
                x, y, w, h = (v / 4 for v in one["bbox"])
                cells.append(TrueCell((x + left, y + top, w, h)))
    truth = FieldTruth("canvas", 800, 600, tuple(cells))
    pixels = [lambda: canvas]

    def recall(sides: list[float | None] | None) -> float:
        result = evaluate(model, [truth], propose_raw(model, pixels, cell_sides=sides))[0]
        return precision_recall(result.found, 0.5)[1]

    assert recall(None) < 0.3
    assert recall(cell_sides(model, pixels, ["800×600 px"])) > 0.85


def test_a_field_without_cells_has_no_scale() -> None:
    model = read_model(starter_place())
    blank = partial(np.full, (120, 160, 3), 235, np.uint8)
    assert cell_sides(model, [blank, blank], ["a", "b"], [None, 30.0]) == [None, 30.0]


def test_a_side_is_found_for_which_a_field_is_shown_so_much_larger() -> None:
    for sides in (STARTER_SIDES, (0.1, 0.256)):
        for zoom in (0.5, 1, 3):
            side = zooming_side(800, zoom, sides)
            assert working_factor(800, 600, 448, side, sides) == pytest.approx(zoom * 0.56)


@pytest.mark.parametrize(
    ("cells", "zooms"),
    [(300, [0.5]), (100, [0.5, 1]), (40, [0.5, 1, 3, 3])],
    ids=["large cells", "ordinary cells", "small cells"],
)
def test_no_more_is_searched_for_the_scale_than_shows_it(cells: int, zooms: list[float]) -> None:
    """Large cells are not magnified: red ones would then be taken for white ones (`txl`, 575 px)."""
    searched: list[float] = []

    def find(fields: Sequence[Pixels], zoom: float) -> list[tuple[int, np.ndarray]]:
        searched.append(zoom)
        found = np.full((2, 4), float(cells))
        seen = STARTER_SIDES[0] <= zoom * cells / 800 <= 0.5
        return [(800, found if seen else found[:0]) for _ in fields]

    field = partial(np.zeros, (600, 800, 3), np.uint8)
    assert seen_side(read_model(starter_place()), [field] * 6, find) == cells
    assert searched == zooms
