"""Cells of a whole slide leave and come back; no format writes the slide, its label or its macro image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from annotation_store import Project, Proposal, Shape, formats

BOXES = ((12.5, 20.25, 30.0, 31.5), (560.0, 430.0, 40.0, 39.0), (250.0, 90.0, 25.0, 25.0))
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
