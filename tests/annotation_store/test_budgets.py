"""What an operation may cost, counted in statements, which do not depend on the machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from annotation_store import Project, Proposal, RegionState, Shape

Statements = Callable[[Project], AbstractContextManager[list[str]]]


def prepared(project: Project) -> dict[str, Callable[[], object]]:
    """Every kind of edit, each on things of its own."""
    cells = [project.cells.add(1, (i, 1, 20, 20), cell_class="Monocyte") for i in range(4)]
    region = project.regions.add(1, Shape.rectangle(0, 0, 50, 50))
    area = project.ignore_areas.add(1, Shape.rectangle(0, 0, 50, 50))
    proposals = [Proposal((i, 1, 20, 20), 0.5, {"Monocyte": 1.0}) for i in range(30)]
    ids = project.suggestions.replace(1, proposals, model_id=None)
    return {
        "add_cell": lambda: project.cells.add(1, (5, 5, 20, 20), attributes={"cell_size": "small"}),
        "change_cell": lambda: project.cells.change(cells[0], box=(9, 9, 20, 20), cell_class="blast"),
        "delete_cell": lambda: project.cells.delete(cells[1]),
        "add_region": lambda: project.regions.add(1, Shape.rectangle(0, 0, 30, 30)),
        "change_region": lambda: project.regions.change(
            region, shape=Shape.rectangle(0, 0, 30, 30), state=RegionState.DRAFT
        ),
        "delete_region": lambda: project.regions.delete(region),
        "mark_whole_field": lambda: project.regions.add_whole_field(1),
        "add_ignore_area": lambda: project.ignore_areas.add(1, Shape.rectangle(0, 0, 30, 30)),
        "delete_ignore_area": lambda: project.ignore_areas.delete(area),
        "accept": lambda: project.suggestions.accept(ids[0]),
        "correct": lambda: project.suggestions.correct(
            ids[1], box=(3, 3, 20, 20), attributes={"cell_size": "small"}
        ),
        "reject": lambda: project.suggestions.reject(ids[2]),
        "accept_many": lambda: project.suggestions.accept_many(ids[3:13]),
        "reject_many": lambda: project.suggestions.reject_many(ids[13:23]),
        "update_field": lambda: project.fields.update(1, note="x"),
        "suggest": lambda: project.suggestions.replace(1, proposals, model_id=None),
        "undo": lambda: project.undo(1),
        "redo": lambda: project.redo(1),
    }


def test_every_edit_is_one_transaction_of_six_statements_at_most(
    project: Project, statements: Statements
) -> None:
    for name, edit in prepared(project).items():
        before = len({row.edit_id for row in project.history.rows()})
        project.fields.get(1)
        with statements(project) as seen:
            edit()
        assert len(seen) <= 6, (name, seen)
        assert sum(s.startswith("BEGIN") for s in seen) == 1, (name, seen)
        assert seen[0] == "BEGIN IMMEDIATE", (name, seen)
        assert len({row.edit_id for row in project.history.rows()}) == before + 1, name


def test_suggestions_of_many_fields_take_the_statements_of_one(
    project: Project, statements: Statements
) -> None:
    proposals = [Proposal((i, 1, 20, 20), 0.5) for i in range(30)]
    project.suggestions.replace_many({1: proposals, 2: proposals}, {1: None, 2: None})
    with statements(project) as seen:
        project.suggestions.replace_many({1: proposals, 2: proposals}, {1: None, 2: None})
    assert len(seen) <= 6, seen
    assert seen.count("BEGIN IMMEDIATE") == 1


def test_an_accept_is_undone_in_six_statements_too(project: Project, statements: Statements) -> None:
    ids = project.suggestions.replace(1, [Proposal((1, 1, 20, 20), 0.5)] * 3, model_id=None)
    project.suggestions.accept_many(ids)
    with statements(project) as seen:
        project.undo(1)
    assert len(seen) <= 6, seen


def test_the_cells_of_a_field_are_one_statement(project: Project, statements: Statements) -> None:
    for i in range(30):
        project.cells.add(1, (i, 1, 20, 20))
    for ask in (project.cells.all, project.regions.all, project.ignore_areas.all, project.suggestions.find):
        with statements(project) as seen:
            ask(1)
        assert len(seen) == 1, ask
    with statements(project) as seen:
        project.suggestions.rejected_boxes()
    assert len(seen) == 1


def test_field_summaries_take_the_same_few_statements_however_many_fields(
    project: Project, tmp_path: Any, statements: Statements
) -> None:
    from PIL import Image

    project.regions.add(1, Shape.rectangle(0, 0, 30, 30))
    with statements(project) as few:
        project.fields.summaries()
    for i in range(30):
        Image.new("RGB", (16, 16), (i, i, i)).save(tmp_path / f"{i}.png")
    project.fields.add(tmp_path.glob("*.png"))
    with statements(project) as many:
        assert len(project.fields.summaries()) == 32
    assert len(many) == len(few) <= 4


def test_an_idle_refresh_is_one_statement(project: Project, statements: Statements) -> None:
    with statements(project) as seen:
        assert not project.refresh()
    assert len(seen) == 1


@pytest.mark.parametrize("count", [1, 100])
def test_fields_come_in_with_a_constant_number_of_statements_a_batch(
    project: Project, tmp_path: Any, count: int, statements: Statements
) -> None:
    from PIL import Image

    for i in range(count):
        Image.new("RGB", (16, 16), (i, 0, 99)).save(tmp_path / f"{i}.png")
    with statements(project) as seen:
        assert len(project.fields.add(tmp_path.glob("*.png")).added) == count
    assert len(seen) <= 5 + 5 * -(-count // 8)
