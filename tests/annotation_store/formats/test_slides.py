"""Cells of a whole slide leave and come back, or stand in pictures; its label and macro image never leave."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from annotation_store import Project, Proposal, Shape, formats
from annotation_store.errors import FormatError

BOXES = ((12.5, 20.25, 30.0, 31.5), (560.0, 430.0, 40.0, 39.0), (250.0, 90.0, 25.0, 25.0))
SIZE = {"cell_size": "small"}
REGION = Shape((230.0, 60.0, 330.0, 70.0, 320.0, 180.0, 225.0, 170.0))


@pytest.fixture
def slide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A slide of 640 x 480 pixels, with a macro image behind it as scanners write one."""
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 400 * 400)
    pixels = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
    with tifffile.TiffWriter(tmp_path / "film.tif") as tiff:
        tiff.write(pixels, tile=(128, 128), photometric="rgb")
        tiff.write(np.full((60, 90, 3), 7, np.uint8), photometric="rgb", description="macro")
    return tmp_path / "film.tif"


def project_of(folder: Path, slide: Path) -> Project:
    project = Project.create(folder, "lld", annotator="Ada")
    assert project.fields.add([slide]).added == [1]
    assert project.fields.get(1).is_slide
    return project


def marked(project: Project) -> tuple[object, ...]:
    cells = [(c.box, c.cell_class, dict(c.attributes)) for c in project.cells.all(1)]
    regions = [r.shape.coords for r in project.regions.all(1) if r.finished]
    ignored = [a.shape.coords for a in project.ignore_areas.all(1)]
    return sorted(cells, key=str), sorted(regions), sorted(ignored)


@pytest.mark.parametrize(("name", "suffix"), [("coco", "json"), ("geojson", "geojson"), ("csv", "csv")])
def test_cells_of_a_slide_come_back_as_they_were(name: str, suffix: str, slide: Path, tmp_path: Path) -> None:
    out = tmp_path / f"out.{suffix}"
    with project_of(tmp_path / "here", slide) as here:
        here.fields.update(1, patient="P1", pixel_size_um=0.25)
        here.cells.add(1, BOXES[0], cell_class="Neutrophil", attributes={"cell_size": "medium"})
        here.cells.add(1, BOXES[1])
        here.cells.add(1, BOXES[2], cell_class="Lymphoblast")
        here.regions.add(1, REGION)
        here.ignore_areas.add(1, Shape.rectangle(400, 300, 60, 50))
        report = formats.write(name, here, out)
        assert report.cells == 3
        assert not list(tmp_path.glob("out*/**/*.png")), "no picture of a slide"
        written = marked(here)
    with project_of(tmp_path / "there", slide) as there:
        formats.read(name, there, out, images=slide.parent)
        assert len(there.fields.all()) == 1, "it is the slide that is there"
        read = marked(there)
        assert read[0] == written[0]
        if name != "csv":  # it holds cells alone
            assert read[1:] == written[1:]
        again = formats.read(name, there, out, images=slide.parent)
        assert again.cells == 0, "what is there already does not come twice"


def test_suggestions_on_a_slide_leave_too(slide: Path, tmp_path: Path) -> None:
    with project_of(tmp_path / "here", slide) as here:
        here.suggestions.replace(1, [Proposal(BOXES[1], 0.75, {"Neutrophil": 1.0})], model_id=None)
        for name, suffix in (("coco", "json"), ("geojson", "geojson"), ("csv", "csv")):
            report = formats.write(name, here, tmp_path / f"out.{suffix}", what="suggestions")
            assert report.suggestions == 1, name


def written_cells(project: Project) -> list[tuple[Any, ...]]:
    """Return class, attributes and pixels' place of all cells, on the slide that pictures were cut from."""
    found = []
    for field in project.fields.all():
        place = re.search(r"_x(\d+)_y(\d+)\.png$", field.name)
        x, y = (int(place[1]), int(place[2])) if place else (0, 0)
        for cell in project.cells.all(field.id):
            box = (cell.box[0] + x, cell.box[1] + y, *cell.box[2:])
            found.append((tuple(round(v) for v in box), cell.cell_class, dict(cell.attributes), cell.cut))
    return sorted(found, key=str)


DENSE = [(20.0 + 46 * i, 30.0 + 46 * j, 40.0, 38.0) for i in range(12) for j in range(6)]
"""Cells so close that pictures of 320 pixels can be cut only in the gaps between them."""


