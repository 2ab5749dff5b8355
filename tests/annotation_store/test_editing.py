"""Editing: cells, regions, ignore areas and fields keep what they are told, and the rules hold."""

from __future__ import annotations

import math
from typing import Any

import pytest
import sqlalchemy as sa

from annotation_store import (
    EditError,
    FieldState,
    Project,
    RegionState,
    Shape,
)
from tests.database import run_sql


def test_a_cell_keeps_everything_that_was_said_of_it_after_reopening(project: Project) -> None:
    cell_id = project.cells.add(
        1,
        (10, 20, 30.5, 25),
        cell_class="None",
        attributes={"cell_size": "large", "nucleolus": "unsure", "cytoplasm": None},
        kind="smudge",
        comment="naïve\nμ",
        bookmark=True,
        second_opinion=True,
    )
    before = project.cells.get(cell_id)
    project.close()
    with Project.open(project.path, annotator="Ada") as again:
        assert again.cells.get(cell_id) == before
    assert before.box == (10, 20, 30.5, 25)
    assert before.attributes == {"cell_size": "large", "nucleolus": "unsure"}
    assert (before.cell_class, before.kind, before.cut) == ("None", "smudge", False)


def test_a_class_may_be_missing_unsure_a_class_or_a_group(project: Project) -> None:
    cell_id = project.cells.add(1, (1, 1, 20, 20))
    assert project.cells.get(cell_id).cell_class is None
    for value in ("unsure", "Monocyte", "blast", None):
        project.cells.change(cell_id, cell_class=value)
        assert project.cells.get(cell_id).cell_class == value


def test_attributes_are_merged_and_none_makes_one_missing(project: Project) -> None:
    cell_id = project.cells.add(1, (1, 1, 20, 20), attributes={"cell_size": "small", "cytoplasm": "scanty"})
    project.cells.change(cell_id, attributes={"cell_size": None, "nucleolus": "unsure"})
    assert project.cells.get(cell_id).attributes == {"cytoplasm": "scanty", "nucleolus": "unsure"}


def test_what_is_not_given_stays(project: Project) -> None:
    cell_id = project.cells.add(1, (1, 1, 20, 20), cell_class="Monocyte", comment="look")
    project.cells.change(cell_id, bookmark=True)
    cell = project.cells.get(cell_id)
    assert (cell.cell_class, cell.comment, cell.bookmark) == ("Monocyte", "look", True)


def test_the_kind_of_an_artefact_goes_when_it_becomes_a_cell(project: Project) -> None:
    cell_id = project.cells.add(1, (1, 1, 20, 20), cell_class="None", kind="smudge")
    project.cells.change(cell_id, cell_class="Monocyte")
    assert project.cells.get(cell_id).kind is None
    with pytest.raises(EditError, match="artefact"):
        project.cells.change(cell_id, kind="smudge")


def test_a_box_past_the_edge_is_clipped_and_the_cell_is_cut(project: Project) -> None:
    cell = project.cells.get(project.cells.add(1, (90, -5, 30, 25)))
    assert cell.box == (90, 0, 10, 20)
    assert cell.cut


@pytest.mark.parametrize(
    "box",
    [
        (200, 200, 10, 10),
        (-20, 0, 10, 10),
        (10, 10, 0, 10),
        (10, 10, -5, 10),
        (10, 10, 0.4, 10),
        (99.9, 10, 10, 10),
        (math.nan, 10, 10, 10),
        (10, 10, math.inf, 10),
        (1, 2, 3),
        (1, 2, 3, 4, 5),
        ("a", 2, 3, 4),
        None,
    ],
)
def test_a_box_that_is_none_is_refused_and_nothing_changes(project: Project, box: Any) -> None:
    with pytest.raises(EditError):
        project.cells.add(1, box)
    cell_id = project.cells.add(1, (1, 1, 20, 20))
    with pytest.raises(EditError):
        project.cells.change(cell_id, box=box, cell_class="Monocyte")
    assert [(c.box, c.cell_class) for c in project.cells.all(1)] == [((1, 1, 20, 20), None)]
    assert len(project.history.rows()) == 1


