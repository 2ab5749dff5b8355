"""Cells unlike anything taught: kept with their p-value, and never given a class by a reflex."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotation_store import (
    KEEP,
    UNKNOWN_BELOW,
    EditError,
    Embedding,
    Project,
    Proposal,
    SuggestionState,
    load_schema,
)
from annotation_store.schema import Schema
from tests.annotation_store.older import take_back

CLASSES = {"Monocyte": 0.9, "Neutrophil": 0.1}
VALUES = {"cell_size": {"small": 0.1, "large": 0.9}}
UNKNOWN = Proposal((10, 10, 20, 20), 0.8, CLASSES, VALUES, novelty=0.01)
KNOWN = Proposal((50, 10, 20, 20), 0.7, CLASSES, VALUES, novelty=0.6)
UNTOLD = Proposal((50, 50, 20, 20), 0.6, CLASSES, VALUES)


def test_an_unknown_cell_states_no_class_and_the_probability_of_a_cell() -> None:
    assert UNKNOWN.is_unknown
    assert not KNOWN.is_unknown
    assert not UNTOLD.is_unknown, "the model could not tell"
    assert not Proposal((0, 0, 9, 9), 1, novelty=UNKNOWN_BELOW).is_unknown
    assert (UNKNOWN.best_class, UNKNOWN.stated_class, UNKNOWN.probability) == ("Monocyte", None, 0.8)
    assert (KNOWN.stated_class, KNOWN.probability) == ("Monocyte", pytest.approx(0.63))


def test_the_store_gives_the_p_value_back(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        project.suggestions.replace(1, [UNKNOWN, KNOWN, UNTOLD], model_id=None)
        project.embeddings.save("1", {1: Embedding(np.ones(4, np.float32), (UNKNOWN, UNTOLD))})
    with Project.open(folder, annotator="Ada") as project:
        assert [s.proposal for s in project.suggestions.find()] == [UNKNOWN, KNOWN, UNTOLD]
        assert [s.novelty for s in project.suggestions.find()] == [0.01, 0.6, None]
        assert [entry.proposal for entry in project.bulk_edits.entries()] == [UNKNOWN, KNOWN, UNTOLD]
        assert project.embeddings.of("1", predictions=True)[1].predictions == (UNKNOWN, UNTOLD)
        assert project.check() == []


@pytest.mark.parametrize("novelty", [-0.2, 1.5, float("nan"), "much"])
def test_only_a_probability_is_kept_as_p_value(project: Project, novelty: Any) -> None:
    with pytest.raises(EditError, match="novelty"):
        project.suggestions.replace(1, [Proposal((10, 10, 20, 20), 0.8, novelty=novelty)], model_id=None)
    assert project.suggestions.find() == []


def test_a_project_from_before_opens_and_its_suggestions_are_not_unknown(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        project.suggestions.replace(1, [UNTOLD], model_id=None)
    take_back(folder, "0010")
    with Project.open(folder, annotator="Ada") as project:
        assert [s.proposal for s in project.suggestions.find()] == [UNTOLD]


def test_accept_of_an_unknown_cell_writes_box_and_values_but_no_class(project: Project) -> None:
    (number,) = project.suggestions.replace(1, [UNKNOWN], model_id=None)
    cell = project.cells.get(project.suggestions.accept(number))
    assert (cell.box, cell.cell_class, cell.attributes) == (UNKNOWN.box, None, {"cell_size": "large"})
    assert project.suggestions.get(number).state is SuggestionState.ACCEPTED
    project.undo(1)
    assert project.suggestions.find()[0].proposal == UNKNOWN
    project.redo(1)
    assert project.cells.all()[0].cell_class is None


def test_a_class_that_a_person_gives_to_an_unknown_cell_counts(project: Project) -> None:
    one, other = project.suggestions.replace(
        1, [UNKNOWN, Proposal((50, 50, 20, 20), 0.8, CLASSES, novelty=0)], model_id=None
    )
    assert project.cells.get(project.suggestions.correct(one, cell_class="Monocyte")).cell_class == "Monocyte"
    assert project.suggestions.get(one).state is SuggestionState.CORRECTED
    project.bulk_edits.label(suggestion_ids=[other], cell_class="Myeloblast")
    assert project.cells.all()[1].cell_class == "Myeloblast"
    (third,) = project.suggestions.replace(2, [UNKNOWN], model_id=None)
    assert (
        project.cells.get(
            project.suggestions.correct(third, box=(11, 11, 20, 20), cell_class=KEEP)
        ).cell_class
        is None
    )


def test_an_unknown_cell_is_never_accepted_among_many(project: Project) -> None:
    ids = project.suggestions.replace(1, [KNOWN, UNKNOWN], model_id=None)
    with pytest.raises(EditError, match="unlike those that the model was trained on"):
        project.suggestions.accept_many(ids)
    assert project.cells.all() == []
    assert len(project.suggestions.accept_many(ids[:1])) == 1


def test_a_changed_schema_leaves_the_p_value_and_the_probability(project: Project) -> None:
    project.suggestions.replace(1, [UNKNOWN], model_id=None)
    content = load_schema("lld").model_dump()
    content["classes"] = [c for c in content["classes"] if c["name"] != "Neutrophil"]
    content["groups"] = []
    project.schema_versions.change(Schema.model_validate(content), {"Neutrophil": "Monocyte"})
    (found,) = project.suggestions.find()
    assert (found.novelty, found.proposal.class_probabilities) == (0.01, {"Monocyte": 1.0})
    assert project.suggestions.fields(0.75) == [1], "0.8, as before"


def test_a_damaged_p_value_is_named(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        project.suggestions.replace(1, [UNKNOWN], model_id=None)
    with sqlite3.connect(folder / "project.db") as raw:
        raw.execute("UPDATE suggestions SET novelty = 'low'")
    with Project.open(folder, annotator="Ada") as project:
        assert "Row 1 of suggestions is damaged: novelty cannot be read." in project.check()
