"""Closing the window while something is at work says what, how far, and what is lost."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QMessageBox, QPushButton, QWidget

from napari_lld.training_state import TrainingProgress
from napari_lld.widgets import DeskDock
from napari_lld.widgets.close_question import may_close, what_would_end


def test_nothing_at_work_asks_nothing(dock: DeskDock, small_project: Path) -> None:
    dock.desk.session.open(small_project, annotator="Ada")
    assert what_would_end(dock.desk) == []
    assert may_close(dock.desk, dock)


def test_a_training_says_how_far_it_is_and_what_is_lost(dock: DeskDock, small_project: Path) -> None:
    desk = dock.desk
    desk.session.open(small_project, annotator="Ada")
    desk.session.training.begin("train")
    assert what_would_end(desk)[0] == "Training: just begun."
    desk.session.training.progress = TrainingProgress("train", 30, 100)
    desk.around.rounds.queue.append(SimpleNamespace(title="later"))  # type: ignore[arg-type]
    first, lost, waiting = what_would_end(desk)
    assert first == "Training: 30% done."
    assert "what this training has learnt so far is lost. Earlier models stay." in lost
    assert waiting == "1 training that waits will not begin."
    desk.session.training.begin("predict")
    assert "fields it has not reached" in what_would_end(desk)[1]
    desk.around.rounds.queue.clear()
    desk.session.training.end("")


@pytest.mark.parametrize(("pressed", "closes"), [("Stop and close", True), ("Go on working", False)])
def test_the_answer_decides(
    pressed: str, closes: bool, dock: DeskDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
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
    assert shown == ["Exporting: is stopped. Nothing.\nAll that you annotated is saved."]
    go_on.set()
    qtbot.waitUntil(lambda: not desk.jobs.busy)
