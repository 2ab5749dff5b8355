"""Label Studio's exports as its users have them: joined results, masks, several folders, odd tasks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project, formats
from annotation_store.errors import FormatError
from annotation_store.formats._exchange.document import Document, FieldIn
from annotation_store.formats._exchange.images import Images
from annotation_store.formats.labelstudio.reader import parse
from annotation_store.schema import load_schema

Task = dict[str, Any]
PLACE = {"x": 10.0, "y": 10.0, "width": 20.0, "height": 25.0, "rotation": 0}
BOX = (10, 8, 20, 20)
LLD = load_schema("lld")


def result(kind: str = "rectanglelabels", one: object = "a", place: Any = PLACE, **more: Any) -> Task:
    value = dict(place) if isinstance(place, dict) else {}
    own = {key: more.pop(key) for key in list(more) if key.endswith("labels") or key in VALUES}
    return {
        "id": one, "type": kind, "from_name": "x", "to_name": "image", "original_width": 100,
        "original_height": 80, "image_rotation": 0, "value": value | own, **more,
    }  # fmt: skip


VALUES = ("choices", "text", "taxonomy", "rating", "points", "rle", "format", "vertices")


def cell(label: str = "Monocyte", one: object = "a", place: Any = PLACE, **more: Any) -> Task:
    return result("rectanglelabels", one, place, rectanglelabels=[label], **more)


def task(*results: Any, image: str = "a.png", **more: Any) -> Task:
    return {"data": {"image": image}, "annotations": [{"result": list(results)}], **more}


def read(*tasks: Any) -> Document:
    return parse(list(tasks), LLD, "tasks.json", Images())


def only(*results: Any) -> FieldIn:
    (field,) = read(task(*results)).fields
    return field


# -- results of one mark -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "results",
    [
        [result("rectangle"), result("labels", labels=["Monocyte"])],
        [result("labels", labels=["Monocyte"]), result("rectangle")],
        [result("rectangle"), result("rectanglelabels", rectanglelabels=["Monocyte"])],
        [result("rectangle"), result("labels", place=None, labels=["Monocyte"])],
        [result("rectangle"), result("labels", "b", None, labels=["Monocyte"], parentID="a")],
        [result("rectangle"), result("choices", choices=["Monocyte"], from_name="cell type")],
        [result("labels", labels=["Monocyte"])],
        [cell("Monocyte"), {"type": "relation", "from_id": "a", "to_id": "a", "direction": "right"}],
    ],
)
def test_a_shape_and_its_label_are_one_cell(results: list[Task]) -> None:
    (found,) = only(*results).cells
    assert (found.box, found.cell_class) == (BOX, "Monocyte")


@pytest.mark.parametrize(
    ("shape", "values", "box"),
    [
        ("polygon", {"points": [[10, 10], [30, 10], [20, 35]]}, (10, 8, 20, 20)),
        ("ellipse", {"x": 20, "y": 20, "radiusX": 10, "radiusY": 12.5, "rotation": 0}, (10, 6, 20, 20)),
        ("ellipse", {"x": 50, "y": 50, "radiusX": 10, "radiusY": 25, "rotation": 90}, (30, 30, 40, 20)),
        ("rectangle", {"x": 30, "y": 35, "width": -20, "height": -25}, (10, 8, 20, 20)),
    ],
)
def test_other_shapes_and_their_labels_are_one_cell(shape: str, values: Task, box: tuple[float, ...]) -> None:
    field = only(result(shape, place=values), result("labels", place=values, labels=["Monocyte"]))
    (found,) = field.cells
    assert found.box == pytest.approx(box)
    assert found.cell_class == "Monocyte"


def test_marks_that_share_an_id_stay_apart() -> None:
    other = PLACE | {"x": 50.0}
    field = only(
        cell("Monocyte", "result1"),
        cell("Basophil", "result1", other),
        result("choices", "result1", other, choices=["large"], from_name="cell_size"),
        cell("Eosinophil", None, PLACE | {"x": 70.0}),
        cell("Neutrophil", None, PLACE | {"x": 30.0}),
    )
    assert [(c.cell_class, dict(c.attributes)) for c in field.cells] == [
        ("Monocyte", {}),
        ("Basophil", {"cell_size": "large"}),
        ("Eosinophil", {}),
        ("Neutrophil", {}),
    ]


def test_labels_that_contradict_are_not_chosen_among() -> None:
    document = read(task(result(rectanglelabels=["Monocyte", "Basophil"])))
    assert [c.cell_class for c in document.fields[0].cells] == [None]
    assert "several classes" in document.skipped.sentences()[0]


def test_choices_of_the_whole_image_belong_to_no_cell() -> None:
    document = read(task(cell(), result("choices", "q", None, choices=["large"], from_name="cell_size")))
    assert dict(document.fields[0].cells[0].attributes) == {}
    assert "belong to no mark" in document.skipped.sentences()[0]


# -- what is no box ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        result("keypointlabels", "k", {"x": 70, "y": 60, "width": 1}, keypointlabels=["Lymphocyte"]),
        result("brushlabels", "k", None, brushlabels=["Lymphocyte"], rle=[1, 2, 3]),
        result("brushlabels", "k", None, brushlabels=["Lymphocyte"], rle=10**9),
        result("bitmasklabels", "k", None, bitmasklabels=["Lymphocyte"]),
        result("vectorlabels", "k", None, vectorlabels=["Lymphocyte"], vertices=[{"x": 1, "y": 2}]),
        result("polygonlabels", "k", None, polygonlabels=["Lymphocyte"], points=[]),
        result("polygonlabels", "k", None, polygonlabels=["Lymphocyte"], points=[[1, None], [2, 3]]),
        cell("Lymphocyte", "k", PLACE | {"x": None}),
        {"id": "k", "type": "rectanglelabels", "value": None},
        "not a result",
    ],
)
def test_a_mark_without_a_box_keeps_the_field_unfinished(project: Project, tmp_path: Path, odd: Any) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([task(cell(), odd)]))
    report = formats.read("labelstudio", project, path)
    assert [c.cell_class for c in project.cells.all()] == ["Monocyte"]
    assert project.regions.all() == []
    assert report.skipped


def test_a_mark_of_an_unknown_class_is_no_background(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([task(cell(), cell("Heinz body", "b", PLACE | {"x": 50.0}))]))
    formats.read("labelstudio", project, path)
    assert len(project.regions.all()) == 1
    assert [area.shape.bounds for area in project.ignore_areas.all()] == [(50, 8, 20, 20)]


def encoded(mask: np.ndarray) -> list[int]:
    """Write a mask as Label Studio's brush does: runs of the same value, over four channels a pixel."""
    values = np.repeat(mask.astype(np.uint8).ravel() * 255, 4)
    bits = f"{values.size:032b}" + f"{7:05b}" + "".join(f"{n:04b}" for n in (2, 3, 7, 15))
    ends = [*np.flatnonzero(np.diff(values.astype(int))) + 1, values.size]
    start = 0
    for end in ends:
        while start < end:
            count = min(end - start, 2**16)
            bits += f"111{count - 1:016b}{values[start]:08b}"
            start += count
    bits += "0" * (-len(bits) % 8)
    return list(int(bits, 2).to_bytes(len(bits) // 8, "big"))


def test_a_brush_stroke_becomes_the_box_around_it() -> None:
    mask = np.zeros((80, 100), bool)
    mask[8:28, 10:30] = True
    mask[60, 41:90] = True
    mask[27, 30] = True
    (found,) = only(result("brushlabels", place=None, brushlabels=["Monocyte"], rle=encoded(mask))).cells
    assert found.box == (10, 8, 80, 53)
    small = encoded(mask[:40])
    assert only(result("brushlabels", place=None, brushlabels=["Monocyte"], rle=small)).cells == []


# -- predictions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("score", [None, "absent"])
def test_a_prediction_without_a_score_is_a_suggestion(score: object) -> None:
    prediction: Task = {"result": [cell(), cell("Basophil", "b", PLACE | {"x": 50.0}, score=None)]}
    if score is None:
        prediction["score"] = None
    (field,) = read(task(cell("Neutrophil", "c"), predictions=[prediction])).fields
    assert [c.cell_class for c in field.cells] == ["Neutrophil"]
    assert [proposal.confidence for _, proposal in field.proposals] == [0, 0]


def test_a_prediction_finishes_nothing() -> None:
    points = [[0, 0], [100, 0], [100, 100], [0, 100]]
    region = result("polygonlabels", "r", None, polygonlabels=["finished region"], points=points)
    (field,) = read({"data": {"image": "a.png"}, "predictions": [{"score": 0.9, "result": [region]}]}).fields
    assert field.regions == []


# -- tasks ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        task(cell(), image="../../etc/a.png"),
        task(cell(), image="data:image/png;base64,AAAA"),
        {"data": {"text": "no image"}, "annotations": []},
        {"data": None},
        {"data": {"image": "b.png"}, "annotations": [{"result": "none"}]},
        {"data": {"image": "b.png"}, "annotations": [{"result": [cell()], "was_cancelled": False}, 3]},
        {"data": {"one": "b.png", "two": "c.png"}, "annotations": [{"result": [cell()]}]},
        "no task",
        None,
    ],
)
def test_one_odd_task_keeps_no_other_out(odd: Any) -> None:
    document = read(task(cell()), odd, task(cell("Basophil"), image="z.png"))
    found = {field.name: [c.cell_class for c in field.cells] for field in document.fields}
    assert found["a.png"] == ["Monocyte"]
    assert found["z.png"] == ["Basophil"]
    assert document.skipped or "b.png" in found


