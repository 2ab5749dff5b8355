"""Closing the window while something is at work says what, how far, and what is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy import sip
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDockWidget,
    QMainWindow,
    QMessageBox,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session.training_state import TrainingProgress
from napari_lld.tasks import gallery_reader, label_error_reader
from napari_lld.tasks.label_error_reader import LabelErrorThread
from napari_lld.widgets.base.parts import run_dialog
from napari_lld.widgets.dialogs.close_question import may_close, what_would_end
from tests.napari_lld.mouse import Mouse


def test_nothing_at_work_asks_nothing(dock: AnnotateDock, small_project: Path) -> None:
    dock.desk.session.open(small_project, annotator="Ada")
    assert what_would_end(dock.desk) == []
    assert may_close(dock.desk, dock)


def test_a_training_says_how_far_it_is_and_what_is_lost(dock: AnnotateDock, small_project: Path) -> None:
    desk = dock.desk
    desk.session.open(small_project, annotator="Ada")
    desk.session.training.state.begin("train")
    assert what_would_end(desk)[0] == "Training: just started."
    desk.session.training.state.progress = TrainingProgress("train", 30, 100)
    desk.session.training.rounds.queue.append(SimpleNamespace(title="later"))  # type: ignore[arg-type]
    first, lost, waiting = what_would_end(desk)
    assert first == "Training: 30% done."
    assert "what this training has learnt so far is lost. Earlier models stay." in lost
    assert waiting == "1 queued training will not start."
    desk.session.training.state.begin("predict")
    assert "fields it has not reached" in what_would_end(desk)[1]
    desk.session.training.rounds.queue.clear()
    desk.session.training.state.end("")


@pytest.mark.parametrize(("pressed", "closes"), [("Stop and close", True), ("Keep working", False)])
def test_the_answer_decides(
    pressed: str, closes: bool, dock: AnnotateDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    desk = dock.desk
    desk.jobs.start(
        "Exporting", lambda _tell: go_on.wait(10), lambda _: None, lambda _: None, left="Nothing."
    )
    shown: list[str] = []

    def answer(box: QMessageBox) -> int:
        shown.append(box.informativeText())
        next(b for b in box.findChildren(QPushButton) if b.text().replace("&", "") == pressed).click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec", answer)
    window = QWidget()
    qtbot.addWidget(window)
    assert may_close(desk, window) is closes
    assert shown == ["Exporting will be stopped. Nothing.\nAll your annotations are saved."]
    go_on.set()
    qtbot.waitUntil(lambda: not desk.jobs.busy)


class HostWindow(QMainWindow):
    """A main window that closes as napari's does."""

    def __init__(self) -> None:
        super().__init__()
        self.how: list[dict[str, bool]] = []
        self.dock: AnnotateDock

    def close(self, **how: bool) -> bool:  # type: ignore[override]
        self.how.append(how)
        return super().close()


@pytest.fixture
def host(qtbot: QtBot) -> Iterator[HostWindow]:
    """Show a dock in a main window, which owns it."""
    window = HostWindow()
    window.dock = dock = AnnotateDock(ViewerModel())
    put_into(window, dock)
    window.show()
    yield window
    dock.desk.session.training.state.end("")
    window.close()
    window.deleteLater()


