"""Accepting all suggestions at once: only where the model has earned it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton

from annotation_store import Project, Proposal
from napari_lld.widgets import DeskDock


def with_model(folder: Path, held_out: dict[str, Any] | None) -> None:
    with Project.open(folder, annotator="model") as project:
        number = project.new_model_id()
        project.model_folder(number).mkdir(parents=True, exist_ok=True)
        card = {"metrics": {"held_out": held_out}}
        project.add_model(number, parent="starter", card=card, activate=True)
        proposals = [Proposal((30.0 * i, 10.0, 20.0, 20.0), 0.9 - 0.2 * i) for i in range(3)]
        project.suggest(project.fields()[0].id, proposals, model_id=number)


def the_button(dock: DeskDock) -> QToolButton:
    button = dock.findChild(QToolButton, "lld_suggestion.accept_all")
    assert button is not None
    return button


def test_a_sure_model_s_suggestions_are_accepted_and_undone_at_once(
    dock: DeskDock, small_project: Path, qtbot: QtBot
) -> None:
    with_model(
        small_project, {"written": {"threshold": 0.5, "right": 297, "of": 300, "classes": {"": [297, 300]}}}
    )
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    session.threshold = 0.6
    qtbot.wait(100)
    assert len(session.suggestions) == 2
    qtbot.mouseClick(the_button(dock), Qt.MouseButton.LeftButton)
    assert len(session.cells) == 2
    assert session.pending == 1  # what is below the threshold still waits
    session.undo()
    assert not session.cells
    assert session.pending == 3


def test_other_models_must_be_looked_at_one_by_one(dock: DeskDock, small_project: Path, qtbot: QtBot) -> None:
    with_model(
        small_project, {"written": {"threshold": 0.5, "right": 39, "of": 40, "classes": {"": [39, 40]}}}
    )
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    session.threshold = 0.6
    qtbot.wait(100)
    button = the_button(dock)
    assert not button.isEnabled()
    assert "39 of 40 held-out suggestions" in button.toolTip()
    assert session.accept_all() == []
    assert not session.cells