def test_a_turned_image_is_left_out_and_the_others_come_in(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps([task(cell()), task(cell(image_rotation=90), image="b.png")]))
    report = formats.read("labelstudio", project, path)
    assert [(c.field_id, c.cell_class) for c in project.cells.all()] == [(1, "Monocyte")]
    assert [r.field_id for r in project.regions.all()] == [1], "what was marked on b.png is not known"
    assert any("turned" in line for line in report.skipped)


def test_a_file_of_odd_tasks_alone_is_refused() -> None:
    with pytest.raises(FormatError, match="names no image"):
        read({"data": {"text": "no image"}})


def test_columns_of_a_table_that_ride_along_name_no_file() -> None:
    given = task(cell())
    given["data"] |= {"field": 3, "patient": 7, "slide": "S1", "pixel_size_um": "small"}
    (field,) = read(given).fields
    assert (field.name, field.patient, field.slide, field.pixel_size_um) == ("a.png", "7", "S1", None)


def test_the_image_may_stand_under_any_key() -> None:
    for data in ({"film": "a.png"}, {"id": "x", "scan": "/data/upload/1/0a1b2c3d-a.png", "n": 3}):
        (field,) = read({"data": data, "annotations": [{"result": [cell()]}]}).fields
        assert field.name == "a.png"


