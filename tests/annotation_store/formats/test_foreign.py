"""Files as other programs write them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation_store import Project, formats
from annotation_store.errors import FormatError
from annotation_store.formats._io.tables import escaped, unescaped

from .conftest import put

Blank = Callable[[], Project]


# -- YOLO ----------------------------------------------------------------------------------------


def test_a_data_set_as_roboflow_writes_it(blank: Blank, tmp_path: Path, image_folder: Path) -> None:
    put(
        tmp_path / "set" / "data.yaml",
        "train: ../train/images\nval: ../valid/images\nnc: 2\nnames: ['WBC', 'RBC']\n",
    )
    for part, name in (("train", "a.png"), ("valid", "b.png")):
        put(tmp_path / "set" / part / "labels" / f"{name[0]}.txt", "0 0.5 0.5 0.2 0.2\n1 0.1 0.1 0.1 0.1\n")
        (tmp_path / "set" / part / "images").mkdir()
        shutil.copyfile(image_folder / name, tmp_path / "set" / part / "images" / name)
    with blank() as project:
        report = formats.read("yolo", project, tmp_path / "set")
        assert (report.fields, report.cells, report.regions) == (2, 2, 2)
        assert report.skipped == ["class 'RBC' is not in the schema lld: 2 boxes skipped."]
        assert {c.cell_class for c in project.cells.all()} == {None}, (
            "WBC: a white cell whose class nobody gave"
        )
        assert {c.box for c in project.cells.all()} == {(40, 32, 20, 16)}


def test_outlines_turned_boxes_and_images_without_labels(
    blank: Blank, tmp_path: Path, image_folder: Path
) -> None:
    folder = tmp_path / "set"
    put(folder / "data.yaml", "names: {0: Monocyte}\n")
    put(folder / "labels" / "a.txt", "0 0.1 0.1 0.3 0.1 0.3 0.4 0.1 0.4\n\n0 0.5 0.5 0.7 0.5 0.6 0.9\n")
    put(folder / "README.txt", "not a label")
    (folder / "images").mkdir()
    for name in ("a.png", "b.png"):
        shutil.copyfile(image_folder / name, folder / "images" / name)
    with blank() as project:
        report = formats.read("yolo", project, folder / "data.yaml")
        assert {c.box for c in project.cells.all()} == {(10, 8, 20, 24), (50, 40, 20, 32)}
        assert len(project.regions.all(1)) == 1
        assert project.regions.all(2) == [], "an image nobody labelled is not background"
        assert len(report.skipped) == 2


def test_class_numbers_are_not_guessed(project: Project, tmp_path: Path) -> None:
    put(tmp_path / "set" / "labels" / "a.txt", "1 0.5 0.5 0.2 0.2")
    with pytest.raises(FormatError, match=r"no data\.yaml"):
        formats.read("yolo", project, tmp_path / "set")
    put(tmp_path / "set" / "classes.txt", "None\nMonocyte\n")
    assert formats.read("yolo", project, tmp_path / "set").cells == 1
    assert project.cells.all()[0].cell_class == "Monocyte", "the field of the project gave the size"


def test_splits_of_an_export_keep_patients_whole(project: Project, tmp_path: Path) -> None:
    for field in project.fields.all():
        project.fields.update(field.id, patient="one", domain=field.name)
        project.cells.add(field.id, (5, 5, 9, 9))
    report = formats.write("yolo", project, tmp_path / "out", options={"val": "0.5", "seed": "3"})
    folders = {p.parent.name for p in (tmp_path / "out" / "images").rglob("*.png")}
    assert len(folders) == 1
    assert any("too few patients" in line for line in report.skipped)
    assert any(line.startswith("Warning: 2 fields have unknown area") for line in report.skipped)


@pytest.mark.parametrize(
    "options",
    [
        {"val": "2"},
        {"val": "x"},
        {"seed": "1.5"},
        {"fields": "all"},
        {"colour": "red"},
        {"val": "0.9", "test": "0.9"},
    ],
)
def test_options_that_cannot_be_are_refused(
    project: Project, tmp_path: Path, options: dict[str, str]
) -> None:
    project.cells.add(1, (5, 5, 9, 9))
    with pytest.raises(FormatError):
        formats.write("yolo", project, tmp_path / "out", options=options)
    assert not (tmp_path / "out").exists()


# -- CSV -----------------------------------------------------------------------------------------


@given(st.text(max_size=12))
def test_formulas_are_neutralised_and_come_back(text: str) -> None:
    written = escaped(text)
    assert unescaped(written) == text
    assert written[:1] not in tuple("=+-@\t\r\n＝＋－＠")
    assert written.lstrip()[:1] not in tuple("=+-@")


def test_a_table_from_a_spreadsheet(project: Project, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "image;x;y;w;h;Class;Cell size\na.png;1;2;20;30;monocytes;Large\n;;;;;;\n", encoding="utf-16"
    )
    report = formats.read("csv", project, path)
    (cell,) = project.cells.all()
    assert (cell.box, cell.cell_class, cell.attributes) == (
        (1, 2, 20, 30),
        "Monocyte",
        {"cell_size": "large"},
    )
    assert report.regions == 0
    assert report.skipped == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("field,x,y,w\n", "column h is missing"),
        ("field,x,y,w,h\na.png,1,2,3\n", "not a valid number"),
        ("field,x,y,w,h\na.png,1,2,3,4,5\n", "6 cells"),
        ("field,x,y,w,h\na.png,1;5,2,3,4\n", "not a valid number"),
        ("field,x,y,w,h\na.png,nan,2,3,4\n", "not a valid number"),
        ('field,x,y,w,h\n"a.png,1', "broken"),
    ],
)
def test_tables_that_are_none(project: Project, tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(FormatError, match=words):
        formats.read("csv", project, put(tmp_path / "x.csv", text))


# -- VOC -----------------------------------------------------------------------------------------


def test_voc_as_labelimg_writes_it(project: Project, tmp_path: Path) -> None:
    put(
        tmp_path / "x.xml",
        """<annotation><folder>i</folder><filename>a.png</filename><path>C:\\data\\a.png</path>
        <size><width>100</width><height>80</height><depth>3</depth></size>
        <object><name>Neutrophils</name><pose>Unspecified</pose><truncated>1</truncated><difficult>0</difficult>
        <bndbox><xmin>5</xmin><ymin>6</ymin><xmax>25</xmax><ymax>36</ymax></bndbox></object></annotation>""",
    )
    report = formats.read("voc", project, tmp_path)
    (cell,) = project.cells.all()
    assert (cell.box, cell.cell_class, cell.cut) == ((5, 6, 20, 30), "Neutrophil", True)
    assert report.regions == 1, "VOC boxes every object of an image"


# -- QuPath --------------------------------------------------------------------------------------


def polygon(points: list[list[float]], **properties: object) -> dict[str, object]:
    geometry = {"type": "Polygon", "coordinates": [[*points, points[0]]]}
    return {"type": "Feature", "id": "PathAnnotationObject", "geometry": geometry, "properties": properties}


CIRCLE = [[10, 10], [30, 12], [32, 30], [12, 28]]


@pytest.mark.parametrize(
    "classification",
    [{"name": "Monocyte", "colorRGB": -1}, {"names": ["Monocyte"], "color": [1, 2, 3]}, "Monocyte"],
)
def test_geojson_of_every_qupath(project: Project, tmp_path: Path, classification: object) -> None:
    inner = polygon(
        CIRCLE, objectType="cell", classification=classification, measurements=[{"name": "Area", "value": 1}]
    )
    outer = polygon(
        [[0, 0], [50, 0], [50, 50], [0, 50]], classification={"name": "Region*"}, childObjects=[inner]
    )
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {}}
    text = json.dumps([outer, point]).replace('"value": 1', '"value": NaN')
    report = formats.read("geojson", project, put(tmp_path / "a.geojson", text))
    (cell,) = project.cells.all()
    assert (cell.field_id, cell.box, cell.cell_class) == (1, (10, 10, 22, 20), "Monocyte")
    assert [r.shape.coords for r in project.regions.all()] == [(0, 0, 50, 50)]
    assert len(report.skipped) == 2


def test_only_what_qupath_found_is_a_cell_without_a_class(project: Project, tmp_path: Path) -> None:
    found = [polygon(CIRCLE, objectType=kind) for kind in ("annotation", "detection")]
    report = formats.read("geojson", project, put(tmp_path / "a.geojson", json.dumps(found)))
    assert [c.cell_class for c in project.cells.all()] == [None]
    assert "without a class" in report.skipped[0]


def test_a_region_with_a_hole_claims_nothing(project: Project, tmp_path: Path) -> None:
    feature = polygon([[0, 0], [50, 0], [50, 50], [0, 50]], classification={"name": "Region*"})
    feature["geometry"]["coordinates"].append(CIRCLE)  # type: ignore[index]
    report = formats.read("geojson", project, put(tmp_path / "a.png.geojson", json.dumps(feature)))
    assert project.regions.all() == []
    assert "holes" in report.skipped[0]


# -- Label Studio --------------------------------------------------------------------------------


def task(*results: dict[str, object], image: str = "a.png") -> dict[str, object]:
    return {"id": 7, "data": {"image": image}, "annotations": [{"id": 1, "result": list(results)}]}


def box(label: str, **more: object) -> dict[str, object]:
    value = {"x": 10, "y": 10, "width": 20, "height": 25, "rotation": 0, "rectanglelabels": [label]}
    return {"id": "r", "from_name": "tag", "type": "rectanglelabels", "value": value, **more}


@pytest.mark.parametrize(
    "image",
    [
        "/data/upload/3/0a1b2c3d-a.png",
        "/data/local-files/?d=films/a.png",
        "s3://bucket/x/a.png",
        "a.png",
        "https://h/a%2Epng",
    ],
)
def test_tasks_from_label_studio(project: Project, tmp_path: Path, image: str) -> None:
    size = {"id": "r", "from_name": "cell_size", "type": "choices", "value": {"choices": ["large"]}}
    path = put(tmp_path / "x.json", json.dumps([task(box("Monocyte"), size, image=image)]))
    report = formats.read("labelstudio", project, path)
    (cell,) = project.cells.all()
    assert (cell.box, cell.cell_class, cell.attributes) == (
        (10, 8, 20, 20),
        "Monocyte",
        {"cell_size": "large"},
    )
    assert (report.regions, report.skipped) == (1, [])


def test_turned_boxes_masks_and_second_annotators(project: Project, tmp_path: Path) -> None:
    turned = box("Monocyte", original_width=100, original_height=80)
    turned["value"]["rotation"] = 90  # type: ignore[index]
    mask = {"type": "brushlabels", "value": {"rle": [1], "brushlabels": ["Monocyte"]}}
    given = task(turned, mask)
    given["annotations"].insert(0, {"result": [box("Basophil")]})  # type: ignore[attr-defined]
    given["annotations"].append({"result": [], "was_cancelled": True})  # type: ignore[attr-defined]
    report = formats.read("labelstudio", project, put(tmp_path / "x.json", json.dumps([given])))
    (cell,) = project.cells.all()
    assert cell.cell_class == "Monocyte"
    assert cell.cut, "turned around its top left corner it leaves the field"
    assert len(report.skipped) == 4, "the mask is told, and that its field is not finished"
    assert project.regions.all() == []


# -- merging, whatever the format ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["csv", "voc", "geojson", "labelstudio", "lld", "yolo"])
def test_the_same_cell_is_not_doubled_and_a_conflict_is_listed(
    project: Project, fresh: Blank, tmp_path: Path, image_folder: Path, name: str
) -> None:
    with fresh() as other:
        other.cells.add(1, (10, 10, 30, 30), cell_class="Monocyte")
        other.regions.add_whole_field(1)
        suffix = {"csv": ".csv", "labelstudio": ".json", "lld": ".json"}.get(name, "")
        formats.write(name, other, tmp_path / f"out{suffix}")
    project.cells.add(1, (10.5, 10, 30, 30), cell_class="Basophil")
    images = None if (tmp_path / "out" / "images").is_dir() else image_folder
    report = formats.read(name, project, tmp_path / f"out{suffix}", images=images)
    assert report.cells == 0
    assert [c.cell_class for c in project.cells.all()] == ["Basophil"]
    assert any("class Basophil here, Monocyte in the file" in line for line in report.skipped)
