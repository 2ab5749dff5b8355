"""Training and predicting on other computers: an address of the user's, checked, and told to requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel

from annotation_store import Project
from annotation_store.errors import LLDError
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session import cluster as module
from napari_lld.session import user_state
from napari_lld.session.session import Session
from napari_lld.tasks import actions
from napari_lld.widgets.dialogs import dialogs
from napari_lld.widgets.training.rounds_menu import RoundsMenu
from napari_lld.widgets.training.training_panel import TrainingPanel
from training.cluster import reach as reaching
from training.cluster import stain, units
from training.cluster.reach import Reached
from training.protocol import Progress
from training.ranking import embed_by_stain

ADDRESS = "tcp://10.0.0.5:8786"


class Trainer:
    """Keeps the requests."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def start(self, request: Any) -> None:
        """Keep one."""
        self.asked.append(request)

    def cancel(self) -> None:
        """Stop nothing."""


def ready(session: Session, project: Path) -> Trainer:
    """Open a project in which one can train, with a trainer that only listens."""
    trainer = session.training.process = Trainer()
    assert session.open(project, annotator="Ada")
    session.regions.add_whole_field()
    return trainer


def ask_all(session: Session) -> None:
    """Ask for one task of each kind."""
    for ask in (
        lambda: session.training.rounds.train(budget=60.0),
        session.training.suggest,
        lambda: session.training.count_slide(1, 200),
    ):
        ask()
        session.training.state.end("")


def found(session: Session, what: Reached | str) -> None:
    """Answer each check at once."""

    def check(_address: str, then: Callable[[Any], None], failed: Callable[[str], None]) -> None:
        failed(what) if isinstance(what, str) else then(what)

    session.training.cluster.check = check


def test_all_tasks_are_done_by_the_cluster_of_the_preferences(
    new_session: Session, small_project: Path
) -> None:
    trainer = ready(new_session, small_project)
    ask_all(new_session)
    new_session.preferences.scheduler = f" {ADDRESS} "
    ask_all(new_session)
    assert [one.scheduler for one in trainer.asked] == [None] * 3 + [ADDRESS] * 3
    assert [one.task for one in trainer.asked] == ["train", "predict", "differential"] * 2


def test_where_no_worker_may_train_this_computer_does(new_session: Session, small_project: Path) -> None:
    trainer = ready(new_session, small_project)
    found(new_session, Reached(workers=2, training=0))
    new_session.preferences.scheduler = ADDRESS
    new_session.training.cluster.look()
    assert "2 workers. None of them may train" in new_session.training.cluster.sentence
    ask_all(new_session)
    assert [one.scheduler for one in trainer.asked] == [None, ADDRESS, ADDRESS]
    found(new_session, Reached(workers=2, training=1))
    new_session.training.cluster.look()
    ask_all(new_session)
    assert [one.scheduler for one in trainer.asked[3:]] == [ADDRESS] * 3