def test_results_lie_on_the_image_that_they_name() -> None:
    marks = [cell("Monocyte", to_name="one"), cell("Basophil", "b", to_name="two")]
    fields = read({"data": {"one": "p.png", "two": "q.png"}, "annotations": [{"result": marks}]}).fields
    assert {f.name: [c.cell_class for c in f.cells] for f in fields} == {
        "p.png": ["Monocyte"],
        "q.png": ["Basophil"],
    }
    marks = [cell("Monocyte"), cell("Basophil", "b", item_index=1)]
    fields = read({"data": {"pages": ["p.png", "q.png"]}, "annotations": [{"result": marks}]}).fields
    assert {f.name: [c.cell_class for c in f.cells] for f in fields} == {
        "p.png": ["Monocyte"],
        "q.png": ["Basophil"],
    }


@pytest.mark.parametrize(
    "data",
    [
        [{"image": "a.png", "label": [PLACE | {"rectanglelabels": ["Monocyte"], "original_width": 100,
          "original_height": 80}], "id": 1, "annotator": 1, "annotation_id": 1}],
        {"id": 4, "result": [cell()], "task": {"id": 1, "data": {"image": "a.png"}}},
        task(cell()),
        [{"data": {"image": "a.png"}, "completions": [{"result": [cell()]}]}],
    ],
)  # fmt: skip
def test_other_forms_of_the_export_are_read(data: Any) -> None:
    (field,) = parse(data, LLD, "tasks.json", Images()).fields
    assert [(c.box, c.cell_class) for c in field.cells] == [(BOX, "Monocyte")]


# -- names ---------------------------------------------------------------------------------------


# -- labels that cannot be read ------------------------------------------------------------------

MINIMAL = {**PLACE, "rectanglelabels": ["Monocyte"], "original_width": 100, "original_height": 80}


def test_labels_of_the_csv_export_are_read() -> None:
    (field,) = read({"image": "a.png", "label": json.dumps([MINIMAL])}).fields
    assert [(cell.box, cell.cell_class) for cell in field.cells] == [(BOX, "Monocyte")]
    assert field.regions is None
    assert not field.lost


@pytest.mark.parametrize("odd", [5, "Monocyte", "[{", [5], {"a": 1}, "[[1]]", [{"x": 1}], True])
@pytest.mark.parametrize("key", ["label", "bbox"])
def test_labels_that_cannot_be_read_are_told_and_finish_nothing(odd: Any, key: str) -> None:
    document = read({"image": "b.png", key: [MINIMAL]}, {"image": "a.png", key: odd, "other": [MINIMAL]})
    field = document.fields[1]
    assert len(field.cells) == 1
    assert field.lost == [None]
    assert document.skipped.sentences()


