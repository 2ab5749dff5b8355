"""The session, without Qt."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from annotation_store import Project, Proposal, RejectionReason, Shape
from napari_lld.session.session import Session
from napari_lld.session.tool import Tool
from napari_lld.session.training_state import TrainingPhase
from training.protocol import Suggested

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
    cell = session.boxes.add((x, y, 20, 20))
    assert cell is not None
    return cell


def test_it_needs_no_qt_and_no_torch() -> None:
    code = (
        "import sys, napari_lld.session.session, napari_lld.commands.registry\n"
        "print([m for m in ('qtpy', 'PyQt6', 'torch', 'napari', 'ultralytics') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_opening_a_project_announces_no_change_of_its_models(small_project: Path) -> None:
    session = Session()
    announced: list[str] = []
    session.models.changed.connect(lambda: announced.append("changed"))
    session.open(small_project)
    assert not announced
    session.models.activate(None)
    assert announced
    session.close()


def test_a_project_opens_on_its_first_field_and_later_where_it_was_left(small_project: Path) -> None:
    session = Session()
    session.open(small_project)
    first = session.fields.current_id
    session.fields.next()
    session.marks.threshold = 0.6
    second = session.fields.current_id
    assert second != first
    session.close()
    assert session.project is None
    assert session.fields.current is None

    again = Session()
    again.open(small_project)
    assert again.fields.current_id == second
    assert again.marks.threshold == 0.6
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
    session.fields.previous()
    assert told.last == ("hint", "This is the first field.")
    session.fields.next()
    session.fields.next()
    assert told.last == ("hint", "This is the last field.")


def test_seven_digits_describe_a_cell(session: Session) -> None:
    cell_id = box(session)
    assert session.selection.caret == 0
    session.labels.set_class("Neutrophil")
    for digit in (3, 2, 2, 1, 2, 1, 1):
        session.labels.set_value_number(digit)
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
    assert session.selection.caret is None
    assert not session.is_incomplete(cell)


def test_a_digit_too_many_changes_nothing(session: Session, told: Told) -> None:
    box(session)
    session.selection.set_caret(1)
    session.labels.set_value_number(3)
    assert "2 values" in told.last[1]
    assert session.selection.caret == 1
    assert session.selection.cell.attributes == {}  # type: ignore[union-attr]


def test_unsure_is_a_value_and_missing_is_none(session: Session) -> None:
    box(session)
    session.labels.set_value_unsure()
    assert session.selection.cell.attributes == {"cell_size": "unsure"}  # type: ignore[union-attr]
    session.labels.clear_value()
    assert session.selection.cell.attributes == {}  # type: ignore[union-attr]
    assert session.selection.caret == 0


def test_clearing_steps_back_as_in_typing(session: Session) -> None:
    box(session)
    session.labels.set_value_number(1)
    session.labels.set_value_number(2)
    assert session.selection.caret == 2
    session.labels.clear_value()
    assert session.selection.caret == 1
    assert session.selection.cell.attributes == {"cell_size": "small"}  # type: ignore[union-attr]
    session.labels.clear_value()
    assert session.selection.caret == 0
    assert session.selection.cell.attributes == {}  # type: ignore[union-attr]


def test_an_artefact_lacks_no_attributes(session: Session) -> None:
    box(session)
    session.labels.set_class("None")
    assert session.selection.caret is None
    assert not session.is_incomplete(session.selection.cell)  # type: ignore[arg-type]


def test_a_group_and_unsure_are_classes_too(session: Session) -> None:
    box(session)
    session.labels.set_class("blast")
    assert session.selection.cell.cell_class == "blast"  # type: ignore[union-attr]
    session.labels.set_class("unsure")
    assert session.selection.cell.cell_class == "unsure"  # type: ignore[union-attr]
    session.labels.set_class(None)
    assert session.selection.cell.cell_class is None  # type: ignore[union-attr]


def test_tab_goes_through_what_is_missing(session: Session, told: Told) -> None:
    first, second = box(session, 10), box(session, 60)
    session.selection.select("cell", first)
    session.labels.set_value_number(1)
    assert session.selection.caret == 1
    session.selection.set_caret(6)
    session.labels.next_missing()
    assert session.selection.cell.id == second  # type: ignore[union-attr]
    for cell in (first, second):
        session.selection.select("cell", cell)
        session.labels.set_class("None")
    session.labels.next_missing()
    assert told.last[1] == "Nothing is missing on this field."


def test_a_click_takes_the_smallest_box(session: Session) -> None:
    outer = session.boxes.add((0, 0, 60, 60))
    inner = session.boxes.add((20, 20, 10, 10))
    assert session.selection.select_at(25, 25)
    assert session.selection.cell.id == inner  # type: ignore[union-attr]
    assert session.selection.select_at(5, 5)
    assert session.selection.cell.id == outer  # type: ignore[union-attr]
    assert not session.selection.select_at(100, 90)
    assert session.selection.cell is None


def test_a_broken_rule_is_a_notice_and_changes_nothing(session: Session, told: Told) -> None:
    assert session.boxes.add((500, 500, 10, 10)) is None
    assert told.last[0] == "error"
    assert not session.marks.cells
    assert session.regions.add(Shape.rectangle(0, 0, 0, 0)) is None
    assert not session.marks.regions


def test_without_a_cell_a_value_key_says_so(session: Session, told: Told) -> None:
    session.labels.set_value_number(1)
    session.labels.set_class("Neutrophil")
    assert all("Select a cell" in sentence for _level, sentence in told.notices)


def test_accept_goes_to_the_next_one(
    session: Session, told: Told, small_project: Path, suggest: Suggest
) -> None:
    suggest(small_project)
    session.refresh()
    assert [s.confidence for s in session.suggestions.shown] == [0.9, 0.7, 0.5]
    session.review.accept()  # nothing is chosen yet: choose, do not accept unseen
    assert not session.marks.cells
    assert session.selection.suggestion.confidence == 0.9  # type: ignore[union-attr]
    session.review.accept()
    assert len(session.marks.cells) == 1
    assert session.marks.cells[0].cell_class == "Neutrophil"
    assert len(session.marks.cells[0].attributes) == 7
    assert session.selection.suggestion.confidence == 0.7  # type: ignore[union-attr]
    session.review.reject(RejectionReason.DUPLICATE)
    session.review.reject()
    assert session.selection.suggestion is None
    assert not session.suggestions.shown
    assert "No suggestions left" in told.last[1]
    assert len(session.project.suggestions.rejected_boxes()[session.fields.current_id]) == 1  # type: ignore[union-attr, index]


def test_a_value_on_a_suggestion_accepts_it_corrected(
    session: Session, small_project: Path, suggest: Suggest
) -> None:
    suggest(small_project)
    session.refresh()
    session.review.next()
    session.selection.move_caret(1)
    session.labels.set_value_number(2)
    cell = session.selection.cell
    assert cell is not None
    assert cell.attributes["nuclear_chromatin"] == "coarse"
    assert cell.attributes["cell_size"] == "small"
    assert cell.suggestion_id is not None
    assert session.selection.caret == 2  # to the next row, since all rows have a value
    assert len(session.suggestions.shown) == 2


def test_a_class_on_a_suggestion_accepts_it_corrected(
    session: Session, small_project: Path, suggest: Suggest
) -> None:
    suggest(small_project)
    session.refresh()
    session.review.next()
    session.labels.set_class("Monocyte")
    assert session.selection.cell.cell_class == "Monocyte"  # type: ignore[union-attr]


def test_the_threshold_hides_and_lets_go(
    session: Session, told: Told, small_project: Path, suggest: Suggest
) -> None:
    suggest(small_project)
    session.refresh()
    session.review.previous()
    assert session.selection.suggestion.confidence == 0.5  # type: ignore[union-attr]
    session.marks.threshold = 0.6
    assert session.selection.suggestion is None
    assert [s.confidence for s in session.suggestions.shown] == [0.9, 0.7]
    session.marks.threshold = 1.0
    session.review.next()
    assert "lower the threshold" in told.last[1]


def test_undo_shows_what_it_brought_back_and_stays_in_its_field(session: Session, told: Told) -> None:
    cell = box(session)
    session.labels.set_class("Neutrophil")
    session.fields.next()
    session.history.undo()
    assert told.last == ("hint", "Nothing to undo on this field.")
    session.fields.previous()
    assert session.history.undoable is not None
    session.history.undo()
    assert session.selection.cell.id == cell  # type: ignore[union-attr]
    assert session.selection.cell.cell_class is None  # type: ignore[union-attr]
    session.history.undo()
    assert not session.marks.cells
    session.history.redo()
    session.history.redo()
    assert session.marks.cells[0].cell_class == "Neutrophil"


def test_an_undone_accept_gives_the_suggestion_back(
    session: Session, small_project: Path, suggest: Suggest
) -> None:
    suggest(small_project)
    session.refresh()
    session.review.next()
    session.review.accept()
    session.history.undo()
    assert not session.marks.cells
    assert len(session.suggestions.shown) == 3
    assert session.selection.suggestion is not None


def test_what_is_deleted_is_no_longer_current(session: Session) -> None:
    box(session)
    session.delete_current()
    assert session.selection.cell is None
    assert session.selection.current is None
    region = session.regions.add(Shape.rectangle(0, 0, 50, 50))
    assert session.selection.region.id == region  # type: ignore[union-attr]
    session.delete_current()
    assert not session.marks.regions


def test_the_whole_field_is_reviewed_in_one_step(session: Session) -> None:
    session.regions.add_whole_field()
    assert session.marks.regions[0].shape.bounds == (0, 0, 120, 100)


def test_listeners_hear_of_each_edit_once(session: Session) -> None:
    heard: list[frozenset[str]] = []
    session.marks.changed.connect(heard.append)
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
    session.fields.show(project.fields.all()[1].id)
    session.fields.show(project.fields.all()[0].id)
    assert not session.suggestions.shown
    assert session.marks.pending == 0


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
    session.training.process = FakeTrainer()
    assert not session.training.start()
    assert told.last[0] == "warning"
    assert "region" in told.last[1]
    assert not session.training.state.busy


def test_a_training_from_start_to_suggestions(
    session: Session, told: Told, small_project: Path, suggest: Suggest
) -> None:
    trainer = session.training.process = FakeTrainer()
    session.regions.add(Shape.rectangle(0, 0, 50, 50))
    assert session.training.start(epochs=2)
    assert trainer.requests[0].epochs == 2  # type: ignore[attr-defined]
    training = session.training.state
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
    assert not session.suggestions.shown
    suggest(small_project)  # the worker writes from its own process
    assert not session.suggestions.shown
    training.receive(Suggested(field_ids=[session.fields.current_id], count=3))
    assert len(session.suggestions.shown) == 3
    short = ["{done} of {of} held-out fields were measured", {"done": 2, "of": 5}]
    result = {"left_out": [short], "unlike": ["other stain"]}
    training.receive(SimpleNamespace(type="done", task="train", model_id=1, metrics={}, result=result))
    assert "Left out to keep to the time: 2 of 5 held-out fields were measured." in training.message
    assert "The film other stain looks unlike those that the model learned from" in training.message
    assert not training.busy
    assert told.last[0] == "info"


def test_a_failed_training_is_a_notice_with_its_cure(session: Session, told: Told) -> None:
    session.training.process = FakeTrainer()
    session.regions.add(Shape.rectangle(0, 0, 50, 50))
    session.training.start()
    session.training.state.receive(
        SimpleNamespace(type="failed", cause="The disk is full.", cure="Free some.", details="")
    )
    assert told.last == ("error", "The disk is full. Free some.")
    assert not session.training.state.busy


def test_cancelling_asks_the_worker_once(session: Session) -> None:
    trainer = session.training.process = FakeTrainer()
    session.training.cancel()
    assert trainer.cancelled == 0
    session.regions.add(Shape.rectangle(0, 0, 50, 50))
    session.training.start()
    session.training.cancel()
    assert trainer.cancelled == 1
    assert session.training.state.phase is TrainingPhase.CANCELLING


def test_an_edit_of_another_field_leaves_this_one_alone(session: Session) -> None:
    heard: list[object] = []
    session.marks.changed.connect(heard.append)
    project = session.project
    assert isinstance(project, Project)
    project.cells.add(project.fields.all()[1].id, (1, 1, 5, 5))
    assert heard == []


def test_a_field_or_mark_that_is_not_there_is_refused_and_the_current_one_stays(
    session: Session, small_project: Path, told: Told
) -> None:
    session.open(small_project)
    first, cell = session.fields.current_id, box(session)
    assert not session.fields.go_to(99999)
    assert told.last == ("warning", "There is no field 99999 in this project.")
    assert session.fields.current_id == first
    for kind in ("cell", "suggestion", "region", "ignore_area", "missed"):
        assert not session.selection.select(kind, 99999)
        assert told.last == ("warning", "The cell or suggestion is not on this field.")
        assert session.selection.cell is not None
        assert session.selection.cell.id == cell


@pytest.mark.parametrize("number", [0, -1, 99])
def test_a_value_number_that_the_row_lacks_sets_nothing(
    session: Session, small_project: Path, told: Told, number: int
) -> None:
    session.open(small_project)
    box(session)
    session.labels.set_value_number(number)
    assert session.selection.cell is not None
    assert not session.selection.cell.attributes
    assert told.last == (
        "hint",
        f"{session.attributes[0].title} has {len(session.attributes[0].values)} values.",
    )


def test_a_threshold_that_is_not_a_number_is_not_taken(session: Session) -> None:
    session.marks.threshold = 0.4
    session.marks.threshold = float("nan")
    assert session.marks.threshold == 0.4
    session.marks.threshold = float("inf")
    assert session.marks.threshold == 1


def test_where_nothing_is_to_review_training_is_advised_only_if_it_leads_to_suggestions(
    session: Session,
) -> None:
    project, suggestions = session.project, session.suggestions
    assert project is not None
    here, other = (field.id for field in project.fields.all())
    assert suggestions.what_next.startswith("Nothing to review yet: run the model"), "it could not train"
    project.suggestions.replace(other, [Proposal((5, 5, 20, 20), 0.9)], model_id=None)
    session.fields.read_again()
    assert "[suggestion.next] goes to the next one" in suggestions.what_next
    project.suggestions.replace(other, [], model_id=None)
    project.regions.add(other, Shape.rectangle(0, 0, 30, 30))
    session.fields.read_again()
    assert suggestions.what_next.startswith("Train a model")
    project.regions.add_whole_field(here)
    session.fields.read_again()
    assert suggestions.what_next.startswith("This field is annotated completely")
    project.fields.update(other, skipped=True)
    session.fields.read_again()
    assert suggestions.what_next.startswith("Every field is annotated completely")
