"""GeoJSON of QuPath in folders of patients, with points, odd features and detectors' measurements."""

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

Blank = Callable[[], Project]
RING = [[10, 8], [30, 8], [30, 28], [10, 28], [10, 8]]
WHOLE = [[0, 0], [100, 0], [100, 80], [0, 80], [0, 0]]


def feature(
    label: str | None = "Monocyte",
    ring: Any = RING,
    kind: str = "annotation",
    geometry: Any = None,
    **more: Any,
) -> dict[str, Any]:
    named = {} if label is None else {"classification": {"name": label}}
    shape = geometry or {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "geometry": shape, "properties": {"objectType": kind, **named, **more}}


REGION = feature("Region*", WHOLE)


def put(path: Path, *features: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [*features]}), "utf-8")
    return path


@pytest.mark.parametrize("name", ["f.geojson", "f.png.geojson"])
@pytest.mark.parametrize("place", ["{}", "images/{}", "{}/images"])
def test_files_of_one_name_go_with_the_images_of_their_folders(
    blank: Blank, tmp_path: Path, name: str, place: str
) -> None:
    for shade, (patient, label) in enumerate((("P1", "Monocyte"), ("P2", "Basophil"))):
        put(tmp_path / "set" / patient / name, feature(label))
        folder = tmp_path / "set" / place.format(patient)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((80, 100, 3), shade, np.uint8)).save(folder / "f.png")
    with blank() as project:
        report = formats.read("geojson", project, tmp_path / "set")
        assert (report.fields, report.cells) == (2, 2), report.skipped
        shades = {c.cell_class: int(project.pixels.read(c.field_id)[0, 0, 0]) for c in project.cells.all()}
        assert shades == {"Monocyte": 0, "Basophil": 1}


def test_a_file_without_its_image_takes_no_other_patients(blank: Blank, tmp_path: Path) -> None:
    put(tmp_path / "set" / "P1" / "f.geojson", feature())
    (tmp_path / "set" / "P2").mkdir()
    Image.new("RGB", (100, 80)).save(tmp_path / "set" / "P2" / "f.png")
    with blank() as project, pytest.raises(FormatError, match="not found"):
        formats.read("geojson", project, tmp_path / "set")


@pytest.mark.parametrize(
    "odd",
    [
        feature("Basophil", geometry={"type": "Point", "coordinates": [60, 60]}),
        feature("Basophil", geometry={"type": "LineString", "coordinates": [[60, 60], [70, 70]]}),
        feature("Basophil", geometry={"type": "Polygon", "coordinates": [[[1, "x"], [2, 3], [4, 5]]]}),
        feature("Basophil", geometry={"type": "Polygon", "coordinates": []}),
        feature("Basophil") | {"geometry": None},
        feature() | {"type": "Else"},
        feature() | {"properties": 3},
        feature(classification=3),
        3,
        None,
    ],
)
def test_a_feature_without_a_box_leaves_the_region_open(project: Project, tmp_path: Path, odd: Any) -> None:
    report = formats.read("geojson", project, put(tmp_path / "a.geojson", REGION, feature(), odd))
    assert [c.cell_class for c in project.cells.all()] == ["Monocyte"]
    assert project.regions.all() == []
    assert report.skipped


def test_an_annotation_without_a_class_is_no_background(project: Project, tmp_path: Path) -> None:
    other = [[60, 40], [80, 40], [80, 60], [60, 60], [60, 40]]
    around = feature(None, WHOLE)
    formats.read(
        "geojson", project, put(tmp_path / "a.geojson", REGION, feature(), around, feature(None, other))
    )
    assert len(project.regions.all()) == 1
    assert [a.shape.bounds for a in project.ignore_areas.all()] == [(60, 40, 20, 20)], (
        "not what goes around cells"
    )


@pytest.mark.parametrize(
    "measured", [{"Confidence": None}, [{"name": "Detection probability", "value": None}]]
)
def test_a_detection_whose_confidence_is_null_is_a_suggestion(
    project: Project, tmp_path: Path, measured: Any
) -> None:
    found = [
        feature(kind="detection", measurements=measured),
        feature(kind="detection", measurements={"detection probability": 0.75}),
        feature("Basophil", kind="detection", measurements={"Area": 4}),
    ]
    formats.read("geojson", project, put(tmp_path / "a.geojson", *found))
    assert [c.cell_class for c in project.cells.all()] == ["Basophil"]
    assert [s.confidence for s in project.suggestions.find()] in ([0], [0.75, 0])


@pytest.mark.parametrize(
    "text", ["", "{", "3", '{"features": 3}', '{"features": [], "napari_lld": {"field": "../x"}}']
)
def test_one_odd_file_keeps_no_other_out(project: Project, tmp_path: Path, text: str) -> None:
    put(tmp_path / "set" / "a.geojson", feature())
    (tmp_path / "set" / "b.geojson").write_text(text)
    report = formats.read("geojson", project, tmp_path / "set")
    assert report.cells == 1
    assert any("b.geojson" in line and line.endswith("The file was left out.") for line in report.skipped)


def test_a_size_that_is_no_number_costs_no_cell(project: Project, tmp_path: Path) -> None:
    path = put(tmp_path / "a.geojson", feature())
    text = json.loads(path.read_text())
    path.write_text(json.dumps(text | {"napari_lld": {"width": "x", "pixel_size_um": [], "field": "a.png"}}))
    assert formats.read("geojson", project, path).cells == 1
