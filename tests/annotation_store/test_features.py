"""Vectors of boxes: found by trunk, image and box; a cache that may be lost at any time."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from annotation_store import BoxFeatures, Project, box_key
from annotation_store._collections.features import pack, unpack
from annotation_store.files.layout import FEATURES

F = 130


def some(boxes: int, seed: int = 0) -> BoxFeatures:
    rng = np.random.default_rng(seed)
    places = rng.uniform(1, 50, (boxes, 4)).astype(np.float32)
    return BoxFeatures(places, rng.normal(size=(boxes, F)).astype(np.float32))


def cache(project: Project) -> Path:
    return project.path / FEATURES / "features.db"


def test_a_vector_is_found_again_by_its_trunk_its_field_and_its_box(project: Project) -> None:
    seen = some(3)
    project.features.save("trunk", {1: seen})
    found = project.features.of("trunk")[1]
    assert list(found.places()) == [box_key(box) for box in seen.boxes]
    assert np.abs(found.vectors - seen.vectors).max() < 0.01 * np.abs(seen.vectors).max()
    assert project.features.of("another trunk") == {}
    assert project.features.of("trunk", [2]) == {}


def test_vectors_of_more_boxes_join_those_that_are_there_and_replace_those_of_the_same_box(
    project: Project,
) -> None:
    first, more = some(3), some(2, seed=1)
    project.features.save("trunk", {1: first})
    again = BoxFeatures(np.concatenate((first.boxes[:1], more.boxes)), some(3, seed=2).vectors)
    project.features.save("trunk", {1: again})
    found = project.features.of("trunk", [1])[1]
    assert len(found.boxes) == 5
    row = found.places()[box_key(first.boxes[0])]
    assert np.allclose(found.vectors[row], again.vectors[0], atol=0.05)


def test_what_is_stored_is_what_was_said_before_and_stays_when_more_is_stored(project: Project) -> None:
    first = some(3)
    project.features.save("trunk", {1: first})
    for seed in range(1, 6):
        project.features.save("trunk", {1: some(2, seed)})
    found = project.features.of("trunk", [1])[1]
    rows = [found.places()[box_key(box)] for box in first.boxes]
    assert np.array_equal(found.vectors[rows], first.as_stored().vectors)


def test_the_boxes_of_a_field_are_bounded_and_the_newest_stay(project: Project) -> None:
    project.features.save("trunk", {1: some(500)})
    newest = some(300, seed=1)
    project.features.save("trunk", {1: newest})
    places = project.features.of("trunk")[1].places()
    assert len(places) == 600
    assert all(box_key(box) in places for box in newest.boxes)


@pytest.mark.parametrize(
    "content", [b"no database at all, but some bytes" * 40, b"", b"SQLite format 3\0" * 90]
)
def test_a_damaged_cache_is_empty_and_is_made_anew(project: Project, content: bytes) -> None:
    project.features.save("trunk", {1: some(2)})
    cache(project).write_bytes(content)
    assert project.features.of("trunk") == {}
    project.features.save("trunk", {1: some(2)})
    project.features.save("trunk", {1: some(2)})  # the first may have found it damaged
    assert len(project.features.of("trunk")[1].boxes) == 2


def damaged(content: bytes, how: str) -> bytes:
    return {
        "cut off": content[: len(content) // 2],
        "numbers changed": content[:-200] + bytes(byte ^ 1 for byte in content[-200:-100]) + content[-100:],
        "a page of zeros": content[:4096] + bytes(4096) + content[8192:],
        "another table": content.replace(b"length INTEGER", b"breadth INTEGE"),
        "no text": content.replace(b"trunk", b"\xff\xfe\xfd\xfc\xfb"),
    }[how]


@pytest.mark.parametrize("how", ["cut off", "numbers changed", "a page of zeros", "another table", "no text"])
def test_no_vector_of_a_file_that_was_damaged_within_is_taken(project: Project, how: str) -> None:
    """SQLite itself notices no damage within a row, and the numbers would name another class."""
    seen = some(20)
    project.features.save("trunk", {1: seen})
    whole = project.features.of("trunk")[1].vectors
    before = cache(project).read_bytes()
    cache(project).write_bytes(damaged(before, how))
    assert cache(project).read_bytes() != before
    for found in project.features.of("trunk").values():
        assert np.array_equal(found.vectors, whole)
    project.features.save("trunk", {1: seen})
    project.features.save("trunk", {1: seen})
    assert np.array_equal(project.features.of("trunk")[1].vectors, whole)


@pytest.mark.parametrize("code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_BUSY])
def test_a_full_disk_or_another_writer_costs_nothing_of_what_is_stored(
    project: Project, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        error = sqlite3.OperationalError("refused")
        error.sqlite_errorcode = code
        raise error

    project.features.save("trunk", {1: some(2)})
    with monkeypatch.context() as patched:
        patched.setattr(sqlite3, "connect", refuse)
        project.features.save("trunk", {1: some(3, seed=1)})
        assert project.features.of("trunk") == {}
    assert len(project.features.of("trunk")[1].boxes) == 2


def test_a_folder_in_the_place_of_the_cache_is_as_no_cache(project: Project) -> None:
    cache(project).mkdir(parents=True)
    project.features.save("trunk", {1: some(2)})
    assert project.features.of("trunk") == {}


def test_a_row_that_does_not_fit_is_as_none() -> None:
    data = pack(some(2))
    assert unpack(2, F, data) is not None
    for row in (
        (2, F, data[:-1]),
        (3, F, data),
        (2, F + 1, data),
        (0, F, b""),
        (2, "x", data),
        (None, F, data),
    ):
        assert unpack(*row) is None
    assert unpack(2, F, data[:40] + bytes([data[40] ^ 1]) + data[41:]) is None
    endless = BoxFeatures(np.full((2, 4), np.inf, np.float32), some(2).vectors)
    assert unpack(2, F, pack(endless)) is None


def test_a_project_opened_for_reading_writes_no_cache(project: Project, folder: Path) -> None:
    with Project.open(folder, read_only=True) as reading:
        reading.features.save("trunk", {1: some(2)})
    assert not cache(project).exists()


def test_the_cache_is_in_no_backup_and_no_check_asks_for_it(fresh: Callable[[], Project]) -> None:
    with fresh() as project:
        project.features.save("trunk", {1: some(2)})
        assert project.check() == []
        assert project.repair().mended == []
        assert len(project.features.of("trunk")[1].boxes) == 2


def test_a_hundred_thousand_cells_take_at_most_150_megabytes() -> None:
    features = BoxFeatures(some(100).boxes, np.random.default_rng(0).normal(size=(100, 1153)))
    assert len(pack(features)) * 1000 < 150_000_000


@given(arrays(np.float32, (3, 70), elements=st.floats(-1e4, 1e4, width=32)))
def test_numbers_come_back_within_a_hundredth_of_the_greatest_beside_them(vectors: np.ndarray) -> None:
    found = unpack(3, 70, pack(BoxFeatures(np.ones((3, 4), np.float32), vectors)))
    assert found is not None
    for part in (slice(0, 64), slice(64, 70)):
        greatest = np.abs(vectors[:, part]).max(1, keepdims=True)
        assert (np.abs(found.vectors[:, part] - vectors[:, part]) <= 0.01 * greatest + 1e-5).all()
