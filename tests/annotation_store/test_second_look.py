"""What is kept although a model contradicts it, and what a model sees where all is said to be boxed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from annotation_store import Project, Proposal
from annotation_store.records import SuggestionState

SEEN = Proposal(
    (60.0, 50.0, 20.0, 20.0), 0.9, {"Monocyte": 0.8, "Neutrophil": 0.2}, {"nucleolus": {"prominent": 1.0}}
)


@pytest.fixture
def project(small_project: Path) -> Iterator[Project]:
    with Project.open(small_project, annotator="Ada") as opened:
        opened.regions.add_whole_field(1)
        yield opened


def test_a_label_that_is_kept_says_so_in_the_history_and_undo_takes_it_back(project: Project) -> None:
    cell = project.cells.add(1, (5, 5, 20, 20), cell_class="Monocyte", attributes={"nucleolus": "prominent"})
    project.label_reviews.confirm(cell)
    kept = project.cells.get(cell)
    assert kept.confirmed == {
        "cell_class": "Monocyte",
        "attributes": {"nucleolus": "prominent"},
        "box": [5, 5, 20, 20],
    }
    last = project.history.rows(1)[-1]
    assert (last.command, last.annotator, last.after) == ("Keep label", "Ada", {"confirmed": kept.confirmed})
    project.label_reviews.confirm(cell)  # once more: nothing new, no edit
    assert project.history.rows(1)[-1] == last
    project.undo(1)
    assert project.cells.get(cell).confirmed == {}
    project.redo(1)
    assert project.cells.get(cell) == kept
    assert project.cells.provenance(cell).labelled_by == "Ada"


def test_a_change_made_in_the_face_of_a_model_confirms_what_it_gives_and_no_more(project: Project) -> None:
    cell = project.cells.add(1, (5, 5, 20, 20), cell_class="Monocyte", attributes={"nucleolus": "prominent"})
    project.cells.change(cell, cell_class="Lymphocyte", confirm=True)
    assert project.cells.get(cell).confirmed == {"cell_class": "Lymphocyte"}
    project.cells.change(cell, attributes={"cytoplasm": "scanty"}, confirm=True)
    project.cells.change(cell, box=(6, 5, 20, 20), confirm=True)
    assert project.cells.get(cell).confirmed == {
        "cell_class": "Lymphocyte",
        "attributes": {"cytoplasm": "scanty"},
        "box": [6, 5, 20, 20],
    }
    project.undo(1)
    project.undo(1)
    project.undo(1)
    assert (project.cells.get(cell).cell_class, project.cells.get(cell).confirmed) == ("Monocyte", {})


def test_a_kept_cell_can_be_deleted_and_brought_back_as_it_was(project: Project) -> None:
    cell = project.cells.add(1, (5, 5, 20, 20), cell_class="Monocyte")
    project.label_reviews.confirm(cell)
    kept = project.cells.get(cell)
    project.cells.delete(cell)
    project.undo(1)
    assert project.cells.get(cell) == kept
    for _ in range(2):
        project.undo(1)
    assert project.cells.all(1) == []


def test_what_a_model_sees_and_nobody_boxed_becomes_a_cell_with_its_word(project: Project) -> None:
    cell = project.label_reviews.accept(1, SEEN, model_id=None)
    made = project.cells.get(cell)
    assert (made.box, made.cell_class, made.attributes) == (SEEN.box, "Monocyte", {"nucleolus": "prominent"})
    assert made.suggestion_id is not None
    assert project.suggestions.get(made.suggestion_id).state is SuggestionState.ACCEPTED
    project.undo(1)
    assert project.cells.all(1) == []
    assert project.suggestions.find(1) == [], "an undo offers nothing where all is known"
    project.redo(1)
    assert project.cells.get(cell) == made


def test_or_with_another_class_and_box(project: Project) -> None:
    cell = project.label_reviews.accept(1, SEEN, model_id=None, cell_class="Lymphocyte", box=(61, 50, 20, 20))
    made = project.cells.get(cell)
    assert (made.box, made.cell_class) == ((61, 50, 20, 20), "Lymphocyte")
    assert made.suggestion_id is not None
    assert project.suggestions.get(made.suggestion_id).state is SuggestionState.CORRECTED


def test_what_a_person_says_is_no_cell_is_known_background(project: Project) -> None:
    project.label_reviews.reject(1, SEEN, model_id=None)
    assert project.suggestions.rejected_boxes() == {1: [SEEN.box]}
    assert project.suggestions.find(1) == []
    project.undo(1)
    assert project.suggestions.rejected_boxes() == {}
    assert project.suggestions.find(1) == []
    project.redo(1)
    assert project.suggestions.rejected_boxes() == {1: [SEEN.box]}
    assert project.check() == []


def test_an_opinion_older_than_the_schema_is_taken_as_far_as_it_still_says_something(
    project: Project,
) -> None:
    old = Proposal((60, 50, 20, 20), 0.9, {"Gone": 1.0}, {"nucleolus": {"gone": 1.0}, "lost": {"x": 1.0}})
    made = project.cells.get(project.label_reviews.accept(1, old, model_id=None))
    assert (made.cell_class, made.attributes) == (None, {})


def test_a_project_from_before_labels_could_be_confirmed_goes_on(old_project: Path) -> None:
    with Project.open(old_project, annotator="Ada") as project:
        (cell,) = project.cells.all()
        assert cell.confirmed == {}
        project.label_reviews.confirm(cell.id)
        project.undo(1)
        project.undo(1)  # what was written before the column was there
        assert project.cells.all() == []
        project.redo(1)
        project.redo(1)
        assert project.cells.get(cell.id).confirmed["cell_class"] == cell.cell_class