@pytest.mark.parametrize(
    "values",
    [
        {"cell_class": "Martian"},
        {"cell_class": 3},
        {"attributes": {"cell_size": "gigantic"}},
        {"attributes": {"wings": "two"}},
        {"kind": "smudge"},
        {"comment": "x" * 20_000},
    ],
)
def test_values_that_the_schema_lacks_are_refused(project: Project, values: dict[str, Any]) -> None:
    with pytest.raises(EditError):
        project.cells.add(1, (1, 1, 20, 20), **values)
    assert project.cells.all() == []


def test_what_does_not_exist_is_a_sentence(project: Project) -> None:
    for call in (
        lambda: project.cells.add(99, (1, 1, 20, 20)),
        lambda: project.cells.change(99, comment="x"),
        lambda: project.cells.delete(99),
        lambda: project.cells.get(99),
        lambda: project.regions.delete(99),
        lambda: project.fields.get(99),
        lambda: project.pixels.original(99),
        lambda: project.suggestions.accept(99),
        lambda: project.models.get(99),
        lambda: project.readings.use(99),
        lambda: project.fields.update(99, note="x"),
    ):
        with pytest.raises(EditError, match="99"):
            call()


def test_a_deleted_cell_is_gone_but_history_tells_of_it(project: Project) -> None:
    cell_id = project.cells.add(1, (1, 1, 20, 20), cell_class="Monocyte")
    project.cells.change(cell_id, cell_class="Lymphocyte")
    project.cells.delete(cell_id)
    assert project.cells.all(1) == []
    with pytest.raises(EditError):
        project.cells.change(cell_id, comment="ghost")
    told = [
        (row.action, row.before and row.before.get("cell_class"), row.after and row.after.get("cell_class"))
        for row in project.history.rows(entity="cell", entity_id=cell_id)
    ]
    assert told == [
        ("add", None, "Monocyte"),
        ("change", "Monocyte", "Lymphocyte"),
        ("delete", "Lymphocyte", None),
    ]
    assert {row.annotator for row in project.history.rows()} == {"Ada"}


def test_a_change_that_changes_nothing_leaves_no_trace(project: Project) -> None:
    cell_id = project.cells.add(1, (1, 1, 20, 20), cell_class="Monocyte")
    heard: list[object] = []
    project.events.edited.connect(heard.append)
    project.cells.change(cell_id, cell_class="Monocyte", box=(1, 1, 20, 20), attributes={"cell_size": None})
    assert heard == []
    assert len(project.history.rows()) == 1


def test_listeners_hear_of_an_edit_after_it_is_on_disk(project: Project) -> None:
    heard = []

    def listen(edit: Any) -> None:
        with Project.open(project.path, read_only=True) as other:
            heard.append((edit.command, edit.field_id, dict(edit.touched), len(other.cells.all(1))))

    project.events.edited.connect(listen)
    cell_id = project.cells.add(1, (1, 1, 20, 20))
    assert heard == [("Box cell", 1, {"cell": (cell_id,)}, 1)]


def test_regions_are_drawn_finished_changed_and_deleted(project: Project) -> None:
    region_id = project.regions.add(1, Shape.rectangle(-5, 10, 50, 30), state=RegionState.DRAFT)
    assert project.regions.all(1)[0].shape == Shape.rectangle(0, 10, 45, 30)
    assert project.fields.summaries()[0].finished_regions == 0
    project.regions.change(region_id, state=RegionState.FINISHED)
    triangle = Shape.polygon([(0, 0), (40, 0), (0, 40)])
    project.regions.change(region_id, shape=triangle)
    region = project.regions.all(1)[0]
    assert (region.shape, region.state) == (triangle, RegionState.FINISHED)
    project.regions.delete(region_id)
    assert project.regions.all() == []


