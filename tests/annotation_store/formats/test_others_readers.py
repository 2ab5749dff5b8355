"""What is written here is read by the programs it is written for."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import shapely
import tifffile
from PIL import Image

from annotation_store import Project, formats
from annotation_store.errors import FormatError
from annotation_store.records import Proposal, Shape

BOX = (10.0, 20.0, 30.0, 25.5)


@pytest.fixture
def annotated(project: Project) -> Project:
    """Both fields known as a whole, three cells, one of them without a class."""
    for field in project.fields.all():
        project.regions.add_whole_field(field.id)
        project.fields.update(field.id, patient=field.name[0])
    project.cells.add(1, BOX, cell_class="Monocyte", attributes={"cell_size": "large", "nucleolus": "unsure"})
    project.cells.add(1, (60, 5, 20, 20))
    project.cells.add(2, (0, 0, 15, 15), cell_class="None", kind="smudge")
    return project


ULTRALYTICS = """
import json, sys
from ultralytics.data.utils import check_det_dataset
from ultralytics.data.dataset import YOLODataset
data = check_det_dataset(sys.argv[1])
found = {}
for part in ("train", "val"):
    dataset = YOLODataset(img_path=data[part], data=data, task="detect", imgsz=64, augment=False)
    for label in dataset.get_labels():
        rows = [[int(c[0]), *map(float, b)] for c, b in zip(label["cls"], label["bboxes"])]
        found[label["im_file"].rsplit("/", 1)[-1]] = [list(label["shape"]), rows]
