"""A model judged by what it suggested where nobody had annotated yet; and what a report costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from annotation_store import Project, Proposal
from napari_lld.report import render_project
from napari_lld.report.facts import ReportFacts
from napari_lld.report.marks import Mark
from napari_lld.report.measured import Measurement
from napari_lld.report.unseen import before_annotation
from tests.database import engine
from tests.napari_lld.report.conftest import add_model

BOXES = [(10.0 + 22 * (k % 5), 10.0 + 30 * (k // 5), 18.0, 18.0) for k in range(12)]


def judged(project: Project) -> Measurement:
    return before_annotation(project, ReportFacts.of_project(project))


@pytest.fixture
def suggested(small_project: Path) -> Project:
    """A model that learned from the second field; on the first, which chance drew, it suggested, twice."""
    project = Project.open(small_project, annotator="Ada")
    first, second = (field.id for field in project.fields.all())
    for box in BOXES:
        project.cells.add(second, box, cell_class="Monocyte")
    project.regions.add_whole_field(second)
    add_model(project, held=())
    project.random_sample.add([first, second])
    said = [Proposal(box, 0.9, {"Monocyte": 1.0}) for box in BOXES[:11]]
    project.suggestions.replace(first, said, model_id=1)
    return project


def test_a_model_is_judged_on_drawn_fields_by_what_it_had_suggested_there(suggested: Project) -> None:
    first = suggested.fields.all()[0].id
    assert judged(suggested).missing.startswith("None of the randomly drawn fields was annotated after")
    ids = [one.id for one in suggested.suggestions.find(first)]
    for i in ids[:8]:
        suggested.suggestions.accept(i)
    suggested.suggestions.correct(ids[8], cell_class="Neutrophil")
    # again in a later round: what was not decided on stands there twice now, and counts once
    suggested.suggestions.replace(
        first, [Proposal(box, 0.9, {"Monocyte": 1.0}) for box in BOXES[9:11]], model_id=1
    )
    suggested.suggestions.reject(suggested.suggestions.find(first)[0].id)
    suggested.cells.add(first, BOXES[11], cell_class="Monocyte")
    suggested.regions.add_whole_field(first)
    found = judged(suggested)
    assert (found.mark, found.missing, found.fields, found.cells) == (Mark.RANDOM, "", 1, 10)
    assert (found.recall.hits, found.recall.n) == (9, 10)
    assert (found.precision.hits, found.precision.n) == (9, 11)
    assert found.found.value is None  # what it was less sure of is not known
    suggested.close()


def test_what_was_known_before_or_not_drawn_or_never_looked_at_does_not_count(suggested: Project) -> None:
    first = suggested.fields.all()[0].id
    suggested.suggestions.accept(suggested.suggestions.find(first)[0].id)
    suggested.regions.add_whole_field(first)
    facts = ReportFacts.of_project(suggested)
    assert not before_annotation(suggested, facts).missing
    assert before_annotation(suggested, _with(facts, random_sample=frozenset())).missing.startswith(
        "No field was"
    )
    assert before_annotation(suggested, _with(facts, models=[])).missing
    add_model(suggested, held=())  # a newer one, which knew these cells and suggested nothing here
    assert judged(suggested).missing
    suggested.close()


def _with(facts: ReportFacts, **changes: Any) -> ReportFacts:
    return dataclasses.replace(facts, **changes)


def test_more_fields_and_cells_cost_no_more_statements(
    small_project: Path, more_fields: Callable[[Path, list[str]], None]
) -> None:
    def statements() -> int:
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        with Project.open(small_project, annotator="Ada") as project:
            sa.event.listen(engine(project), "before_cursor_execute", note)
            render_project(project)
        return len(seen)

    with Project.open(small_project, annotator="Ada") as project:
        project.cells.add(1, BOXES[0], cell_class="Monocyte")
        add_model(project, held=())
        project.random_sample.add([1])
    few = statements()
    more_fields(small_project, [f"{n}.png" for n in range(300)])
    with Project.open(small_project, annotator="Ada") as project:
        ids = [field.id for field in project.fields.all()]
        project.random_sample.add(ids)
        for field in ids[2:40]:
            project.regions.add_whole_field(field)
            project.suggestions.accept_many(
                project.suggestions.replace(
                    field, [Proposal(b, 0.9, {"Monocyte": 1.0}) for b in BOXES], model_id=1
                )
            )
    assert statements() <= few + 3
