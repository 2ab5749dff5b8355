"""Readings in the window, a blind one above all; conflicts of imports, taken or left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QLabel, QTabWidget

from annotation_store import Project, Shape, formats
from annotation_store.records import FieldState
from napari_lld.widgets import DeskDock, field_dialogs
from napari_lld.widgets.conflicts_dialog import ConflictsDialog
from napari_lld.widgets.field_model import SUMMARY_ROLE, state_words
from napari_lld.widgets.reading_menu import ReadingMenu

Suggest = Callable[[Path], list[int]]


@pytest.fixture
def read(small_project: Path, suggest: Suggest) -> Path:
    """Give a project with one reader's work, and suggestions."""
    suggest(small_project)
    with Project.open(small_project, annotator="Ada") as project:
        project.add_region(1, Shape.rectangle(0, 0, 60, 60))
        project.add_ignore_area(1, Shape.rectangle(70, 0, 20, 20))
        project.add_cell(1, (62, 62, 20, 20), cell_class="Basophil")
    return small_project


def everything_said(dock: DeskDock) -> str:
    """Give all that is written in the dock, the fields' rows and tooltips included."""
    said = [w.text() for w in (*dock.findChildren(QLabel), *dock.findChildren(QAbstractButton))]
    for tabs in dock.findChildren(QTabWidget):
        said += [tabs.tabText(i) for i in range(tabs.count())]
    model = dock._fields.model
    for row in range(model.rowCount()):
        index = model.index(row)
        said += [index.data(Qt.ItemDataRole.ToolTipRole), state_words(index.data(SUMMARY_ROLE))]
    return "\n".join(said)


def test_a_blind_reader_sees_nothing(
    dock: DeskDock, read: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, layers = dock.desk.session, dock.desk.viewer.layers
    session.open(read, annotator="Ben")
    qtbot.wait(80)
    assert "3 suggestions to review" in everything_said(dock)
    asked = iter([("Ben's", True)])
    monkeypatch.setattr(field_dialogs, "ask_reading", lambda *_: next(asked))
    menu = dock.findChild(ReadingMenu)
    menu.fill()
    next(a for a in menu.actions() if a.text().startswith("Add a reading")).trigger()
    qtbot.wait(120)
    assert session.project is not None
    assert session.project.reading.blind
    said = everything_said(dock)
    assert "Ben's (blind)" in said
    for word in ("to review", "Suggestions (", "1 cell", "region finished", "2 of 3", "3 of 3"):
        assert word not in said
    assert [s.state for s in session.summaries()] == [FieldState.UNTOUCHED] * 2
    assert not session.waiting
    assert not session.cells
    for name in ("Suggestions", "Cells", "Suggestions: letters", "Cells: letters"):
        assert len(layers[name].data) == 0
    assert len(layers["Regions"].data) == 2  # the unseen points that hold the extent
    assert not layers["Unknown area"].data.any()
    for command in ("suggestion.next", "suggestion.accept", "region.propose"):
        dock.desk.commands.run(command)
        assert session.suggestion is None
        assert session.proposed_region is None
    assert not session.select_at(20, 20)
    assert not session.select_at(70, 70)
    session.undo()
    session.add_region(Shape.rectangle(0, 0, 40, 40))  # finished: what is in it may be compared
    qtbot.wait(120)
    assert "1 suggestion to review" in everything_said(dock)
    assert len(session.waiting) == 1
    session.add_region(Shape.rectangle(0, 0, 100, 100))
    qtbot.wait(120)
    assert "3 suggestions to review" in everything_said(dock)
    assert len(layers["Suggestions"].data) > 0
    assert not session.cells  # the other reader's stay hers


def test_a_reader_goes_back_to_the_first_reading(dock: DeskDock, read: Path, qtbot: QtBot) -> None:
    session = dock.desk.session
    session.open(read, annotator="Ben")
    session.add_reading("Ben's", blind=False)
    session.add_box((5, 5, 20, 20))
    menu = dock.findChild(ReadingMenu)
    menu.fill()
    first = menu.actions()[0]
    assert not first.isChecked()
    first.trigger()
    assert [cell.cell_class for cell in session.cells] == ["Basophil"]
    assert session.all_summaries[1].cells == 1
    session.add_reading("Ben's", blind=False)  # the name is taken
    assert session.project is not None
    assert session.project.reading.id == 1


@pytest.fixture
def conflicting(read: Path, tmp_path: Path) -> Path:
    """Give a project with two conflicts: a file says other classes of two cells."""
    with Project.open(read, annotator="Ada") as project:
        project.add_cell(2, (10, 10, 30, 30), cell_class="Monocyte", attributes={"cell_size": "small"})
        formats.write("coco", project, tmp_path / "before.json")
        project.change_cell(1, cell_class="Eosinophil")
        project.change_cell(2, cell_class="Neutrophil", attributes={"cell_size": "large"})
        formats.read("coco", project, tmp_path / "before.json")
        assert len(project.conflicts()) == 2
    return read


def test_conflicts_are_listed_shown_and_taken_or_left(
    dock: DeskDock, conflicting: Path, qtbot: QtBot
) -> None:
    session = dock.desk.session
    told: list[str] = []
    session.notice.connect(lambda _level, sentence: told.append(sentence))
    session.open(conflicting, annotator="Ada")
    assert any(sentence.startswith("Of 2 cells an imported file") for sentence in told)
    session.show_field(2)
    dialog = ConflictsDialog(session)
    dialog.show()
    assert (session.field_id, session.cell and session.cell.id) == (1, 1)  # the first one is shown
    rows = [[dialog.model.index(r, c).data() for c in range(4)] for r in range(2)]
    assert rows[0] == ["field_0.png", "Eosinophil", "Basophil", "before.json"]
    assert rows[1][1:3] == ["Neutrophil, Cell size: Large", "Monocyte, Cell size: Small"]
    dialog.take.click()
    assert session.project is not None
    assert session.project.cell(1).cell_class == "Basophil"
    assert session.field_id == 2
    dialog.keep.click()
    assert session.project.cell(2).cell_class == "Neutrophil"
    assert dialog.model.conflicts == []
    assert not dialog.take.isEnabled()
    session.undo()
    assert len(dialog.model.conflicts) == 1  # undone, it is open again
    dialog.close()
    session.undo()