print(json.dumps({"names": data["names"], "found": found}))
"""


def test_ultralytics_loads_the_yolo_folder(
    annotated: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ultralytics")
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 200 * 200)
    tifffile.imwrite(
        tmp_path / "film.tif", np.zeros((300, 400, 3), np.uint8), tile=(128, 128), photometric="rgb"
    )
    (slide,) = annotated.fields.add([tmp_path / "film.tif"]).added
    annotated.regions.add(slide, Shape.rectangle(100, 50, 200, 100))
    annotated.cells.add(slide, (150, 75, 50, 25), cell_class="Monocyte")
    formats.write("yolo", annotated, tmp_path / "set", options={"val": "0.5"})
    environment = os.environ | {
        "YOLO_OFFLINE": "true",
        "YOLO_AUTOINSTALL": "false",
        "YOLO_VERBOSE": "false",
        "YOLO_CONFIG_DIR": str(tmp_path),
    }
    words = [sys.executable, "-c", ULTRALYTICS, str(tmp_path / "set" / "data.yaml")]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, check=True, timeout=120)
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["names"]["10"] == "Monocyte"
    assert answer["names"]["14"] == "unclassified"
    shape, rows = answer["found"]["a.png"]
    assert shape == [80, 100]
    assert [row[0] for row in rows] == [10, 14]
    np.testing.assert_allclose(rows[0][1:], [0.25, 0.409375, 0.3, 0.31875], atol=1e-6)
    assert [row[0] for row in answer["found"]["b.png"][1]] == [0]
    assert answer["found"]["film_x100_y50.png"] == [[100, 200], [[10, 0.375, 0.375, 0.25, 0.25]]]


@pytest.mark.parametrize("name", ["coco", "lld"])
def test_coco_tools_load_the_json(annotated: Project, tmp_path: Path, name: str) -> None:
    reader = pytest.importorskip("faster_coco_eval").COCO
    if name == "coco":  # their tools need a category
        annotated.cells.change(2, cell_class="Monocyte")
    formats.write(name, annotated, tmp_path / "x.json")
    coco = reader(str(tmp_path / "x.json"))
    assert len(coco.getImgIds()) == 2
    (found,) = [a for a in coco.loadAnns(coco.getAnnIds(imgIds=[1])) if a["bbox"] == list(BOX)]
    assert coco.loadCats(found["category_id"])[0]["name"] == "Monocyte"


def verified_as_published(label: Path, columns: int) -> np.ndarray:
    """The checks of verify_image_label in the published code, on one label file."""
    rows = [line.split() for line in label.read_text().strip().splitlines() if len(line)]
    values = np.array(rows, dtype=np.float32)
    assert values.shape[1] == columns
    assert (values >= 0).all()
    assert (values[:, 1:5] <= 1).all()
    return values


@pytest.mark.parametrize("columns", [12, 16])
def test_the_published_code_reads_lld_text(annotated: Project, tmp_path: Path, columns: int) -> None:
    annotated.cells.change(2, cell_class="Lymphocyte", attributes={"nuclear_shape": "regular"})
    annotated.cells.add(
        2,
        (40, 40, 20, 20),
        cell_class="Myeloblast",
        attributes={a.name: a.values[0].name for a in annotated.schema.attributes[2:]},
    )
    out = tmp_path / "lld"
    formats.write("lld", annotated, out, options={"columns": str(columns)})
    names = (out / "WBC_v1.yaml").read_text().partition("names: ")[2]
    assert json.loads(names) == list(annotated.schema.class_names)
    labels = sorted(out.glob("labels/*/*.txt"))
    assert len(labels) == 2
    for label in labels:
        values = verified_as_published(label, columns)
        image = str(label).replace("/labels/", "/images/").replace(".txt", ".png")
        assert Image.open(image).size == (100, 80)
        if columns == 16:
            # its loss takes one patch an image, x1 y1 x2 y2, on a canvas of 640
            (patch,) = np.unique(values[:, 5:9], axis=0).astype(int)
            assert patch.tolist() == [0, 64, 640, 576]
        binary = values[:, -6:].astype(int)
        kept = [row for row in binary if not (row[1:] == 2).any()]
        assert np.isin(kept, (0, 1)).all(), "one-hot encoding of two values fails otherwise"
    every = np.concatenate([verified_as_published(label, columns) for label in labels])
    monocyte = every[every[:, 0] == 10][0, -7:]
    assert monocyte.tolist() == [2, 2, 2, 2, 2, 2, 2]
    artefact = every[every[:, 0] == 0][0, -7:]
    assert artefact.tolist() == [4, 2, 2, 2, 2, 2, 2]


def test_lld_json_has_the_published_spellings(annotated: Project, tmp_path: Path) -> None:
    formats.write("lld", annotated, tmp_path / "x.json")
    document = json.loads((tmp_path / "x.json").read_text("utf-8"))
    found = document["annotations"][0]
    assert found["nuclear_chromatio"] == 4
    assert found["cell_size"] == 2
    assert found["nucleolus"] == 4
    assert [c["name"] for c in document["categories"]] == list(annotated.schema.class_names)
    assert document["images"][0]["ignore_areas"] == [[60.0, 5.0, 20.0, 20.0]], "a cell that cannot be said"


def test_shapely_reads_the_geojson(annotated: Project, tmp_path: Path) -> None:
    annotated.regions.add(1, Shape.polygon([(0, 0), (50, 0), (25, 40)]))
    formats.write("geojson", annotated, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").glob("*.geojson")) == ["a.png.geojson", "b.png.geojson"]
    text = (tmp_path / "out" / "a.png.geojson").read_text("utf-8")
    shapes = shapely.from_geojson(text).geoms
    assert shapes[0].bounds == (0, 0, 100, 80)
    assert shapes[2].bounds == (10, 20, 40, 45.5)
    assert all(shape.is_valid for shape in shapes)
    for feature in json.loads(text)["features"]:
        assert feature["properties"]["objectType"] in ("annotation", "detection")
        ring = feature["geometry"]["coordinates"][0]
        assert ring[0] == ring[-1]
        assert len(feature["id"]) == 36
    cell = json.loads(text)["features"][2]["properties"]
    assert cell["classification"]["name"] == "Monocyte"
    assert cell["metadata"] == {"cell_size": "large", "nucleolus": "unsure"}
    assert all(isinstance(value, str) for value in cell["metadata"].values()), "QuPath's metadata is text"


def test_geojson_files_need_one_field_each(annotated: Project, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="one file per image"):
        formats.write("geojson", annotated, tmp_path / "x.geojson")


def test_pillow_reads_the_crops(annotated: Project, tmp_path: Path) -> None:
    formats.write("crops", annotated, tmp_path / "out", options={"margin": "0.1"})
    with (tmp_path / "out" / "crops.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == ["Monocyte/a_1.png", "unclassified/a_2.png", "None/b_3.png"]
    pixels = annotated.pixels.read(1)
    crop = np.asarray(Image.open(tmp_path / "out" / rows[0]["file"]))
    x, y, w, h = (int(rows[0][f"crop_{side}"]) for side in "xywh")
    assert (x, y, w, h) == (7, 17, 36, 32)
    np.testing.assert_array_equal(crop, pixels[y : y + h, x : x + w])
    assert rows[2]["kind"] == "smudge"


def test_voc_is_as_its_readers_expect(annotated: Project, tmp_path: Path) -> None:
    formats.write("voc", annotated, tmp_path / "out")
    root = ET.parse(tmp_path / "out" / "Annotations" / "a.xml").getroot()
    assert (tmp_path / "out" / "JPEGImages" / str(root.findtext("filename"))).is_file()
    assert [root.findtext(f"size/{s}") for s in ("width", "height", "depth")] == ["100", "80", "3"]
    corners = [root.findtext(f"object/bndbox/{c}") for c in ("xmin", "ymin", "xmax", "ymax")]
    assert corners == ["10", "20", "40", "45.5"]
    stems = [
        line
        for part in ("train", "val")
        for line in (tmp_path / "out" / "ImageSets" / "Main" / f"{part}.txt").read_text().split()
    ]
    assert sorted(stems) == ["a", "b"]


def test_label_studio_gets_a_configuration_that_knows_every_label(annotated: Project, tmp_path: Path) -> None:
    formats.write("labelstudio", annotated, tmp_path / "x.json")
    view = ET.parse(tmp_path / "x_config.xml").getroot()
    names = {e.get("name") for e in view if e.get("name")}
    known = {e.get("value") for e in view.iter() if e.tag in ("Label", "Choice")}
    for task in json.loads((tmp_path / "x.json").read_text("utf-8")):
        assert task["data"]["image"].startswith("/data/local-files/?d=")
        for result in task["annotations"][0]["result"]:
            assert result["from_name"] in names
            assert result["to_name"] == "image"
            for kind in ("rectanglelabels", "polygonlabels", "choices"):
                assert set(result["value"].get(kind, ())) <= known


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("coco", ".json"), ("yolo", ""), ("csv", ".csv"), ("geojson", ""), ("labelstudio", ".json")],
)
def test_suggestions_go_out_and_come_in(
    project: Project, fresh: object, tmp_path: Path, image_folder: Path, name: str, suffix: str
) -> None:
    proposals = [
        Proposal(
            BOX, 0.75, {"Monocyte": 0.75, "Lymphocyte": 0.25}, {"cell_size": {"large": 0.5, "small": 0.5}}
        ),
        Proposal((60.0, 5.0, 20.0, 20.0), 0.5),
    ]
    project.suggestions.replace(1, proposals, model_id=None)
    out = tmp_path / f"out{suffix}"
    report = formats.write(name, project, out, what="suggestions")
    assert (report.suggestions, report.cells) == (2, 0)
    with fresh() as other:  # type: ignore[operator]
        images = None if out.is_dir() and name == "yolo" else image_folder
        got = formats.read(name, other, out, images=images, regions="none")
        assert (got.suggestions, got.cells) == (2, 0)
        first, second = other.suggestions.find()
        # of one number, the probability of what is written; else that of a cell
        assert first.box == BOX
        assert first.confidence == (0.75 if name in ("coco", "geojson") else 0.75 * 0.75)
        assert first.proposal.best_class == "Monocyte"
        if name in ("coco", "geojson"):
            assert first.proposal == proposals[0]
        assert second.box == (60.0, 5.0, 20.0, 20.0)
        assert second.proposal.best_class is None
        again = formats.read(name, other, out, images=images, regions="none")
        assert again.suggestions == 0


@pytest.mark.parametrize("name", ["lld", "voc"])
def test_formats_without_a_place_for_suggestions_say_so(project: Project, tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match="cannot store suggestions"):
        formats.write(name, project, tmp_path / "out", what="suggestions")
