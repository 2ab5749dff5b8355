"""A whole slide on the desk: shown by tiles; what cannot be read is told, and the desk goes on."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from napari.components import ViewerModel

from annotation_store import Shape
from napari_lld.commands.registry import Commands, session_commands
from napari_lld.layers import DeskLayers
from napari_lld.session.session import Session


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
