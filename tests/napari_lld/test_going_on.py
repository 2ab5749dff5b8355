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
    later = session.add_box((60, 60, 20, 20))
    first = session.add_box((10, 10, 20, 20))
    session.set_class("Neutrophil")
    for _ in range(6):
        session.set_value_number(1)
    assert session.cell is not None
    assert session.cell.id == first
    session.set_value_number(1)
    assert session.cell.id == later
    assert session.caret == 0
    session.undo()  # goes back to the cell whose value it takes
    assert session.cell.id == first


def test_a_cell_without_a_class_keeps_the_place(session: Session) -> None:
    session.add_box((60, 60, 20, 20))
    first = session.add_box((10, 10, 20, 20))
    for _ in range(7):
        session.set_value_number(1)
    assert session.cell is not None
    assert session.cell.id == first


def test_class_and_values_are_copied_from_the_cell_before(session: Session) -> None:
    told = listen(session)
    session.add_box((10, 10, 20, 20))
    session.copy_previous()
    assert "nothing to copy" in told[-1]
    session.set_class("Monocyte")
    session.set_value_number(2)
    session.next_field()
    session.add_box((30, 30, 20, 20))
    session.copy_previous()
    assert session.cell is not None
    assert session.cell.cell_class == "Monocyte"
    assert dict(session.cell.attributes) == {"cell_size": "medium"}
    assert session.caret == 1
    session.undo()  # one step
    assert session.cell.cell_class is None


def test_copying_fills_what_is_missing_and_leaves_what_was_given(session: Session) -> None:
    """L had overwritten a class that was given a second before."""
    told = listen(session)
    session.add_box((10, 10, 20, 20))
    session.set_class("Monocyte")
    session.set_value_number(2)
    session.set_value_number(1)
    before = dict(session.cell.attributes) if session.cell else {}
    session.add_box((60, 60, 20, 20))
    session.set_class("Neutrophil")
    session.set_value_number(1)
    session.copy_previous()
    assert session.cell is not None
    assert session.cell.cell_class == "Neutrophil"
    assert dict(session.cell.attributes) == {**before, "cell_size": "small"}
    session.copy_previous()
    assert "Nothing to fill in" in told[-1]
    session.undo()
    assert dict(session.cell.attributes) == {"cell_size": "small"}
    session.set_class("None")  # an artefact, without values
    session.add_box((40, 5, 20, 20))
    session.set_value_number(3)
    session.copy_previous()
    assert session.cell.cell_class is None, "an artefact's class would take the value away"
    assert dict(session.cell.attributes) == {"cell_size": "large"}


def test_copying_onto_a_suggestion_takes_all(session: Session, suggest: Callable[[Path], list[int]]) -> None:
    assert session.project is not None
    session.add_box((30, 60, 20, 20))
    session.set_class("Monocyte")
    suggest(session.project.path)
    session.refresh()
    session.next_suggestion()
    session.copy_previous()
    assert session.cell is not None
    assert session.cell.cell_class == "Monocyte"


def test_a_cell_out_of_sight_is_brought_into_view(small_project: Path, qtbot: QtBot, no_leaks: None) -> None:
    viewer = ViewerModel()
    dock = AnnotateDock(viewer)
    qtbot.addWidget(dock)
    session = dock.desk.session
    session.open(small_project)
    session.add_box((90, 70, 20, 20))
    viewer.scene.camera.zoom = 20
    viewer.scene.camera.center = (0, 10, 10)
    session.went_on.emit()
    assert viewer.scene.camera.center[-2:] == pytest.approx((80, 100))
    dock.release()
