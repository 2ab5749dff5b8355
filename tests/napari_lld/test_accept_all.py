"""Accepting all suggestions at once: only where the model has earned it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton

from annotation_store import Project, Proposal
from napari_lld.controllers.dock import AnnotateDock


def with_model(folder: Path, **bulk: Any) -> None:
    with Project.open(folder, annotator="model") as project:
        number = project.models.reserve_id()
        project.models.folder(number).mkdir(parents=True, exist_ok=True)
        card = {"metrics": {"held_out": {"cells": 300}, "bulk": bulk}}
        project.models.add(number, parent="starter", card=card, activate=True)
        proposals = [Proposal((30.0 * i, 10.0, 20.0, 20.0), 0.9 - 0.2 * i) for i in range(3)]
        project.suggestions.replace(project.fields.all()[0].id, proposals, model_id=number)


def the_button(dock: AnnotateDock) -> QToolButton:
    button = dock.findChild(QToolButton, "lld_suggestion.accept_all")
    assert button is not None
    return button


def test_a_sure_model_s_suggestions_are_accepted_and_undone_at_once(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    with_model(small_project, least=0.65, units=30, of=300, wrong=3, classes={"": [297, 300]})
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    session.marks.threshold = 0.6
    qtbot.wait(100)
    assert len(session.suggestions.shown) == 2
    qtbot.mouseClick(the_button(dock), Qt.MouseButton.LeftButton)
    assert len(session.marks.cells) == 2
    assert session.marks.pending == 1  # what is below the threshold still waits
    session.history.undo()
    assert not session.marks.cells
    assert session.marks.pending == 3


def test_other_models_must_be_looked_at_one_by_one(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    with_model(small_project, least=None, units=8, of=40, wrong=1, classes={})
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    session.marks.threshold = 0.6
    qtbot.wait(100)
    button = the_button(dock)
    assert not button.isEnabled()
    assert "1 of 40 held-out suggestions of 8 patients" in button.toolTip()
    assert session.bulk_accept.accept_all() == []
    assert not session.marks.cells


def test_with_too_few_patients_the_window_says_that_nothing_can_be_promised(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    with_model(small_project, least=None, units=3, of=0, wrong=0, classes={})
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    qtbot.wait(100)
    button = the_button(dock)
    assert not button.isEnabled()
    assert "of 3 patients" in button.toolTip()
    assert "guarantee nothing" in button.toolTip()
