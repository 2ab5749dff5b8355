"""Images of every kind through ``napari-lld add``: read, or refused in one line, the project unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from annotation_store import Project

NOISE = np.random.default_rng(1).integers(0, 255, (40, 50, 4), np.uint8)


def test_added_fields_are_listed_and_counted(cli, project: Path, image: Path) -> None:
    answer = cli("add", project, image.parent, "--json")
    assert answer.code == 0
    assert [field["name"] for field in answer.json["added"]] == ["small.png"]
    assert answer.json["skipped"] == []
    assert cli("info", project, "--json").json["fields"]["total"] == 1


def test_the_same_image_twice_is_skipped_with_a_reason(cli, project: Path, image: Path) -> None:
    cli("add", project, image)
    answer = cli("add", project, image)
    assert answer.code == 0
    assert "already" in answer.out
    assert cli("info", project, "--json").json["fields"]["total"] == 1


@pytest.mark.parametrize(
    "kind", ["grey", "alpha", "palette", "16-bit grey png", "16-bit tiff", "16-bit rgb tiff"]
)
def test_unusual_images_are_read_as_rgb(cli, project: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("odd.tif" if "tiff" in kind else "odd.png")
    match kind:
        case "grey":
            Image.fromarray(NOISE[..., 0]).save(path)
        case "alpha":
            Image.fromarray(NOISE, "RGBA").save(path)
        case "palette":
            Image.fromarray(NOISE[..., :3]).quantize(16).save(path)
        case "16-bit grey png":
            Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257).save(path)
        case "16-bit tiff":
            tifffile.imwrite(path, NOISE[..., 0].astype(np.uint16) * 257)
        case _:
            tifffile.imwrite(path, NOISE[..., :3].astype(np.uint16) * 257, photometric="rgb")
    assert cli("add", project, path).code == 0
    with Project.open(project) as opened:
        pixels = opened.pixels.read(opened.fields.all()[0].id)
    assert (pixels.shape, pixels.dtype) == ((40, 50, 3), np.uint8)
    assert pixels.max() > 200, "16 bits are scaled, not cut off"


@pytest.mark.parametrize("kind", ["missing", "zero bytes", "corrupt", "text"])
def test_an_image_that_cannot_be_read_is_refused_and_nothing_is_added(
    cli, project: Path, image: Path, tmp_path: Path, state, kind: str
) -> None:
    bad = tmp_path / "bad.png"
    match kind:
        case "zero bytes":
            bad.touch()
        case "corrupt":
            bad.write_bytes(image.read_bytes()[:600])
        case "text":
            bad.write_text("not an image")
    before = state(project)
    cli("add", project, image, bad).refuses("bad.png")
    assert state(project) == before, "the good image beside it is not added either"


def test_a_file_that_is_left_out_is_named_once(cli, project: Path, image: Path) -> None:
    bad = image.with_name("bad.png")
    bad.write_text("not an image")
    answer = cli("add", project, image.parent)
    assert answer.code == 0
    assert "Skipped 1 file:\n" in answer.out
    assert answer.out.count(str(bad)) == 1


def test_all_named_files_that_cannot_be_read_are_named_at_once(
    cli, project: Path, image: Path, tmp_path: Path
) -> None:
    bad = [tmp_path / f"bad{number}.png" for number in range(2)]
    for path in bad:
        path.write_text("not an image")
    cli("add", project, bad[0], image, bad[1]).refuses("2 of the 3 named files", "bad0.png", "bad1.png")


def test_of_a_folder_what_can_be_read_is_added_and_the_rest_is_told(cli, project: Path, image: Path) -> None:
    image.with_name("bad.png").write_bytes(image.read_bytes()[:600])
    answer = cli("add", project, image.parent, "--json")
    assert answer.code == 0
    assert [field["name"] for field in answer.json["added"]] == ["small.png"]
    assert [Path(one["path"]).name for one in answer.json["skipped"]] == ["bad.png"]
    assert answer.json["skipped"][0]["why"]


def test_a_folder_without_images_is_refused(cli, project: Path, tmp_path: Path, state) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").write_text("no image")
    before = state(project)
    cli("add", project, tmp_path / "empty").refuses("empty")
    assert state(project) == before


def test_a_pattern_that_is_none_is_refused_before_anything_is_read(cli, project: Path, image: Path) -> None:
    cli("add", project, image, "--patient-from", "(").refuses("--patient-from", "(")


def test_the_patient_is_taken_from_the_name(cli, project: Path, image: Path) -> None:
    image.rename(image.with_name("p7_001.png"))
    assert cli("add", project, image.parent, "--patient-from", r"^(p\d+)_").code == 0
    with Project.open(project) as opened:
        assert opened.fields.all()[0].patient == "p7"


def test_a_whole_slide_is_added_and_found_again_where_it_was_moved(
    cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 400 * 400)
    slide, archive = tmp_path / "slide.tif", tmp_path / "archive"
    tifffile.imwrite(slide, np.zeros((512, 640, 3), np.uint8), tile=(128, 128), photometric="rgb")
    assert cli("add", project, slide).code == 0
    assert cli("check", project).code == 0
    archive.mkdir()
    slide.rename(archive / "other.tif")
    answer = cli("check", project)
    assert "napari-lld check PROJECT --slides FOLDER" in answer.out
    assert f"run: napari-lld check {project} --slides FOLDER" in answer.err
    assert "--repair" not in answer.err, "which cannot find a slide"
    assert cli("check", project, "--slides", tmp_path / "nowhere").code == 2
    answer = cli("check", project, "--slides", archive, "--json")
    assert answer.code == 0
    assert answer.json["found_slides"] == ["slide.tif"]
    assert cli("check", project).code == 0


def test_an_ome_zarr_that_is_named_and_cannot_be_read_fails_the_command(
    cli, project: Path, image: Path, tmp_path: Path, state
) -> None:
    (tmp_path / "bad.zarr").mkdir()
    before = state(project)
    cli("add", project, image, tmp_path / "bad.zarr").refuses("bad.zarr", "OME-Zarr")
    assert state(project) == before


def test_the_patient_rule_is_kept_for_images_added_later_and_the_count_is_told(cli, tmp_path: Path) -> None:
    for number, name in enumerate(("P1-a.png", "P1-b.png", "P2-a.png", "stray.png")):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / name)
    project = tmp_path / "p.lld"
    cli("new", project)
    first = cli("add", project, tmp_path / "P1-a.png", "--patient-from", "^([^-]+)-")
    assert "Patients: 1 patient (before: 0 patients)." in first.out
    later = cli(
        "add", str(project), *(str(tmp_path / name) for name in ("P1-b.png", "P2-a.png", "stray.png"))
    )
    assert "Patients: 2 patients, 1 field without (before: 1 patient)." in later.out
    assert "--patient-from" in later.out
