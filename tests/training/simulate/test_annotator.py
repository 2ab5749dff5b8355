"""A simulated annotator does what a person would, by real commands, and reckons the seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project, Proposal
from annotation_store.records import RejectionReason, SuggestionState
from training.evaluation.ground_truth import TrueCell
from training.ranking import CostModel
from training.simulate import AnnotationWork, SimulatedAnnotator

COST = CostModel()
TRUTH = (
    TrueCell((10, 10, 20, 20), "Monocyte", {"cell_size": "large"}),
    TrueCell((50, 10, 20, 20), "Basophil", {"cell_size": "small"}),
    TrueCell((110, 80, 20, 20), "Monocyte", {"cell_size": "large"}),
)
LEFT = (0.0, 0.0, 80.0, 60.0)  # holds the first two cells; a quarter of the field


def said(box, cell_class: str | None = "Monocyte", size: str | None = "large") -> Proposal:
    classes = {cell_class: 0.9, "Neutrophil": 0.1} if cell_class else {}
    sizes = {"cell_size": {size: 0.8, "medium": 0.2}} if size else {}
    return Proposal(box, 0.9, classes, sizes)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    picture = tmp_path / "field.png"
    Image.fromarray(np.full((120, 160, 3), 200, np.uint8)).save(picture)
    with Project.create(tmp_path / "project", "lld", annotator="simulated") as made:
        made.fields.add([picture])
        yield made


def outcome(project: Project) -> list[tuple[str | None, dict[str, str]]]:
    return sorted((cell.cell_class or "", dict(cell.attributes)) for cell in project.cells.all(1))


def test_without_suggestions_every_cell_of_the_area_is_boxed_by_hand(project: Project) -> None:
    work = SimulatedAnnotator(project, {1: TRUTH}).finish(1, LEFT)
    assert outcome(project) == [("Basophil", {"cell_size": "small"}), ("Monocyte", {"cell_size": "large"})]
    assert [region.shape.coords for region in project.regions.all(1)] == [LEFT]
    by_hand = COST.open_field + COST.region + COST.scan / 4 + 2 * COST.new_cell(1)
    assert work.seconds == work.by_hand == pytest.approx(by_hand)
    assert (work.drawn, work.cells, work.regions) == (2, 2, 1)


def test_suggestions_are_accepted_corrected_or_rejected_and_what_they_missed_is_boxed(
    project: Project,
) -> None:
    nowhere = (60.0, 40.0, 15.0, 15.0)
    project.suggestions.replace(
        1, [said((10, 10, 20, 20)), said(nowhere), said((110, 80, 20, 20))], model_id=None
    )
    work = SimulatedAnnotator(project, {1: TRUTH}).finish(1, LEFT)
    assert outcome(project) == [("Basophil", {"cell_size": "small"}), ("Monocyte", {"cell_size": "large"})]
    states = [s.state for s in project.suggestions.find(1, states=SuggestionState)]
    assert sorted(states) == ["accepted", "pending", "rejected"]  # that beyond the area still waits
    fixed = COST.open_field + COST.region + COST.scan / 4
    seconds = fixed + COST.accepted(1) + COST.rejected() + COST.new_cell(1)
    assert work.seconds == pytest.approx(seconds)
    assert work.by_hand == pytest.approx(fixed + 2 * COST.new_cell(1))
    assert (work.drawn, work.accepted, work.corrected, work.rejected) == (1, 1, 0, 1)
    assert work.reasons == {RejectionReason.NOT_A_CELL: 1}


def test_each_wrong_part_costs_a_correction_and_each_unsaid_one_a_label(project: Project) -> None:
    shifted = (16.0, 10.0, 20.0, 20.0)  # overlaps the first cell by 0.54
    project.suggestions.replace(
        1, [said(shifted, "Basophil", "small"), said((50, 10, 20, 20), None, None)], model_id=None
    )
    work = SimulatedAnnotator(project, {1: TRUTH}).finish(1, LEFT, opened=True)
    assert outcome(project) == [("Basophil", {"cell_size": "small"}), ("Monocyte", {"cell_size": "large"})]
    assert sorted(cell.box for cell in project.cells.all(1)) == [TRUTH[0].box, TRUTH[1].box]
    seconds = COST.region + COST.scan / 4 + COST.accepted(1, 2, 1)
    seconds += COST.accepted(0) + COST.label_class + COST.attribute
    assert work.seconds == pytest.approx(seconds)
    assert work.parts == {"box": 1, "class": 2, "cell_size": 2}


def test_by_hand_the_true_boxes_are_drawn_and_the_time_with_suggestions_is_still_told(
    project: Project,
) -> None:
    project.suggestions.replace(1, [said((11, 10, 20, 20))], model_id=None)
    person = SimulatedAnnotator(project, {1: TRUTH}, uses_suggestions=False)
    work = person.finish(1)
    assert sorted(cell.box for cell in project.cells.all(1)) == sorted(cell.box for cell in TRUTH)
    assert all(cell.suggestion_id is None for cell in project.cells.all(1))
    fixed = COST.open_field + COST.region + COST.scan
    assert work.by_hand == pytest.approx(fixed + 3 * COST.new_cell(1))
    assert work.seconds == pytest.approx(fixed + COST.accepted(1) + 2 * COST.new_cell(1))


def test_what_is_annotated_already_is_not_boxed_again(project: Project) -> None:
    person = SimulatedAnnotator(project, {1: TRUTH})
    person.finish(1, LEFT)
    work = person.finish(1)
    assert len(project.cells.all(1)) == 3
    assert work.cells == 1


def test_a_queue_is_decided_one_by_one_without_finishing_anything(project: Project) -> None:
    project.suggestions.replace(1, [said((110, 80, 20, 20)), said((60, 40, 15, 15))], model_id=None)
    work = SimulatedAnnotator(project, {1: TRUTH}).review(project.suggestions.find(1))
    assert project.regions.all(1) == []
    assert work.seconds == pytest.approx(COST.accepted(1) + COST.rejected())
    assert (work.cells, work.rejected, work.regions) == (1, 1, 0)


def test_in_bulk_all_are_taken_unseen_and_the_wrong_ones_are_told(project: Project) -> None:
    some = [said((10, 10, 20, 20)), said((50, 10, 20, 20)), said((60, 40, 15, 15))]
    project.suggestions.replace(1, some, model_id=None)
    work = SimulatedAnnotator(project, {1: TRUTH}).accept_in_bulk(project.suggestions.find(1))
    assert len(project.cells.all(1)) == 3
    assert (work.in_bulk, work.wrong_in_bulk) == (3, 2)  # a basophil called monocyte, and no cell at all


def test_pieces_of_work_add_up() -> None:
    one, other = AnnotationWork(seconds=1.0, drawn=2), AnnotationWork(seconds=2.5, rejected=1)
    both = one + other
    assert (both.seconds, both.drawn, both.rejected, both.cells) == (3.5, 2, 1, 2)
    assert one + AnnotationWork() == one
