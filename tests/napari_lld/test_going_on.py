"""From cell to cell without a key: the next comes by itself, and values are copied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session.session import Session

from .conftest import listen


def test_after_the_last_value_the_next_incomplete_cell_comes(session: Session) -> None:
    later = session.boxes.add((60, 60, 20, 20))
    first = session.boxes.add((10, 10, 20, 20))
    session.labels.set_class("Neutrophil")
    for _ in range(6):
        session.labels.set_value_number(1)
    assert session.selection.cell is not None
    assert session.selection.cell.id == first
    session.labels.set_value_number(1)
    assert session.selection.cell.id == later
    assert session.selection.caret == 0
    session.history.undo()  # goes back to the cell whose value it takes
    assert session.selection.cell.id == first


def test_a_cell_without_a_class_keeps_the_place(session: Session) -> None:
    session.boxes.add((60, 60, 20, 20))
    first = session.boxes.add((10, 10, 20, 20))
    for _ in range(7):
        session.labels.set_value_number(1)
    assert session.selection.cell is not None
    assert session.selection.cell.id == first


def test_class_and_values_are_copied_from_the_cell_before(session: Session) -> None:
    told = listen(session)
    session.boxes.add((10, 10, 20, 20))
    session.labels.copy_previous()
    assert "nothing to copy" in told[-1]
    session.labels.set_class("Monocyte")
    session.labels.set_value_number(2)
    session.fields.next()
    session.boxes.add((30, 30, 20, 20))
    session.labels.copy_previous()
    assert session.selection.cell is not None
    assert session.selection.cell.cell_class == "Monocyte"
    assert dict(session.selection.cell.attributes) == {"cell_size": "medium"}
    assert session.selection.caret == 1
    session.history.undo()  # one step
    assert session.selection.cell.cell_class is None


def test_copying_fills_what_is_missing_and_leaves_what_was_given(session: Session) -> None:
    """L had overwritten a class that was given a second before."""
    told = listen(session)
    session.boxes.add((10, 10, 20, 20))
    session.labels.set_class("Monocyte")
    session.labels.set_value_number(2)
    session.labels.set_value_number(1)
    before = dict(session.selection.cell.attributes) if session.selection.cell else {}
    session.boxes.add((60, 60, 20, 20))
    session.labels.set_class("Neutrophil")
    session.labels.set_value_number(1)
    session.labels.copy_previous()
    assert session.selection.cell is not None
    assert session.selection.cell.cell_class == "Neutrophil"
    assert dict(session.selection.cell.attributes) == {**before, "cell_size": "small"}
    session.labels.copy_previous()
    assert "Nothing to fill in" in told[-1]
    session.history.undo()
    assert dict(session.selection.cell.attributes) == {"cell_size": "small"}
    session.labels.set_class("None")  # an artefact, without values
    session.boxes.add((40, 5, 20, 20))
    session.labels.set_value_number(3)
    session.labels.copy_previous()
    assert session.selection.cell.cell_class is None, "an artefact's class would take the value away"
    assert dict(session.selection.cell.attributes) == {"cell_size": "large"}


def test_copying_onto_a_suggestion_takes_all(session: Session, suggest: Callable[[Path], list[int]]) -> None:
    assert session.project is not None
    session.boxes.add((30, 60, 20, 20))
    session.labels.set_class("Monocyte")
    suggest(session.project.path)
    session.refresh()
    session.review.next()
    session.labels.copy_previous()
    assert session.selection.cell is not None
    assert session.selection.cell.cell_class == "Monocyte"


def test_a_cell_out_of_sight_is_brought_into_view(small_project: Path, qtbot: QtBot, no_leaks: None) -> None:
    viewer = ViewerModel()
    dock = AnnotateDock(viewer)
    qtbot.addWidget(dock)
    session = dock.desk.session
    session.open(small_project)
    session.boxes.add((90, 70, 20, 20))
    viewer.scene.camera.zoom = 20
    viewer.scene.camera.center = (0, 10, 10)
    session.selection.went_on.emit()
    assert viewer.scene.camera.center[-2:] == pytest.approx((80, 100))
    dock.release()
