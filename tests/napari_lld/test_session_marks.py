"""Draft regions, ignore areas and notes on cells, without Qt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from annotation_store import RegionState, Shape
from napari_lld.session.session import Session


def test_a_draft_is_finished_after_its_doubts_are_told(
    session: Session, suggest: Callable[[Path], list[int]]
) -> None:
    region_id = session.regions.add(Shape.rectangle(0, 0, 60, 60), draft=True)
    assert session.marks.regions[0].state is RegionState.DRAFT
    session.boxes.add((50, 50, 18, 18))  # its centre inside, its corner outside
    session.boxes.add((10, 30, 20, 20))
    session.labels.set_class("Neutrophil")
    assert session.project is not None
    suggest(session.project.path)
    session.refresh()
    session.selection.select("region", region_id)
    draft = session.regions.to_finish()
    assert draft is not None
    assert session.regions.doubts(draft.shape) == [
        "1 cell touches the edge",
        "1 cell has no class",
        "1 cell lacks an attribute",
        "2 suggestions not yet reviewed",
    ]
    assert session.regions.finish()
    assert session.marks.regions[0].state is RegionState.FINISHED
    assert not session.regions.finish()  # it is finished already
    session.history.undo()
    assert session.marks.regions[0].state is RegionState.DRAFT


def test_the_only_draft_need_not_be_chosen(session: Session) -> None:
    session.regions.add(Shape.rectangle(0, 0, 40, 40), draft=True)
    session.selection.select(None)
    assert session.regions.finish()
    assert session.regions.reopen()
    assert session.marks.regions[0].state is RegionState.DRAFT
    session.regions.add(Shape.rectangle(50, 50, 40, 40), draft=True)
    session.selection.select(None)
    assert session.regions.to_finish() is None  # which of the two?


def test_an_ignore_area_is_drawn_deleted_and_brought_back(session: Session) -> None:
    area = session.regions.add_ignore_area(Shape.rectangle(5, 5, 30, 30))
    assert session.selection.ignore_area is not None
    assert session.selection.ignore_area.id == area
    session.delete_current()
    assert not session.marks.ignore_areas
    assert session.selection.current is None
    session.history.undo()
    assert session.selection.ignore_area is not None


def test_digits_say_the_kind_of_an_artefact(session: Session) -> None:
    session.boxes.add((10, 10, 20, 20))
    session.labels.set_value_number(1)  # no artefact yet: the first attribute
    assert session.labels.kinds == ()
    session.labels.set_class("None")
    session.labels.set_value_number(2)
    assert session.selection.cell is not None
    assert session.selection.cell.kind == "nucleated red cell"
    session.labels.set_value_number(9)
    assert session.selection.cell.kind == "nucleated red cell"
    session.labels.set_value_number(2)  # once more takes it back
    assert session.selection.cell.kind is None
    session.labels.set_value_number(1)
    session.labels.set_class("Monocyte")  # a kind is an artefact's only
    assert session.selection.cell.kind is None


def test_notes_stay_with_the_cell_and_keep_the_caret(session: Session) -> None:
    session.boxes.add((10, 10, 20, 20))
    session.selection.set_caret(3)
    session.labels.toggle_bookmark()
    session.labels.toggle_second_opinion()
    session.labels.set_comment("  Auer rod? ")
    assert session.selection.cell is not None
    assert (session.selection.cell.bookmark, session.selection.cell.second_opinion) == (True, True)
    assert session.selection.cell.comment == "Auer rod?"
    assert session.selection.caret == 3
    session.labels.toggle_bookmark()
    assert not session.selection.cell.bookmark
