"""A COCO file as truth is read as an import reads it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_store import load_schema
from annotation_store.errors import FormatError
from annotation_store.formats._exchange.images import Images
from annotation_store.records import Field, Shape
from training.worker.full_truth import Truth, outside_regions, read_truth

LLD = load_schema("lld")
GOOD = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20]}


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for patient in (1, 2):
        (tmp_path / "films" / f"P{patient}").mkdir(parents=True)
        Image.fromarray(np.zeros((80, 100, 3), np.uint8)).save(tmp_path / "films" / f"P{patient}" / "f.png")
    return tmp_path / "films"


def truth(folder: Path, *annotations: Any, mark: str = "", more: Sequence[Any] = (), **image: Any) -> Truth:
    document = {
        "images": [{"id": 1, "file_name": "P1\\f.png", "width": 100, "height": 80, **image}, *more],
        "categories": [
            {"id": 1, "name": "lymphocytes"},
            {"id": 2, "name": "RBC"},
            {"id": 3, "name": "Martian"},
        ],
        "annotations": annotations,
    }
    file = folder.parent / "truth.json"
    file.write_text(mark + json.dumps(document), "utf-8")
    return read_truth(file, LLD, Images.for_file(file, folder))


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_marks_and_windows_paths_are_understood(films: Path, mark: str) -> None:
    (one,), _, told = truth(films, GOOD, mark=mark)
    assert one.path == films / "P1" / "f.png"
    assert [(c.box, c.cell_class) for c in one.truth.cells] == [((10, 10, 20, 20), "Lymphocyte")]
    assert told == []


def test_an_image_is_chosen_by_the_last_part_of_a_windows_path(films: Path) -> None:
    truth(films, GOOD, more=[{"id": 2, "file_name": "P2\\g.png"}])
    file = films.parent / "truth.json"
    chosen = read_truth(file, LLD, Images.for_file(file, films), ["f.png"])
    assert (len(chosen.images), chosen.missing) == (1, {})


def test_what_is_no_cell_to_be_found_is_taken_out(films: Path) -> None:
    outline = [[40, 10, 60, 10, 60, 30]]
    (one,), _, told = truth(
        films,
        GOOD,
        GOOD,
        {"image_id": 1, "category_id": 1, "segmentation": outline},
        {"image_id": 1, "category_id": 1, "bbox": [70, 10, 20, 20], "iscrowd": 1},
        {"image_id": 1, "category_id": 3, "bbox": [10, 50, 20, 20]},
        {"image_id": 1, "category_id": 2, "bbox": [70, 50, 20, 20]},
        {"image_id": 1, "category_id": 1, "bbox": [40, 50, 20, 20], "score": None},
    )
    assert [c.box for c in one.truth.cells] == [(10, 10, 20, 20), (40, 10, 20, 20)]
    assert {s.coords for s in one.truth.outside} == {(70, 10, 20, 20), (10, 50, 20, 20)}
    assert any("twice" in line for line in told)
    assert any("are not annotations" in line for line in told)


@pytest.mark.parametrize(
    ("annotations", "image"),
    [
        ([{"image_id": 1, "category_id": 1}], {}),
        ([GOOD, {"image_id": 1, "category_id": 1}], {}),
        ([{"image_id": 1, "category_id": 2, "bbox": [1, 1, 9, 9]}], {}),
        ([GOOD], {"file_name": "P3/f.png"}),
        ([GOOD], {"file_name": "f.png"}),
        ([GOOD], {"width": 500}),
        ([GOOD], {"file_name": "../f.png"}),
    ],
)
def test_what_cannot_be_used_is_one_plain_sentence(
    films: Path, annotations: list[Any], image: dict[str, Any]
) -> None:
    with pytest.raises(FormatError, match=r"truth\.json") as raised:
        truth(films, *annotations, **image)
    assert "\n" not in str(raised.value)


def test_an_image_that_is_missing_is_left_out_by_its_name(films: Path) -> None:
    other = {"id": 2, "file_name": "P3/g.png", "width": 100, "height": 80}
    (one,), missing, notes = truth(films, GOOD, {**GOOD, "image_id": 2}, more=[other])
    assert one.truth.name == "P1\\f.png"
    assert missing == {"P3/g.png": "P3/g.png: the image was not found."}
    assert notes == [], "it is said once"


def test_regions_of_one_patient_are_not_taken_out_of_another(films: Path) -> None:
    found = truth(films, GOOD).images
    fields = [Field(n, f"P{n}/f.png", 100, 80, "", "") for n in (1, 2)]
    rectangle = Shape((0, 0, 50, 50))
    for number, expected in ((1, (rectangle,)), (2, ())):
        (one,) = outside_regions(found, Images(fields=fields), {number: (rectangle,)})
        assert one.truth.outside == expected
