"""A model that arrives while somebody types, and a window that is killed while somebody types."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMainWindow

from annotation_store import Project, Proposal
from napari_lld.controllers.dock import AnnotateDock

# It draws a box by command, describes it by keys, and is killed with the third value just typed.
KILLED = """
import os, sys
from napari.components import ViewerModel
from napari.qt import get_qapp
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QMainWindow
from napari_lld.controllers.dock import AnnotateDock
get_qapp()
window, dock = QMainWindow(), AnnotateDock(ViewerModel())
window.setCentralWidget(dock)
window.show()
session = dock.desk.session
session.open(sys.argv[1], annotator="Ada")
session.fields.next()
session.boxes.add((20, 20, 30, 40))
QTest.keyClick(dock, Qt.Key.Key_M, Qt.KeyboardModifier.ShiftModifier)
for key in "322":
    QTest.keyClick(dock, key)
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def dock(qtbot: QtBot, no_leaks: None) -> Iterator[AnnotateDock]:
    window = QMainWindow()
    qtbot.addWidget(window)
    dock = AnnotateDock(ViewerModel())
    window.setCentralWidget(dock)
    window.show()
    yield dock
    dock.release()


def test_a_model_that_arrives_takes_neither_cell_nor_row_from_under_the_hand(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    cell = session.boxes.add((20, 20, 30, 40))
    qtbot.keyClick(dock, Qt.Key.Key_M, Qt.KeyboardModifier.ShiftModifier)
    for key in "32":
        qtbot.keyClick(dock, key)
    with Project.open(small_project, annotator="model") as worker:  # as the training process does
        worker.suggestions.replace(
            1, [Proposal((70.0, 60.0, 20.0, 20.0), 0.95, {"Basophil": 1.0})], model_id=None
        )
    session.refresh()
    assert [s.confidence for s in session.suggestions.shown] == [0.95]
    assert session.selection.cell is not None
    assert (session.selection.cell.id, session.selection.caret) == (cell, 2)
    for key in "22121":
        qtbot.keyClick(dock, key)
    assert session.marks.cells[0].cell_class == "Monocyte"
    assert len(session.marks.cells[0].attributes) == 7


def test_a_suggestion_that_a_newer_model_replaced_is_not_accepted_by_the_next_key(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    qtbot.keyClick(dock, "s")
    assert session.selection.suggestion is not None
    with Project.open(small_project, annotator="model") as worker:
        worker.suggestions.replace(
            1, [Proposal((70.0, 60.0, 20.0, 20.0), 0.95, {"Basophil": 1.0})], model_id=None
        )
    session.refresh()
    assert session.selection.suggestion is None
    qtbot.keyClick(dock, "a")  # the hand was under way; nobody has seen the new one yet
    assert not session.marks.cells
    assert session.selection.suggestion is not None
    qtbot.keyClick(dock, "a")
    assert [c.cell_class for c in session.marks.cells] == ["Basophil"]


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_after_a_crash_every_key_that_was_pressed_is_there_and_can_be_undone(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(small_project)],
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    session = dock.desk.session
    assert session.open(small_project, annotator="Ada")
    assert session.project is not None
    assert session.project.check() == []
    (cell,) = session.project.cells.all()
    assert cell.cell_class == "Monocyte"
    assert list(cell.attributes.values()) == ["large", "coarse", "irregular"]
    session.fields.show(cell.field_id)
    qtbot.keyClick(dock, Qt.Key.Key_Tab)
    assert session.selection.caret == 3
    qtbot.keyClick(dock, "1")
    assert session.marks.cells[0].attributes["nucleolus"] == "inconspicuous"
    qtbot.keyClick(dock, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(dock, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)  # one of before the crash
    assert list(session.marks.cells[0].attributes.values()) == ["large", "coarse"]
