"""Long actions beside the window: stopped, and closed upon."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QDialog

from annotation_store import Project, formats
from annotation_store.errors import LLDError
from napari_lld import sample
from napari_lld.controllers.desk import Desk, desk_for
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.options import ExportOptions
from napari_lld.tasks import actions
from napari_lld.tasks.jobs import Jobs
from napari_lld.tasks.latest_task import LatestTask
from napari_lld.widgets.dialogs import export_dialog
from napari_lld.widgets.dock.foot import Foot

from .conftest import listen


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


class Counting:
    """Counting for an export that lasts until it is let go or stopped, and the dialogs that followed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started, self.go_on, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.asked: list[Any] = []
        monkeypatch.setattr(actions, "count_for_export", self.count)
        monkeypatch.setattr(export_dialog, "ask_export", lambda survey, *_: self.asked.append(survey))

    def count(self, _project: Path, on_progress: Any, *, reading: int | None = None) -> str:
        try:
            while not self.go_on.wait(0.01):
                on_progress(0, 1)
                self.started.set()
            return "counted"
        finally:
            self.ended.set()


def test_an_export_that_is_stopped_while_it_counts_has_written_nothing(
    desk: Desk, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting, told = Counting(monkeypatch), listen(desk.session)
    desk.services.export()
    assert counting.started.wait(10)
    desk.jobs.stop()
    qtbot.waitUntil(lambda: not desk.jobs.busy, timeout=10_000)
    assert told[-1] == "Counting: stopped. Nothing was written."
    assert counting.asked == []


@pytest.mark.parametrize("leave", ["close", "open another", "open again"])
def test_a_project_that_is_left_is_counted_no_further_and_asks_nothing(
    leave: str, desk: Desk, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    desk.services.export()
    assert counting.started.wait(10)
    if leave == "close":
        desk.projects.close()
    elif leave == "open another":
        assert desk.session.create(tmp_path / "other.lld")
    else:
        assert desk.session.open(desk.session.project.path)  # type: ignore[union-attr]
    assert not desk.jobs.busy  # the start page is free at once
    assert counting.ended.wait(10)
    qtbot.wait(50)
    assert counting.asked == []


def test_a_project_that_is_closed_between_the_count_and_its_dialog_asks_nothing(
    desk: Desk, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    question = QDialog()
    question.setModal(True)
    qtbot.addWidget(question)
    desk.services.export()
    question.show()
    counting.go_on.set()
    qtbot.waitUntil(lambda: not desk.jobs.busy, timeout=10_000)
    desk.projects.close()
    question.close()
    qtbot.wait(300)
    assert counting.asked == []


def test_the_export_dialog_waits_for_the_question_that_is_open(
    desk: Desk, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    question = QDialog()
    question.setModal(True)
    qtbot.addWidget(question)
    desk.services.export()
    question.show()
    counting.go_on.set()
    qtbot.waitUntil(lambda: not desk.jobs.busy, timeout=10_000)
    qtbot.wait(300)
    assert counting.asked == []
    question.close()
    qtbot.waitUntil(lambda: counting.asked == ["counted"], timeout=10_000)


def test_an_export_goes_on_when_its_project_is_closed_and_says_what_it_did(
    desk: Desk, qtbot: QtBot, tmp_path: Path
) -> None:
    place = desk.session.project.path  # type: ignore[union-attr]
    out = tmp_path / "out.json"
    begun, go_on = threading.Event(), threading.Event()
    told: list[str] = []

    def export(tell: Any) -> str:
        begun.set()
        go_on.wait(10)
        return actions.export(place, out, tell, ExportOptions(format="coco"))

    desk.jobs.start("Exporting", export, told.append, told.append)
    assert begun.wait(10)
    desk.projects.close()
    assert desk.jobs.busy
    go_on.set()
    qtbot.waitUntil(lambda: not desk.jobs.busy, timeout=30_000)
    assert "exported to" in told[0]
    assert out.exists()


def test_what_runs_is_named_while_and_after_its_project_is_closed(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    go_on = threading.Event()
    assert dock.desk.session.open(small_project)
    dock.desk.jobs.start("Exporting", lambda _tell: go_on.wait(10), lambda _: None, lambda _: None)
    line = dock.findChild(Foot).line
    assert line.text() == "Exporting …"
    dock.desk.projects.close()
    assert line.text() == "Exporting …"
    go_on.set()
    qtbot.waitUntil(lambda: not dock.desk.jobs.busy, timeout=10_000)
    assert line.text() == ""


@pytest.mark.parametrize("leave", [False, True])
def test_a_result_is_taken_in_its_project_only_and_told_whatever_is_open(
    leave: bool, desk: Desk, qtbot: QtBot
) -> None:
    go_on = threading.Event()
    heard: list[str] = []
    desk.jobs.start(
        "Importing",
        lambda _tell: go_on.wait(10),
        lambda _: heard.append("told"),
        heard.append,
        in_project=lambda _: heard.append("listed"),
    )
    if leave:
        desk.session.open(desk.session.project.path)  # type: ignore[union-attr] # the same one, opened anew
    go_on.set()
    qtbot.waitUntil(lambda: not desk.jobs.busy, timeout=10_000)
    assert heard == (["told"] if leave else ["told", "listed"])


@pytest.mark.parametrize("count", [0, 1, 2])
def test_counting_and_exporting_can_be_stopped_while_the_fields_are_still_read(
    count: int, small_project: Path, tmp_path: Path, more_fields: Callable[[Path, list[str]], None]
) -> None:
    more_fields(small_project, [f"{n}.png" for n in range(6_000)])  # more than are read at once
    calls: list[tuple[int, int]] = []

    class Enough(Exception):  # noqa: N818 - nothing is wrong
        pass

    def tell(done: int, of: int) -> None:
        if len(calls) == count:
            raise Enough
        calls.append((done, of))

    def export(tell: Any) -> str:
        return actions.export(small_project, tmp_path / "out.csv", tell, ExportOptions(format="csv"))

    for work in (partial(actions.count_for_export, small_project), export):
        calls.clear()
        with pytest.raises(Enough):
            work(tell)
        assert calls == [(0, 6_002)] * count
    assert not list(tmp_path.glob("*out*"))
    every: list[tuple[int, int]] = []
    actions.count_for_export(small_project, lambda *steps: every.append(steps))
    assert every.count((0, 6_002)) == 3  # the fields in two parts, and the first that is counted


def test_much_progress_is_shown_a_few_times_only(qtbot: QtBot) -> None:
    jobs = Jobs()
    shown: list[int] = []
    jobs.changed.connect(lambda: shown.append(jobs.done))
    jobs.start(
        "Counting", lambda tell: [tell(n, 20_000) for n in range(20_001)], lambda _: None, shown.append
    )
    qtbot.waitUntil(lambda: not jobs.busy, timeout=30_000)
    assert 20_000 in shown
    assert len(shown) < 5_000
