"""Taking fields in: names, patients, duplicates, and nothing half-done."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_store import FormatError, ImageError, Project, ProjectError
from annotation_store.files import temporary


def an_image(path: Path, seed: int = 7) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(path)
    return path


def files_of(project: Project) -> list[Path]:
    return sorted(p for p in project.path.rglob("*") if not p.name.startswith("project.db"))


def test_a_field_keeps_pixels_and_the_bytes_of_its_file(project: Project, image_folder: Path) -> None:
    field = project.fields.named("a.png")
    assert field is not None
    assert (field.id, field.width, field.height) == (1, 100, 80)
    with Image.open(image_folder / "a.png") as image:
        assert np.array_equal(project.pixels.read(1), np.asarray(image))
    assert project.pixels.original(1).read_bytes() == (image_folder / "a.png").read_bytes()
    assert project.pixels.original(1).suffix == ".png"


def test_folders_are_walked_and_the_same_content_comes_in_once(project: Project, tmp_path: Path) -> None:
    an_image(tmp_path / "in/one.png", 1)
    an_image(tmp_path / "in/deep/two.PNG", 2)
    an_image(tmp_path / "in/deep/copy.png", 1)
    an_image(tmp_path / "in/.hidden/three.png", 3)
    (tmp_path / "in/notes.txt").write_text("no image")
    heard: list[list[int]] = []
    project.events.fields_added.connect(heard.append)
    steps: list[tuple[int, int]] = []
    report = project.fields.add([tmp_path / "in"], progress=lambda done, total: steps.append((done, total)))
    assert sorted(project.fields.get(i).name for i in report.added) in (
        ["copy.png", "two.PNG"],
        ["one.png", "two.PNG"],
    )
    assert [reason for _, reason in report.skipped] == ["already in the project"]
    assert [i for ids in heard for i in ids] == report.added
    assert steps[-1] == (3, 3)
    again = project.fields.add([tmp_path / "in"])
    assert again.added == []
    assert len(again.skipped) == 3


def test_fields_of_the_same_file_name_get_names_of_their_own(project: Project, tmp_path: Path) -> None:
    paths = [an_image(tmp_path / f"{d}/a.png", i) for i, d in enumerate(("s1", "s2", "x/s2"), 20)]
    report = project.fields.add(paths)
    assert [project.fields.get(i).name for i in report.added] == ["s1/a.png", "s2/a.png", "a (2).png"]


def test_names_cannot_hide_control_characters_or_turn_text_around(project: Project, tmp_path: Path) -> None:
    (field_id,) = project.fields.add([an_image(tmp_path / "a\nb\u202egnp.png")]).added
    assert project.fields.get(field_id).name == "a_b_gnp.png"


@pytest.mark.parametrize(
    ("expression", "patient", "slide"),
    [
        (r"^(P\d+)_", "P07", None),
        (r"P\d+", "P07", None),
        (r"^(?P<patient>P\d+)_(?P<slide>\w+?)_", "P07", "s2"),
        (r"wards/(\w+)/", "north", None),
        (r"^Q", None, None),
    ],
)
def test_the_patient_is_read_from_the_name(
    project: Project, tmp_path: Path, expression: str, patient: str | None, slide: str | None
) -> None:
    path = an_image(tmp_path / "wards/north/P07_s2_001.png")
    (field_id,) = project.fields.add([path], patient_from=expression).added
    field = project.fields.get(field_id)
    assert (field.patient, field.slide) == (patient, slide)


def test_a_wrong_expression_is_a_sentence(project: Project, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="regular expression"):
        project.fields.add([an_image(tmp_path / "x.png")], patient_from="(")


def test_good_files_come_in_and_bad_ones_are_named(project: Project, tmp_path: Path) -> None:
    good = an_image(tmp_path / "good.png")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nonsense")
    report = project.fields.add([bad, good])
    assert [project.fields.get(i).name for i in report.added] == ["good.png"]
    assert report.skipped[0][0] == bad
    assert "bad.png" in report.skipped[0][1]
    assert project.check() == []


@pytest.mark.parametrize("what", ["missing", "empty folder", "corrupt"])
def test_nothing_readable_is_an_error_and_leaves_no_trace(
    project: Project, tmp_path: Path, what: str
) -> None:
    (tmp_path / "empty").mkdir()
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"nonsense")
    path = {"missing": tmp_path / "no.png", "empty folder": tmp_path / "empty", "corrupt": bad}[what]
    before = files_of(project)
    with pytest.raises(ImageError, match=path.name):
        project.fields.add([path])
    assert files_of(project) == before
    assert len(project.fields.all()) == 2


def test_a_missing_path_stops_before_anything_is_taken_in(project: Project, tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        project.fields.add([an_image(tmp_path / "good.png"), tmp_path / "no.png"])
    assert len(project.fields.all()) == 2


def test_an_intake_that_fails_at_the_commit_leaves_nothing_and_one_that_died_there_is_swept(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    path = an_image(tmp_path / "late.png")
    monkeypatch.setattr("annotation_store._collections.ingest._field_row", fail)
    with pytest.raises(ProjectError, match="No space left"):
        project.fields.add([path])
    monkeypatch.undo()
    assert len(project.fields.all()) == 2
    assert not (project.path / "fields.zarr/3").exists(), "the files had been moved in"
    assert len(list((project.path / "originals").iterdir())) == 2
    shutil.copytree(project.path / "fields.zarr/2", project.path / "fields.zarr/3")  # moved in, then killed
    with Project.open(project.path, annotator="Ada") as again:
        assert not (again.path / "fields.zarr/3").exists()
        assert again.check() == []
        assert again.fields.add([path]).added == [3]


def test_a_running_intake_goes_on_whatever_the_clock_says_and_what_a_killed_one_left_is_swept(
    project: Project, tmp_path: Path
) -> None:
    program = (
        "import os; from annotation_store import Project\n"
        f"with Project.open({str(project.path)!r}) as project, project._ingest.staging() as staging:\n"
        "    (staging / 'x').mkdir(); print(staging.name, flush=True); os._exit(9)"
    )
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    left = project.path / ".staging" / killed.stdout.strip()
    assert (left / "x").is_dir()
    with project._ingest.staging() as running:
        assert not left.exists()
        for path in (running, running / ".lock"):
            os.utime(path, (0, 0))  # as a program sees it whose clock is decades ahead
        with Project.open(project.path, annotator="Ben") as other:
            assert running.is_dir()
            other.fields.add([an_image(tmp_path / "more.png")])
        assert running.is_dir()
    assert not running.exists()


def test_staging_without_a_lock_is_left_alone_and_set_aside_by_a_repair(project: Project) -> None:
    old = project.path / ".staging/old"
    old.mkdir(parents=True)
    (old / "x").write_text("somebody's")
    os.utime(old, (0, 0))
    Project.open(project.path, annotator="Ben").close()
    assert old.exists()
    project.repair()
    assert (project.path / "lost+found/old/x").read_text() == "somebody's"


def test_on_a_network_share_nothing_is_swept(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporary, "is_network_share", lambda _: True)
    left = project.path / ".staging/left"
    left.mkdir(parents=True)
    (left / ".lock").touch()
    Project.open(project.path, annotator="Ben").close()
    assert left.exists()
    monkeypatch.undo()
    Project.open(project.path, annotator="Ben").close()
    assert not left.exists()


def test_check_finds_missing_pixels_altered_originals_and_strays(project: Project) -> None:
    assert project.check() == []
    shutil.rmtree(project.path / "fields.zarr/1")
    project.pixels.original(2).write_bytes(b"something else")
    shutil.copytree(project.path / "fields.zarr/2", project.path / "fields.zarr/77")
    problems = project.check()
    assert len(problems) == 3
    assert "pixels of the field a.png are missing" in problems[0]
    assert "original file of the field b.png was changed" in problems[1]
    assert "belong to no field" in problems[2]
    with pytest.raises(ProjectError, match="check"):
        project.pixels.read(1)
