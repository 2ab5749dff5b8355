"""Many cells and suggestions at once: listed in one statement, labelled and taken back as one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from annotation_store import (
    EditError,
    KnownEntries,
    Project,
    Proposal,
    RejectionReason,
    Shape,
    SuggestionState,
)

BOX = (10.0, 10.0, 20.0, 20.0)


Statements = Callable[[Project], AbstractContextManager[list[str]]]


def proposal(x: float, **classes: float) -> Proposal:
    return Proposal((x, 10.0, 20.0, 20.0), 0.8, classes or {"Monocyte": 0.7, "Neutrophil": 0.3})


def test_cells_and_suggestions_are_listed_with_what_a_model_thinks_in_one_statement(
    project: Project, statements: Statements
) -> None:
    mine, other = project.suggestions.replace(1, [proposal(10), proposal(40)], model_id=None)
    accepted = project.suggestions.correct(mine, cell_class="Basophil")
    project.suggestions.reject(other)
    drawn = project.cells.add(2, (11, 11, 20, 20), cell_class="Monocyte", attributes={"cell_size": "small"})
    alone = project.cells.add(2, (60, 50, 20, 20))
    (waiting,) = project.suggestions.replace(2, [proposal(10, Neutrophil=0.9, Monocyte=0.1)], model_id=None)
    with statements(project) as seen:
        found = project.bulk_edits.entries()
    assert len(seen) == 1
    by_key = {(e.kind, e.id): e for e in found}
    assert len(found) == 5
    assert by_key["cell", accepted].cell_class == "Basophil"
    assert by_key["cell", accepted].class_probabilities == {"Monocyte": 0.7, "Neutrophil": 0.3}
    assert by_key["cell", drawn].class_probabilities == {"Neutrophil": 0.9, "Monocyte": 0.1}
    assert by_key["cell", drawn].attributes == {"cell_size": "small"}
    assert by_key["cell", alone].class_probabilities == {}
    assert by_key["cell", alone].confidence is None
    assert by_key["suggestion", other].state == SuggestionState.REJECTED
    assert by_key["suggestion", waiting].state == SuggestionState.PENDING
    assert by_key["suggestion", waiting].cell_class is None
    assert {e.field_id for e in project.bulk_edits.entries([1])} == {1}
    assert project.bulk_edits.entries([]) == []
    assert [e.id for e in project.bulk_edits.entries(states=[]) if e.kind == "suggestion"] == []


def test_a_blind_reader_lists_no_suggestion_and_no_opinion_before_the_region_is_finished(
    project: Project,
) -> None:
    project.readings.use(project.readings.add("second", blind=True).id)
    project.suggestions.replace(1, [proposal(10), proposal(60)], model_id=None)
    cell = project.cells.add(1, BOX)
    (entry,) = project.bulk_edits.entries()
    assert (entry.id, entry.confidence, dict(entry.class_probabilities)) == (cell, None, {})
    project.regions.add(1, Shape.rectangle(0, 0, 40, 40))
    assert [(e.kind, e.confidence) for e in project.bulk_edits.entries()] == [
        ("cell", 0.8),
        ("suggestion", 0.8),
    ]


def test_many_are_labelled_in_one_transaction_and_taken_back_together(
    project: Project, statements: Statements
) -> None:
    cells = [project.cells.add(field, (i, 40, 20, 20)) for field in (1, 2) for i in (1, 30)]
    ids = project.suggestions.replace(1, [proposal(10), proposal(40)], model_id=None)
    with statements(project) as seen:
        edits = project.bulk_edits.label(cells, ids, cell_class="Monocyte")
    assert sum(s.startswith("BEGIN") for s in seen) == 1
    assert len(seen) <= 4 + 5 * len(edits)
    assert [edit.field_id for edit in edits] == [1, 2]
    assert {cell.cell_class for cell in project.cells.all()} == {"Monocyte"}
    assert len(project.cells.all()) == 6
    assert {project.suggestions.get(i).state for i in ids} == {SuggestionState.ACCEPTED}
    assert project.undoable(1) == "Label 4 cells"
    project.bulk_edits.undo(edit.id for edit in edits)
    assert [cell.cell_class for cell in project.cells.all()] == [None] * 4
    assert {project.suggestions.get(i).state for i in ids} == {SuggestionState.PENDING}
    project.redo(2)
    assert [cell.cell_class for cell in project.cells.all(2)] == ["Monocyte"] * 2


def test_nothing_of_many_is_done_where_one_is_refused(project: Project) -> None:
    cell = project.cells.add(1, BOX)
    (settled,) = project.suggestions.replace(1, [proposal(40)], model_id=None)
    project.suggestions.reject(settled, RejectionReason.DUPLICATE)
    for arguments in (
        {"cell_ids": [cell, 99], "cell_class": "Monocyte"},
        {"cell_ids": [cell], "suggestion_ids": [settled], "cell_class": "Monocyte"},
        {"cell_ids": [cell], "cell_class": "Nonsense"},
        {"cell_ids": [cell], "attributes": {"cell_size": "nonsense"}},
    ):
        with pytest.raises(EditError):
            project.bulk_edits.label(**arguments)
    assert project.cells.get(cell).cell_class is None
    assert project.bulk_edits.label([]) == []
    assert project.bulk_edits.label([cell], cell_class=None) == [], "it says so already"


def test_values_are_merged_and_an_artefact_keeps_no_proposed_ones(project: Project) -> None:
    cell = project.cells.add(1, BOX, attributes={"nucleolus": "prominent"})
    said = {"cell_size": {"small": 0.9, "medium": 0.05, "large": 0.05}}
    (suggestion,) = project.suggestions.replace(
        2, [Proposal(BOX, 0.9, {"Monocyte": 1.0}, said)], model_id=None
    )
    project.bulk_edits.label([cell], [suggestion], attributes={"cell_size": "large"})
    assert project.cells.get(cell).attributes == {"cell_size": "large", "nucleolus": "prominent"}
    assert project.cells.all(2)[0].attributes == {"cell_size": "large"}
    (other,) = project.suggestions.replace(
        2, [Proposal((50, 1, 20, 20), 0.9, {"Monocyte": 1.0}, said)], model_id=None
    )
    project.bulk_edits.label([], [other], cell_class="None")
    assert project.cells.all(2)[1].attributes == {}


def test_undo_of_many_refuses_where_somebody_went_on(project: Project) -> None:
    cells = [project.cells.add(field, BOX) for field in (1, 2)]
    edits = project.bulk_edits.label(cells, cell_class="Monocyte")
    project.cells.change(cells[1], bookmark=True)
    with pytest.raises(EditError, match="edited after"):
        project.bulk_edits.undo([edit.id for edit in edits])
    assert project.cells.get(cells[0]).cell_class == "Monocyte", "nothing was undone"
    with pytest.raises(EditError):
        project.bulk_edits.undo([12345])


def test_entries_read_before_are_made_anew_only_where_something_changed(project: Project) -> None:
    one = project.cells.add(1, (10, 10, 20, 20), cell_class="Monocyte", attributes={"cell_size": "small"})
    other = project.cells.add(1, (50, 10, 20, 20), cell_class="Monocyte")
    (waiting,) = project.suggestions.replace(
        1, [Proposal((50, 50, 20, 20), 0.6, {"Monocyte": 1.0})], model_id=None
    )
    known = KnownEntries()
    before = project.bulk_edits.entries(known=known)
    assert before == project.bulk_edits.entries()
    project.cells.change(one, attributes={"cell_size": "large"})
    project.suggestions.renew({waiting: Proposal((0, 0, 1, 1), 0.1, {"Neutrophil": 1.0})})
    after = project.bulk_edits.entries(known=known)
    assert after == project.bulk_edits.entries()
    assert [entry.attributes for entry in after if entry.id == one and entry.kind == "cell"] == [
        {"cell_size": "large"}
    ]
    assert [entry.renewed for entry in after if entry.kind == "suggestion"] == [True]
    same = {entry.id: entry for entry in before if entry.kind == "cell"}
    assert next(e for e in after if e.kind == "cell" and e.id == other) is same[other]
    project.cells.delete(other)
    assert project.bulk_edits.entries(known=known) == project.bulk_edits.entries()
