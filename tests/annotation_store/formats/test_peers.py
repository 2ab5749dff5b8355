"""COCO files written here are read by the programs that others read them with, cells without a class too."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from annotation_store import Project, formats
from annotation_store.records import Proposal

Blank = Callable[[], Project]
BOXES = [
    (10.0, 10.0, 20.0, 20.0),
    (40.0, 10.0, 20.0, 20.0),
    (70.0, 10.0, 20.0, 20.0),
    (10.0, 50.0, 20.0, 9.0),
]
CLASSES = ["Monocyte", None, "unsure", "blast"]
LABELS = ["Monocyte", "unclassified", "unsure", "blast"]


@pytest.fixture
def written(project: Project, tmp_path: Path) -> Path:
    """Write a cell with a class, and one of each that has none."""
    for box, cell_class in zip(BOXES, CLASSES, strict=True):
        project.cells.add(1, box, cell_class=cell_class)
    formats.write("coco", project, tmp_path / "out.json")
    return tmp_path / "out.json"


def test_every_annotation_has_a_category_and_comes_back_as_it_was(
    written: Path, blank: Blank, image_folder: Path
) -> None:
    data = json.loads(written.read_text())
    names = {c["id"]: c["name"] for c in data["categories"]}
    assert len(names) == len(data["categories"]) == 17
    assert [names[a["category_id"]] for a in data["annotations"]] == LABELS
    for drop in (False, True):  # without what only we write it is the same
        for annotation in data["annotations"] if drop else ():
            annotation.pop("unsure", None)
            annotation.pop("class_group", None)
        written.write_text(json.dumps(data))
        with blank() as project:
            project.fields.add([image_folder])
            formats.read("coco", project, written)
            assert [c.cell_class for c in project.cells.all()] == CLASSES


def test_what_no_cell_needs_is_no_category(project: Project, tmp_path: Path) -> None:
    project.cells.add(1, BOXES[0], cell_class="Monocyte")
    formats.write("coco", project, tmp_path / "out.json")
    assert len(json.loads((tmp_path / "out.json").read_text())["categories"]) == 14


def test_suggestions_without_a_class_have_a_category_too(project: Project, tmp_path: Path) -> None:
    project.suggestions.replace(
        1, [Proposal(BOXES[0], 0.5), Proposal(BOXES[1], 0.5, {"Monocyte": 1.0})], model_id=None
    )
    formats.write("coco", project, tmp_path / "out.json", what="suggestions")
    data = json.loads((tmp_path / "out.json").read_text())
    names = {c["id"]: c["name"] for c in data["categories"]}
    assert [names[a["category_id"]] for a in data["annotations"]] == ["unclassified", "Monocyte"]


def test_old_exports_with_null_come_in(written: Path, blank: Blank, image_folder: Path) -> None:
    data = json.loads(written.read_text())
    data["categories"] = data["categories"][:14]
    for annotation in data["annotations"][1:]:
        annotation["category_id"] = None
    written.write_text(json.dumps(data))
    with blank() as project:
        project.fields.add([image_folder])
        formats.read("coco", project, written)
        assert [c.cell_class for c in project.cells.all()] == CLASSES


def test_pycocotools_finds_each_cell_by_its_category(written: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco").COCO(str(written))
    for box, label in zip(BOXES, LABELS, strict=True):
        (number,) = [n for n in coco.getCatIds() if coco.cats[n]["name"] == label]
        (found,) = coco.loadAnns(coco.getAnnIds(catIds=[number]))
        assert tuple(found["bbox"]) == box


def test_supervision_reads_it(written: Path, image_folder: Path) -> None:
    supervision = pytest.importorskip("supervision")
    data = supervision.DetectionDataset.from_coco(str(image_folder), str(written))
    found = data.annotations[str(image_folder / "a.png")]
    assert [data.classes[n] for n in found.class_id] == LABELS
    assert [(x, y, x2 - x, y2 - y) for x, y, x2, y2 in found.xyxy.tolist()] == BOXES


CONVERT = """
import sys
from ultralytics.data.converter import convert_coco
convert_coco(labels_dir=sys.argv[1], save_dir=sys.argv[2], cls91to80=False)
"""


def test_ultralytics_converts_it(written: Path, tmp_path: Path) -> None:
    pytest.importorskip("ultralytics")
    folder = tmp_path / "labels"
    folder.mkdir()
    written.rename(folder / "out.json")
    settings = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": str(tmp_path)}
    words = [sys.executable, "-c", CONVERT, str(folder), str(tmp_path / "converted")]
    subprocess.run(words, check=True, capture_output=True, timeout=120, env=os.environ | settings)
    (text,) = (tmp_path / "converted").rglob("a.txt")
    numbers = [int(line.split()[0]) for line in text.read_text().splitlines()]
    names = {c["id"]: c["name"] for c in json.loads((folder / "out.json").read_text())["categories"]}
    assert [names[n + 1] for n in numbers] == LABELS, "it counts from one"
