"""Counts by class; cells of overlapping fields count once."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from annotation_store import EditError, Project

Statements = Callable[[Project], AbstractContextManager[list[str]]]


def counted(project: Project, *fields: int) -> dict[str | None, int]:
    return {c.cell_class: c.count for c in project.cells.count_by_class(fields or None)}


def test_cells_are_counted_by_class_and_kind_in_one_statement(
    project: Project, statements: Statements
) -> None:
    for x in (1, 30):
        project.cells.add(1, (x, 1, 20, 20), cell_class="Monocyte")
    project.cells.add(2, (1, 1, 20, 20), cell_class="None", kind="smudge")
    project.cells.delete(project.cells.add(2, (40, 1, 20, 20)))
    with statements(project) as seen:
        found = project.cells.count_by_class()
    assert len(seen) == 1
    assert {(c.cell_class, c.kind, c.count) for c in found} == {("Monocyte", None, 2), ("None", "smudge", 1)}
    assert counted(project, 2) == {"None": 1}
    assert project.cells.count_by_class([]) == []


def test_a_cell_of_two_overlapping_fields_counts_once_until_that_is_undone(
    project: Project, statements: Statements
) -> None:
    project.cells.add(1, (70, 30, 20, 20), cell_class="Monocyte")
    project.cells.add(2, (11, 21, 20, 20), cell_class="Monocyte")  # the same, boxed a little otherwise
    project.cells.add(2, (11, 50, 20, 20), cell_class="Neutrophil")  # in the overlap, but boxed only here
    assert counted(project) == {"Monocyte": 2, "Neutrophil": 1}
    project.overlaps.add(2, 1, -60, -10)  # said of the other side
    with statements(project) as seen:
        assert counted(project) == {"Monocyte": 1, "Neutrophil": 1}
    assert len(seen) == 1
    assert counted(project, 2) == {"Monocyte": 1, "Neutrophil": 1}, "alone, it counts where it stands"
    (pair,) = project.overlaps.all()
    assert (pair.field_id, pair.other_id, pair.dx, pair.dy) == (1, 2, 60, 10)
    assert [(o.other_id, o.dx) for o in project.overlaps.all(2)] == [(1, -60)]
    assert project.undoable(2) == "Fields overlap"
    project.undo(2)
    assert project.overlaps.all() == []
    assert counted(project)["Monocyte"] == 2
    project.redo(2)
    assert counted(project)["Monocyte"] == 1
    project.overlaps.remove(1, 2)
    assert project.overlaps.all() == []
    project.undo(1)
    assert len(project.overlaps.all()) == 1


def test_of_two_that_are_one_the_cell_with_a_class_counts(project: Project) -> None:
    project.overlaps.add(1, 2, 60, 10)
    project.cells.add(1, (70, 30, 20, 20))
    project.cells.add(2, (10, 20, 20, 20), cell_class="Monocyte")
    assert counted(project) == {"Monocyte": 1}
    project.cells.add(1, (72, 60, 20, 20), cell_class="unsure")
    project.cells.add(2, (12, 50, 20, 20))
    assert counted(project) == {"Monocyte": 1, "unsure": 1}


def test_said_again_an_overlap_is_replaced(project: Project) -> None:
    project.overlaps.add(1, 2, 60, 10)
    project.overlaps.add(2, 1, -50, -5)
    assert [(o.dx, o.dy) for o in project.overlaps.all()] == [(50, 5)]
    with Project.open(project.path) as again:
        assert len(again.overlaps.all()) == 1


@pytest.mark.parametrize(
    ("other", "dx", "dy"), [(1, 0, 0), (2, 100, 0), (2, 0, -80), (2, math.nan, 0), (99, 1, 1)]
)
def test_an_overlap_that_cannot_be_is_refused(project: Project, other: int, dx: float, dy: float) -> None:
    with pytest.raises(EditError):
        project.overlaps.add(1, other, dx, dy)
    assert project.overlaps.all() == []


def test_the_fields_where_suggestions_wait_are_one_statement(
    project: Project, statements: Statements
) -> None:
    from annotation_store import Proposal

    project.suggestions.replace(2, [Proposal((1, 1, 20, 20), 0.5)], model_id=None)
    with statements(project) as seen:
        assert project.suggestions.fields() == [2]
    assert len(seen) == 1
    assert project.suggestions.fields(0.6) == []
    project.readings.use(project.readings.add("second", blind=True).id)
    assert project.suggestions.fields() == []


def test_the_fields_of_a_patient_or_slide_are_one_statement(project: Project, statements: Statements) -> None:
    assert project.fields.beside(1) == [1], "where nobody is known a field stands for itself"
    for field, slide in ((1, "S1"), (2, "S2")):
        project.fields.update(field, patient="P", slide=slide)
    project.fields.get(1)
    with statements(project) as seen:
        assert project.fields.beside(1) == [1, 2]
    assert len(seen) == 1
    assert project.fields.beside(1, slide=True) == [1]


def test_reading_many_fields_leaves_the_garbage_collector_as_it_was(project: Project) -> None:
    with pytest.raises(EditError):
        project.fields.summaries([99])
    assert gc.isenabled()
    gc.disable()
    try:
        assert project.fields.summaries()
        assert not gc.isenabled()
    finally:
        gc.enable()
