"""Curves and models in a window of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu

from annotation_store import Project
from napari_lld.session.model_facts import rollback
from napari_lld.session.session import Session
from napari_lld.widgets.base.theme import colours
from napari_lld.widgets.training.training_window import TrainingWindow


def add_model(project: Project, ap50: float, *, parent: str = "starter", why: str | None = None) -> int:
    number = project.models.reserve_id()
    project.models.folder(number).mkdir(parents=True, exist_ok=True)
    card = {"metrics": {"held_out": {"cells": 41, "ap50": ap50}}, "why_not_active": why}
    project.models.add(number, parent=parent, card=card, activate=why is None)
    return number


@pytest.fixture
def session(small_project: Path) -> Iterator[Session]:
    session = Session()
    session.open(small_project)
    yield session
    session.close()


@pytest.fixture
def window(session: Session, qtbot: QtBot) -> Iterator[TrainingWindow]:
    window = TrainingWindow(session, colours())
    window.show()
    yield window
    window.close()
    qtbot.wait(10)


def progress(at: float) -> SimpleNamespace:
    losses = {"box": 1.0 / (1 + at), "describer": 2.0}
    return SimpleNamespace(type="progress", stage="train", done=1, total=9, seconds_left=1.0, losses=losses)


def test_losses_are_drawn_while_it_trains(window: TrainingWindow, session: Session, qtbot: QtBot) -> None:
    session.training.state.begin("train")
    for at in range(5):
        session.training.state.receive(progress(at))
    qtbot.waitUntil(lambda: len(window.losses.listDataItems()) == 2, timeout=3000)
    assert [len(curve.xData) for curve in window.losses.listDataItems()] == [5, 5]
    session.training.state.begin("train")
    window.draw_losses()
    assert not window.losses.listDataItems()


def test_models_stand_side_by_side_with_why_one_was_not_promoted(
    window: TrainingWindow, session: Session, qtbot: QtBot
) -> None:
    assert session.project is not None
    first = add_model(session.project, 0.71)
    second = add_model(session.project, 0.62, why="It is worse on the held-out cells.")
    assert window.table.rowCount() == 2
    window.table.selectRow(0)
    assert window.table.item(0, 0).text() == str(second)  # type: ignore[union-attr]
    assert "It is worse on the held-out cells." in window.about.text()
    (curve,) = window.held_out.listDataItems()
    assert list(curve.yData) == [0.71, 0.62]
    qtbot.mouseClick(window.activate, Qt.MouseButton.LeftButton)
    assert session.project.models.active().id == second  # type: ignore[union-attr]
    assert window.back.text() == f"Roll back to model {first}"
    qtbot.mouseClick(window.back, Qt.MouseButton.LeftButton)
    assert session.project.models.active().id == first  # type: ignore[union-attr]
    assert window.back.text() == "Roll back to the starter"
    qtbot.mouseClick(window.back, Qt.MouseButton.LeftButton)
    assert session.project.models.active() is None
    assert not window.back.isEnabled()


def test_rolling_back_goes_to_the_parent_and_never_to_a_refused_model(session: Session) -> None:
    project = session.project
    assert project is not None
    first = add_model(project, 0.7)
    add_model(project, 0.7)
    add_model(project, 0.5, why="worse")
    child = add_model(project, 0.8, parent=str(first))
    back = rollback(project.models.all())
    assert back is not None
    assert back.model is not None
    assert back.model.id == first
    project.models.activate(2)
    assert child != 2


def test_opening_the_desk_imports_no_plotting() -> None:
    code = "import sys, napari_lld.widgets; print('pyqtgraph' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False"]


def test_no_menu_lies_open_on_the_curves(window: TrainingWindow) -> None:
    menus = window.findChildren(QMenu)
    assert menus  # kept as children, so that they go with the window
    assert not any(menu.isVisible() for menu in menus)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_curves_are_told_apart_and_seen(session: Session, theme: str) -> None:
    from napari_lld.layers.palette import contrast

    window = TrainingWindow(session, colours(theme))
    pens = [window._pen(index) for index in range(24)]
    assert len({(pen["color"], pen["style"]) for pen in pens}) == 24
    assert len({pen["color"] for pen in pens[:6]}) == 6
    assert all(contrast(pen["color"], colours(theme).raised.name()) >= 3 for pen in pens)
    window.close()
