"""Boxes and regions are made, moved and sized without a mouse."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session.session import Session


@pytest.fixture
def session(dock: AnnotateDock, small_project: Path) -> Session:
    session = dock.desk.session
    assert session.open(small_project, annotator="Ada")
    return session


def run(dock: AnnotateDock, *names: str) -> None:
    for name in names:
        assert dock.desk.commands.run(name)


def test_a_box_is_put_moved_sized_and_taken_by_keys(dock: AnnotateDock, session: Session) -> None:
    run(dock, "box.new")
    first = session.selection.proposed_box
    assert first is not None
    run(dock, "box.right", "box.down", "box.wider", "box.lower")
    x, y, w, h = session.selection.proposed_box or first
    assert (x > first[0], y > first[1], w > first[2], h < first[3]) == (True,) * 4
    run(dock, "draw.finish")
    cell = session.selection.cell
    assert cell is not None
    assert cell.box == pytest.approx((x, y, w, h))
    run(dock, "box.left")
    assert session.selection.cell is not None
    assert session.selection.cell.box[0] < x, "a cell that is there is moved too"
    run(dock, "edit.undo")
    assert session.selection.cell is not None
    assert session.selection.cell.box[0] == pytest.approx(x)


def test_keys_that_change_the_height_are_named_by_the_height(dock: AnnotateDock) -> None:
    titles = {command.key: command.title for command in dock.desk.commands}
    assert titles["Alt+⇧I"] == "Box or region shorter"
    assert titles["Alt+⇧K"] == "Box or region taller"


def test_nothing_leaves_the_field(dock: AnnotateDock, session: Session) -> None:
    run(dock, "box.new", *["box.left"] * 200, *["box.wider"] * 200)
    field = session.fields.current
    assert field is not None
    x, _y, w, _h = session.selection.proposed_box or (-1.0, 0.0, 0.0, 0.0)
    assert (x, w) == (0, field.width)


def test_a_draft_region_is_made_and_moved_by_keys(dock: AnnotateDock, session: Session) -> None:
    run(dock, "region.new")
    region = session.selection.region
    assert region is not None
    assert not region.finished
    run(dock, "box.narrower", "box.right")
    moved = session.selection.region
    assert moved is not None
    assert moved.shape.bounds[2] < region.shape.bounds[2]
    assert moved.shape.bounds[0] > region.shape.bounds[0]


def test_keys_go_from_cell_to_cell_as_one_reads(dock: AnnotateDock, session: Session) -> None:
    boxes = [(60.0, 12.0, 20.0, 20.0), (10.0, 10.0, 20.0, 20.0), (20.0, 60.0, 20.0, 20.0)]
    ids = [session.boxes.add(box) for box in boxes]
    session.selection.select(None)
    seen = []
    for _ in range(4):
        run(dock, "view.next_cell")
        seen.append(session.selection.cell.id if session.selection.cell else None)
    assert seen == [ids[1], ids[0], ids[2], ids[1]]
    run(dock, "view.previous_cell")
    assert session.selection.cell is not None
    assert session.selection.cell.id == ids[2]
