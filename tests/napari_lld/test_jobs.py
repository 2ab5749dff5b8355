"""Long actions beside the window: stopped, and closed upon."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from annotation_store import Project, formats
from annotation_store.errors import LLDError
from napari_lld import sample
from napari_lld.controllers.desk import Desk, desk_for
from napari_lld.options import ExportOptions
from napari_lld.tasks import actions
from napari_lld.tasks.jobs import Jobs
from napari_lld.tasks.latest_task import LatestTask


@pytest.fixture
def desk(qtbot: QtBot, sample_project: Path) -> Iterator[Desk]:
    desk = desk_for(ViewerModel())
    desk.session.open(sample_project)
    yield desk
    desk.close()


def endless(started: threading.Event) -> Any:
    def work(tell: Any) -> None:
        while True:
            tell(1, 2)
            started.set()

    return work


def test_work_that_is_stopped_says_so_and_makes_room(qtbot: QtBot) -> None:
    jobs = Jobs()
    told: list[str] = []
    jobs.stopped.connect(told.append)
    started = threading.Event()
    jobs.start("Exporting", endless(started), lambda _: told.append("done"), told.append)
    assert started.wait(5)
    jobs.stop()
    assert jobs.stopping
    qtbot.waitUntil(lambda: not jobs.busy, timeout=5000)
    assert told == ["Exporting"]
    jobs.start("Next", lambda _tell: 7, lambda result: told.append(str(result)), told.append)
    qtbot.waitUntil(lambda: "7" in told, timeout=5000)


@pytest.mark.parametrize(
    ("error", "says"), [(LLDError(""), ""), (KeyError("x"), "Unexpected error: KeyError: 'x'")]
)
def test_what_fails_beside_the_window_is_told_and_makes_room(
    qtbot: QtBot, error: Exception, says: str
) -> None:
    def fail(*_: Any) -> None:
        raise error

    told: list[str] = []
    jobs, task = Jobs(), LatestTask("task")
    jobs.start("Failing", fail, lambda _: told.append("done"), told.append)
    task.start(fail, lambda _: told.append("done"), told.append)
    qtbot.waitUntil(lambda: len(told) == 2, timeout=5000)
    assert told == [says, says]
    assert not jobs.busy
    assert not task.busy


def test_closing_while_exporting_leaves_no_half_written_file_and_no_thread(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out" / "yolo"
    out.parent.mkdir()
    place = desk.session.project.path  # type: ignore[union-attr]
    begun, go_on = threading.Event(), threading.Event()

    def export(tell: Any) -> str:
        def slowly(done: int, of: int) -> None:
            begun.set()
            go_on.wait(10)
            tell(done, of)

        return actions.export(place, out, slowly, ExportOptions(format="yolo"))

    desk.jobs.start("Exporting", export, lambda _: None, lambda _: None)
    assert begun.wait(10)
    threading.Timer(0.2, go_on.set).start()
    desk.close()
    assert not list(out.parent.iterdir())
    assert not any(thread.name == "Exporting" for thread in threading.enumerate())


def test_stopping_while_fields_are_added_leaves_a_sound_project(
    desk: Desk, qtbot: QtBot, tmp_path: Path
) -> None:
    place = tmp_path / "new.lld"
    Project.create(place).close()

    def add(tell: Any) -> str:
        def stop_at_once(done: int, of: int) -> None:
            desk.jobs._stop.set()
            tell(done, of)

        return actions.add_fields(place, sample.fields(), stop_at_once)

    desk.jobs.start("Adding fields", add, lambda _: None, lambda _: None)
    qtbot.waitUntil(lambda: not desk.jobs.busy, timeout=30_000)
    with Project.open(place) as project:
        assert 0 < len(project.fields.all()) < 18  # whole batches came in
        assert project.check() == []
        assert all(project.pixels.read(field.id).size for field in project.fields.all())


@pytest.mark.parametrize("form", formats.names(writing=True))
def test_the_sample_goes_out_in_every_format(form: str, desk: Desk, tmp_path: Path) -> None:
    place = desk.session.project.path  # type: ignore[union-attr]
    out = tmp_path / ("out.json" if formats.FORMATS[form].target == "file" else "out")
    told = actions.export(place, out, lambda *_: None, ExportOptions(format=form, anonymise=True))
    assert "exported to" in told
    assert out.exists()


def test_an_export_is_of_the_reading_that_the_window_shows(small_project: Path, tmp_path: Path) -> None:
    with Project.open(small_project, annotator="Ada") as project:
        second = project.readings.add("second").id
        project.readings.use(second)
        project.cells.add(project.fields.all()[0].id, (1, 1, 20, 20))
    counted = actions.count_for_export(small_project, lambda *_: None, reading=second)
    assert counted.cells == 1
    out = tmp_path / "out.json"
    told = actions.export(small_project, out, lambda *_: None, ExportOptions(format="coco"), reading=second)
    assert told.startswith("1 cell exported")
