"""The whole way of instant learning with the real process: a label, and the screen."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot

from annotation_store import Project
from napari_lld import sample
from napari_lld.session.session import Session
from napari_lld.tasks.assistant_process import AssistantProcess
from training.client import run_worker
from training.protocol import PredictRequest


@pytest.fixture
def no_warm_worker() -> None:
    """Here it is what is tested."""


@pytest.fixture
def session(tmp_path: Path, qtbot: QtBot) -> Iterator[Session]:
    folder = tmp_path / "project"
    images = sorted(Path(sample.__file__).parent.rglob("*.jpg"))[:3]
    with Project.create(folder, annotator="Ada") as project:
        project.fields.add(images)
    run_worker(PredictRequest(project=str(folder), annotator="Ada"))
    session, process = Session(), AssistantProcess()
    session.assistant.process = process
    assert session.open(folder, annotator="Ada")
    yield session
    session.close()
    process.close()


def test_a_label_changes_what_is_pending_on_the_screen_and_a_drawn_box_is_described(
    session: Session, qtbot: QtBot
) -> None:
    first, *rest = session.suggestions.shown
    session.selection.select("suggestion", first.id)
    session.labels.set_class("Lymphoblast")  # a class that the starter never saw
    session.selection.select("suggestion", rest[0].id)

    def learnt() -> bool:
        return any("Lymphoblast" in s.proposal.class_probabilities for s in session.marks.waiting)

    qtbot.waitUntil(learnt, timeout=60_000)
    assert session.selection.suggestion == rest[0]  # what is looked at has not changed
    assert {s.id for s in session.marks.waiting} == {s.id for s in rest}
    x, y, w, h = rest[0].box
    session.boxes.add((x + 1, y + 1, w - 2, h - 2))
    qtbot.waitUntil(lambda: session.candidates.open, timeout=60_000)
    assert len(session.candidates.classes) == 3