@pytest.mark.parametrize("more", [{}, {"label": None}, {"label": ""}])
def test_a_task_without_labels_claims_nothing(more: Task) -> None:
    document = read({"image": "a.png", "remark": "nice", "tags": ["x", "y"], **more})
    assert document.fields[0].regions == []
    assert not document.skipped
    (empty,) = read({"image": "a.png", "label": []}).fields
    assert empty.regions is None
    assert not empty.lost


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "b", "type": "labels", "value": {"labels": ["Lymphocyte"]}},
        {"id": "b", "type": "labels", "value": 5},
        {"id": "b", "type": "sketch", "value": PLACE},
    ],
)
def test_a_label_without_a_shape_keeps_the_field_unfinished(odd: Task) -> None:
    document = read(task(cell(), odd))
    assert len(document.fields[0].cells) == 1
    assert document.fields[0].lost == [None]
    assert document.skipped


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Two patients with a film each, of one name."""
    for n, place in enumerate(("P1/field1.png", "P2/field1.png")):
        path = tmp_path / "films" / place
        path.parent.mkdir(parents=True)
        Image.fromarray(np.full((80, 100, 3), 50 + n, np.uint8)).save(path)
    return tmp_path / "films"


Blank = Callable[[], Project]
PREFIXES = [
    "/data/local-files/?d=films/",
    "s3://bucket/some/films/",
    "https://host/x/",
    "C:\\films\\",
    "films/",
    "",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("added", [True, False])
def test_labels_of_one_patient_never_lie_on_another(
    blank: Blank, films: Path, tmp_path: Path, prefix: str, added: bool
) -> None:
    tasks = [
        task(cell("Neutrophil"), image=f"{prefix}P1/field1.png"),
        task(cell("Lymphocyte"), image=f"{prefix}P2/field1.png"),
    ]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    with blank() as project:
        if added:
            project.fields.add([films])
        report = formats.read("labelstudio", project, tmp_path / "tasks.json", images=films)
        assert report.cells == 2, report.skipped
        for found in project.cells.all():
            value = {"Neutrophil": 50, "Lymphocyte": 51}[str(found.cell_class)]
            assert project.pixels.read(found.field_id)[0, 0, 0] == value


def test_a_patient_whose_film_is_missing_gets_no_other_film(
    blank: Blank, films: Path, tmp_path: Path
) -> None:
    (films / "P1" / "field1.png").unlink()
    tasks = [task(cell(), image=f"/data/local-files/?d=films/{p}/field1.png") for p in ("P1", "P2")]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    with blank() as project:
        assert formats.read("labelstudio", project, tmp_path / "tasks.json", images=films).cells == 1
        assert project.pixels.read(project.cells.all()[0].field_id)[0, 0, 0] == 51
    (tmp_path / "tasks.json").write_text(json.dumps(tasks[:1]))
    with blank() as project:
        project.fields.add([films])
        for images in (films, None):
            with pytest.raises(FormatError, match="not found"):
                formats.read("labelstudio", project, tmp_path / "tasks.json", images=images)


def test_two_uploads_of_one_name_are_not_one_image(project: Project, tmp_path: Path) -> None:
    tasks = [task(cell(), image=f"/data/upload/1/{n}a1b2c3d-a.png") for n in (0, 1)]
    (tmp_path / "tasks.json").write_text(json.dumps(tasks))
    with pytest.raises(FormatError, match="not found"):
        formats.read("labelstudio", project, tmp_path / "tasks.json")
    (tmp_path / "tasks.json").write_text(json.dumps(tasks[:1]))
    assert formats.read("labelstudio", project, tmp_path / "tasks.json").cells == 1


def test_names_are_written_as_parts_of_an_address(tmp_path: Path, image_folder: Path, blank: Blank) -> None:
    film = tmp_path / "in" / "a+b & 100%#1.png"
    film.parent.mkdir()
    film.write_bytes((image_folder / "a.png").read_bytes())
    with blank() as project:
        project.fields.add([film])
        project.cells.add(1, BOX)
        formats.write("labelstudio", project, tmp_path / "out.json")
        (written,) = json.loads((tmp_path / "out.json").read_text("utf-8"))
        assert written["data"]["image"] == "/data/local-files/?d=a%2Bb%20%26%20100%25%231.png"
    with blank() as again:
        assert formats.read("labelstudio", again, tmp_path / "out.json", images=film.parent).cells == 1