def put_into(window: QMainWindow, dock: AnnotateDock) -> None:
    frame = QDockWidget(window)
    frame.setWidget(dock)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, frame)
    frame.show()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the answers to the questions to come; each is taken once."""
    left: list[str] = []

    def answer(box: QMessageBox) -> int:
        wanted = left.pop(0)
        next(b for b in box.findChildren(QPushButton) if b.text().replace("&", "") == wanted).click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec", answer)
    return left


def test_closing_the_last_dock_asks_and_brings_it_back(
    host: HostWindow, small_project: Path, answers: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    dock, desk = host.dock, host.dock.desk
    desk.session.open(small_project, annotator="Ada")
    desk.session.training.state.begin("train")
    monkeypatch.setattr(desk, "show_again", lambda one: put_into(host, one))
    answers[:] = ["Keep working"]
    dock.setParent(None)  # as the × of napari's dock does
    QApplication.processEvents()
    assert not answers
    assert dock.isVisible()
    assert desk.session.training.state.busy
    assert desk.session.project is not None
    answers[:] = ["Stop and close"]
    dock.setParent(None)
    QApplication.processEvents()
    assert not answers
    assert desk.session.project is None


def test_every_way_to_close_the_window_asks_our_question_once(host: HostWindow, answers: list[str]) -> None:
    host.dock.desk.session.training.state.begin("train")
    ways = {
        "Ctrl+Q": lambda: host.close(quit_app=True, confirm_need=True),
        "by a program": lambda: host.close(),
        "Qt": lambda: QWidget.close(host),
        "title bar": lambda: QApplication.sendEvent(host, QCloseEvent()),
    }
    for name, way in ways.items():
        answers[:] = ["Keep working"]
        way()
        QApplication.processEvents()
        assert not answers, name
        assert host.isVisible(), name
        assert not host.how, name
    answers[:] = ["Stop and close"]
    host.close(quit_app=True, confirm_need=True)
    assert host.how == [{"quit_app": True, "confirm_need": False}]
    assert not host.isVisible()
    assert host.dock.desk.session.training.process is None


def test_an_area_that_is_not_closed_is_not_lost_without_a_word(
    host: HostWindow, small_project: Path, answers: list[str]
) -> None:
    desk = host.dock.desk
    assert desk.session.open(small_project, annotator="Ada")
    desk.commands.run("tool.region")
    mouse = Mouse(desk.viewer)
    for corner in ((5.0, 5.0), (50.0, 5.0)):
        mouse.click(*corner)
    assert what_would_end(desk) == [], "two corners are no area"
    mouse.click(50.0, 50.0)
    assert what_would_end(desk) == [
        "The area that you are drawing is not closed yet: if you close, it is lost."
    ]
    for way in (host.close, lambda: desk.commands.run("project.close")):
        answers[:] = ["Keep working"]
        way()
        assert not answers
        assert host.isVisible()
        assert desk.session.project is not None
    desk.finish_drawing()
    assert len(desk.session.marks.regions) == 1
    assert what_would_end(desk) == []


def test_a_dialog_whose_window_is_closed_by_a_program_is_answered_with_nothing(qtbot: QtBot) -> None:
    window = QWidget()
    dialog = QDialog(window)
    QVBoxLayout(dialog).addWidget(QPushButton("OK"))
    QTimer.singleShot(20, lambda: sip.delete(window))
    assert run_dialog(dialog, lambda: "answered") is None


def test_where_nothing_is_at_work_napari_closes_as_it_does(host: HostWindow) -> None:
    host.close(quit_app=True, confirm_need=True)
    assert host.how == [{"quit_app": True, "confirm_need": True}]
    assert not host.isVisible()


class Slow:
    """A function that takes as long as one wants."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        self._work = work

    def __call__(self, *arguments: Any) -> Any:
        self.begun.set()
        self.go_on.wait(60)
        return self._work(*arguments)


def test_closing_waits_for_nothing_that_only_reads(
    dock: AnnotateDock, small_project: Path, monkeypatch: pytest.MonkeyPatch, qtbot: QtBot
) -> None:
    waited = {}
    reads = [Slow(lambda: None), Slow(gallery_reader.read_items)]
    monkeypatch.setattr(gallery_reader, "read_items", reads[1])
    desk = dock.desk
    assert desk.session.open(small_project, annotator="Ada")
    reader = desk.session.label_errors.reader
    assert isinstance(reader, LabelErrorThread)
    monkeypatch.setattr(label_error_reader, "label_errors", lambda _project: reads[0]())
    reader.read(small_project, 1, lambda _found: None)
    desk.gallery.open()
    qtbot.waitUntil(lambda: all(slow.begun.is_set() for slow in reads))
    join = threading.Thread.join

    def joined(thread: threading.Thread, timeout: float | None = None) -> None:
        waited[thread] = 60 if timeout is None else timeout
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", joined)
    dock.release()
    monkeypatch.undo()
    assert {"label_errors", "gallery"} <= {thread.name for thread in waited}
    assert sum(waited.values()) < 0.5, "the window is gone at once"
    for slow in reads:
        slow.go_on.set()
    for thread in waited:
        thread.join(60)


def test_of_the_gallery_nothing_arrives_that_is_read_after_it_was_closed(
    small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived: list[object] = []
    slow = Slow(gallery_reader.read_items)
    monkeypatch.setattr(gallery_reader, "read_items", slow)
    reader = gallery_reader.GalleryReader(
        small_project, 1, 64, lambda *items: arrived.append(items), arrived.append, arrived.append
    )
    reader.start()
    reader.read(None)
    assert slow.begun.wait(60)
    reader.stop()
    slow.go_on.set()
    reader.join(60)
    assert not reader.is_alive()
    assert not arrived
