"""Suggestions: never silently a cell, judged by people, superseded by newer models."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from annotation_store import (
    EditError,
    Project,
    Proposal,
    RejectionReason,
    Shape,
    SuggestionState,
)


def a_proposal(x: float = 10, confidence: float = 0.9, **changes: Any) -> Proposal:
    values: dict[str, Any] = {
        "box": (x, 10.0, 20.0, 20.0),
        "confidence": confidence,
        "class_probabilities": {"Monocyte": 0.7, "Neutrophil": 0.3},
        "attribute_probabilities": {
            "cell_size": {"small": 0.1, "medium": 0.2, "large": 0.7},
            "nucleolus": {"inconspicuous": 0.6, "prominent": 0.4},
        },
    }
    return Proposal(**(values | changes))


def test_a_suggestion_keeps_the_proposal_and_waits(project: Project) -> None:
    proposals = [a_proposal(10, 0.3), a_proposal(50, 0.8)]
    ids = project.suggestions.replace(1, proposals, model_id=None)
    found = project.suggestions.find(1)
    assert [s.id for s in found] == ids[::-1], "the most confident first"
    assert [s.proposal for s in found] == proposals[::-1]
    assert {s.state for s in found} == {SuggestionState.PENDING}
    assert project.cells.all() == []


def test_accept_makes_a_cell_of_the_most_probable_values(project: Project) -> None:
    (suggestion_id,) = project.suggestions.replace(1, [a_proposal()], model_id=None)
    cell = project.cells.get(project.suggestions.accept(suggestion_id))
    assert cell.box == (10, 10, 20, 20)
    assert cell.cell_class == "Monocyte"
    assert cell.attributes == {"cell_size": "large", "nucleolus": "inconspicuous"}
    assert cell.suggestion_id == suggestion_id
    kept = project.suggestions.get(suggestion_id)
    assert (kept.state, kept.cell_id) == (SuggestionState.ACCEPTED, cell.id)
    assert project.suggestions.find(1) == []


def test_an_artefact_gets_no_attributes(project: Project) -> None:
    (suggestion_id,) = project.suggestions.replace(
        1, [a_proposal(class_probabilities={"None": 1.0})], model_id=None
    )
    assert project.cells.get(project.suggestions.accept(suggestion_id)).attributes == {}


def test_a_proposal_of_a_box_alone_becomes_a_cell_without_class(project: Project) -> None:
    (suggestion_id,) = project.suggestions.replace(1, [Proposal((1, 1, 9, 9), 0.5)], model_id=None)
    cell = project.cells.get(project.suggestions.accept(suggestion_id))
    assert (cell.cell_class, cell.attributes) == (None, {})


def test_correct_is_accept_with_changes_and_says_so(project: Project) -> None:
    one, two = project.suggestions.replace(1, [a_proposal(10), a_proposal(50)], model_id=None)
    cell = project.cells.get(
        project.suggestions.correct(
            one, box=(12, 12, 15, 15), cell_class="blast", attributes={"cell_size": None}
        )
    )
    assert (cell.box, cell.cell_class) == ((12, 12, 15, 15), "blast")
    assert cell.attributes == {"nucleolus": "inconspicuous"}
    assert project.suggestions.get(one).state == SuggestionState.CORRECTED
    assert project.undoable(1) == "Correct suggestion"
    project.suggestions.correct(two, cell_class="Monocyte")
    assert project.suggestions.get(two).state == SuggestionState.ACCEPTED, "nothing was changed"


def test_only_not_a_cell_becomes_known_background(project: Project) -> None:
    ids = project.suggestions.replace(1, [a_proposal(x) for x in (0, 30, 60)], model_id=None)
    for suggestion_id, reason in zip(ids, RejectionReason, strict=True):
        project.suggestions.reject(suggestion_id, reason)
        assert project.suggestions.get(suggestion_id).reason == reason
    assert project.suggestions.rejected_boxes() == {1: [(0, 10, 20, 20)]}
    project.undo(1)
    project.undo(1)
    project.undo(1)
    assert project.suggestions.rejected_boxes() == {}
    assert len(project.suggestions.find(1)) == 3


def test_what_was_judged_cannot_be_judged_again(project: Project) -> None:
    one, two = project.suggestions.replace(1, [a_proposal(10), a_proposal(50)], model_id=None)
    project.suggestions.accept(one)
    for call in (
        lambda: project.suggestions.accept(one),
        lambda: project.suggestions.reject(one),
        lambda: project.suggestions.accept_many([two, one]),
        lambda: project.suggestions.reject_many([two, 99]),
    ):
        with pytest.raises(EditError):
            call()
    assert [s.id for s in project.suggestions.find(1)] == [two]
    assert len(project.cells.all()) == 1


def test_many_at_once_are_one_edit_a_field_in_the_order_asked_for(project: Project) -> None:
    first = project.suggestions.replace(1, [a_proposal(x) for x in (0, 30, 60)], model_id=None)
    other = project.suggestions.replace(2, [a_proposal(5)], model_id=None)
    heard: list[Any] = []
    project.events.edited.connect(heard.append)
    cells = project.suggestions.accept_many([first[2], other[0], first[0]])
    assert [project.cells.get(c).suggestion_id for c in cells] == [first[2], other[0], first[0]]
    assert sorted(e.field_id for e in heard) == [1, 2]
    project.undo(1)
    assert project.cells.all(1) == []
    assert len(project.cells.all(2)) == 1
    project.suggestions.reject_many(first, RejectionReason.DUPLICATE)
    assert project.suggestions.find(1) == []
    project.undo(1)
    assert len(project.suggestions.find(1)) == 3


def test_a_newer_model_supersedes_what_waits_and_nothing_else(project: Project) -> None:
    one, two, three = project.suggestions.replace(1, [a_proposal(x) for x in (0, 30, 60)], model_id=None)
    elsewhere = project.suggestions.replace(2, [a_proposal()], model_id=None)
    project.suggestions.accept(one)
    project.suggestions.reject(two)
    (new,) = project.suggestions.replace(1, [a_proposal(65)], model_id=None)
    states = {s.id: s.state for s in project.suggestions.find(states=tuple(SuggestionState))}
    assert states == {
        one: SuggestionState.ACCEPTED,
        two: SuggestionState.REJECTED,
        three: SuggestionState.SUPERSEDED,
        new: SuggestionState.PENDING,
        elsewhere[0]: SuggestionState.PENDING,
    }


def test_of_many_fields_the_same_is_written_as_of_one_after_the_other(fresh: Callable[[], Project]) -> None:
    def told(project: Project, write: Callable[[Project], None]) -> Any:
        project.suggestions.replace(2, [a_proposal(70)], model_id=None)
        project.suggestions.replace(1, [a_proposal(0), a_proposal(30)], model_id=None)
        edits: list[Any] = []
        fields: list[int] = []
        project.events.edited.connect(edits.append)
        project.events.suggestions_changed.connect(fields.extend)
        write(project)
        found = project.suggestions.find(states=tuple(SuggestionState))
        rows = [replace(row, at=None) for row in project.history.rows()]  # type: ignore[type-var]
        return edits, fields, sorted((s.id, s.field_id, s.state, s.proposal) for s in found), rows

    new = {2: [a_proposal(5), a_proposal(60)], 1: []}

    def one_by_one(project: Project) -> None:
        for field_id, proposals in new.items():
            project.suggestions.replace(field_id, proposals, model_id=None)

    def together(project: Project) -> None:
        ids = project.suggestions.replace_many(new, {1: None, 2: None})
        assert ids == {2: [4, 5], 1: []}

    expected = told(fresh(), one_by_one)
    assert expected[1] == [2, 1]
    assert told(fresh(), together) == expected


def test_a_broken_proposal_of_one_field_supersedes_nothing_on_any(project: Project) -> None:
    before = project.suggestions.replace(2, [a_proposal()], model_id=None)
    with pytest.raises(EditError):
        project.suggestions.replace_many(
            {2: [a_proposal(50)], 1: [a_proposal(confidence=2)]}, {1: None, 2: None}
        )
    with pytest.raises(EditError, match="no field 99"):
        project.suggestions.replace_many({2: [], 99: []}, {2: None, 99: None})
    assert [s.id for s in project.suggestions.find()] == before


@pytest.mark.parametrize(
    "changes",
    [
        {"confidence": 1.2},
        {"confidence": math.nan},
        {"box": (500, 500, 10, 10)},
        {"box": (1, 1, -1, 1)},
        {"class_probabilities": {"Martian": 1.0}},
        {"class_probabilities": {"Monocyte": 0.4}},
        {"class_probabilities": {"blast": 1.0}},
        {"attribute_probabilities": {"wings": {"two": 1.0}}},
        {"attribute_probabilities": {"cell_size": {"gigantic": 1.0}}},
        {"attribute_probabilities": {"cell_size": {"small": -0.5, "large": 1.5}}},
    ],
)
def test_a_proposal_that_breaks_a_rule_supersedes_nothing(project: Project, changes: dict[str, Any]) -> None:
    ids = project.suggestions.replace(1, [a_proposal()], model_id=None)
    with pytest.raises(EditError):
        project.suggestions.replace(1, [a_proposal(50), a_proposal(**changes)], model_id=None)
    assert [s.id for s in project.suggestions.find(1)] == ids


def test_a_blind_reading_sees_no_suggestion_before_its_region_is_finished(project: Project) -> None:
    project.suggestions.replace(1, [a_proposal(10), a_proposal(60)], model_id=None)
    project.readings.use(project.readings.add("blind", blind=True).id)
    assert project.suggestions.find(1) == []
    project.regions.add(1, Shape.rectangle(0, 0, 40, 80))
    assert [s.box[0] for s in project.suggestions.find(1)] == [10]


def test_models_are_numbered_recorded_and_one_is_active(project: Project) -> None:
    heard: list[str] = []
    project.events.models_changed.connect(lambda: heard.append("changed"))
    first, second = project.models.reserve_id(), project.models.reserve_id()
    assert (first, second) == (1, 2)
    assert project.models.all() == []
    with pytest.raises(EditError, match="missing"):
        project.models.add(first, parent="starter", card={}, activate=True)
    for number in (first, second):
        project.models.folder(number).mkdir()
        (project.models.folder(number) / "weights.safetensors").write_bytes(b"x")
        project.models.add(number, parent="starter", card={"map50": math.nan, "n": 3}, activate=True)
    active = project.models.active()
    assert active is not None
    assert active.id == second
    assert active.card == {"map50": None, "n": 3}
    project.models.activate(first)
    assert [(m.id, m.active) for m in project.models.all()] == [(1, True), (2, False)]
    assert len(heard) == 3
    with pytest.raises(EditError):
        project.models.add(7, parent="starter", card={}, activate=False)
    with pytest.raises(EditError):
        project.suggestions.replace(1, [a_proposal()], model_id=77)
    (suggestion_id,) = project.suggestions.replace(1, [a_proposal()], model_id=2)
    assert project.suggestions.get(suggestion_id).model_id == 2


def test_runs_are_recorded_with_their_end(project: Project) -> None:
    run_id = project.runs.start({"epochs": 3, "path": project.path})
    project.runs.finish(run_id, "failed", message="no cells")
    (run,) = project.runs.all()
    assert (run.state, run.message, run.config["epochs"]) == ("failed", "no cells", 3)
    assert run.finished is not None
    with pytest.raises(EditError):
        project.runs.finish(99, "done")