@pytest.mark.parametrize(
    ("name", "options"), [("yolo", {}), ("voc", {}), ("lld", {"columns": "16"}), ("lld", {"layout": "coco"})]
)
def test_finished_regions_of_a_slide_are_pictures_with_all_their_cells(
    name: str, options: dict[str, str], slide: Path, tmp_path: Path
) -> None:
    with project_of(tmp_path / "here", slide) as here:
        for box in DENSE:
            here.cells.add(1, box, cell_class="Neutrophil", attributes={} if name == "yolo" else SIZE)
        here.cells.add(1, (600.0, 440.0, 30.0, 30.0), cell_class="Monocyte")
        here.regions.add(1, Shape.rectangle(10, 20, 560, 280))
        report = formats.write(name, here, tmp_path / "out", anonymise=False, options=options)
        expected = written_cells(here)
        pixels = here.pixels.read_area(1, (0, 0, 640, 480))
    assert report.fields > 1
    assert report.cells == len(DENSE)
    assert "1 cells of whole slides lie in no finished region: left out." in report.skipped
    assert not any("cut" in sentence for sentence in report.skipped)
    pictures = sorted((tmp_path / "out").rglob("*.png"))
    assert len(pictures) >= report.fields
    for picture in pictures:
        x, y = map(int, re.search(r"_x(\d+)_y(\d+)", picture.name).groups())  # type: ignore[union-attr]
        shown = np.asarray(Image.open(picture))
        height, width = shown.shape[:2]
        assert (shown == pixels[y : y + height, x : x + width]).all()
    with Project.create(tmp_path / "there", "lld", annotator="Ada") as there:
        formats.read(name, there, tmp_path / "out")
        found = written_cells(there)
        assert {field.slide for field in there.fields.all()} == {"film"}
    assert found == [one for one in expected if one[1] != "Monocyte"]


def test_a_cell_that_no_edge_can_spare_is_whole_in_one_of_two_pictures(slide: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    boxes = [
        (int(x), int(y), int(w), int(w)) for x, y, w in rng.integers((20, 30, 15), (540, 230, 60), (150, 3))
    ]
    with project_of(tmp_path / "here", slide) as here:
        for box in set(boxes):
            here.cells.add(1, box, cell_class="Neutrophil", attributes=SIZE)
        here.regions.add(1, Shape.rectangle(10, 20, 600, 280))
        for other in ("out", "again"):
            formats.write("lld", here, tmp_path / other, options={"layout": "coco"})
        expected = written_cells(here)
    found = []
    for file in (tmp_path / "out" / "Annotations").glob("*.json"):
        assert file.read_bytes() == (tmp_path / "again" / "Annotations" / file.name).read_bytes()
        content = json.loads(file.read_text())
        ids = [one["id"] for one in content["annotations"]]
        assert len(set(ids)) == len(ids)
        places = {one["id"]: re.findall(r"_[xy](\d+)", one["file_name"]) for one in content["images"]}
        for one in content["annotations"]:
            x, y = map(int, places[one["image_id"]])
            found.append((round(one["bbox"][0] + x), round(one["bbox"][1] + y), *map(round, one["bbox"][2:])))
    assert {one[0] for one in expected} <= set(found)
    assert len(found) > len(expected), "some stand in two pictures"


def test_what_a_pictures_edge_cuts_is_told(slide: Path, tmp_path: Path) -> None:
    boxes = [(80.0, 120.0, 30.0, 30.0), (92.0, 200.0, 30.0, 30.0), (70.0, 260.0, 32.0, 30.0)]
    with project_of(tmp_path / "here", slide) as here:
        for box in boxes:
            here.cells.add(1, box, cell_class="Neutrophil")
        here.regions.add(1, Shape.rectangle(100, 100, 200, 200))
        whole = formats.write("yolo", here, tmp_path / "whole")
        covered = formats.write("yolo", here, tmp_path / "covered", options={"fields": "covered"})
        polygon = Shape((300.0, 300.0, 500.0, 300.0, 500.0, 460.0))
        here.regions.add(1, polygon)
        both = formats.write("voc", here, tmp_path / "both", anonymise=True, card=False)
    # the second is centred in the region and shown whole, where asked; then half of the first is seen too
    (label,) = (tmp_path / "whole").rglob("labels/**/*.txt")
    assert len(label.read_text().splitlines()) == 2
    assert any("unknown area" in sentence for sentence in whole.skipped)
    (label,) = (tmp_path / "covered").rglob("labels/**/*.txt")
    assert len(label.read_text().splitlines()) == 1
    assert "1 boxes were cut at the edge of a picture of a whole slide." in covered.skipped
    assert not any("unknown area" in sentence for sentence in covered.skipped)
    assert both.fields == both.regions == 2
    assert not any("film" in path.name for path in (tmp_path / "both").rglob("*"))
    assert not any(b"film" in path.read_bytes() for path in (tmp_path / "both").rglob("*") if path.is_file())


def test_a_slide_that_is_gone_is_told_and_the_rest_is_written(slide: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((90, 120, 3), np.uint8)).save(tmp_path / "field.png")
    with project_of(tmp_path / "here", slide) as here:
        here.fields.add([tmp_path / "field.png"])
        for field in here.fields.all():
            here.regions.add(field.id, Shape.rectangle(10, 10, 60, 60))
            here.cells.add(field.id, (20, 20, 30, 30), cell_class="Neutrophil")
        here.suggestions.replace(1, [Proposal(BOXES[1], 0.75, {"Neutrophil": 1.0})], model_id=None)
        with pytest.raises(FormatError, match="1 suggestions on whole slides were left out"):
            formats.write("yolo", here, tmp_path / "suggestions", what="suggestions")
        slide.rename(tmp_path / "away.tif")
        here.slides.close()
        report = formats.write("voc", here, tmp_path / "out")
    assert report.fields == 1
    assert any("There are no pictures of it" in sentence for sentence in report.skipped)