@pytest.mark.parametrize(
    "shape",
    [
        Shape.polygon([(0, 0), (50, 50), (50, 0), (0, 50)]),
        Shape((1.0, 2.0)),
        Shape((1.0, 2.0, 3.0, 4.0, 5.0)),
        Shape.rectangle(500, 500, 10, 10),
        Shape.polygon([(500, 500), (600, 500), (500, 600)]),
        Shape((0.0, 0.0, math.nan, 10.0)),
        Shape.polygon([(0, 0), (0.1, 0), (0, 0.1)]),
    ],
)
def test_an_outline_that_is_no_area_is_refused(project: Project, shape: Shape) -> None:
    with pytest.raises(EditError):
        project.regions.add(1, shape)
    with pytest.raises(EditError):
        project.ignore_areas.add(1, shape)
    assert project.regions.all() == []
    assert project.ignore_areas.all() == []


def test_a_polygon_past_the_edge_is_clipped_to_the_field(project: Project) -> None:
    project.ignore_areas.add(1, Shape.polygon([(50, 40), (150, 40), (50, 140)]))
    x, y, w, h = project.ignore_areas.all(1)[0].shape.bounds
    assert (x, y, x + w, y + h) == (50, 40, 100, 80)


def test_the_state_of_a_field_follows_the_work(project: Project) -> None:
    def state() -> FieldState:
        return project.fields.summaries()[0].state

    assert state() == FieldState.UNTOUCHED
    project.cells.add(1, (1, 1, 20, 20))
    assert state() == FieldState.STARTED
    project.regions.add(1, Shape.rectangle(0, 0, 50, 80))
    assert state() == FieldState.ANNOTATED
    # two regions that leave nothing unknown are as good as one
    project.regions.add(1, Shape.rectangle(50, 0, 50, 80))
    assert state() == FieldState.REVIEWED
    assert project.fields.summaries()[1].state == FieldState.UNTOUCHED
    project.regions.add_whole_field(2)
    assert project.fields.summaries()[1].state == FieldState.REVIEWED


def test_a_field_is_described(project: Project) -> None:
    project.fields.update(1, patient="P1", pixel_size_um=0.1, note="thick")
    field = project.fields.get(1)
    assert (field.patient, field.pixel_size_um, field.note) == ("P1", 0.1, "thick")
    for wrong in ({"pixel_size_um": -1}, {"pixel_size_um": math.nan}, {"width": 3}, {"colour": "red"}):
        with pytest.raises(EditError):
            project.fields.update(1, **wrong)
    project.undo(1)
    assert project.fields.get(1).patient is None


def test_readings_do_not_see_each_others_marks(project: Project) -> None:
    project.cells.add(1, (1, 1, 20, 20))
    first = project.reading
    second = project.readings.add("Second", blind=True)
    project.readings.use(second.id)
    assert project.cells.all() == []
    project.cells.add(1, (30, 30, 20, 20), cell_class="Monocyte")
    project.regions.add(1, Shape.rectangle(0, 0, 50, 50))
    project.readings.use(first.id)
    assert [c.box for c in project.cells.all()] == [(1, 1, 20, 20)]
    assert project.regions.all() == []
    with pytest.raises(EditError):
        project.readings.add("Second")


def test_the_database_itself_refuses_what_breaks_a_rule(project: Project) -> None:
    project.cells.add(1, (1, 1, 20, 20))
    for statement in (
        "UPDATE cells SET w = 1000",
        "UPDATE cells SET x = -1",
        "UPDATE cells SET field_id = 99",
        "UPDATE history SET annotator = 'me'",
        "UPDATE history SET action = 'change'",
        "DELETE FROM history",
        "DELETE FROM edits",
    ):
        with pytest.raises((sa.exc.IntegrityError, sa.exc.OperationalError)):
            run_sql(project, statement)
    assert len(project.history.rows()) == 1


def test_another_thread_is_told_to_open_its_own(project: Project) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(RuntimeError, match="thread"):
            pool.submit(project.cells.all).result()
        assert pool.submit(project.pixels.read, 1).result().shape == (80, 100, 3)
