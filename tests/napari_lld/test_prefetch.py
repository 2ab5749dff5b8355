"""The pixels of neighbours are decoded beforehand, beside the window's thread, and not kept for ever."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from annotation_store import Project, ProjectError, ProjectGoneError
from napari_lld.layers import DeskLayers
from napari_lld.session.prefetch import PixelCache
from napari_lld.session.session import Session


class Decodes:
    """Notes who decoded which field."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.here: list[int] = []
        self.beside: list[int] = []
        self.given: list[weakref.ref[np.ndarray]] = []
        self.gate = threading.Event()
        self.gate.set()
        main = threading.main_thread()

        def pixels(_project: Project, field_id: int) -> np.ndarray:
            if threading.current_thread() is main:
                self.here.append(field_id)
            else:
                self.gate.wait(10)
                self.beside.append(field_id)
            made = np.full((4, 4, 3), field_id % 255, dtype=np.uint8)
            self.given.append(weakref.ref(made))
            return made

        monkeypatch.setattr("annotation_store._collections.pixels.FieldPixels.read", pixels)


@pytest.fixture
def many(small_project: Path, more_fields: Callable[[Path, list[str]], None]) -> Path:
    more_fields(small_project, [f"film_{n}.png" for n in range(200)])
    return small_project


@pytest.fixture
def desk(many: Path) -> Iterator[tuple[Session, ViewerModel]]:
    session, viewer = Session(), ViewerModel()
    layers = DeskLayers(session, viewer)
    yield session, viewer
    layers.close()
    session.close()


def fetched(session: Session) -> None:
    """Wait until nothing is being fetched."""
    assert session.fields._cache is not None
    session.fields._cache._pool.submit(lambda: None).result()


def test_a_prefetched_field_is_shown_without_a_decode(
    desk: tuple[Session, ViewerModel], many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decodes = Decodes(monkeypatch)
    session, viewer = desk
    session.open(many)
    fetched(session)
    assert (decodes.here, decodes.beside) == ([1], [2])
    session.fields.next()
    assert viewer.layers["Field"].data[0, 0, 0] == 2
    fetched(session)
    session.fields.next()
    fetched(session)
    session.fields.previous()
    assert decodes.here == [1]
    assert sorted(decodes.beside) == [2, 3, 4]


def test_a_field_far_away_is_one_decode(
    desk: tuple[Session, ViewerModel], many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decodes = Decodes(monkeypatch)
    session, _viewer = desk
    session.open(many)
    fetched(session)
    session.fields.show(100)
    fetched(session)
    assert decodes.here == [1, 100]
    assert sorted(decodes.beside) == [2, 99, 101]


def test_a_field_that_is_being_fetched_is_not_decoded_twice(
    desk: tuple[Session, ViewerModel], many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decodes = Decodes(monkeypatch)
    decodes.gate.clear()
    session, viewer = desk
    session.open(many)
    threading.Timer(0.1, decodes.gate.set).start()
    session.fields.next()
    assert viewer.layers["Field"].data[0, 0, 0] == 2
    fetched(session)
    assert [*decodes.here, *decodes.beside].count(2) == 1


@pytest.mark.parametrize(("fields", "shown"), [(200, False), (30, True)])
def test_fields_opened_in_turn_leave_three_in_memory(
    many: Path, monkeypatch: pytest.MonkeyPatch, fields: int, shown: bool
) -> None:
    decodes = Decodes(monkeypatch)
    session = Session()
    layers = DeskLayers(session, ViewerModel()) if shown else None
    if not shown:
        session.fields.current_changed.connect(
            lambda: session.fields.current_id and session.fields.pixels(session.fields.current_id)
        )
    session.open(many)
    for _ in range(fields):
        session.fields.next()
        assert session.fields._cache is not None
        assert len(session.fields._cache) <= 3
    fetched(session)
    gc.collect()
    alive = [given for given in decodes.given if given() is not None]
    assert len(decodes.given) > fields
    assert len(alive) <= 4  # the field, its neighbours, and what napari still shows
    if layers is not None:
        layers.close()
    session.close()


def test_a_field_that_could_not_be_fetched_is_tried_again(many: Path) -> None:
    with Project.open(many) as project:
        cache = PixelCache(project)
        cache.keep(1, [50])  # without pixels on the disk
        with pytest.raises(ProjectError, match="missing or damaged"):
            cache.get(50)
        project.pixels.read = lambda _id: np.zeros((2, 2, 3), dtype=np.uint8)  # type: ignore[method-assign]
        assert cache.get(50).shape == (2, 2, 3)
        cache.close()


def test_a_neighbour_that_failed_beforehand_is_read_anew_when_it_is_shown(
    many: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = threading.Event()

    def pixels(_project: Project, _field_id: int) -> np.ndarray:
        if threading.current_thread() is not threading.main_thread():
            tried.set()
            raise ProjectError("away")
        return np.zeros((4, 4, 3), dtype=np.uint8)

    monkeypatch.setattr("annotation_store._collections.pixels.FieldPixels.read", pixels)
    with Project.open(many) as project:
        cache = PixelCache(project)
        cache.keep(1, [2])
        assert tried.wait(10)
        assert cache.get(2).shape == (4, 4, 3)
        cache.close()


def test_pixels_of_a_project_whose_folder_is_missing_are_not_called_damaged(many: Path) -> None:
    with Project.open(many) as project:
        cache = PixelCache(project)
        many.rename(many.with_name("away"))
        cache.keep(1, [2])
        for field_id in (2, 3):
            with pytest.raises(ProjectGoneError, match="no longer there"):
                cache.get(field_id)
        many.with_name("away").rename(many)
        assert cache.get(2).shape == (100, 120, 3)
        cache.close()
