"""When a training process is made ready, and where that is told and switched off."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_lld.controllers.dock import AnnotateDock
from napari_lld.tasks.training_process import TrainingProcess
from napari_lld.widgets.training.rounds_menu import RoundsMenu


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []
    for name in ("warm_up", "cool_down"):
        monkeypatch.setattr(TrainingProcess, name, lambda _self, name=name: made.append(name))
    return made


def test_a_worker_is_made_ready_for_who_labels_not_for_who_looks(
    dock: AnnotateDock, small_project: Path, calls: list[str]
) -> None:
    session, services = dock.desk.session, dock.desk.services
    services._look()  # no project
    session.open(small_project)
    assert services._looking.isActive()  # soon, not while the project opens
    services._look()
    assert calls == []  # nothing to learn from
    session.regions.add_whole_field()
    services._look()
    assert calls == ["warm_up"]


def test_who_opens_the_models_tab_finds_a_worker_ready(
    dock: AnnotateDock, small_project: Path, calls: list[str]
) -> None:
    dock.desk.session.open(small_project)
    dock.show_count_tab()
    assert calls == []
    dock.show_model_tab()
    assert calls == ["warm_up"]


def test_the_menu_says_what_a_ready_worker_holds_and_lets_it_go(
    dock: AnnotateDock, small_project: Path, calls: list[str]
) -> None:
    session = dock.desk.session
    session.open(small_project)
    menu = RoundsMenu(session, dock.desk.commands, dock)

    def ready() -> object:
        menu.fill()
        return next(action for action in menu.actions() if action.text().startswith("Keep the training"))

    assert ready().text() == "Keep the training process ready"
    session.training.state.worker_waits(870_000_000)
    assert "0.9 GB of memory" in ready().text()
    ready().trigger()
    assert calls == ["cool_down"]
    assert not session.preferences.ready
    dock.show_model_tab()
    assert calls == ["cool_down"]
    ready().trigger()
    assert calls == ["cool_down", "warm_up"]
