"""Where to look next, in the window: before any model, with nothing left, when all is the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel, QTableView

from annotation_store import Embedding, Project, Proposal
from annotation_store._collections.suggestions import Suggestions
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session.boxes import TAKES_BOX
from napari_lld.session.field_order import FieldOrder
from napari_lld.session.session import Session
from napari_lld.session.tool import Tool
from napari_lld.widgets.fields.field_model import WHY_ROLE
from training import ranking

from .conftest import listen

Suggest = Callable[[Path], list[int]]


def test_before_any_training_the_order_is_worked_out_beside_the_window(
    dock: AnnotateDock, sample_project: Path, qtbot: QtBot
) -> None:
    session = dock.desk.session
    session.open(sample_project)
    sentences = listen(session)
    shown, before = session.fields.current_id, list(session.fields.listed)
    session.fields.order = FieldOrder.RANK
    assert list(session.fields.listed) == before
    qtbot.waitUntil(lambda: not dock.desk.jobs.busy, timeout=60_000)
    assert sentences[-1].startswith("Sorted by")
    with Project.open(sample_project, read_only=True) as project:
        assert set(project.embeddings.count_by_source()) == {"stain"}
        assert list(session.fields.listed) == [one.field_id for one in ranking.order(project)]
    assert sorted(session.fields.listed) == sorted(before)
    assert list(session.fields.listed) != before
    assert session.fields.current_id == shown, "nobody is taken elsewhere"
    qtbot.wait(80)
    view = dock.findChild(QTableView, "lld_field_view")
    assert view is not None
    reasons = [view.model().index(row, 0).data(WHY_ROLE) for row in range(len(before))]
    assert all(reasons)
    assert any("cell" in reason for reason in reasons)
    session.region_proposal.propose()
    assert session.region_proposal.current is not None
    assert session.region_proposal.current.reasons


def test_with_nothing_left_it_is_said(session_of: Callable[[], Session]) -> None:
    session = session_of()
    sentences = listen(session)
    assert session.project is not None
    for field in session.project.fields.all():
        session.project.regions.add_whole_field(field.id)
    ranking.update(session.project)
    session.fields.order = FieldOrder.RANK
    assert sentences[-1] == "Every field is annotated: nothing is left to do."
    assert list(session.fields.listed) == [1, 2]


def test_when_all_is_the_same_the_order_is_always_the_same_one(session_of: Callable[[], Session]) -> None:
    session = session_of()
    assert session.project is not None
    same = Proposal((10, 10, 20, 20), 0.9, {"Monocyte": 0.5, "Lymphocyte": 0.5})
    for field in session.project.fields.all():
        session.project.suggestions.replace(field.id, [same], model_id=None)
    session.project.embeddings.save("starter", {i: Embedding(np.ones(4, np.float32)) for i in (1, 2)})
    orders = set()
    for _ in range(3):
        ranking.update(session.project)
        session.fields.order = FieldOrder.RANK
        orders.add(tuple(session.fields.listed))
    assert len(orders) == 1


@pytest.fixture
def session_of(small_project: Path) -> Callable[[], Session]:
    def make() -> Session:
        session = Session()
        session.open(small_project, annotator="Ada")
        return session

    return make


def test_the_ghost_region_goes_by_the_suggestions_that_are_there_already(
    session_of: Callable[[], Session], small_project: Path, suggest: Suggest, monkeypatch: pytest.MonkeyPatch
) -> None:
    suggest(small_project)
    session = session_of()
    assert session.marks.pending == 3
    read: list[int] = []
    original = Suggestions.find
    monkeypatch.setattr(
        Suggestions, "find", lambda self, *args, **more: read.append(1) or original(self, *args, **more)
    )
    session.region_proposal.propose()
    assert session.region_proposal.current is not None
    assert session.region_proposal.current.reasons[0].startswith("3 likely cells")
    assert not read


def test_a_suggestion_is_titled_after_who_made_it(
    dock: AnnotateDock, small_project: Path, suggest: Suggest, qtbot: QtBot
) -> None:
    suggest(small_project)
    session = dock.desk.session
    session.open(small_project, annotator="Ada")

    def title() -> str:
        session.review.next()
        qtbot.wait(30)
        labels = [label.text() for label in dock.findChildren(QLabel) if "uggestion" in label.text()]
        return labels[0]

    assert title() == "Imported suggestion · 81%"
    with Project.open(small_project, annotator="model") as project:
        project.embeddings.save("starter", {1: Embedding(np.ones(4, np.float32))})
        waiting = [s.proposal for s in project.suggestions.find(1)]
        project.suggestions.replace(1, waiting, model_id=None)
    session.refresh()
    assert title() == "Suggestion of the starter · 81%"


def test_what_is_said_of_a_proposed_box_goes_with_the_box(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    cell = session.boxes.add((5, 5, 20, 20))
    assert cell is not None
    session.tool = Tool.BOX

    def propose() -> None:
        session.selection.select(None)
        session.selection.proposed_box = (50, 50, 20, 20)
        session.notify("hint", TAKES_BOX)
        assert dock._foot.line.toolTip() == TAKES_BOX

    propose()
    dock.desk.finish_drawing()  # taken
    assert dock._foot.line.toolTip() != TAKES_BOX
    propose()
    dock.desk.escape()  # given up
    assert dock._foot.line.toolTip() != TAKES_BOX
    propose()
    session.selection.select(
        "cell", cell
    )  # another thing is current: Enter is not to take what lies elsewhere
    assert session.selection.proposed_box is None
    assert dock._foot.line.toolTip() != TAKES_BOX
    propose()
    session.fields.next()
    assert dock._foot.line.toolTip() != TAKES_BOX
    session.selection.proposed_box = (50, 50, 20, 20)
    session.notify("hint", "In other words.")
    session.selection.proposed_box = None
    assert dock._foot.line.toolTip() != "In other words.", "whatever was said of it"
    session.notify("hint", "Something else.")
    session.selection.proposed_box = (50, 50, 20, 20)
    session.selection.proposed_box = None
    assert dock._foot.line.toolTip() == "Something else."
