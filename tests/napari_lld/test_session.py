"""The session, without Qt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from annotation_store import Project, RejectionReason, Shape
from napari_lld.session.session import Session, Tool
from napari_lld.session.training_state import TrainingPhase

Suggest = Callable[[Path], list[int]]


class Told:
    """Keeps what a session tells."""

    def __init__(self, session: Session) -> None:
        self.notices: list[tuple[str, str]] = []
        session.notice.connect(lambda level, sentence: self.notices.append((level, sentence)))

    @property
    def last(self) -> tuple[str, str]:
        return self.notices[-1]


@pytest.fixture
def told(session: Session) -> Told:
    return Told(session)


def box(session: Session, x: float = 10, y: float = 10) -> int:
    cell = session.add_box((x, y, 20, 20))
    assert cell is not None
    return cell


def test_it_needs_no_qt_and_no_torch() -> None:
    code = (
        "import sys, napari_lld.session.session, napari_lld.commands.registry\n"
        "print([m for m in ('qtpy', 'PyQt6', 'torch', 'napari', 'ultralytics') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_project_opens_on_its_first_field_and_later_where_it_was_left(small_project: Path) -> None:
    session = Session()
    session.open(small_project)
    first = session.field_id
    session.next_field()
    session.threshold = 0.6
    second = session.field_id
    assert second != first
    session.close()
    assert session.project is None
    assert session.field is None

    again = Session()
    again.open(small_project)
    assert again.field_id == second
    assert again.threshold == 0.6
    again.close()


def test_what_is_no_project_is_a_notice_and_the_open_one_stays(
    session: Session, told: Told, tmp_path: Path
) -> None:
    project = session.project
    assert not session.open(tmp_path / "nowhere")
    assert told.last[0] == "error"
    assert "nowhere" in told.last[1]
    assert session.project is project


def test_fields_end_at_both_ends(session: Session, told: Told) -> None:
    session.previous_field()
    assert told.last == ("hint", "This is the first field.")
    session.next_field()
    session.next_field()
    assert told.last == ("hint", "This is the last field.")


def test_seven_digits_describe_a_cell(session: Session) -> None:
    cell_id = box(session)
    assert session.caret == 0
    session.set_class("Neutrophil")
    for digit in (3, 2, 2, 1, 2, 1, 1):
        session.set_value_number(digit)
    cell = session.project.cells.get(cell_id)  # type: ignore[union-attr]
    assert cell.cell_class == "Neutrophil"
    assert list(cell.attributes.values()) == [
        "large",
        "coarse",
        "irregular",
        "inconspicuous",
        "abundant",
        "slight",
        "absent",
    ]
    assert session.caret is None
    assert not session.is_incomplete(cell)


def test_a_digit_too_many_changes_nothing(session: Session, told: Told) -> None:
    box(session)
    session.set_caret(1)
    session.set_value_number(3)
    assert "2 values" in told.last[1]
    assert session.caret == 1
    assert session.cell.attributes == {}  # type: ignore[union-attr]


def test_unsure_is_a_value_and_missing_is_none(session: Session) -> None:
    box(session)
    session.set_value_unsure()
    assert session.cell.attributes == {"cell_size": "unsure"}  # type: ignore[union-attr]
    session.clear_value()
    assert session.cell.attributes == {}  # type: ignore[union-attr]
    assert session.caret == 0


def test_clearing_steps_back_as_in_typing(session: Session) -> None:
    box(session)
    session.set_value_number(1)
    session.set_value_number(2)
    assert session.caret == 2
    session.clear_value()
    assert session.caret == 1
    assert session.cell.attributes == {"cell_size": "small"}  # type: ignore[union-attr]
    session.clear_value()
    assert session.caret == 0
    assert session.cell.attributes == {}  # type: ignore[union-attr]


def test_an_artefact_lacks_no_attributes(session: Session) -> None:
    box(session)
    session.set_class("None")
    assert session.caret is None
    assert not session.is_incomplete(session.cell)  # type: ignore[arg-type]


def test_a_group_and_unsure_are_classes_too(session: Session) -> None:
    box(session)
    session.set_class("blast")
    assert session.cell.cell_class == "blast"  # type: ignore[union-attr]
    session.set_class("unsure")
    assert session.cell.cell_class == "unsure"  # type: ignore[union-attr]
    session.set_class(None)
    assert session.cell.cell_class is None  # type: ignore[union-attr]


def test_tab_goes_through_what_is_missing(session: Session, told: Told) -> None:
    first, second = box(session, 10), box(session, 60)
    session.select("cell", first)
    session.set_value_number(1)
    assert session.caret == 1
    session.set_caret(6)
    session.next_missing()
    assert session.cell.id == second  # type: ignore[union-attr]
    for cell in (first, second):
        session.select("cell", cell)
        session.set_class("None")
    session.next_missing()
    assert told.last[1] == "Nothing is missing on this field."


def test_a_click_takes_the_smallest_box(session: Session) -> None:
    outer = session.add_box((0, 0, 60, 60))
    inner = session.add_box((20, 20, 10, 10))
    assert session.select_at(25, 25)
    assert session.cell.id == inner  # type: ignore[union-attr]
    assert session.select_at(5, 5)
    assert session.cell.id == outer  # type: ignore[union-attr]
    assert not session.select_at(100, 90)
    assert session.cell is None


def test_a_broken_rule_is_a_notice_and_changes_nothing(session: Session, told: Told) -> None:
    assert session.add_box((500, 500, 10, 10)) is None
    assert told.last[0] == "error"
    assert not session.cells
    assert session.add_region(Shape.rectangle(0, 0, 0, 0)) is None
    assert not session.regions


def test_without_a_cell_a_value_key_says_so(session: Session, told: Told) -> None:
    session.set_value_number(1)
    session.set_class("Neutrophil")
    assert all("Choose a cell" in sentence for _level, sentence in told.notices)


def test_accept_goes_to_the_next_one(
    session: Session, told: Told, small_project: Path, suggest: Suggest
) -> None:
    suggest(small_project)
    session.refresh()
    assert [s.confidence for s in session.suggestions] == [0.9, 0.7, 0.5]
    session.accept()  # nothing is chosen yet: choose, do not accept unseen
    assert not session.cells
    assert session.suggestion.confidence == 0.9  # type: ignore[union-attr]
    session.accept()
    assert len(session.cells) == 1
    assert session.cells[0].cell_class == "Neutrophil"
    assert len(session.cells[0].attributes) == 7
    assert session.suggestion.confidence == 0.7  # type: ignore[union-attr]
    session.reject(RejectionReason.DUPLICATE)
    session.reject()
    assert session.suggestion is None
    assert not session.suggestions
    assert "are reviewed" in told.last[1]
    assert len(session.project.suggestions.rejected_boxes()[session.field_id]) == 1  # type: ignore[union-attr, index]


def test_a_value_on_a_suggestion_accepts_it_corrected(
    session: Session, small_project: Path, suggest: Suggest
) -> None:
    suggest(small_project)
    session.refresh()
    session.next_suggestion()
    session.move_caret(1)
    session.set_value_number(2)
    cell = session.cell
    assert cell is not None
    assert cell.attributes["nuclear_chromatin"] == "coarse"
    assert cell.attributes["cell_size"] == "small"
    assert cell.suggestion_id is not None
    assert session.caret == 2  # to the next row, since all rows have a value
    assert len(session.suggestions) == 2


def test_a_class_on_a_suggestion_accepts_it_corrected(
    session: Session, small_project: Path, suggest: Suggest
) -> None:
    suggest(small_project)
    session.refresh()
    session.next_suggestion()
    session.set_class("Monocyte")
    assert session.cell.cell_class == "Monocyte"  # type: ignore[union-attr]


def test_the_threshold_hides_and_lets_go(
    session: Session, told: Told, small_project: Path, suggest: Suggest
) -> None:
    suggest(small_project)
    session.refresh()
    session.previous_suggestion()
    assert session.suggestion.confidence == 0.5  # type: ignore[union-attr]
    session.threshold = 0.6
    assert session.suggestion is None
    assert [s.confidence for s in session.suggestions] == [0.9, 0.7]
    session.threshold = 1.0
    session.next_suggestion()
    assert "lower the threshold" in told.last[1]


def test_undo_shows_what_it_brought_back_and_stays_in_its_field(session: Session, told: Told) -> None:
    cell = box(session)
    session.set_class("Neutrophil")
    session.next_field()
    session.undo()
    assert told.last == ("hint", "Nothing to undo on this field.")
    session.previous_field()
    assert session.undoable is not None
    session.undo()
    assert session.cell.id == cell  # type: ignore[union-attr]
    assert session.cell.cell_class is None  # type: ignore[union-attr]
    session.undo()
    assert not session.cells
    session.redo()
    session.redo()
    assert session.cells[0].cell_class == "Neutrophil"


def test_an_undone_accept_gives_the_suggestion_back(
    session: Session, small_project: Path, suggest: Suggest
) -> None:
    suggest(small_project)
    session.refresh()
    session.next_suggestion()
    session.accept()
    session.undo()
    assert not session.cells
    assert len(session.suggestions) == 3
    assert session.suggestion is not None


def test_what_is_deleted_is_no_longer_current(session: Session) -> None:
    box(session)
    session.delete_current()
    assert session.cell is None
    assert session.selection is None
    region = session.add_region(Shape.rectangle(0, 0, 50, 50))
    assert session.region.id == region  # type: ignore[union-attr]
    session.delete_current()
    assert not session.regions


def test_the_whole_field_is_reviewed_in_one_step(session: Session) -> None:
    session.mark_whole_field()
    assert session.regions[0].shape.bounds == (0, 0, 120, 100)


def test_listeners_hear_of_each_edit_once(session: Session) -> None:
    heard: list[frozenset[str]] = []
    session.marks_changed.connect(heard.append)
    box(session)
    assert heard == [frozenset({"cell"})]


def test_a_blind_reading_sees_no_suggestion_before_its_region(
    session: Session, small_project: Path, suggest: Suggest
) -> None:
    suggest(small_project)
    project = session.project
    assert project is not None
    project.readings.use(project.readings.add("second", blind=True).id)
    session.refresh()
    session.show_field(project.fields.all()[1].id)
    session.show_field(project.fields.all()[0].id)
    assert not session.suggestions
    assert session.pending == 0


def test_tools_are_exclusive(session: Session) -> None:
    session.tool = Tool.BOX
    session.tool = Tool.REGION
    assert session.tool is Tool.REGION


class FakeTrainer:
    def __init__(self) -> None:
        self.requests: list[object] = []
        self.cancelled = 0

    def start(self, request: object) -> None:
        self.requests.append(request)

    def cancel(self) -> None:
        self.cancelled += 1


def test_training_needs_a_finished_region(session: Session, told: Told) -> None:
    session.trainer = FakeTrainer()
    assert not session.start_training()
    assert told.last[0] == "warning"
    assert "region" in told.last[1]
    assert not session.training.busy


def test_a_training_from_start_to_suggestions(
    session: Session, told: Told, small_project: Path, suggest: Suggest
) -> None:
    trainer = session.trainer = FakeTrainer()
    session.add_region(Shape.rectangle(0, 0, 50, 50))
    assert session.start_training(epochs=2)
    assert trainer.requests[0].epochs == 2  # type: ignore[attr-defined]
    training = session.training
    assert training.phase is TrainingPhase.STARTING
    training.receive(SimpleNamespace(type="started", task="train", run_id=1, device="cpu", fields=1, cells=0))
    assert training.phase is TrainingPhase.RUNNING
    training.receive(
        SimpleNamespace(
            type="progress", stage="train", done=1, total=4, seconds_left=3.0, losses={"box": 1.5}
        )
    )
    assert training.progress.fraction == 0.25
    assert training.loss_history[-1][1] == {"box": 1.5}
    assert not session.suggestions
    suggest(small_project)  # the worker writes from its own process
    assert not session.suggestions
    training.receive(SimpleNamespace(type="suggested", field_ids=[session.field_id], count=3))
    assert len(session.suggestions) == 3
    short = ["{done} of {of} held-out fields were measured", {"done": 2, "of": 5}]
    result = {"left_out": [short], "unlike": ["other stain"]}
    training.receive(SimpleNamespace(type="done", task="train", model_id=1, metrics={}, result=result))
    assert "Time ran short: 2 of 5 held-out fields were measured." in training.message
    assert "The film other stain looks unlike those that the model learned from" in training.message
    assert not training.busy
    assert told.last[0] == "info"


def test_a_failed_training_is_a_notice_with_its_cure(session: Session, told: Told) -> None:
    session.trainer = FakeTrainer()
    session.add_region(Shape.rectangle(0, 0, 50, 50))
    session.start_training()
    session.training.receive(
        SimpleNamespace(type="failed", cause="The disk is full.", cure="Free some.", details="")
    )
    assert told.last == ("error", "The disk is full. Free some.")
    assert not session.training.busy


def test_cancelling_asks_the_worker_once(session: Session) -> None:
    trainer = session.trainer = FakeTrainer()
    session.cancel_training()
    assert trainer.cancelled == 0
    session.add_region(Shape.rectangle(0, 0, 50, 50))
    session.start_training()
    session.cancel_training()
    assert trainer.cancelled == 1
    assert session.training.phase is TrainingPhase.CANCELLING


def test_an_edit_of_another_field_leaves_this_one_alone(session: Session) -> None:
    heard: list[object] = []
    session.marks_changed.connect(heard.append)
    project = session.project
    assert isinstance(project, Project)
    project.cells.add(project.fields.all()[1].id, (1, 1, 5, 5))
    assert heard == []
