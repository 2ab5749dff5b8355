"""A region is proposed, as a ghost: taken, shifted or left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel

from annotation_store import Shape
from annotation_store.records import Proposal, RegionState
from napari_lld.layers import DeskLayers, Pointer, outlines
from napari_lld.session.session import Session

from .conftest import listen

Suggest = Callable[[Path], list[int]]


@pytest.fixture
def session(small_project: Path, suggest: Suggest) -> Iterator[Session]:
    suggest(small_project)
    session = Session()
    session.open(small_project, annotator="Ada")
    yield session
    session.close()


def test_the_ranking_proposes_a_region_with_its_reason(session: Session) -> None:
    session.region_proposal.propose()
    proposed = session.region_proposal.current
    assert proposed is not None
    shape = Shape.rectangle(*proposed.box)
    assert any(shape.contains_centre(s.box) for s in session.suggestions.shown)
    assert "cell" in " ".join(proposed.reasons)
    assert proposed.seconds > 0
    assert not session.marks.regions
    assert session.history.undoable is None  # a proposal is no edit


def test_once_more_proposes_another_place(session: Session, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (900, 700), "white").save(tmp_path / "wide.png")
    assert session.project is not None
    (wide,) = session.project.fields.add([tmp_path / "wide.png"]).added
    corners = [(20.0, 20.0, 30.0, 30.0), (840.0, 640.0, 30.0, 30.0)]
    session.project.suggestions.replace(wide, [Proposal(box, 0.9) for box in corners], model_id=None)
    session.fields.show(wide)
    session.region_proposal.propose()
    first = session.region_proposal.current
    session.region_proposal.propose()
    assert first is not None
    assert session.region_proposal.current is not None
    assert session.region_proposal.current.box != first.box


def test_where_there_is_one_place_only_another_is_refused_in_words(session: Session) -> None:
    told = listen(session)
    session.region_proposal.propose()
    session.region_proposal.shift((30, 20, 60, 50))
    session.region_proposal.propose()
    assert told == ["No other place to propose here."]
    assert session.region_proposal.current is not None
    assert session.region_proposal.current.box == (30, 20, 60, 50)


def test_a_region_that_is_taken_is_a_draft_where_it_was_shifted_to(session: Session) -> None:
    session.region_proposal.propose()
    session.region_proposal.shift((30, 20, 60, 50))
    taken = session.region_proposal.take()
    (region,) = session.marks.regions
    assert region.id == taken
    assert region.state is RegionState.DRAFT
    assert region.shape.coords == (30, 20, 60, 50)
    assert session.selection.region == region
    assert session.region_proposal.current is None
    session.region_proposal.propose()  # what is drafted is not proposed again
    if session.region_proposal.current is not None:
        both = Shape.rectangle(*session.region_proposal.current.box).geometry.intersection(
            region.shape.geometry
        )
        assert both.area < 0.5 * region.shape.geometry.area


def test_what_is_left_and_what_belongs_to_another_field_is_gone(session: Session) -> None:
    session.region_proposal.propose()
    session.region_proposal.leave()
    assert session.region_proposal.current is None
    session.region_proposal.propose()
    session.fields.next()
    assert session.region_proposal.current is None
    assert session.region_proposal.take() is None
    assert session.project is not None
    assert session.project.regions.all() == []


def test_a_known_field_proposes_nothing_and_says_so(session: Session) -> None:
    told = listen(session)
    session.regions.add_whole_field()
    session.region_proposal.propose()
    assert session.region_proposal.current is None
    assert told[-1] == "Nothing to propose here: the field is already annotated."


def test_a_blind_reading_gets_no_proposal(session: Session) -> None:
    told = listen(session)
    session.readings.add("Second", blind=True)
    session.region_proposal.propose()
    assert session.region_proposal.current is None
    assert told[-1].startswith("A blind reading gets no proposal")


def test_the_ghost_is_dashed_and_named_and_taken_away(small_project: Path, suggest: Suggest) -> None:
    suggest(small_project)
    session, viewer = Session(), ViewerModel()
    layers = DeskLayers(session, viewer)
    session.open(small_project)
    assert "Proposed: letters" not in viewer.layers
    session.region_proposal.propose()
    assert viewer.layers["Proposed: letters"].features["text"].tolist() == ["proposed"]
    assert len(viewer.layers["Current"].data) > 4 * 2
    session.region_proposal.leave()
    assert len(viewer.layers["Proposed: letters"].data) == 0
    assert len(viewer.layers["Current"].data) == 0
    layers.close()
    session.close()


def test_a_dashed_box_covers_its_sides_about_by_half() -> None:
    segments = outlines.dashed_box((10, 20, 100, 60), 9)
    drawn = np.abs(segments[:, 1]).sum()
    assert 0.45 * 320 < drawn < 0.7 * 320
    corners = {(float(y), float(x)) for y, x in segments[:, 0]}
    assert {(20, 10), (20, 110), (80, 110), (80, 10)} <= corners


def test_the_ghost_is_shifted_by_its_middle_and_resized_by_its_handles(session: Session) -> None:
    from types import SimpleNamespace

    viewer = ViewerModel()
    layers = DeskLayers(session, viewer)
    pointer = Pointer(session, viewer, layers)
    session.region_proposal.propose()
    session.region_proposal.shift((20, 20, 60, 40))

    def drag(start: tuple[float, float], end: tuple[float, float]) -> None:
        event = SimpleNamespace(
            button=1, modifiers=(), type="mouse_press", handled=False, position=(start[1], start[0])
        )
        steps = pointer._on_drag(viewer, event)
        next(steps)
        event.type, event.position = "mouse_move", (end[1], end[0])
        next(steps)
        event.type = "mouse_release"
        next(steps, None)

    drag((50, 40), (60, 45))
    assert session.region_proposal.current is not None
    assert session.region_proposal.current.box == pytest.approx((30, 25, 60, 40))
    drag((90, 65), (100, 80))
    assert session.region_proposal.current.box == pytest.approx((30, 25, 70, 55))
    drag((65, 52), (200, 300))  # never off the field
    assert session.region_proposal.current.box == pytest.approx((50, 45, 70, 55))
    pointer.close()
    layers.close()


def test_proposing_reads_no_more_than_a_field(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object) -> object:
        raise AssertionError("pixels were read")

    monkeypatch.setattr("annotation_store._collections.pixels.FieldPixels.read", refuse)
    session.region_proposal.propose()
    assert session.region_proposal.current is not None