def test_without_the_extra_nothing_is_sent_anywhere_and_a_sentence_says_how_to_install_it(
    new_session: Session, small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = ready(new_session, small_project)
    new_session.preferences.scheduler = ADDRESS
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    ask_all(new_session)
    assert [one.scheduler for one in trainer.asked] == [None] * 3
    assert 'pip install "napari-lld[cluster]"' in new_session.training.cluster.sentence


def entry(dock: AnnotateDock) -> Any:
    menu = RoundsMenu(dock.desk.session, dock.desk.commands, dock)
    menu.fill()
    return next(action for action in menu.actions() if action.text().startswith("Compute on "))


def told(session: Session) -> list[tuple[str, str]]:
    heard: list[tuple[str, str]] = []
    session.notice.connect(lambda level, sentence: heard.append((level, sentence)))
    return heard


def test_an_address_is_checked_beside_the_window_and_what_it_has_is_told(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = dock.desk.session
    heard = told(session)
    answers: dict[str, Reached] = {ADDRESS: Reached(workers=3, training=1)}

    def reach(address: str) -> Reached:
        if address not in answers:
            raise LLDError(f"The scheduler {address} does not answer.")
        return answers[address]

    monkeypatch.setattr(reaching, "reach", reach)
    assert entry(dock).text() == "Compute on other computers …"
    monkeypatch.setattr(dialogs, "ask_scheduler", lambda _address, _parent: ADDRESS)
    entry(dock).trigger()
    qtbot.waitUntil(lambda: heard == [("info", f"Models run on {ADDRESS}, with 3 workers.")])
    assert session.preferences.scheduler == ADDRESS
    assert entry(dock).text() == f"Compute on {ADDRESS} …"
    assert entry(dock).isChecked()
    monkeypatch.setattr(dialogs, "ask_scheduler", lambda _address, _parent: "tcp://nobody:1")
    entry(dock).trigger()
    qtbot.waitUntil(lambda: heard[1:] == [("warning", "The scheduler tcp://nobody:1 does not answer.")])
    assert entry(dock).toolTip() == "The scheduler tcp://nobody:1 does not answer."
    monkeypatch.setattr(dialogs, "ask_scheduler", lambda _address, _parent: "")
    entry(dock).trigger()
    assert not entry(dock).isChecked()
    assert session.training.cluster.sentence == "Models run on this computer."


def test_an_address_written_in_napari_s_preferences_is_checked_once_it_is_whole(
    dock: AnnotateDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(reaching, "reach", lambda address: asked.append(address) or Reached(1, 1))
    for length in (3, 8, len(ADDRESS)):
        dock.desk.session.preferences.scheduler = ADDRESS[:length]
    qtbot.waitUntil(lambda: asked == [ADDRESS])


def test_the_status_says_where_a_task_runs(dock: AnnotateDock, small_project: Path) -> None:
    session = dock.desk.session
    ready(session, small_project)
    session.preferences.scheduler = ADDRESS
    session.training.suggest()
    session.training.state.receive(Progress(stage="suggest", done=1, total=3))
    panel = dock.findChild(TrainingPanel)
    panel.refresh()
    assert f"Looking for cells 1/3 · on {ADDRESS}" in [label.text() for label in panel.findChildren(QLabel)]


def test_without_the_extra_the_entry_tells_how_to_install_it(
    dock: AnnotateDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = told(dock.desk.session)
    monkeypatch.setattr(module, "find_spec", lambda _name: None)
    assert entry(dock).text() == "Compute on other computers (not installed) …"
    entry(dock).trigger()
    assert "pip install" in heard[0][1]
    assert dock.desk.session.preferences.scheduler == ""


def test_the_first_order_of_fields_is_worked_out_on_the_cluster_and_can_be_stopped(
    small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    @contextmanager
    def on_cluster(scheduler: str, workers: int | None, **more: Any) -> Iterator[Any]:
        asked.append((scheduler, workers))
        yield more["check"]

    def look_on(check: Any, project: Project, progress: Any) -> Any:
        found = embed_by_stain(project, progress=progress)
        check()
        return found

    monkeypatch.setattr(units, "on_cluster", on_cluster)
    monkeypatch.setattr(stain, "look_on", look_on)
    told: list[tuple[int, int]] = []
    actions.rank_fields(
        small_project, 1, lambda *steps: told.append(steps), annotator="Ada", scheduler=ADDRESS
    )
    assert asked == [(ADDRESS, None)]
    assert told[-1] == told[-2] == (2, 2), "a check tells what was told last: it may end the work"
    with Project.open(small_project, annotator="Ada") as project:
        assert project.rankings.latest_facts() is not None


def test_the_address_is_the_user_s_and_does_not_stand_in_the_project(
    new_session: Session, small_project: Path
) -> None:
    new_session.preferences.scheduler = ADDRESS
    ready(new_session, small_project)
    new_session.close()
    assert ADDRESS not in repr(user_state.recall_project(small_project))
    assert all(
        ADDRESS.encode() not in file.read_bytes() for file in small_project.iterdir() if file.is_file()
    )
