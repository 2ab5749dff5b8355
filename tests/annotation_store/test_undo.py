"""Undo and redo: any sequence comes back exactly, and never reaches what is not one's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation_store import (
    EditError,
    Project,
    Proposal,
    RegionState,
    RejectionReason,
    Shape,
    SuggestionState,
)

ALL = tuple(SuggestionState)


def state(project: Project, field_id: int = 1) -> tuple[Any, ...]:
    return (
        project.cells.all(field_id),
        project.regions.all(field_id),
        project.ignore_areas.all(field_id),
        sorted(project.suggestions.find(field_id, states=ALL), key=lambda s: s.id),
        project.fields.get(field_id),
    )


PROPOSALS = [
    Proposal(
        (10.0 * i, 5.0, 9.0, 9.0),
        0.9 - i / 20,
        {"Monocyte": 0.75, "None": 0.25} if i % 2 else {"None": 1.0},
        {"cell_size": {"small": 0.25, "large": 0.75}},
    )
    for i in range(6)
]


def do(project: Project, action: str, pick: int) -> None:
    """Do one edit, if there is anything to do it to."""
    cells, regions, areas = project.cells.all(1), project.regions.all(1), project.ignore_areas.all(1)
    pending = project.suggestions.find(1)
    box = (float(pick % 70), float(pick % 50), 20.0, 15.0)
    if action == "add":
        project.cells.add(1, box, cell_class=["Monocyte", "blast", "unsure", None][pick % 4])
    elif action == "label" and cells:
        project.cells.change(
            cells[pick % len(cells)].id,
            cell_class=["Lymphocyte", "None", None][pick % 3],
            attributes={"cell_size": ["small", "unsure", None][pick % 3]},
        )
    elif action == "move" and cells:
        project.cells.change(cells[pick % len(cells)].id, box=box, comment=str(pick))
    elif action == "delete" and cells:
        project.cells.delete(cells[pick % len(cells)].id)
    elif action == "region":
        project.regions.add(1, Shape(box), state=list(RegionState)[pick % 2])
    elif action == "finish" and regions:
        project.regions.change(regions[pick % len(regions)].id, state=RegionState.FINISHED, shape=Shape(box))
    elif action == "no region" and regions:
        project.regions.delete(regions[pick % len(regions)].id)
    elif action == "ignore":
        project.ignore_areas.add(1, Shape.polygon([(0, 0), (1 + pick % 90, 0), (0, 50)]))
    elif action == "no ignore" and areas:
        project.ignore_areas.delete(areas[pick % len(areas)].id)
    elif action == "accept" and pending:
        project.suggestions.accept(pending[pick % len(pending)].id)
    elif action == "accept many" and pending:
        project.suggestions.accept_many([s.id for s in pending[: 1 + pick % 3]])
    elif action == "correct" and pending:
        project.suggestions.correct(pending[pick % len(pending)].id, cell_class="Basophil")
    elif action == "reject" and pending:
        project.suggestions.reject(pending[pick % len(pending)].id, list(RejectionReason)[pick % 3])
    elif action == "describe":
        project.fields.update(1, note=str(pick), patient=f"P{pick % 3}")


MARKS = ["add", "label", "move", "delete", "region", "finish", "no region", "ignore", "no ignore"]
REVIEWS = ["accept", "accept many", "correct", "reject", "describe"]
ACTIONS = st.sampled_from([*MARKS, *REVIEWS, "undo", "undo", "redo"])


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(st.tuples(ACTIONS, st.integers(0, 999)), max_size=25))
def test_any_sequence_of_edits_undone_and_redone_returns_the_same_states(
    fresh: Callable[[], Project], steps: list[tuple[str, int]]
) -> None:
    with fresh() as project:
        project.suggestions.replace(1, PROPOSALS, model_id=None)
        project.cells.add(2, (1, 1, 20, 20))
        elsewhere = state(project, 2)
        states, at = [state(project)], 0
        for action, pick in steps:
            if action == "undo":
                assert (project.undo(1) is not None) == (at > 0)
                at = max(at - 1, 0)
            elif action == "redo":
                assert (project.redo(1) is not None) == (at < len(states) - 1)
                at = min(at + 1, len(states) - 1)
            else:
                do(project, action, pick)
                if state(project) != states[at]:
                    states[at + 1 :] = [state(project)]
                    at += 1
            assert state(project) == states[at]
        while at:
            assert project.undo(1) is not None
            at -= 1
            assert state(project) == states[at]
        assert project.undo(1) is None
        assert project.undoable(1) is None
        for later in states[1:]:
            assert project.redo(1) is not None
            assert state(project) == later
        assert project.redo(1) is None
        assert state(project, 2) == elsewhere
        assert project.check() == []


def test_the_menu_can_name_what_would_be_undone_and_redone(project: Project) -> None:
    cell_id = project.cells.add(1, (1, 1, 20, 20))
    project.cells.change(cell_id, cell_class="Monocyte")
    assert (project.undoable(1), project.redoable(1)) == ("Label cell", None)
    edit = project.undo(1)
    assert edit is not None
    assert edit.command == "Undo: Label cell"
    assert (project.undoable(1), project.redoable(1)) == ("Box cell", "Label cell")
    project.regions.add(1, Shape.rectangle(0, 0, 50, 50))
    assert (project.undoable(1), project.redoable(1)) == ("Draw region", None)


def test_undo_survives_closing_the_project(folder: Any) -> None:
    with Project.open(folder, annotator="Ada") as project:
        project.cells.add(1, (1, 1, 20, 20))
    with Project.open(folder, annotator="Ada") as project:
        assert project.undo(1) is not None
        assert project.cells.all() == []
    with Project.open(folder, annotator="Ada") as project:
        assert project.redo(1) is not None
        assert len(project.cells.all()) == 1


def test_undo_never_reaches_another_field_annotator_or_reading(folder: Any) -> None:
    with (
        Project.open(folder, annotator="Ada") as ada,
        Project.open(folder, annotator="Ben", reading=1) as ben,
    ):
        ada.cells.add(1, (1, 1, 20, 20))
        ada.cells.add(2, (1, 1, 20, 20))
        ben.cells.add(1, (30, 30, 20, 20))
        assert ada.undo(1) is not None
        assert [c.box for c in ada.cells.all(1)] == [(30, 30, 20, 20)]
        assert ada.undo(1) is None
        assert len(ada.cells.all(2)) == 1
        second = ada.readings.add("second")
        ada.readings.use(second.id)
        assert ada.undo(2) is None
        assert ben.undo(1) is not None


def test_what_somebody_else_changed_since_is_not_thrown_away(folder: Any) -> None:
    with (
        Project.open(folder, annotator="Ada") as ada,
        Project.open(folder, annotator="Ben", reading=1) as ben,
    ):
        cell_id = ada.cells.add(1, (1, 1, 20, 20), cell_class="Monocyte")
        ben.cells.change(cell_id, cell_class="Lymphocyte")
        with pytest.raises(EditError, match="someone has changed"):
            ada.undo(1)
        assert ada.cells.get(cell_id).cell_class == "Lymphocyte"
        assert ada.undoable(1) == "Box cell"
        ben.undo(1)
        assert ada.undo(1) is not None
        assert ben.cells.all() == []


def test_an_accept_undone_after_a_newer_model_came_is_pending_again(project: Project) -> None:
    (first,) = project.suggestions.replace(1, [PROPOSALS[0]], model_id=None)
    project.suggestions.accept(first)
    (newer,) = project.suggestions.replace(1, [PROPOSALS[4]], model_id=None)
    project.undo(1)
    assert project.cells.all() == []
    assert {s.id for s in project.suggestions.find(1)} == {first, newer}
    project.redo(1)
    assert len(project.cells.all()) == 1


def test_an_accept_undone_where_a_newer_model_proposes_the_same_cell_is_not_offered_twice(
    project: Project,
) -> None:
    (first,) = project.suggestions.replace(1, [PROPOSALS[0]], model_id=None)
    project.suggestions.accept(first)
    (newer,) = project.suggestions.replace(1, [PROPOSALS[0]], model_id=None)
    project.undo(1)
    assert [s.id for s in project.suggestions.find(1)] == [newer]
    assert project.suggestions.get(first).state == SuggestionState.SUPERSEDED
    project.redo(1)
    assert project.suggestions.get(first).state == SuggestionState.ACCEPTED
    assert len(project.cells.all()) == 1


def test_an_accept_can_be_brought_back_after_its_suggestion_was_superseded(project: Project) -> None:
    (first,) = project.suggestions.replace(1, [PROPOSALS[0]], model_id=None)
    project.suggestions.accept(first)
    project.undo(1)
    project.suggestions.replace(1, [], model_id=None)
    assert project.suggestions.get(first).state == SuggestionState.SUPERSEDED
    project.redo(1)
    assert project.suggestions.get(first).state == SuggestionState.ACCEPTED
    assert len(project.cells.all()) == 1
    project.undo(1)
    assert project.cells.all() == []


def test_superseding_is_recorded_but_no_person_undoes_it(project: Project) -> None:
    project.suggestions.replace(1, PROPOSALS[:2], model_id=None)
    project.suggestions.replace(1, PROPOSALS[2:4], model_id=None)
    assert project.undoable(1) is None
    assert [row.after and row.after["state"] for row in project.history.rows(entity="suggestion")] == [
        "superseded",
        "superseded",
    ]
