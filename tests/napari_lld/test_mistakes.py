"""Possible label errors in the window: gone through, kept or corrected, taken back, never shuffled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QPushButton, QTableView, QToolButton

from annotation_store import Embedding, Project, Proposal, Shape
from annotation_store.records import RejectionReason
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.layers.model_texts import model_says
from napari_lld.session.session import Session
from napari_lld.widgets.base.choice_button import ChoiceButton
from tests.training.ranking.conftest import says
from training import ranking
from training.ranking.label_errors import LabelErrors

from .conftest import listen

VECTOR = np.ones(4, np.float32)
SMALL = {"cell_size": {"small": 0.95, "medium": 0.03, "large": 0.02}}


def look(folder: Path, maker: str = "starter", *more: Proposal) -> None:
    """Let a model look at both fields, as the worker would."""
    sure = Proposal((60.0, 10.0, 20.0, 20.0), 0.8, {"Monocyte": 1.0, "Lymphocyte": 0.0}, SMALL)
    with Project.open(folder, annotator="model") as project:
        first, second = (field.id for field in project.fields.all())
        project.embeddings.save(
            maker,
            {
                first: Embedding(
                    VECTOR, (says(10, 10, Lymphocyte=0.97, Monocyte=0.003, Neutrophil=0.027), sure)
                )
            },
        )
        project.embeddings.save(maker, {second: Embedding(VECTOR, (says(30, 30, 0.9, Monocyte=1.0), *more))})
        project.embeddings.delete(keep=(maker,))
        ranking.update(project)


@pytest.fixture
def folder(small_project: Path) -> Path:
    """A project whose model contradicts a class, then sees a cell that nobody boxed, then a size."""
    with Project.open(small_project, annotator="Ada") as project:
        first, second = (field.id for field in project.fields.all())
        project.regions.add_whole_field(first)
        project.regions.add_whole_field(second)
        project.cells.add(first, (10, 10, 20, 20), cell_class="Monocyte")
        project.cells.add(first, (60, 10, 20, 20), attributes={"cell_size": "large"})
    look(small_project)
    return small_project


@pytest.fixture
def session(folder: Path) -> Session:
    session = Session()
    session.open(folder, annotator="Ada")
    return session


def reasons(session: Session) -> list[str]:
    return [item.reasons[0] for item in session.label_errors.items]


CLASS = "Labelled Monocyte, predicted Lymphocyte at 97%"
MISSED = "The model sees a cell at 90%; none is boxed, and the area is finished"
SIZE = "Cell size: labelled Large, predicted Small at 95%"


def test_the_likeliest_comes_first_and_is_shown_on_its_field_with_both_words(session: Session) -> None:
    session.fields.next()
    session.label_errors.toggle()
    assert reasons(session) == [CLASS, MISSED, SIZE]
    assert session.label_errors.current == session.label_errors.items[0]
    assert session.fields.current_id == 1
    assert session.selection.cell is not None
    assert session.selection.cell.cell_class == "Monocyte"
    assert session.label_errors.contradicted.cell_class == "Lymphocyte"
    assert (session.label_errors.model_would, session.label_errors.keeping) == ("Lymphocyte", "Keep Monocyte")
    assert model_says(session).strip() == "→ L 97%"
    session.review.next()
    assert (session.fields.current_id, session.selection.cell) == (2, None)
    assert session.selection.suggestion is None, "it is in no project before somebody decides"
    assert session.selection.proposal is not None
    assert session.selection.proposal.box == (30, 30, 20, 20)
    assert (session.label_errors.model_would, session.label_errors.keeping, model_says(session)) == (
        "Box it",
        "Not a cell",
        "→ M 90%",
    )
    session.review.next()
    assert (session.label_errors.model_would, model_says(session).strip()) == ("Small", "→ Small 95%")
    session.review.next()
    assert session.label_errors.current == session.label_errors.items[0]
    session.review.previous()
    assert session.label_errors.current == session.label_errors.items[-1]


def test_what_is_kept_goes_and_comes_back_with_an_undo(session: Session) -> None:
    session.label_errors.toggle()
    session.review.reject()
    assert reasons(session) == [MISSED, SIZE]
    assert session.fields.current_id == 1, "an undo belongs to its field: the user stays on it"
    assert session.project is not None
    assert session.project.cells.get(1).confirmed["cell_class"] == "Monocyte"
    assert session.history.undoable == "Keep label"
    session.history.undo()
    assert reasons(session) == [CLASS, MISSED, SIZE]
    assert session.label_errors.current == session.label_errors.items[0]
    session.history.redo()
    session.label_errors.search()
    assert reasons(session) == [MISSED, SIZE], "asked again it is not brought up again"


def test_the_models_word_is_taken_and_the_next_one_on_the_field_comes_by_itself(session: Session) -> None:
    sentences = listen(session)
    session.label_errors.toggle()
    session.review.accept()
    assert session.marks.cells[0].cell_class == "Lymphocyte"
    assert sentences[-1].startswith("Settled. [suggestion.next] goes to the next one, on ")
    session.review.accept()
    assert session.label_errors.current is not None, "the first press chooses, the second decides"
    assert session.label_errors.current.reasons[0] == MISSED
    assert session.marks.cells == []
    session.review.accept()
    assert [(cell.box, cell.cell_class) for cell in session.marks.cells] == [((30, 30, 20, 20), "Monocyte")]
    session.review.accept()
    session.review.accept()
    assert session.marks.cells[1].attributes == {"cell_size": "small"}
    assert session.label_errors.items == []
    assert session.label_errors.state == "All of them are settled."
    session.history.undo()
    assert reasons(session) == [SIZE]


def test_a_label_of_ones_own_settles_it_for_that_model_and_later_ones(session: Session, folder: Path) -> None:
    session.label_errors.toggle()
    session.labels.set_class("Neutrophil")
    assert reasons(session) == [MISSED, SIZE]
    look(folder, "7")
    session.refresh()
    session.label_errors.search()
    assert reasons(session) == [MISSED, SIZE]
    session.label_errors.active = False
    session.fields.show(1)
    session.selection.select("cell", 1)
    session.labels.set_class("Basophil")  # later, by somebody who does not see what the model says
    session.labels.set_class("Monocyte")
    session.label_errors.toggle()
    assert reasons(session) == [CLASS, MISSED, SIZE]


def test_a_missed_cell_is_no_cell_or_becomes_one_with_the_value_that_is_pressed(session: Session) -> None:
    session.label_errors.toggle()
    session.review.next()
    session.labels.set_class("Lymphocyte")
    assert [cell.cell_class for cell in session.marks.cells] == ["Lymphocyte"]
    assert session.selection.cell == session.marks.cells[0]
    assert reasons(session) == [CLASS, SIZE]
    session.history.undo()
    assert reasons(session) == [CLASS, MISSED, SIZE]
    assert session.marks.waiting == [], "an undo makes no suggestion of it"
    session.label_errors.show(session.label_errors.items[1])
    session.review.reject()
    assert session.project is not None
    assert session.project.suggestions.rejected_boxes() == {2: [(30, 30, 20, 20)]}
    assert reasons(session) == [CLASS, SIZE]


def test_a_box_where_the_model_sees_nothing_is_kept_or_deleted(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        project.cells.add(1, (90, 70, 20, 20))
        project.cells.add(2, (38, 30, 20, 20))
    session = Session()
    session.open(folder, annotator="Ada")
    session.label_errors.toggle()
    nothing, elsewhere = (
        next(item for item in session.label_errors.items if item.id == cell) for cell in (3, 4)
    )
    session.label_errors.show(nothing)
    assert (session.label_errors.model_would, session.label_errors.keeping) == (
        "Delete the box",
        "Keep the box",
    )
    session.review.accept()
    assert len(session.marks.cells) == 2
    session.history.undo()
    assert nothing in session.label_errors.items
    session.label_errors.show(elsewhere)
    assert session.label_errors.model_would == "Use its box"
    session.review.accept()
    assert session.marks.cells[0].box == (30, 30, 20, 20)
    assert elsewhere not in session.label_errors.items
    session.close()


def test_the_other_rejections_settle_no_label_error(session: Session) -> None:
    sentences = listen(session)
    session.label_errors.toggle()
    session.review.reject(RejectionReason.DUPLICATE)
    assert reasons(session) == [CLASS, MISSED, SIZE]
    assert "[suggestion.not_a_cell] keeps" in sentences[-1]


def test_a_blind_reading_is_told_of_none(session: Session) -> None:
    session.readings.add("second", blind=True)
    assert session.project is not None
    session.project.regions.add(1, Shape.rectangle(0, 0, 120, 100))
    session.project.cells.add(1, (10, 10, 20, 20), cell_class="Monocyte")
    session.label_errors.toggle()
    assert session.label_errors.items == []
    assert session.label_errors.state.startswith("Hidden in blind readings")
    session.review.accept()
    session.review.reject()
    assert session.project.cells.all(1)[0].cell_class == "Monocyte"


def test_without_a_model_and_without_contradictions_it_is_said_why_there_is_nothing(
    small_project: Path,
) -> None:
    session = Session()
    sentences = listen(session)
    session.open(small_project, annotator="Ada")
    session.label_errors.toggle()
    assert session.label_errors.state.startswith("No model has predicted these fields yet")
    session.review.next()
    assert sentences[-1] == session.label_errors.state
    with Project.open(small_project, annotator="model") as project:
        project.embeddings.save("starter", {1: Embedding(VECTOR, ())})
        ranking.update(project)
    session.refresh()  # there was nothing to shuffle: the new look is taken at once
    assert session.label_errors.state == "The model agrees with all labels."
    session.close()


def test_a_newer_model_shuffles_nothing_before_it_is_asked(session: Session, folder: Path) -> None:
    session.label_errors.toggle()
    session.review.next()
    before, current = list(session.label_errors.items), session.label_errors.current
    look(folder, "7", says(70, 60, 0.99))
    session.refresh()
    assert list(session.label_errors.items) == before
    assert session.label_errors.current == current
    assert session.label_errors.outdated
    session.review.accept()
    assert list(session.label_errors.items) == [before[0], before[2]]
    session.label_errors.search()
    assert not session.label_errors.outdated
    assert reasons(session)[0].startswith("The model sees a cell at 99%")


def test_the_list_is_made_anew_when_somebody_comes_back_after_a_round(session: Session, folder: Path) -> None:
    session.label_errors.toggle()
    session.label_errors.toggle()
    assert session.label_errors.current is None
    look(folder, "7", says(70, 60, 0.99))
    session.refresh()
    session.label_errors.toggle()
    assert len(session.label_errors.items) == 4


def test_another_reading_and_another_project_begin_with_suggestions(session: Session, folder: Path) -> None:
    session.label_errors.toggle()
    session.readings.add("second", blind=False)
    assert not session.label_errors.active
    session.label_errors.toggle()
    session.open(folder, annotator="Ben")
    assert not session.label_errors.active
    session.label_errors.toggle()
    assert len(session.label_errors.items) == 3
    session.close()
    assert session.label_errors.items == []
    session.label_errors.toggle()
    assert not session.label_errors.active


class Later:
    """Finds when it is told to."""

    def __init__(self) -> None:
        self.then: list[Callable[[LabelErrors | str], None]] = []

    def read(self, path: Path, reading_id: int, then: Callable[[LabelErrors | str], None]) -> None:
        self.then.append(then)


def test_who_went_elsewhere_meanwhile_is_not_taken_away(session: Session) -> None:
    assert session.project is not None
    found = ranking.label_errors(session.project)
    session.label_errors.reader = reader = Later()
    session.label_errors.toggle()
    assert session.label_errors.searching
    session.fields.next()
    reader.then[0](found)
    assert session.fields.current_id == 2
    assert session.label_errors.current is None
    assert len(session.label_errors.items) == 3
    session.label_errors.search()
    session.label_errors.search()
    reader.then[1](LabelErrors("starter"))
    assert session.label_errors.searching, "only the last one asked for counts"
    sentences = listen(session)
    reader.then[2]("The disk is gone.")
    assert sentences == ["The disk is gone."]
    assert len(session.label_errors.items) == 3
    session.label_errors.search()
    session.close()
    reader.then[3](found)
    assert session.label_errors.items == []


def test_many_changes_elsewhere_are_not_judged_in_the_windows_thread(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    import napari_lld.session.label_errors as module

    monkeypatch.setattr(module, "_AT_ONCE", 0)
    judged: list[int] = []
    original = LabelErrors.now
    monkeypatch.setattr(LabelErrors, "now", lambda *args: judged.append(args[2]) or original(*args))
    session.label_errors.toggle()
    del judged[:]
    assert session.project is not None
    session.project.cells.add(2, (30, 30, 20, 20))
    session.project.bulk_edits.label([1, 2], cell_class="Lymphocyte", attributes={"cell_size": "small"})
    assert session.label_errors.outdated
    assert session.label_errors.current is None, "it is settled"
    assert judged == [1], "only the field that is shown"
    session.label_errors.search()
    assert reasons(session) == ["Labelled Lymphocyte, predicted Monocyte at 100%"]


# ---------------------------------------------------------------------- in the dock


@pytest.fixture
def opened(dock: AnnotateDock, folder: Path, qtbot: QtBot) -> AnnotateDock:
    session = dock.desk.session
    session.open(folder, annotator="Ada")
    assert dock.desk.commands.run("mistakes.check")
    qtbot.waitUntil(lambda: session.label_errors.current is not None, timeout=10_000)
    qtbot.wait(30)
    return dock


def test_the_list_takes_the_place_of_the_fields_and_a_click_shows_one(
    opened: AnnotateDock, qtbot: QtBot
) -> None:
    session = opened.desk.session
    view = opened.findChild(QTableView, "lld_mistake_view")
    assert view is not None
    assert view.isVisible()
    assert not opened.findChild(QTableView, "lld_field_view").isVisible()
    model = view.model()
    assert [model.index(i, 0).data() for i in range(model.rowCount())] == [CLASS, MISSED, SIZE]
    row = view.visualRect(model.index(1, 0))
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=row.center())
    assert session.label_errors.current == session.label_errors.items[1]
    back = opened.findChild(QToolButton, "lld_mistakes.check")
    assert back is not None
    qtbot.mouseClick(back, Qt.MouseButton.LeftButton)
    assert not session.label_errors.active
    assert not view.isVisible()
    assert session.selection.suggestion is None, "what nobody boxed is no suggestion"


def test_the_buttons_say_what_they_do_and_both_words_stand_in_the_panel(
    opened: AnnotateDock, qtbot: QtBot
) -> None:
    session = opened.desk.session
    panel = opened.findChild(QPushButton, "lld_suggestion.accept")
    take, keep = (
        next(b for b in opened.findChildren(QPushButton, f"lld_{name}") if b.isVisible())
        for name in ("suggestion.accept", "suggestion.not_a_cell")
    )
    assert panel is not None
    assert (take.text(), keep.text()) == ("Lymphocyte  A", "Keep Monocyte  X")
    labelled = opened.findChild(ChoiceButton, "lld_class_Monocyte")
    said = opened.findChild(ChoiceButton, "lld_class_Lymphocyte")
    assert labelled is not None
    assert said is not None
    assert labelled.isChecked()
    assert (said.suggested, said.aside) == (True, "97%")
    qtbot.mouseClick(keep, Qt.MouseButton.LeftButton)
    qtbot.wait(30)
    assert reasons(session) == [MISSED, SIZE]
    assert not take.isEnabled(), "nothing is current: nothing to take"
    assert not said.suggested
    session.label_errors.show(session.label_errors.items[1])
    qtbot.wait(30)
    small = opened.findChild(ChoiceButton, "lld_value_cell_size_small")
    assert small is not None
    assert (small.suggested, small.aside) == (True, "95%")


def test_the_third_queue_is_chosen_and_left_in_the_list_of_queues(opened: AnnotateDock, qtbot: QtBot) -> None:
    session = opened.desk.session
    choice = opened.findChild(QComboBox, "lld_queue_mistakes")
    assert choice is not None
    assert choice.currentText() == "Label errors"
    choice.setCurrentIndex(1)
    choice.activated.emit(1)
    assert not session.label_errors.active
    assert session.suggestions.queue.value == "teach"
    other = opened.findChild(QComboBox, "lld_queue")
    assert other is not None
    qtbot.wait(30)
    assert other.currentText() == "Teach me"
    other.setCurrentIndex(2)
    other.activated.emit(2)
    assert session.label_errors.active


def test_the_dock_keeps_its_size_whatever_the_label_error(opened: AnnotateDock, qtbot: QtBot) -> None:
    session = opened.desk.session
    heights, widths = set(), set()
    for item in list(session.label_errors.items):
        session.label_errors.show(item)
        qtbot.wait(30)
        heights.add(opened._tabs.height())
        widths.add(opened.minimumSizeHint().width())
    session.label_errors.active = False
    qtbot.wait(30)
    heights.add(opened._tabs.height())
    assert len(heights) == 1
    assert max(widths) <= 430


def test_the_window_closes_while_label_errors_are_looked_for(
    dock: AnnotateDock, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    import napari_lld.tasks.label_error_reader as module

    begun, go = threading.Event(), threading.Event()

    def slow(project: Project) -> LabelErrors:
        begun.set()
        go.wait(5)
        return ranking.label_errors(project)

    monkeypatch.setattr(module, "label_errors", slow)
    dock.desk.session.open(folder, annotator="Ada")
    dock.desk.commands.run("mistakes.check")
    assert begun.wait(5)
    threading.Timer(0.1, go.set).start()
    dock.release()
    assert not any(t.name == "label_errors" for t in threading.enumerate())
