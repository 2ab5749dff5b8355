"""Nothing of a project leads out of it: no link is followed, nor a name that the database gives."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from annotation_store import ImageError, LLDError, Project, ProjectError, formats
from tests.database import run_sql

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="links need rights of their own on Windows")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Somebody's folder, old enough to be swept by age, with names of all the kinds that are swept."""
    home = tmp_path / "home"
    for name in ("2024", "7", "models"):
        (home / name).mkdir(parents=True)
        (home / name / "x").write_text("dear")
    for name in (".bashrc", "notes.txt", "00000000000000000001-1", "1-96.jpg"):
        (home / name).write_text("dear")
    for path in home.rglob("*"):
        os.utime(path, (0, 0))
    return home


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


FOLDERS = (
    ".staging",
    ".thumbnails",
    "backups",
    "fields.zarr",
    "logs",
    "lost+found",
    "models",
    "originals",
    "runs",
)


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_a_project_that_is_a_link_is_refused_and_nothing_beyond_it_touched(
    folder: Path, outside: Path, name: str
) -> None:
    before = contents(outside)
    if (folder / name).exists():
        shutil.rmtree(folder / name)
    (folder / name).symlink_to(outside)
    for read_only in (False, True):
        with pytest.raises(ProjectError, match=f"{name.replace('+', '.')} is a link"):
            Project.open(folder, read_only=read_only)
    assert contents(outside) == before


@pytest.mark.parametrize("name", ["project.db", "project.db-wal", "project.db-journal"])
def test_a_database_that_is_a_link_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    for path in folder.glob("project.db-*"):
        path.unlink()
    target = tmp_path / "elsewhere"
    if (folder / name).exists():
        (folder / name).rename(target)
    else:
        target.write_bytes(b"dear")
    before = target.read_bytes()
    (folder / name).symlink_to(target)
    with pytest.raises(ProjectError, match="is a link"):
        Project.open(folder)
    assert target.read_bytes() == before


@pytest.mark.parametrize("name", FOLDERS)
def test_a_link_made_while_the_project_is_open_is_not_followed_either(
    project: Project, outside: Path, image_folder: Path, name: str
) -> None:
    before = contents(outside)
    if (project.path / name).exists():
        (project.path / name).rename(project.path / "was")
    (project.path / name).symlink_to(outside)
    for attempt in (
        lambda: project.fields.add([image_folder / "c.jpg"]),
        lambda: project.pixels.thumbnail(1),
        lambda: project.pixels.read(1),
        lambda: project.pixels.original(1),
        lambda: project.models.folder(1),
        project.repair,
    ):
        with suppress(LLDError):
            attempt()
    assert contents(outside) == before


@pytest.mark.parametrize("place", ["fields.zarr/1", "fields.zarr/1/0", "fields.zarr/1/0/zarr.json"])
def test_pixels_behind_a_link_are_not_shown(project: Project, tmp_path: Path, place: str) -> None:
    path = project.path / place
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ProjectError, match="is a link"):
        project.pixels.read(1)
    assert len(project.check()) == 1
    project.repair()
    assert project.check() == []
    assert (tmp_path / "elsewhere").exists()


def test_an_original_behind_a_link_or_altered_is_not_handed_on(
    project: Project, tmp_path: Path, image_folder: Path
) -> None:
    secret = tmp_path / "secret.png"
    shutil.copy(image_folder / "c.jpg", secret)
    link, altered = project.pixels.original(1), project.pixels.original(2)
    link.unlink()
    link.symlink_to(secret)
    altered.write_bytes(secret.read_bytes())
    for field_id, words in ((1, "is a link"), (2, "was changed")):
        with pytest.raises((ImageError, ProjectError), match=words):
            project.pixels.original(field_id)
    project.regions.add_whole_field(2)
    formats.write("yolo", project, tmp_path / "out")
    images = [p for p in (tmp_path / "out").rglob("*") if p.suffix in (".png", ".jpg")]
    assert images
    assert secret.read_bytes() not in [p.read_bytes() for p in images]


@pytest.mark.parametrize(
    ("content_hash", "suffix"),
    [("../../secret", ".png"), ("a" * 64, "/../../../secret.png"), ("/etc/passwd", ""), ("", "..")],
)
def test_names_in_the_database_lead_nowhere(project: Project, content_hash: str, suffix: str) -> None:
    secret = project.path.parent / "secret.png"
    secret.write_bytes(b"dear")
    run_sql(project, "UPDATE fields SET content_hash = ?, suffix = ? WHERE id = 1", (content_hash, suffix))
    with pytest.raises(ProjectError, match="invalid file name"):
        project.pixels.original(1)
    assert any("invalid file name" in problem for problem in project.check())
    project.repair()
    assert secret.read_bytes() == b"dear"


@pytest.mark.parametrize(
    "change",
    [
        lambda array: array["codecs"].insert(0, {"name": "numcodecs.pickle", "configuration": {}}),
        lambda array: array["codecs"][0].update(name="stranger"),
        lambda array: array.update(shape=[3, 2**30, 2**30]),
        lambda array: array.update(data_type="float64"),
        lambda array: array["chunk_grid"]["configuration"].update(chunk_shape=[3, 2**20, 2**20]),
    ],
)
def test_pixels_of_a_strangers_project_are_judged_as_an_imported_image_is(
    project: Project, change: Callable[[dict[str, object]], None]
) -> None:
    file = project.path / "fields.zarr/1/0/zarr.json"
    array = json.loads(file.read_text())
    change(array)
    file.write_text(json.dumps(array))
    for read in (lambda: project.pixels.read(1), lambda: project.pixels.read_area(1, (0, 0, 10, 10))):
        with pytest.raises(ProjectError, match="missing or damaged"):
            read()
    assert len(project.check()) == 1


def test_weights_behind_a_link_are_not_read(project: Project, tmp_path: Path) -> None:
    folder = project.models.folder(1)
    folder.mkdir()
    (tmp_path / "elsewhere").write_bytes(b"dear")
    (folder / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ProjectError, match="is a link"):
        project.models.folder(1)


def test_a_disk_that_does_not_answer_is_a_sentence(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "exists", fail)
    with pytest.raises(ProjectError, match="cannot be reached"):
        Project.open(folder)


def test_a_thumbnail_of_absurd_size_is_made_again_and_their_number_is_bounded(project: Project) -> None:
    from PIL import Image

    for side in range(16, 1025, 50):
        assert max(project.pixels.thumbnail(1, side).shape[:2]) == min(side, 100)
    assert len(list((project.path / ".thumbnails").iterdir())) < 10
    Image.new("RGB", (6000, 6000)).save(project.path / ".thumbnails/1-96.jpg")
    assert project.pixels.thumbnail(1, 96).shape == (77, 96, 3)
