"""A whole slide on the desk: shown by tiles; what cannot be read is told, and the desk goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel

from annotation_store import Embedding, Project, Proposal, Shape
from napari_lld.commands.registry import Commands, session_commands
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.layers import DeskLayers
from napari_lld.session.marks import FieldMarks
from napari_lld.session.session import Session
from napari_lld.widgets.fields.field_model import state_words
from training.protocol import Done, Saved

from .conftest import button, listen

SLIDE = 3


def test_switching_between_fields_and_a_slide(new_session: Session, with_slide: Path) -> None:
    viewer = ViewerModel()
    layers = DeskLayers(new_session, viewer)
    new_session.open(with_slide)
    for field_id, is_slide in ((1, False), (3, True), (2, False), (3, True), (3, True), (1, False)):
        new_session.fields.show(field_id)
        layer = viewer.layers["Field"]
        field = new_session.fields.current
        assert field is not None
        assert layer.multiscale is is_slide
        assert viewer.layers.index(layer) == 0, "under the marks"
        low, high = layer.extent.world
        assert np.allclose(low, 0.5)
        assert np.allclose(high, (field.height - 0.5, field.width - 0.5))
    layers.close()


def test_a_slide_that_was_moved_is_told_and_its_overview_shown(
    new_session: Session, with_slide: Path, tmp_path: Path
) -> None:
    (tmp_path / "slide.tif").unlink()
    told: list[str] = []
    new_session.notice.connect(lambda *notice: told.append(str(notice)))
    viewer = ViewerModel()
    layers = DeskLayers(new_session, viewer)
    new_session.open(with_slide)
    new_session.fields.show(3)
    layer = viewer.layers["Field"]
    assert any("no longer at" in sentence for sentence in told)
    assert not layer.multiscale
    assert np.allclose(layer.extent.world[1], (500, 600), atol=1.5)
    layers.close()


def test_a_field_whose_pixels_are_lost_is_told_and_the_desk_goes_on(
    new_session: Session, with_slide: Path
) -> None:
    shutil.rmtree(with_slide / "fields.zarr" / "1")
    told: list[str] = []
    new_session.notice.connect(lambda *notice: told.append(str(notice)))
    viewer = ViewerModel()
    layers = DeskLayers(new_session, viewer)
    new_session.open(with_slide)
    new_session.fields.show(2)
    new_session.fields.show(1)
    assert any("missing or damaged" in sentence for sentence in told)
    new_session.fields.show(2)
    assert viewer.layers["Field"].data.shape == (100, 120, 3)
    layers.close()


def test_a_region_of_a_slide_becomes_a_field_and_is_shown(new_session: Session, with_slide: Path) -> None:
    commands = Commands(new_session)
    commands.add(session_commands(new_session))
    viewer = ViewerModel()
    layers = DeskLayers(new_session, viewer)
    new_session.open(with_slide)
    new_session.fields.show(1)
    new_session.regions.add(Shape.rectangle(0, 0, 50, 50))
    assert not commands.run("field.cut"), "only a slide is cut up"
    new_session.fields.show(3)
    new_session.regions.add(Shape.rectangle(100, 200, 300, 150))
    assert commands.run("field.cut")
    assert new_session.fields.current is not None
    assert new_session.fields.current.name == "slide (100, 200, 300, 150).png"
    assert viewer.layers["Field"].data.shape == (150, 300, 3)
    assert [summary.field.id for summary in new_session.fields.summaries()] == [1, 2, 3, 4]
    layers.close()


def test_after_a_round_slides_wait_for_a_search_and_what_is_older_says_so(
    dock: AnnotateDock, with_slide: Path, qtbot: QtBot
) -> None:
    class Trainer:
        requests: ClassVar[list[Any]] = []

        def start(self, request: Any) -> None:
            self.requests.append(request)

    session, commands = dock.desk.session, dock.desk.commands
    session.training.process = Trainer()  # type: ignore[assignment]
    search = button(dock, "slides.search")
    dock.show_model_tab()
    with Project.open(with_slide, annotator="Ada") as project:
        begun = project.searches.begin(SLIDE, model_id=None, about={})
        project.searches.add(begun, 0, [Proposal((10, 10, 20, 20), 0.9, {"Neutrophil": 1.0})])
        project.embeddings.save("starter", {SLIDE: Embedding(np.ones(4, np.float32))})
    session.open(with_slide, annotator="Ada")
    assert session.training.slides_left == [], "the starter has searched it"
    assert not commands.run("slides.search")
    told = listen(session)
    session.training.state.begin("train")
    with Project.open(with_slide, annotator="worker") as project:
        number = project.models.reserve_id()
        project.models.folder(number).mkdir(parents=True)
        project.models.add(number, parent="starter", card={}, activate=True)
    session.training.state.receive(Saved(model_id=1, active=True))
    session.training.state.receive(Done(task="train", model_id=1, result={"active": True}))
    assert "1 slide was not searched completely" in told[-1]
    assert session.training.slides_left == [SLIDE]
    message = dock.findChild(QLabel, "lld_told")
    assert message is not None
    qtbot.waitUntil(lambda: not search.isHidden(), timeout=3000)
    assert "“Search slides”" in message.text()
    session.fields.show(SLIDE)
    session.review.next()
    headline = "Older: suggestion of the starter · 90%"
    qtbot.waitUntil(lambda: headline in [one.text() for one in dock.findChildren(QLabel)], timeout=3000)
    search.click()
    (request,) = Trainer.requests
    assert (request.task, request.fields) == ("predict", [SLIDE])
    with Project.open(with_slide, annotator="worker") as project:
        begun = project.searches.begin(SLIDE, model_id=1, about={"tiling": {"core": 300}})
        project.searches.add(begun, 0, [])
    session.training.state.receive(Done(task="predict", model_id=1, result={}))
    assert session.training.slides_left == [SLIDE], "its search was cut off"
    assert state_words(session.fields.by_id[SLIDE]) == "1 suggestion to review · 25% searched"
    with Project.open(with_slide, annotator="worker") as project:
        for tile in (1, 2, 3):
            project.searches.add(begun, tile, [])
    session.training.state.receive(Done(task="predict", model_id=1, result={}))
    assert session.training.slides_left == []
    assert state_words(session.fields.by_id[SLIDE]) == "1 suggestion to review"


def test_of_a_slide_the_cells_in_sight_are_read_and_others_when_asked_for(
    session: Session, with_slide: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.open(with_slide, annotator="Ada")
    project = session.project
    assert project is not None
    near = project.cells.add(SLIDE, (10, 10, 20, 20), cell_class="Neutrophil")
    far = project.cells.add(SLIDE, (500, 400, 20, 20))
    several = [project.cells.add(SLIDE, (100 + 20 * i, 100, 10, 10), cell_class="None") for i in range(4)]
    session.fields.show(SLIDE)
    assert len(session.marks.cells) == 6
    session.marks.look_at((0, 0, 40, 40))
    assert [cell.id for cell in session.marks.cells] == [near]
    assert session.marks.at(510, 410) == []
    session.selection.select("cell", far)
    session.marks.look_at((0, 0, 10, 10))
    assert session.selection.cell is not None
    assert session.selection.cell.id == far, "what is current stays so out of sight"
    session.labels.set_class("Monocyte")
    assert session.selection.cell.cell_class == "Monocyte"
    monkeypatch.setattr("napari_lld.session.marks.MOST_IN_SIGHT", 2)
    session.marks.look_at((0, 0, 600, 500))
    assert [cell.id for cell in session.marks.cells] == several[-2:], "the newest, where there are too many"
    assert len(session.regions.doubts(Shape.rectangle(0, 0, 600, 500))) == 1
    assert "2 cells lack an attribute" in session.regions.doubts(Shape.rectangle(0, 0, 600, 500))[0]
    session.selection.select(None)
    session.labels.next_missing()
    assert session.selection.cell.id == near, "the first that lacks something, in sight or not"


@pytest.mark.parametrize("most", [3, 1000])
def test_after_an_edit_the_cells_are_those_that_a_new_reading_gives(
    new_session: Session, with_slide: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("napari_lld.session.marks.MOST_IN_SIGHT", most)
    session = new_session
    session.open(with_slide)
    session.fields.show(SLIDE)
    project, area = session.project, (100.0, 100.0, 200.0, 200.0)
    assert project is not None

    def as_read_anew() -> bool:
        anew = FieldMarks(project, SLIDE, is_slide=True)
        anew.look_at(area)
        return list(session.marks.cells) == anew.cells

    session.marks.look_at(area)
    places = [(x, 150.0) for x in (110.0, 150.0, 190.0, 230.0, 270.0, 550.0)]
    cells = [project.cells.add(SLIDE, (x, y, 30.0, 30.0)) for x, y in places]
    assert as_read_anew()
    assert len(session.marks.cells) == min(most, 5), "one is out of sight"
    project.cells.change(cells[3], cell_class="Monocyte")
    assert as_read_anew()
    project.cells.change(cells[4], box=(550.0, 10.0, 30.0, 30.0))
    assert as_read_anew()
    project.cells.delete(cells[2])
    assert as_read_anew()
    project.undo(SLIDE)
    assert as_read_anew()
    project.undo(SLIDE)
    assert as_read_anew()
    assert session.marks.at(200, 160) == [session.marks.cell(cells[2])]
