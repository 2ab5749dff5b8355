"""A differential on a whole slide in the window: asked for, counted, reviewed, counted anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication

from annotation_store import Project, Proposal
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.widgets.counts.slide_differential_window import SlideDifferentialWindow
from training.protocol import DifferentialRequest, Done, Progress

from .conftest import button, listen

SLIDE = 3
PLACES = [[0, 0, 300, 500]]
"""The left half is counted."""


class Trainer:
    """Takes requests, and answers none by itself."""

    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.cancelled = 0

    def start(self, request: Any) -> None:
        self.requests.append(request)

    def cancel(self) -> None:
        self.cancelled += 1


def result(to: int = 200) -> dict[str, Any]:
    return {
        "slide": "slide.tif",
        "field": SLIDE,
        "to": to,
        "counted": 4,
        "tiles": 2,
        "monolayer_tiles": 9,
        "share_read": 0.0625,
        "places": PLACES,
        "worth": {"Neutrophil": 1.0},
    }


def suggest(folder: Path) -> None:
    """Suggest three neutrophils, a lymphocyte, an artefact, an unknown cell, and what is not counted."""
    names = ["Neutrophil"] * 3 + ["Lymphocyte", "None", None]
    proposals = [
        Proposal(
            (20.0 + 40 * i, 40, 20, 20), 0.9, {name or "Neutrophil": 1.0}, novelty=0.5 if name else 0.001
        )
        for i, name in enumerate(names)
    ]
    proposals.append(Proposal((200, 200, 20, 20), 0.3, {"Neutrophil": 1.0}, novelty=0.5))  # not likely
    proposals.append(Proposal((400, 200, 20, 20), 0.9, {"Neutrophil": 1.0}, novelty=0.5))  # not read there
    with Project.open(folder, annotator="Ada") as project:
        project.suggestions.replace(SLIDE, proposals, model_id=None)


def rows(window: SlideDifferentialWindow) -> list[list[str]]:
    items = [window.table.topLevelItem(i) for i in range(window.table.topLevelItemCount())]
    return [[item.text(column) for column in range(4)] for item in items if item is not None]


@pytest.fixture
def window(dock: AnnotateDock, with_slide: Path) -> SlideDifferentialWindow:
    suggest(with_slide)
    session = dock.desk.session
    session.training.process = Trainer()
    session.open(with_slide, annotator="Ada")
    assert not dock.desk.commands.run("slide.differential"), "no slide is shown"
    session.fields.show(SLIDE)
    assert dock.desk.commands.run("slide.differential")
    made = dock.desk.slide_differential.window
    assert made is not None
    return made


def test_it_is_asked_for_counted_and_said_what_is_not_reviewed(
    dock: AnnotateDock, window: SlideDifferentialWindow, qtbot: QtBot
) -> None:
    session = dock.desk.session
    trainer: Any = session.training.process
    assert window.wanted == 200
    window.target.setCurrentText("many")
    window.count.click()
    assert not trainer.requests
    assert "200" in window.message.text()
    window.target.setCurrentText("150")
    window.count.click()
    (request,) = trainer.requests
    assert isinstance(request, DifferentialRequest)
    assert (request.field, request.to) == (SLIDE, 150)
    session.training.state.receive(Progress(stage="count", done=30, total=150))
    assert "30/150" in window.message.text()
    assert window.bar.value() == 200
    window.stop.click()
    assert trainer.cancelled == 1
    session.training.state.receive(Done(task="differential", model_id=7, result=result(150)))
    qtbot.waitUntil(lambda: bool(rows(window)), timeout=5000)
    assert rows(window)[0] == ["Neutrophil", "3", "75.0%", "19.4–99.4%"]
    assert [row[:2] for row in rows(window)[1:]] == [["Lymphocyte", "1"]]
    assert "4 of 150" in window.heading.text()
    assert "1 unknown, 1 artefact" in window.apart.text()
    assert "150,000 pixels" in window.where.text()
    assert "predictions of model 7 that nobody has reviewed" in window.trust.text()
    window.copy.click()
    clipboard = QApplication.clipboard()
    assert clipboard is not None
    assert "Neutrophil\t3\t75.0\t19.4\t99.4" in clipboard.text()
    assert "not reviewed\t6" in clipboard.text()
    assert "slide.tif" not in clipboard.text(), "a file's name may name a patient"
    session.fields.describe(pixel_size_um=0.5)
    qtbot.waitUntil(lambda: "0.04 mm²" in window.where.text(), timeout=5000)


def test_what_was_counted_is_reviewed_in_the_gallery_and_the_counts_follow(
    dock: AnnotateDock, window: SlideDifferentialWindow, qtbot: QtBot
) -> None:
    session = dock.desk.session
    session.training.state.begin("differential")
    session.training.state.receive(Done(task="differential", result=result()))
    qtbot.waitUntil(lambda: bool(rows(window)), timeout=5000)
    window.review.click()
    shown = dock.desk.gallery.window
    assert shown is not None
    gallery = shown.gallery
    qtbot.waitUntil(lambda: len(gallery.shown) == 6 and not gallery.reading, timeout=5000)
    assert {item.entry.box[1] for item in gallery.shown} == {40.0}, "what was not counted is not listed"
    lymphocyte = [item for item in gallery.shown if item.word == "Lymphocyte"]
    gallery.set_class(lymphocyte, "Monocyte")
    qtbot.waitUntil(lambda: "Monocyte" in [row[0] for row in rows(window)], timeout=5000)
    assert "5 of the 6" in window.trust.text()
    session.boxes.add((20, 300, 20, 20))  # one that the model has missed
    session.labels.set_class("Neutrophil")
    qtbot.waitUntil(lambda: rows(window)[0][:2] == ["Neutrophil", "4"], timeout=5000)
    back = button(shown, "gallery_all")
    assert back.isVisible()
    back.click()
    qtbot.waitUntil(lambda: len(gallery.shown) == 7 and not gallery.reading, timeout=5000)
    assert not back.isVisible()


def test_without_the_window_the_end_is_told_and_another_task_keeps_it_waiting(
    dock: AnnotateDock, window: SlideDifferentialWindow
) -> None:
    session = dock.desk.session
    session.training.state.begin("train")
    assert not window.count.isEnabled()
    assert "task is running" in window.message.text()
    session.training.state.end("")
    assert window.count.isEnabled()
    window.count.click()
    window.hide()
    told = listen(session)
    session.training.state.receive(Done(task="differential", result=result()))
    assert any("Ctrl+Shift+D" in dock.desk.commands.spelled(sentence) for sentence in told)
    session.fields.show(1)
    window.show()
    session.fields.show(2)
    assert not window.isVisible(), "another field is no slide"
