"""Records that cannot be imported are skipped and reported, and never become background."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotation_store import Project, formats, load_schema
from annotation_store.errors import FormatError
from annotation_store.formats._exchange.document import CellIn, Document, FieldIn, Skipped
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.merge import merge
from annotation_store.formats._exchange.unknown_classes import sort_unknown
from annotation_store.formats.coco.reader import from_coco
from annotation_store.formats.coco.shapes import box_of
from annotation_store.records import Box, Field, ImportReport
from napari_lld.tasks.coco_check import problems

LLD = load_schema("lld")


def bring(project: Project, given: FieldIn, regions: str = "file") -> ImportReport:
    document = Document("x", [given], Skipped())
    images = Images(fields=project.fields.all())
    return merge(
        project, document, images=images, regions=regions, patient_from=None, progress=None, dry_run=False
    )  # type: ignore[arg-type]


@pytest.mark.parametrize("box", [(20, 20, 10, 10), (30, 30, -10, -10)])
def test_a_mark_that_is_left_out_of_a_finished_area_is_ignored_there(project: Project, box: Box) -> None:
    given = FieldIn("a.png", cells=[CellIn("1", (60, 60, 10, 10))])
    given.left_out(box, "{n} odd records were left out.")
    report = bring(project, given)
    assert [a.shape.coords for a in project.ignore_areas.all(1)] == [(20, 20, 10, 10)]
    assert len(project.regions.all(1)) == 1
    assert "1 odd records were left out." in report.skipped


@pytest.mark.parametrize(
    "box",
    [None, (500, 500, 10, 10), (math.nan, 0, 1, 1), (5, 5, 0, 20), (5, 5, 0.2, 20), (0, 0, math.inf, 5)],
)
@pytest.mark.parametrize("stated", [True, False])
def test_a_field_with_a_mark_that_has_no_place_is_not_finished(
    project: Project, box: Box | None, stated: bool
) -> None:
    given = FieldIn(
        "a.png", regions=[(0, 0, 50, 50)] if stated else None, cells=[CellIn("1", (60, 60, 10, 10))]
    )
    given.left_out(box, "{n} odd records were left out.")
    report = bring(project, given)
    assert (report.cells, report.regions) == (1, 0)
    assert not project.regions.all(1)
    assert any("a.png: not marked as finished" in line for line in report.skipped)


def test_what_lies_where_nothing_is_finished_or_is_judged_hides_nothing(project: Project) -> None:
    given = FieldIn("a.png", regions=[(0, 0, 40, 40)], cells=[CellIn("1", (10, 10, 10, 10))])
    given.left_out((60, 60, 10, 10), "{n} where nothing is finished")
    given.left_out((10, 10, 10, 11), "{n} judged by a cell of the file")
    assert bring(project, given).regions == 1
    assert not project.ignore_areas.all(1)


def test_cells_and_areas_that_break_a_rule_become_ignore_areas(project: Project) -> None:
    bow = (20.0, 20.0, 30.0, 30.0, 30.0, 20.0, 20.0, 30.0)
    cells = [CellIn("1", (60, 60, 10, 10)), CellIn("2", (1, 1, 10, 10), cell_class="nothing known")]
    bring(project, FieldIn("a.png", cells=cells, ignore_areas=[bow]))
    assert {a.shape.coords for a in project.ignore_areas.all(1)} == {(1, 1, 10, 10), (20, 20, 10, 10)}


@pytest.mark.parametrize(
    ("name", "file", "text", "good"),
    [
        ("yolo", "labels/a.txt", "0 50 40 20 20", "0 0.5 0.5 0.1 0.1"),
        ("yolo", "labels/a.txt", "0 1 1 2 2", "0 0.5 0.5 0.1 0.1"),
        ("lld", "labels/a.txt", "0 50 40 20 20" + " 0" * 7, "0 0.5 0.5 0.1 0.1" + " 0" * 7),
        ("lld", "labels/a.txt", "0 1 1 2 2" + " 0" * 7, "0 0.5 0.5 0.1 0.1" + " 0" * 7),
        ("csv", "a.csv", "a.png,500,10,9,9,Neutrophil", "field,x,y,w,h,class\na.png,10,10,9,9,Neutrophil"),
    ],
)
def test_coordinates_of_another_kind_leave_the_field_unfinished(
    project: Project, tmp_path: Path, name: str, file: str, text: str, good: str
) -> None:
    path = tmp_path / "set" / file
    path.parent.mkdir(parents=True)
    path.write_text(f"{good}\n{text}\n")
    (tmp_path / "set" / "data.yaml").write_text("names: [Neutrophil]\n")
    report = formats.read(name, project, path if name == "csv" else tmp_path / "set", regions="full")
    assert (report.cells, report.regions) == (1, 0)


# -- COCO ----------------------------------------------------------------------------------------

CATEGORIES = [
    {"id": 1, "name": "Neutrophil"},
    {"id": 2, "name": "Lymphocyte"},
    {"id": 3, "name": "RBC"},
    {"id": 4, "name": "Hairy cell"},
]
GOOD = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [60, 60, 10, 10]}
IMAGE = {"id": 1, "file_name": "a.png"}
BIG = 10**400


def coco(path: Path, *annotations: Any, image: Any = None, **parts: Any) -> Path:
    whole = {"images": [{"id": 1, "file_name": "a.png", **(image or {})}], "categories": CATEGORIES}
    path.write_text(json.dumps(whole | {"annotations": [GOOD, *annotations]} | parts))
    return path


def an(**changes: Any) -> dict[str, Any]:
    return {"id": 2, "image_id": 1, "category_id": 2, "bbox": [20, 20, 10, 10]} | changes


@pytest.mark.parametrize(
    ("annotation", "cells"),
    [
        (an(attributes={"occluded": False, "rotation": 0.0}), 2),
        (an(attributes=None), 2),
        (an(attributes=[1]), 2),
        (an(attributes={"cell_size": ["small"]}), 2),
        (an(unsure=None), 2),
        (an(unsure="class"), 2),
        (an(comment=None, kind=None, cut=None, bookmark=None), 2),
        (an(kind={"a": 1}), 2),
        (an(id="\ud800" * 3, note="\ud800", number=BIG), 2),
        (an(bbox=[], segmentation=[[20, 20, 30, 20, 30, 30]]), 2),
        (an(bbox=None, segmentation=[20, 20, 30, 20, 30, 30]), 2),
        (an(bbox=[0, 0, 0, 0], segmentation=[[20, 20, 30, 20, 30, 30]]), 2),
        (an(bbox=[30, 30, -10, -10]), 2),
        (an(image_id="1", category_id="2"), 2),
        (an(image_id=1.0, category_id=2.0), 2),
        (an(bbox=["20", "20.0", "1e1", " 10"]), 2),
        (an(category_id=99), 1),
        (an(category_id="Neutrophil"), 1),
        (an(category_id={}), 1),
        (an(category_id=BIG), 1),
        (an(category_id=3, bbox=None), 1),
        (an(category_id=4), 1),
        (an(iscrowd=1), 1),
        (an(bbox=[BIG, 0, 5, 5], score=0.5), 1),
        (None, 1),
        ([1, 2], 1),
        ("text", 1),
    ],
)
def test_one_odd_annotation_keeps_no_other_out(
    project: Project, tmp_path: Path, annotation: Any, cells: int
) -> None:
    file = coco(tmp_path / "x.json", annotation)
    assert len(problems(project, file, None)) <= (cells == 1)
    report = formats.read("coco", project, file)
    assert report.cells == cells
    assert len(project.regions.all(1)) == 1
    if cells == 2:
        assert project.cells.all()[1].box == (20, 20, 10, 10)
        assert project.cells.all()[1].comment == ""
    assert project.check() == []
    formats.write("coco", project, tmp_path / "out.json")
    assert "\n" not in " ".join(report.skipped)


@pytest.mark.parametrize(
    "box", [None, [], [1, 2, 3], ["a", 1, 2, 3], [BIG, 0, 1, 1], [True, 1, 2, 3], [5, 5, 0, 9], {}, "1 2 3 4"]
)
@pytest.mark.parametrize("outline", [None, [], [[]], [[1, 2]], [["a"] * 6], {"size": [4, 4]}, [[BIG] * 6]])
def test_neither_box_nor_outline_is_told_and_the_field_is_not_finished(box: Any, outline: Any) -> None:
    given = {"images": [{"id": 1, "file_name": "a.png"}], "categories": CATEGORIES}
    document = from_coco(given | {"annotations": [GOOD, an(bbox=box, segmentation=outline)]}, LLD)
    (field,) = document.fields
    marks = sort_unknown(Field(1, "a.png", 100, 80, "", ""), field)
    assert len(field.cells) + marks.unplaced == 2 or box == [5, 5, 0, 9]
    assert marks.unplaced == 1 or box == [5, 5, 0, 9]


@pytest.mark.parametrize("text", ["NaN", "-Infinity", "1e999", "9" * 5000])
def test_a_number_that_is_none_is_one_odd_record(project: Project, tmp_path: Path, text: str) -> None:
    file = coco(tmp_path / "x.json", an(bbox=[7777, 20, 10, 10]))
    file.write_text(file.read_text().replace("7777", text))
    report = formats.read("coco", project, file)
    assert report.cells == 1
    assert not project.regions.all(), "nobody can tell where it lies"


@pytest.mark.parametrize(
    ("parts", "cells", "regions"),
    [
        ({"image": {"annotated_regions": None}}, 1, 0),
        ({"image": {"annotated_regions": 3}}, 1, 0),
        ({"image": {"annotated_regions": [[0, 0, 90, 70], [1, 2, 3, 4, 5]]}}, 1, 1),
        ({"image": {"ignore_areas": None, "patient": None, "pixel_size_um": None}}, 1, 1),
        ({"image": {"ignore_areas": [[1]]}}, 1, 0),
        ({"image": {"width": -5, "height": "x", "pixel_size_um": BIG, "patient": 12}}, 1, 1),
        ({"images": [IMAGE, IMAGE]}, 1, 1),
        ({"images": [IMAGE, {"id": 2, "file_name": "\ud800.png"}, 3, {"id": []}]}, 1, 1),
        ({"images": [IMAGE, {"id": 2, "file_name": "../b.png"}, {}]}, 1, 1),
        ({"categories": [*CATEGORIES, {"id": 1, "name": "Neutrophil"}, {"id": 9, "name": None}, 3]}, 1, 1),
        ({"categories": [*CATEGORIES, {"id": 2, "name": "Monocyte"}]}, 1, 1),
    ],
)  # fmt: skip
def test_one_odd_image_or_category_keeps_nothing_else_out(
    project: Project, tmp_path: Path, parts: dict[str, Any], cells: int, regions: int
) -> None:
    report = formats.read("coco", project, coco(tmp_path / "x.json", **parts))
    assert (report.cells, report.regions) == (cells, regions)


@pytest.mark.parametrize("odd", [None, True, [], 7, "7", "01", "no"])
def test_an_annotation_of_an_unknown_image_may_lie_on_any_of_them(
    project: Project, tmp_path: Path, odd: Any
) -> None:
    stray = an(image_id=odd)
    report = formats.read("coco", project, coco(tmp_path / "x.json", stray))
    assert (report.cells, report.regions) == (1, 0)
    assert any("belong to no image" in line for line in report.skipped)
    report = formats.read("lld", project, coco(tmp_path / "x.json", stray))
    assert report.regions == 0
    stated = coco(tmp_path / "y.json", stray, image={"annotated_regions": [[0, 0, 90, 70]]})
    for harmless in (coco(tmp_path / "z.json", stray | {"category_id": 3}), stated):
        document = from_coco(json.loads(harmless.read_text()), LLD)
        assert document.fields[0].lost == []


def test_ids_that_are_text_in_one_place_and_numbers_in_another_match_unless_both_are_there() -> None:
    images = [{"id": "1", "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}]
    given = {"images": images, "categories": [{"id": "1", "name": "Neutrophil"}]}
    document = from_coco(given | {"annotations": [GOOD, GOOD | {"image_id": "2"}]}, LLD)
    assert [[c.cell_class for c in f.cells] for f in document.fields] == [["Neutrophil"], ["Neutrophil"]]
    both = [{"id": "1", "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}]
    document = from_coco(given | {"images": both, "annotations": [GOOD]}, LLD)
    assert [len(f.cells) for f in document.fields] == [0, 1]


def test_a_doubled_id_that_leaves_no_image_is_named() -> None:
    images = [{"id": 5, "file_name": "a.png"}, {"id": 5, "file_name": "b.png"}]
    with pytest.raises(FormatError, match="id '5'"):
        from_coco({"images": images, "annotations": [GOOD | {"image_id": 5}]}, LLD)


def test_an_id_given_to_two_images_is_of_neither(project: Project, tmp_path: Path) -> None:
    images = [
        {"id": 1, "file_name": "a.png"},
        {"id": 2, "file_name": "b.png"},
        {"id": 2, "file_name": "a.png"},
    ]
    report = formats.read("coco", project, coco(tmp_path / "x.json", an(image_id=2), images=images))
    assert report.cells == 1
    assert any("given to two images" in line for line in report.skipped)


@pytest.mark.parametrize("score", [None, "high", 0.5, "0.5"])
def test_a_score_of_any_kind_is_a_suggestion(project: Project, tmp_path: Path, score: Any) -> None:
    report = formats.read("coco", project, coco(tmp_path / "x.json", an(score=score)))
    assert (report.cells, report.suggestions) == (1, 1)
    assert project.suggestions.find()[0].confidence == (0.5 if score in (0.5, "0.5") else 0)


def test_a_schema_made_of_a_file_takes_the_file(tmp_path: Path, image_folder: Path) -> None:
    odd = {"occluded": False, "rotation": 0.0, "side": "left", "n": 3}
    file = coco(tmp_path / "x.json", an(attributes=odd), an(bbox=[40, 20, 9, 9], attributes=odd | {"n": 4}))
    with Project.create(tmp_path / "p", schema=load_schema(file)) as made:
        assert problems(made, file, image_folder) == []
        report = formats.read("coco", made, file, images=image_folder)
        assert (report.cells, report.skipped) == (3, [])
        assert dict(made.cells.all()[1].attributes) == {n: str(v) for n, v in odd.items()}


def test_masks_give_their_boxes() -> None:
    mask = np.zeros((7, 9), bool)
    mask[2:5, 3:8] = True
    mask[5, 6] = True
    flat = mask.ravel(order="F")
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    runs = np.diff([0, *changes.tolist(), flat.size]).tolist()
    assert box_of([], {"size": [7, 9], "counts": runs}) == ((3, 2, 5, 4), True)
    coder = pytest.importorskip("pycocotools.mask")
    for seed in range(20):
        mask = np.random.default_rng(seed).random((13, 11)) > 0.9
        packed = coder.encode(np.asfortranarray(mask.astype(np.uint8)))
        expected = tuple(map(float, coder.toBbox(packed)))
        assert box_of(None, {"size": [13, 11], "counts": packed["counts"].decode()}) == (expected, True)


@pytest.mark.parametrize(
    "counts", ["", "~", "0", "\ud800", "o" * 99, [5], [-1, 3], [2, 10**9], [[1]], None, [0.5, BIG], [3, 0]]
)
@pytest.mark.parametrize("size", [[4, 4], [0, 4], [4], None, [BIG, 4], ["a", 1]])
def test_a_broken_mask_is_no_box(counts: Any, size: Any) -> None:
    assert box_of(None, {"size": size, "counts": counts}) == (None, False)
