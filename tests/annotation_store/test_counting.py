"""Counts by class; cells of overlapping fields count once."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from annotation_store import EditError, Project

Statements = Callable[[Project], AbstractContextManager[list[str]]]


def counted(project: Project, *fields: int) -> dict[str | None, int]:
    return {c.cell_class: c.count for c in project.class_counts(fields or None)}


def test_cells_are_counted_by_class_and_kind_in_one_statement(
    project: Project, statements: Statements
) -> None:
    for x in (1, 30):
        project.add_cell(1, (x, 1, 20, 20), cell_class="Monocyte")
    project.add_cell(2, (1, 1, 20, 20), cell_class="None", kind="smudge")
    project.delete_cell(project.add_cell(2, (40, 1, 20, 20)))
    with statements(project) as seen:
        found = project.class_counts()
    assert len(seen) == 1
    assert {(c.cell_class, c.kind, c.count) for c in found} == {("Monocyte", None, 2), ("None", "smudge", 1)}
    assert counted(project, 2) == {"None": 1}
    assert project.class_counts([]) == []


def test_a_cell_of_two_overlapping_fields_counts_once_until_that_is_undone(
    project: Project, statements: Statements
) -> None:
    project.add_cell(1, (70, 30, 20, 20), cell_class="Monocyte")
    project.add_cell(2, (11, 21, 20, 20), cell_class="Monocyte")  # the same, boxed a little otherwise
    project.add_cell(2, (11, 50, 20, 20), cell_class="Neutrophil")  # in the overlap, but boxed only here
    assert counted(project) == {"Monocyte": 2, "Neutrophil": 1}
    project.add_overlap(2, 1, -60, -10)  # said of the other side
    with statements(project) as seen:
        assert counted(project) == {"Monocyte": 1, "Neutrophil": 1}
    assert len(seen) == 1
    assert counted(project, 2) == {"Monocyte": 1, "Neutrophil": 1}, "alone, it counts where it stands"
    (pair,) = project.overlaps()
    assert (pair.field_id, pair.other_id, pair.dx, pair.dy) == (1, 2, 60, 10)
    assert [(o.other_id, o.dx) for o in project.overlaps(2)] == [(1, -60)]
    assert project.undoable(2) == "Fields overlap"
    project.undo(2)
    assert project.overlaps() == []
    assert counted(project)["Monocyte"] == 2
    project.redo(2)
    assert counted(project)["Monocyte"] == 1
    project.remove_overlap(1, 2)
    assert project.overlaps() == []
    project.undo(1)
    assert len(project.overlaps()) == 1


def test_of_two_that_are_one_the_cell_with_a_class_counts(project: Project) -> None:
    project.add_overlap(1, 2, 60, 10)
    project.add_cell(1, (70, 30, 20, 20))
    project.add_cell(2, (10, 20, 20, 20), cell_class="Monocyte")
    assert counted(project) == {"Monocyte": 1}
    project.add_cell(1, (72, 60, 20, 20), cell_class="unsure")
    project.add_cell(2, (12, 50, 20, 20))
    assert counted(project) == {"Monocyte": 1, "unsure": 1}


def test_said_again_an_overlap_is_replaced(project: Project) -> None:
    project.add_overlap(1, 2, 60, 10)
    project.add_overlap(2, 1, -50, -5)
    assert [(o.dx, o.dy) for o in project.overlaps()] == [(50, 5)]
    with Project.open(project.path) as again:
        assert len(again.overlaps()) == 1


@pytest.mark.parametrize(
    ("other", "dx", "dy"), [(1, 0, 0), (2, 100, 0), (2, 0, -80), (2, math.nan, 0), (99, 1, 1)]
)
def test_an_overlap_that_cannot_be_is_refused(project: Project, other: int, dx: float, dy: float) -> None:
    with pytest.raises(EditError):
        project.add_overlap(1, other, dx, dy)
    assert project.overlaps() == []


def test_the_fields_where_suggestions_wait_are_one_statement(
    project: Project, statements: Statements
) -> None:
    from annotation_store import Proposal

    project.suggest(2, [Proposal((1, 1, 20, 20), 0.5)], model_id=None)
    with statements(project) as seen:
        assert project.fields_waiting() == [2]
    assert len(seen) == 1
    assert project.fields_waiting(0.6) == []
    project.use_reading(project.add_reading("second", blind=True).id)
    assert project.fields_waiting() == []


def test_the_fields_of_a_patient_or_slide_are_one_statement(project: Project, statements: Statements) -> None:
    assert project.fields_beside(1) == [1], "where nobody is known a field stands for itself"
    for field, slide in ((1, "S1"), (2, "S2")):
        project.update_field(field, patient="P", slide=slide)
    project.field(1)
    with statements(project) as seen:
        assert project.fields_beside(1) == [1, 2]
    assert len(seen) == 1
    assert project.fields_beside(1, slide=True) == [1]
