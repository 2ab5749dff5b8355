"""Suggestions in two queues; what a model was never taught; newer models; what was earned, by class."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QToolButton

from annotation_store import Project, Proposal
from annotation_store.records import RejectionReason, SuggestionState
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.layers.layer_set import SUGGESTION_LETTERS
from napari_lld.widgets.base.choice_button import ChoiceButton
from training.ranking.cells import Queue

from .conftest import listen


def at(x: float, confidence: float, **classes: float) -> Proposal:
    return Proposal((x, 10.0, 20.0, 20.0), confidence, classes)


def propose(folder: Path, *proposals: Proposal, field: int = 0, card: dict[str, Any] | None = None) -> None:
    with Project.open(folder, annotator="model") as project:
        number = project.models.reserve_id()
        project.models.folder(number).mkdir(parents=True, exist_ok=True)
        project.models.add(number, parent="starter", card=card or {}, activate=True)
        project.suggestions.replace(project.fields.all()[field].id, proposals, model_id=number)


def test_fast_accept_begins_with_the_surest_teach_me_with_what_teaches_most(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    propose(
        small_project,
        at(5, 0.9, Monocyte=0.99, Neutrophil=0.01),
        at(35, 0.8, Monocyte=0.5, Neutrophil=0.5),
        at(65, 0.7, Monocyte=0.8, Neutrophil=0.2),
    )
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    assert session.suggestions.queue is Queue.ACCEPT
    assert [s.confidence for s in session.suggestions.shown] == [0.9, 0.7, 0.8], "0.89, 0.56, 0.4"
    queue = dock.findChild(QComboBox, "lld_queue")
    assert queue is not None
    queue.setCurrentIndex(1)
    queue.activated.emit(1)
    assert session.suggestions.queue is Queue.TEACH
    assert [s.confidence for s in session.suggestions.shown] == [0.8, 0.7, 0.9]
    assert session.selection.suggestion is not None
    assert session.selection.suggestion.confidence == 0.8
    session.review.accept()
    assert session.selection.suggestion is not None
    assert session.selection.suggestion.confidence == 0.7, "the queue goes on in its order"
    dock.desk.commands.run("suggestion.queue")
    assert [s.confidence for s in session.suggestions.shown] == [0.9, 0.7]


def test_the_next_suggestion_is_on_the_next_field_once_none_is_left_here(
    dock: AnnotateDock, small_project: Path
) -> None:
    propose(small_project, at(5, 0.9, Monocyte=1.0))
    propose(small_project, at(5, 0.8, Monocyte=1.0), at(50, 0.1, Monocyte=1.0), field=1)
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    first = session.fields.current_id
    session.review.next()
    session.review.accept()
    assert session.fields.current_id == first
    session.review.next()
    assert session.fields.current_id != first
    assert session.selection.suggestion is not None
    assert session.selection.suggestion.confidence == 0.8
    session.review.reject(RejectionReason.BAD_BOX)
    session.review.next()
    assert session.selection.suggestion is None, "what is below the threshold does not wait"


def test_what_the_model_was_never_taught_is_a_dash_not_a_zero(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    said = {"cell_size": {"small": 0.999, "medium": 0.001}}
    propose(small_project, Proposal((5, 5, 20, 20), 0.9, {"Monocyte": 0.9, "Neutrophil": 0.1}, said))
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    session.review.next()
    qtbot.wait(50)

    def aside(name: str) -> str:
        button = dock.findChild(ChoiceButton, name)
        assert button is not None
        return button.aside

    assert aside("lld_class_Monocyte") == "81%", "a white cell at 90%, of them a monocyte at 90%"
    assert aside("lld_class_Basophil") == "–"
    assert aside("lld_class_blast") != "–", "a group is for people"
    assert aside("lld_value_cell_size_small") == "100%"
    assert aside("lld_value_cell_size_medium") == "<1%"
    assert aside("lld_value_cell_size_large") == "–"
    assert aside("lld_value_nucleolus_prominent") == "–"
    session.review.accept()
    session.selection.select("cell", session.marks.cells[0].id)
    qtbot.wait(50)
    assert aside("lld_value_cell_size_large") == "3", "of a cell the key is shown again"


def test_a_newer_model_replaces_what_waits_and_never_what_was_touched(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]]
) -> None:
    accepted, rejected, waiting = suggest(small_project)
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    session.selection.select("suggestion", accepted)
    session.review.accept()
    session.selection.select("suggestion", rejected)
    session.review.reject(RejectionReason.DUPLICATE)
    assert session.project is not None
    cells = session.marks.cells
    propose(small_project, at(10, 0.95, Monocyte=1.0))
    session.refresh()
    assert [s.confidence for s in session.suggestions.shown] == [0.95]
    states = [session.project.suggestions.get(i).state for i in (accepted, rejected, waiting)]
    assert states == [SuggestionState.ACCEPTED, SuggestionState.REJECTED, SuggestionState.SUPERSEDED]
    assert session.marks.cells == cells


def test_accept_all_takes_the_classes_that_were_earned_and_says_which(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    classes = {"Neutrophil": [200, 201], "Monocyte": [17, 20]}
    bulk = {"least": 0.5, "units": 20, "of": 221, "wrong": 3, "classes": classes}
    propose(
        small_project,
        at(5, 0.9, Neutrophil=1.0),
        at(35, 0.8, Neutrophil=1.0),
        at(65, 0.8, Monocyte=1.0),
        card={"metrics": {"held_out": {"cells": 221}, "bulk": bulk}},
    )
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    session.marks.threshold = 0.6
    qtbot.wait(50)
    button = dock.findChild(QToolButton, "lld_suggestion.accept_all")
    assert button is not None
    assert button.isEnabled()
    assert "Accepts: Neutrophil 2." in button.toolTip()
    assert "Skips: Monocyte 1. Monocyte: correct in 17 of 20" in button.toolTip()
    told = listen(session)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert [cell.cell_class for cell in session.marks.cells] == ["Neutrophil", "Neutrophil"]
    assert session.marks.pending == 1
    assert "1 is skipped: Monocyte: correct in 17 of 20" in told[-1]
    session.history.undo()
    assert session.marks.pending == 3


def test_a_blind_reader_is_led_to_no_suggestion(dock: AnnotateDock, small_project: Path) -> None:
    propose(small_project, at(5, 0.9, Monocyte=1.0), field=1)
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    assert session.project is not None
    session.project.readings.use(session.project.readings.add("second", blind=True).id)
    before = session.fields.current_id
    session.review.next()
    assert session.fields.current_id == before
    session.fields.next()
    assert not session.suggestions.shown
    assert session.bulk_accept.accept_all() == []


def test_everything_goes_by_the_probability_of_what_accepting_writes(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    """An E that is a white cell for certain and an eosinophil at 35% stood on the canvas as *E 100%*."""
    vague = {"Eosinophil": 0.35, "Neutrophil": 0.33, "Monocyte": 0.32}
    propose(small_project, at(5, 1.0, **vague), at(40, 0.8, Monocyte=0.9, Neutrophil=0.1), at(70, 0.6))
    with Project.open(small_project) as project:
        assert [s.probability for s in project.suggestions.find()] == pytest.approx([0.72, 0.6, 0.35])
        first = project.fields.all()[0].id
        assert project.suggestions.fields(0.72) == [first]
        assert project.suggestions.fields(0.73) == [], "that it is a cell is not what is asked"
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    session.marks.threshold = 0.3
    assert [s.probability for s in session.suggestions.shown] == pytest.approx([0.72, 0.6, 0.35])
    letters = dock.desk.viewer.layers[SUGGESTION_LETTERS].features["text"]
    assert list(letters) == ["M 72%", "60%", "E 35%"]
    session.selection.select("suggestion", session.suggestions.shown[-1].id)
    qtbot.wait(50)
    assert any(one.text() == "Suggestion of model 1 · 35%" for one in dock.findChildren(QLabel))
    button = dock.findChild(ChoiceButton, "lld_class_Eosinophil")
    assert button is not None
    assert button.aside == "35%"
    session.marks.threshold = 0.4
    assert len(session.suggestions.shown) == 2
    assert session.selection.suggestion is None
