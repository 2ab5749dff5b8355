"""Draft regions, ignore areas and notes on cells, without Qt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from annotation_store import RegionState, Shape
from napari_lld.session.session import Session


def test_a_draft_is_finished_after_its_doubts_are_told(
    session: Session, suggest: Callable[[Path], list[int]]
) -> None:
    region_id = session.add_region(Shape.rectangle(0, 0, 60, 60), draft=True)
    assert session.regions[0].state is RegionState.DRAFT
    session.add_box((50, 50, 18, 18))  # its centre inside, its corner outside
    session.add_box((10, 30, 20, 20))
    session.set_class("Neutrophil")
    assert session.project is not None
    suggest(session.project.path)
    session.refresh()
    session.select("region", region_id)
    draft = session.region_to_finish()
    assert draft is not None
    assert session.doubts(draft.shape) == [
        "1 cell touches the edge",
        "1 cell has no class",
        "1 cell lacks an attribute",
        "2 suggestions not yet reviewed",
    ]
    assert session.finish_region()
    assert session.regions[0].state is RegionState.FINISHED
    assert not session.finish_region()  # it is finished already
    session.undo()
    assert session.regions[0].state is RegionState.DRAFT


def test_the_only_draft_need_not_be_chosen(session: Session) -> None:
    session.add_region(Shape.rectangle(0, 0, 40, 40), draft=True)
    session.select(None)
    assert session.finish_region()
    assert session.reopen_region()
    assert session.regions[0].state is RegionState.DRAFT
    session.add_region(Shape.rectangle(50, 50, 40, 40), draft=True)
    session.select(None)
    assert session.region_to_finish() is None  # which of the two?


def test_an_ignore_area_is_drawn_deleted_and_brought_back(session: Session) -> None:
    area = session.add_ignore_area(Shape.rectangle(5, 5, 30, 30))
    assert session.ignore_area is not None
    assert session.ignore_area.id == area
    session.delete_current()
    assert not session.ignore_areas
    assert session.selection is None
    session.undo()
    assert session.ignore_area is not None


def test_digits_say_the_kind_of_an_artefact(session: Session) -> None:
    session.add_box((10, 10, 20, 20))
    session.set_value_number(1)  # no artefact yet: the first attribute
    assert session.kinds == ()
    session.set_class("None")
    session.set_value_number(2)
    assert session.cell is not None
    assert session.cell.kind == "nucleated red cell"
    session.set_value_number(9)
    assert session.cell.kind == "nucleated red cell"
    session.set_value_number(2)  # once more takes it back
    assert session.cell.kind is None
    session.set_value_number(1)
    session.set_class("Monocyte")  # a kind is an artefact's only
    assert session.cell.kind is None


def test_notes_stay_with_the_cell_and_keep_the_caret(session: Session) -> None:
    session.add_box((10, 10, 20, 20))
    session.set_caret(3)
    session.toggle_bookmark()
    session.toggle_second_opinion()
    session.set_comment("  Auer rod? ")
    assert session.cell is not None
    assert (session.cell.bookmark, session.cell.second_opinion) == (True, True)
    assert session.cell.comment == "Auer rod?"
    assert session.caret == 3
    session.toggle_bookmark()
    assert not session.cell.bookmark
