"""Thumbnails: small, made once, never in the way."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project, ProjectError


def cached(project: Project) -> list[Path]:
    folder = project.path / ".thumbnails"
    return sorted(folder.iterdir()) if folder.exists() else []


def test_the_longer_side_is_as_asked_and_the_shape_is_kept(project: Project) -> None:
    assert project.pixels.thumbnail(1).shape == (77, 96, 3)
    assert project.pixels.thumbnail(1, side=50).shape == (40, 50, 3)
    assert project.pixels.thumbnail(1, side=500).shape == (80, 100, 3), "nothing is enlarged"
    assert project.pixels.thumbnail(1, side=-3).shape[1] == 16


def test_it_looks_like_the_field(empty: Project, tmp_path: Path) -> None:
    pixels = np.zeros((300, 3000, 3), np.uint8)
    pixels[:, 1500:] = (200, 100, 50)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    (field_id,) = empty.fields.add([tmp_path / "wide.png"]).added
    for _ in range(2):  # made, then taken from the disk
        small = empty.pixels.thumbnail(field_id).astype(int)
        assert np.abs(small[:, :40]).max() < 12
        assert np.abs(small[:, -40:] - (200, 100, 50)).max() < 12


def test_it_is_made_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    first = project.pixels.thumbnail(1)
    assert [p.name for p in cached(project)] == ["1-96.jpg"]
    monkeypatch.setattr(
        "annotation_store._collections.pixels.read_pixels", lambda _: pytest.fail("read again")
    )
    assert np.abs(project.pixels.thumbnail(1).astype(int) - first).max() < 60


def test_a_damaged_one_is_made_again(project: Project) -> None:
    project.pixels.thumbnail(1)
    cached(project)[0].write_bytes(b"\xff\xd8 nonsense")
    assert project.pixels.thumbnail(1).shape == (77, 96, 3)
    with Image.open(cached(project)[0]) as image:
        assert image.size == (96, 77)


def test_a_project_that_is_only_read_keeps_none(folder: Path) -> None:
    with Project.open(folder, read_only=True) as project:
        assert project.pixels.thumbnail(2).shape == (77, 96, 3)
        assert cached(project) == []


def test_a_disk_that_is_full_shows_it_all_the_same(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    assert project.pixels.thumbnail(1).shape == (77, 96, 3)
    assert cached(project) == [], "nothing half-written stays"


def test_other_threads_may_ask(project: Project) -> None:
    got: list[tuple[int, ...]] = []
    thread = threading.Thread(target=lambda: got.append(project.pixels.thumbnail(1).shape))
    thread.start()
    thread.join()
    assert got == [(77, 96, 3)]


def test_a_field_without_pixels_is_a_sentence(project: Project) -> None:
    with pytest.raises(ProjectError, match="check"):
        project.pixels.thumbnail(99)
