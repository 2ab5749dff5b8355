"""The panel of cells to compare with: what it shows, in which words, and that it leaves the cell in sight."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QScrollArea, QToolButton, QWidget

from annotation_store import Project
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session.session import Session
from napari_lld.tasks.reference_reader import compare
from napari_lld.widgets.review.reference_panel import ReferencePanel


@pytest.fixture
def panel(dock: AnnotateDock, small_project: Path, qtbot: QtBot) -> Iterator[ReferencePanel]:
    with Project.open(small_project, annotator="Ada") as project:
        for number in range(3):
            values = {"nuclear_chromatin": "coarse"}
            project.cells.add(1, (10 * number, 10, 20, 20), cell_class="Monocyte", attributes=values)
        project.cells.add(1, (60, 60, 20, 20))
    session = dock.desk.session
    assert session.open(small_project, annotator="Ada")
    session.references.reader = lambda asked, then: then(compare(small_project, 1, asked))
    canvas = QWidget()
    canvas.resize(680, 700)
    qtbot.addWidget(canvas)
    panel = ReferencePanel(session, dock.desk.commands)
    panel.lie_over(canvas, lambda: None)
    canvas.show()
    yield panel
    panel.release()


def compared(panel: ReferencePanel) -> Session:
    session = panel.session
    session.selection.select("cell", 4)
    session.selection.set_caret(1)
    assert panel.commands.run("references.show")
    return session


def test_the_values_of_the_row_stand_beside_the_cell_with_their_keys(
    panel: ReferencePanel, qtbot: QtBot
) -> None:
    session = compared(panel)
    assert panel.isVisible()
    assert panel.topic.currentText() == "Nuclear chromatin"
    titles = [one.text() for one in panel.groups.findChildren(QLabel)]
    assert titles == ["Open  1", "Coarse  2"]
    assert [key[0] for key in panel.pictures] == ["open"] * 4 + ["coarse"] * 4
    picture = panel.pictures["coarse", 0]
    assert picture.accessibleName() == "Coarse · cell 3 · field_0.png"
    qtbot.mouseClick(picture, Qt.MouseButton.LeftButton)
    assert panel.beside_words.text() == "Coarse · cell 3 · field_0.png"
    assert [key for key, one in panel.pictures.items() if one.isChecked()] == [("coarse", 0)]
    assert panel.commands.run("references.next")
    assert session.references.chosen == ("coarse", 1)
    words = panel.scale_words.text()
    assert "sizes cannot be compared" in words
    assert "CC BY 4.0" in words
    panel.topic.setCurrentIndex(0)
    panel.topic.activated.emit(0)
    assert "Monocyte  ⇧M" in [one.text() for one in panel.groups.findChildren(QLabel)]
    session.references.close()
    assert panel.isHidden()


def test_the_button_closes_whatever_is_compared_and_the_one_beside_the_cell_is_in_sight(
    panel: ReferencePanel, qtbot: QtBot
) -> None:
    session = panel.session
    session.selection.select("cell", 4)
    session.selection.set_caret(1)
    assert panel.commands.run("references.classes")
    panel.commands.run("references.previous")
    panel.commands.run("references.previous")
    assert session.references.chosen is not None
    chosen = panel.pictures[session.references.chosen]
    port = panel.findChild(QScrollArea).viewport()
    assert port is not None
    qtbot.waitUntil(lambda: port.rect().contains(chosen.mapTo(port, chosen.rect().center())))
    (close,) = [
        one
        for one in panel.findChildren(QToolButton)
        if one.text().startswith("Close") and not one.isHidden()
    ]
    assert close.text() == "Close  F3"
    close.click()
    assert panel.isHidden()


def test_the_panel_lies_where_it_does_not_cover_the_cell(panel: ReferencePanel) -> None:
    compared(panel)
    for top, bottom in ((20, 120), (560, 680), (300, 400)):
        panel.where = lambda span=(top, bottom): span  # type: ignore[misc]
        panel.place_soon()
        assert panel.y() >= bottom or panel.y() + panel.height() <= top
        assert panel.y() >= 0
        assert panel.y() + panel.height() <= 700
    assert panel.width() <= 680


def test_nothing_is_shown_without_a_cell_and_another_project_closes_it(panel: ReferencePanel) -> None:
    session = compared(panel)
    session.selection.select(None)
    assert panel.isVisible()
    assert panel.waiting.text() == "Select a cell."
    assert not panel.pictures
    session.close()
    assert panel.isHidden()
