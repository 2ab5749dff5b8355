"""The composed slide is what its truth says, and the same for the same seed."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from annotation_store import Project
from annotation_store.images import open_slide

EXAMPLES = Path(__file__).parents[1] / "examples" / "benchmarks"


@pytest.fixture(scope="module")
def build() -> Any:
    sys.path.insert(0, str(EXAMPLES))
    try:
        return runpy.run_path(str(EXAMPLES / "build_slide.py"))["build"]
    finally:
        sys.path.remove(str(EXAMPLES))


@pytest.fixture(scope="module")
def slide(build: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slide")
    build(folder, 2048, source="pbc", seed=3, apart=300)
    return folder


def test_a_seed_gives_one_slide(build: Any, slide: Path, tmp_path: Path) -> None:
    build(tmp_path, 2048, source="pbc", seed=3, apart=300, kinds=("tiff",))
    assert (tmp_path / "slide.tif").read_bytes() == (slide / "slide.tif").read_bytes()
    assert (tmp_path / "truth.json").read_bytes() == (slide / "truth.json").read_bytes()
    build(tmp_path / "other", 2048, source="pbc", seed=4, apart=300, kinds=("zarr",))
    assert (tmp_path / "other" / "truth.json").read_bytes() != (slide / "truth.json").read_bytes()


def test_boxes_hold_nuclei_and_glass_holds_nothing(slide: Path) -> None:
    pixels = tifffile.imread(slide / "slide.tif", key=0)
    zones = np.asarray(Image.open(slide / "zones.png"))
    truth = json.loads((slide / "truth.json").read_text())
    assert len(truth["annotations"]) > 8
    for cell in truth["annotations"]:
        x, y, w, h = (int(v) for v in cell["bbox"])
        inside = pixels[y : y + h, x : x + w].astype(int)
        violet = (inside[..., 1] < 110) & (inside[..., 2] > inside[..., 1] + 25)
        assert violet.mean() > 0.03, cell
        zone = truth["info"]["zones"].index(cell["zone"])
        assert zone != 0
        assert zone in zones[y // 64 : (y + h) // 64 + 1, x // 64 : (x + w) // 64 + 1]
    glass = pixels[: 64 * 3]
    assert (zones[:3] == 0).all()
    assert glass.std(axis=(0, 1)).max() < 3


def test_both_files_show_the_same(slide: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = zarr.open_group(slide / "slide.ome.zarr", mode="r")
    for level in ("0", "1"):
        with tifffile.TiffFile(slide / "slide.tif") as tiff:
            written = tiff.series[0].levels[int(level)].asarray()
        lossless = group[level][:].transpose(1, 2, 0)
        assert np.abs(written.astype(int) - lossless).mean() < 3
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 400 * 400)
    for name in ("slide.tif", "slide.ome.zarr"):
        with open_slide(slide / name) as opened:
            assert (opened.width, opened.height, len(opened.levels)) == (2048, 2048, 2)
            assert opened.facts.pixel_size_um == pytest.approx(0.144, rel=1e-3)


def test_a_project_takes_slide_and_truth(
    slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from annotation_store import formats

    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 400 * 400)
    with Project.create(tmp_path / "project", annotator="Ada") as project:
        (field_id,) = project.fields.add([slide / "slide.tif"]).added
        formats.read("coco", project, slide / "truth.json")
        truth = json.loads((slide / "truth.json").read_text())
        assert len(project.cells.all(field_id)) == len(truth["annotations"])
