"""Areas drawn with the mouse, and the notes of a cell in the dock, on a viewer without a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton

from annotation_store import RegionState, Shape
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session.tool import Tool
from napari_lld.widgets.base.choice_button import ChoiceButton
from napari_lld.widgets.dialogs import dialogs


@pytest.fixture
def dock(small_project: Path, qtbot: QtBot, no_leaks: None) -> Iterator[AnnotateDock]:
    dock = AnnotateDock(ViewerModel())
    qtbot.addWidget(dock)
    dock.resize(420, 703)
    dock.show()
    dock.desk.session.open(small_project, annotator="Ada")
    yield dock
    dock.release()


def drag(dock: AnnotateDock, *points: tuple[float, float]) -> None:
    """Press at the first point, go through the others (x, y), let go at the last."""
    event = SimpleNamespace(
        type="mouse_press", button=1, modifiers=(), position=points[0][::-1], handled=False
    )
    steps: Any = dock.desk.pointer._on_drag(dock.desk.viewer, event)
    next(steps, None)
    for point in points[1:]:
        event.type, event.position = "mouse_move", point[::-1]
        next(steps, None)
    event.type = "mouse_release"
    next(steps, None)


def click(qtbot: QtBot, dock: AnnotateDock, name: str) -> QAbstractButton:
    button = dock.findChild(QAbstractButton, f"lld_{name}")
    assert button is not None
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.wait(100)
    return button


def test_a_draft_region_and_an_ignore_area_are_drawn(dock: AnnotateDock) -> None:
    session, commands = dock.desk.session, dock.desk.commands
    commands.run("tool.draft")
    drag(dock, (0, 0), (30, 30), (60, 60))
    assert session.marks.regions[0].state is RegionState.DRAFT
    assert session.tool is Tool.SELECT
    commands.run("tool.ignore")
    drag(dock, (70, 70), (80, 80), (95, 95))
    assert session.marks.ignore_areas[0].shape == Shape.rectangle(70, 70, 25, 25)
    session.selection.select(None)
    drag(dock, (70, 82))  # a click on its outline chooses it
    assert session.selection.ignore_area is not None
    commands.run("edit.delete")
    assert not session.marks.ignore_areas


def test_a_region_is_moved_by_its_middle_and_stays_in_the_field(dock: AnnotateDock) -> None:
    session = dock.desk.session
    session.regions.add(Shape.polygon([(10, 10), (50, 10), (30, 50)]))
    drag(dock, (30, 30), (40, 30), (50, 35))
    assert session.marks.regions[0].shape == Shape.polygon([(30, 15), (70, 15), (50, 55)])
    drag(dock, (50, 35), (10, 5), (-90, -90))
    assert session.marks.regions[0].shape.bounds == pytest.approx((0, 0, 40, 40))
    drag(dock, (40, 40), (60, 50), (80, 60))  # by its corner: twice as wide
    assert session.marks.regions[0].shape.bounds == pytest.approx((0, 0, 80, 60))


class Asked:
    """Answers what is asked before an area is finished, and keeps it."""

    def __init__(self, *answers: bool) -> None:
        self.doubts: list[list[str]] = []
        self._answers = iter(answers)

    def __call__(self, _title: str, doubts: list[str], _parent: object) -> bool:
        self.doubts.append(doubts)
        return next(self._answers)


def test_finishing_asks_where_something_may_not_be_right(
    dock: AnnotateDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = dock.desk.session
    session.regions.add(Shape.rectangle(0, 0, 60, 60), draft=True)
    session.boxes.add((10, 10, 20, 20))
    asked = Asked(False, True)
    monkeypatch.setattr(dialogs, "ask_anyway", asked)
    dock.desk.commands.run("region.finish")
    qtbot.waitUntil(lambda: len(asked.doubts) == 1)
    assert session.marks.regions[0].state is RegionState.DRAFT
    dock.desk.commands.run("region.finish")
    qtbot.waitUntil(lambda: len(asked.doubts) == 2)
    assert session.marks.regions[0].state is RegionState.FINISHED
    assert asked.doubts[0] == ["1 cell has no class"]


@pytest.mark.parametrize("command", ["region.whole", "region.finish"])
def test_unboxed_nuclei_and_waiting_suggestions_are_asked_of_before_they_become_background(
    command: str,
    dock: AnnotateDock,
    suggest: Callable[[Path], list[int]],
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """*Whole* asked nothing, and neither looked for nuclei."""
    session = dock.desk.session
    assert session.project is not None
    suggest(session.project.path)
    session.refresh()
    session.marks.threshold = 0.6  # one is hidden: less is known of its class than of its being a cell
    if command == "region.finish":
        session.regions.add(Shape.rectangle(0, 0, 100, 90), draft=True)
    assert session.fields.current_id is not None
    stained = session.fields.pixels(session.fields.current_id).copy()
    stained[:] = (235, 225, 215)
    stained[50:75, 15:40] = (80, 30, 120)
    stained[10:30, 50:70] = (80, 30, 120)  # of this one is asked as a suggestion
    monkeypatch.setattr(session.fields, "pixels", lambda _field_id: stained)
    asked = Asked(False, True)
    monkeypatch.setattr(dialogs, "ask_anyway", asked)
    dock.desk.commands.run(command)
    assert not asked.doubts, "the stain is read in a thread"
    qtbot.waitUntil(lambda: len(asked.doubts) == 1, timeout=20_000)
    assert "1 dark nucleus has no box" in asked.doubts[0]
    assert "2 suggestions not yet reviewed" in asked.doubts[0]
    assert not [r for r in session.marks.regions if r.state is RegionState.FINISHED]
    dock.desk.commands.run(command)
    qtbot.waitUntil(lambda: len(asked.doubts) == 2)
    assert [r.state for r in session.marks.regions] == [RegionState.FINISHED]


def test_another_field_is_not_finished_by_an_answer_that_came_late(
    dock: AnnotateDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = dock.desk.session
    monkeypatch.setattr(dialogs, "ask_anyway", Asked())
    told: list[str] = []
    session.notice.connect(lambda level, sentence: told.append(sentence) if level == "warning" else None)
    dock.desk.commands.run("region.whole")
    session.fields.next()
    qtbot.waitUntil(lambda: bool(told), timeout=20_000)
    assert told[0].endswith("was not finished, because another field was opened before the check ended.")
    assert told[0].startswith("Whole field: ")
    assert not session.marks.regions
    session.fields.previous()
    assert not session.marks.regions


def test_notes_and_kinds_are_set_with_the_mouse_and_fit(
    dock: AnnotateDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = dock.desk.session
    session.boxes.add((10, 10, 20, 20))
    session.labels.set_class("None")
    qtbot.wait(100)
    click(qtbot, dock, "kind_smudge")
    assert click(qtbot, dock, "cell.bookmark").isChecked()
    assert click(qtbot, dock, "cell.second_opinion").isChecked()
    monkeypatch.setattr(dialogs, "ask_comment", lambda _text, _parent: "look again")
    assert "look again" in click(qtbot, dock, "cell.comment").toolTip()
    assert session.selection.cell is not None
    assert (session.selection.cell.kind, session.selection.cell.bookmark, session.selection.cell.comment) == (
        "smudge",
        True,
        "look again",
    )
    assert dock.minimumSizeHint().height() <= 703
    for choice in dock.findChildren(ChoiceButton):
        if choice.isVisible():
            assert dock.rect().contains(choice.mapTo(dock, choice.rect().bottomRight())), choice.text()
