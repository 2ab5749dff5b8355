"""Pascal VOC as LabelImg, Roboflow and LabelMe leave it: images beside, renamed; odd objects and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project, formats
from annotation_store.errors import FormatError

Blank = Callable[[], Project]
SIZE = "<size><width>100</width><height>80</height></size>"
BOX = "<bndbox><xmin>10</xmin><ymin>8</ymin><xmax>30</xmax><ymax>28</ymax></bndbox>"


def annotation(filename: str, *objects: str, label: str = "Monocyte", folder: str = "films") -> str:
    one = f"<object><name>{label}</name>{BOX}</object>"
    inner = "".join(objects) or one
    return f"<annotation><folder>{folder}</folder><filename>{filename}</filename>{SIZE}{inner}</annotation>"


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


def film(path: Path, shade: int = 50) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((80, 100, 3), shade, np.uint8)).save(path)


def shades(project: Project) -> dict[str | None, int]:
    """Tell on which film the cell of each class lies."""
    return {c.cell_class: int(project.pixels.read(c.field_id)[0, 0, 0]) for c in project.cells.all()}


# -- which image ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("xml", "image"),
    [
        ("{}/f.xml", "{}/f.png"),
        ("Annotations/{}/f.xml", "JPEGImages/{}/f.png"),
        ("{}/Annotations/f.xml", "{}/JPEGImages/f.png"),
        ("{}/labels/f.xml", "{}/images/f.png"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("stated", ["f.png", "", "IMG_0001.png"])
def test_an_image_is_found_by_its_xml_in_folders_that_agree(
    blank: Blank, tmp_path: Path, xml: str, image: str, named: bool, stated: str
) -> None:
    for shade, (patient, label) in enumerate((("P1", "Monocyte"), ("P2", "Basophil"))):
        put(tmp_path / "set" / xml.format(patient), annotation(stated, label=label))
        film(tmp_path / "set" / image.format(patient), shade)
    with blank() as project:
        report = formats.read("voc", project, tmp_path / "set", images=tmp_path / "set" if named else None)
        assert (report.fields, report.cells) == (2, 2), report.skipped
        assert shades(project) == {"Monocyte": 0, "Basophil": 1}


@pytest.mark.parametrize("stated", ["f.png", ""])
def test_an_xml_without_its_image_takes_no_other_patients(blank: Blank, tmp_path: Path, stated: str) -> None:
    for patient in ("P1", "P2"):
        put(tmp_path / "set" / patient / "f.xml", annotation(stated, label="Monocyte"))
    film(tmp_path / "set" / "P2" / "f.png", 7)
    with blank() as project:
        report = formats.read("voc", project, tmp_path / "set")
        assert (report.fields, report.cells) == (1, 1)
        assert any("P1/f" in line for line in report.skipped)
    (tmp_path / "set" / "P2" / "f.xml").unlink()
    with blank() as project, pytest.raises(FormatError, match="not found"):
        formats.read("voc", project, tmp_path / "set")


@pytest.mark.parametrize("stated", ["IMG_0001.png", "", "b.jpg"])
def test_an_image_goes_by_the_name_of_its_xml(blank: Blank, tmp_path: Path, stated: str) -> None:
    put(tmp_path / "set" / "a.xml", annotation(stated))
    film(tmp_path / "set" / "a.png")
    with blank() as project:
        assert formats.read("voc", project, tmp_path / "set").cells == 1
        assert project.fields.get(1).name == "a.png"


def test_a_name_in_the_xml_counts_where_nothing_goes_by_its_own(blank: Blank, tmp_path: Path) -> None:
    put(tmp_path / "set" / "0001.xml", annotation("b.png"))
    film(tmp_path / "set" / "b.png")
    with blank() as project:
        assert formats.read("voc", project, tmp_path / "set").cells == 1


def test_renamed_images_are_not_mixed_up(blank: Blank, tmp_path: Path) -> None:
    for shade, (name, stated, label) in enumerate((("a", "b.png", "Monocyte"), ("b", "a.png", "Basophil"))):
        put(tmp_path / "set" / f"{name}.xml", annotation(stated, label=label))
        film(tmp_path / "set" / f"{name}.png", shade)
    with blank() as project:
        formats.read("voc", project, tmp_path / "set")
        assert shades(project) == {"Monocyte": 0, "Basophil": 1}
    (tmp_path / "set" / "b.xml").unlink()
    with blank() as project, pytest.raises(FormatError, match=r"a \(by the file's name\) or b\.png"):
        formats.read("voc", project, tmp_path / "set")


# -- objects -------------------------------------------------------------------------------------


def outline(*points: tuple[int, int]) -> str:
    return "".join(f"<x{n}>{x}</x{n}><y{n}>{y}</y{n}>" for n, (x, y) in enumerate(points, start=1))


@pytest.mark.parametrize(
    "shape",
    [
        "<bndbox><xmin>30</xmin><ymin>28</ymin><xmax>10</xmax><ymax>8</ymax></bndbox>",
        "<bndbox><xmin>10.0</xmin><ymin>28</ymin><xmax>30</xmax><ymax>8</ymax></bndbox>",
        f"<polygon>{outline((10, 8), (30, 8), (20, 28))}</polygon>",
        "<polygon><pt><x>10</x><y>8</y></pt><pt><x>30</x><y>8</y></pt><pt><x>10</x><y>28</y></pt></polygon>",
        "<robndbox><cx>20</cx><cy>18</cy><w>20</w><h>20</h><angle>0</angle></robndbox>",
    ],
)
def test_a_box_is_read_however_it_was_drawn(project: Project, tmp_path: Path, shape: str) -> None:
    put(tmp_path / "a.xml", annotation("a.png", f"<object><name>Monocyte</name>{shape}</object>"))
    formats.read("voc", project, tmp_path / "a.xml")
    assert [c.box for c in project.cells.all()] == [(10, 8, 20, 20)]
    assert len(project.regions.all()) == 1


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "<bndbox/>",
        "<bndbox><xmin>10</xmin><ymin>x</ymin><xmax>30</xmax><ymax>28</ymax></bndbox>",
        "<point><x>3</x><y>4</y></point>",
        "<polygon><x1>4</x1></polygon>",
        "<polygon/>",
    ],
)
def test_an_object_without_a_box_is_told_and_no_background(
    project: Project, tmp_path: Path, odd: str
) -> None:
    first = f"<object><name>Monocyte</name>{BOX}</object>"
    put(tmp_path / "a.xml", annotation("a.png", first, f"<object><name>Basophil</name>{odd}</object>"))
    put(tmp_path / "b.xml", annotation("b.png"))
    report = formats.read("voc", project, tmp_path)
    assert [(c.field_id, c.cell_class) for c in project.cells.all()] == [(1, "Monocyte"), (2, "Monocyte")]
    assert [r.field_id for r in project.regions.all()] == [2]
    assert any("object 2 of a.xml" in line for line in report.skipped)


def test_what_labelme_keeps_as_deleted_is_nothing(project: Project, tmp_path: Path) -> None:
    put(
        tmp_path / "a.xml",
        annotation("a.png", f"<object><deleted>1</deleted>{BOX}</object>", f"<object>{BOX}</object>"),
    )
    assert formats.read("voc", project, tmp_path / "a.xml").cells == 1


@pytest.mark.parametrize("place", ["/home/u/elsewhere.png", "C:\\u\\a.png", "\\\\srv\\a.png", "c:a.png"])
def test_a_path_of_another_computer_is_passed_over(project: Project, tmp_path: Path, place: str) -> None:
    put(tmp_path / "set" / "a.xml", annotation(place))
    report = formats.read("voc", project, tmp_path / "set")
    assert (report.cells, report.regions) == (1, 1)


# -- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "<annotation>",
        "<project><annotation/></project>",
        '<!DOCTYPE x [<!ENTITY y "z">]><annotation><filename>&y;</filename></annotation>',
        annotation("../../outside.png"),
        annotation("b.png").replace(SIZE, "<annotated_regions><area>1 2</area></annotated_regions>"),
    ],
)
def test_one_odd_file_keeps_no_other_out(project: Project, tmp_path: Path, odd: str) -> None:
    put(tmp_path / "set" / "a.xml", annotation("a.png"))
    put(tmp_path / "set" / "b.xml", odd)
    report = formats.read("voc", project, tmp_path / "set")
    assert (report.cells, report.regions) == (1, 1)
    assert any("b.xml" in line and line.endswith("The file was left out.") for line in report.skipped)
    with pytest.raises(FormatError):
        formats.read("voc", project, tmp_path / "set" / "b.xml")


def test_a_size_or_pixel_size_that_is_no_number_costs_no_cell(project: Project, tmp_path: Path) -> None:
    text = (
        annotation("a.png")
        .replace("<width>100", "<width>wide")
        .replace("</size>", "</size><pixel_size_um>?</pixel_size_um>")
    )
    put(tmp_path / "a.xml", text)
    assert formats.read("voc", project, tmp_path / "a.xml").cells == 1


def test_supervision_and_others_read_what_is_written(project: Project, tmp_path: Path) -> None:
    reader = pytest.importorskip("supervision").DetectionDataset
    for field in project.fields.all():
        project.regions.add_whole_field(field.id)
        project.fields.update(field.id, patient=field.name)
    project.cells.add(1, (10, 8, 20, 20), cell_class="Monocyte")
    formats.write("voc", project, tmp_path / "voc")
    root = tmp_path / "voc"
    found = reader.from_pascal_voc(str(root / "JPEGImages"), str(root / "Annotations"))
    boxes = {Path(path).name: marks.xyxy.tolist() for path, _, marks in found}
    assert boxes == {"a.png": [[9, 7, 30, 28]], "b.png": []}, "supervision counts pixels from 1"
    formats.write("yolo", project, tmp_path / "yolo", options={"val": "0"})
    root = tmp_path / "yolo"
    places = (root / "images" / "train", root / "labels" / "train", root / "data.yaml")
    found = reader.from_yolo(*map(str, places))
    boxes = {Path(path).name: marks.xyxy.round().tolist() for path, _, marks in found}
    assert boxes == {"a.png": [[10, 8, 30, 28]], "b.png": []}
