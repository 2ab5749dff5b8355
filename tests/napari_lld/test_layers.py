"""The layers of a viewer follow the session; no window is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from annotation_store import ImageError, Project, Shape
from annotation_store.schema import load_schema
from annotation_store.schema.reserved import UNSURE
from napari_lld.layers import DeskLayers, Pointer, outlines, palette
from napari_lld.layers.backdrop import Backdrop
from napari_lld.layers.camera import camera_of
from napari_lld.layers.field_image import DIM
from napari_lld.layers.layer_set import CASINGS
from napari_lld.session.session import Session
from napari_lld.session.tool import Tool
from tests.napari_lld.mouse import Mouse

from .conftest import listen

Suggest = Callable[[Path], list[int]]


@pytest.fixture
def session(new_session: Session) -> Session:
    """Give a session that has not opened the project yet."""
    return new_session


@pytest.fixture
def layers(session: Session, viewer: ViewerModel, small_project: Path) -> DeskLayers:
    layers = DeskLayers(session, viewer)
    assert not viewer.layers
    session.open(small_project)
    return layers


@pytest.fixture
def pointer(session: Session, viewer: ViewerModel, layers: DeskLayers) -> Pointer:
    return Pointer(session, viewer, layers)


def test_box_outlines_are_closed() -> None:
    segments = outlines.box_outlines([(10, 20, 30, 40)])
    assert segments.shape == (4, 2, 2)
    assert np.allclose(segments[:, 1].sum(axis=0), 0)
    assert segments[0].tolist() == [[20, 10], [0, 30]]


def test_brackets_leave_the_sides_open() -> None:
    segments = outlines.box_brackets([(0, 0, 40, 40)])
    assert segments.shape == (8, 2, 2)
    assert np.abs(segments[:, 1]).sum() == 8 * 10


def test_no_key_of_napari_is_named_for_our_layers(
    layers: DeskLayers, session: Session, viewer: ViewerModel
) -> None:
    assert viewer.help == ""
    session.boxes.add((10, 10, 20, 20))
    for layer in viewer.layers:
        viewer.layers.selection.active = layer
        for mode in ("transform", "pan_zoom"):
            layer.mode = mode
            assert (viewer.help, layer.help) == ("", "")
    viewer.layers.selection.active = viewer.add_points([[1, 1]], name="mine")
    assert "use <" in viewer.help, "of other layers it is named"


def test_nothing_draws_nothing() -> None:
    assert outlines.box_outlines([]).shape == (0, 2, 2)
    assert outlines.shape_outlines([]).shape == (0, 2, 2)


def test_the_unknown_area_is_all_but_the_regions() -> None:
    mask, scale = outlines.unknown_mask([Shape.rectangle(10, 10, 20, 20)], 100, 80)
    assert scale == 1
    assert mask.shape == (80, 100)
    assert 380 <= (mask == 0).sum() <= 441
    assert mask[0, 0] == 1
    assert mask[20, 20] == 0
    coarse, scale = outlines.unknown_mask([], 10_000, 5_000)
    assert max(coarse.shape) == 1024
    assert scale > 9


FILM = "#f5e4d0"
"""An empty place of the sample fields."""
DIMMED = "#" + "".join(f"{round(int(FILM[i : i + 2], 16) * (1 - DIM)):02x}" for i in (1, 3, 5))


@pytest.mark.parametrize("name", ["lld", "wbcatt"])
def test_the_box_of_every_class_shows_on_film_and_on_dimmed_film(name: str) -> None:
    schema = load_schema(name)
    for film in (FILM, DIMMED):
        assert palette.contrast(palette.CASING, film) >= 3
    for cell_class in (*schema.class_names, UNSURE, None):
        shown = palette.class_colour(schema, cell_class)
        assert palette.contrast(shown, palette.CASING) >= 3, cell_class
    for own in (palette.REGION, palette.IGNORED, palette.CURRENT):
        assert palette.contrast(own, palette.CASING) >= 3


def test_a_light_class_colour_is_shown_as_it_is() -> None:
    assert palette.display_colour("#f0e442") == "#f0e442"
    assert palette.display_colour("#000000") != "#000000"


def test_coloured_lines_lie_on_dark_ones(layers: DeskLayers, viewer: ViewerModel, session: Session) -> None:
    session.boxes.add((20, 40, 20, 20))
    session.labels.set_class("Basophil")
    for name, casing in CASINGS.items():
        assert viewer.layers.index(casing) == viewer.layers.index(name) - 1
        assert viewer.layers[casing].edge_width > viewer.layers[name].edge_width
        assert len(viewer.layers[casing].data) == len(viewer.layers[name].data)
    assert viewer.layers["Cells"].edge_color[0, :3] == pytest.approx(
        palette.rgba(palette.class_colour(session.schema, "Basophil"))[:3], abs=0.01
    )
    assert viewer.layers["Cells: casing"].edge_color[0] == pytest.approx(palette.rgba(palette.CASING))


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_letters_are_read_on_film_on_dimmed_film_and_beside_the_field(
    layers: DeskLayers, viewer: ViewerModel, session: Session, theme: str
) -> None:
    viewer.theme = theme
    session.regions.add(Shape.rectangle(0, 0, 60, 100))
    places = {"film": (10, 60), "dimmed": (90, 60), "beside": (20, 0)}
    for x, y in places.values():
        session.boxes.add((x, y, 10, 10))
    film = float(palette.luminance([220 / 255] * 3))
    canvas = 0.0 if theme == "dark" else 1.0
    behind = {"film": film, "dimmed": film * (1 - DIM) ** 2.2, "beside": canvas}
    letters = viewer.layers["Cells: letters"]
    inks = palette.luminance(letters.text.color.array[:, :3])
    assert len(inks) == 3
    for place, ink in zip(places, inks, strict=True):
        dark, light = sorted((float(ink), behind[place]))
        assert (light + 0.05) / (dark + 0.05) >= 4.5, place


def test_the_ink_follows_the_pixels() -> None:
    pixels = np.full((100, 120, 3), 240, dtype=np.uint8)
    pixels[40:60, 40:80] = (60, 20, 90)  # a nucleus
    backdrop = Backdrop(pixels, 120, 100)
    behind = backdrop.behind(np.array([[45.0, 45, 55, 75], [5, 5, 15, 20], [-20, 5, -5, 20]]), 0.0)
    assert behind[0] < 0.05 < 0.8 < behind[1]
    assert behind[2] == 0.0
    assert palette.ink(behind)[:, 0].tolist() == [1, 0, 1]
    backdrop.dim(np.ones((1, 1), dtype=np.uint8), 120.0, 0.5)
    assert backdrop.behind(np.array([[5.0, 5, 15, 20]]), 0.0)[0] < 0.25


def test_the_field_comes_back_when_its_layer_is_deleted(
    layers: DeskLayers, viewer: ViewerModel, session: Session, qtbot: QtBot
) -> None:
    names = [layer.name for layer in viewer.layers]
    session.boxes.add((20, 40, 20, 20))
    told = listen(session)
    for deleted in (["Field"], ["Cells"], ["Unknown area", "Regions: casing"], names):
        for name in deleted:
            viewer.layers.remove(viewer.layers[name])
        qtbot.waitUntil(lambda: set(names) <= {layer.name for layer in viewer.layers}, timeout=2000)
        assert [layer.name for layer in viewer.layers][: len(names)] == names
        assert viewer.layers["Field"].data.shape == (100, 120, 3)
        assert len(viewer.layers["Cells"].data) == outlines.BOX_SEGMENTS
        assert deleted[0] in told[-1]
    assert len(told) == 4


def test_an_open_project_shows_its_field_in_store_coordinates(
    layers: DeskLayers, viewer: ViewerModel, session: Session
) -> None:
    image = viewer.layers["Field"]
    assert image.data.shape == (100, 120, 3)
    low, high = image.extent.world[0], image.extent.world[1]
    assert np.allclose(low, (0.5, 0.5))  # the centre of the first pixel
    assert np.allclose(high, (99.5, 119.5))
    assert viewer.layers.selection.active is image


def test_a_field_that_cannot_be_read_is_a_notice(
    layers: DeskLayers,
    viewer: ViewerModel,
    session: Session,
    monkeypatch: pytest.MonkeyPatch,
    small_project: Path,
) -> None:
    def broken(*_args: object, **_options: object) -> object:
        raise ImageError("The disk is gone.")

    told = listen(session)
    monkeypatch.setattr("annotation_store._collections.pixels.FieldPixels.read", broken)
    monkeypatch.setattr("annotation_store._collections.pixels.FieldPixels.thumbnail", broken)
    session.open(small_project)
    assert told == ["The disk is gone."]
    assert np.unique(viewer.layers["Field"].data).tolist() == [128]
    session.boxes.add((10, 10, 20, 20))
    assert len(viewer.layers["Cells"].data) == 4


def test_all_layers_go_at_once(
    layers: DeskLayers, viewer: ViewerModel, session: Session, small_project: Path
) -> None:
    """For each layer by itself, napari rebuilds its scene and collects garbage: two seconds in all."""
    rebuilt: list[int] = []
    viewer.layers.events.end_batch.connect(lambda: rebuilt.append(len(viewer.layers)))
    viewer.layers.events.begin_batch.connect(lambda: rebuilt.append(len(viewer.layers)))
    shown = len(viewer.layers)
    session.close()
    session.close()
    session.open(small_project)
    session.fields.next()
    assert rebuilt == [shown, 0]


def test_the_next_field_replaces_data_and_no_layer(
    layers: DeskLayers, viewer: ViewerModel, session: Session
) -> None:
    session.boxes.add((10, 10, 20, 20))
    before = list(viewer.layers)
    session.fields.next()
    assert list(viewer.layers) == before
    assert viewer.layers["Field"].data[0, 0, 0] == 190
    assert len(viewer.layers["Cells"].data) == 0


def test_what_the_first_click_needs_is_created_in_a_quiet_moment(
    layers: DeskLayers, viewer: ViewerModel, qtbot: QtBot
) -> None:
    """It takes napari a tenth of a second: neither the opening of a project nor the click waits for it."""
    assert "Current" not in viewer.layers
    qtbot.waitUntil(lambda: "Current" in viewer.layers)
    assert viewer.layers.selection.active is viewer.layers["Field"]


def test_layers_that_are_created_leave_the_active_one_and_napari_hears_of_no_other(
    session: Session, viewer: ViewerModel, small_project: Path
) -> None:
    layers = DeskLayers(session, viewer)
    active: list[object] = []
    viewer.layers.selection.events.active.connect(lambda event: active.append(event.value))
    session.open(small_project)
    assert len(viewer.layers) > 5
    assert active == [viewer.layers["Field"]]
    another = viewer.add_points([[0, 0]])
    session.boxes.add((10, 10, 20, 20))  # the first one creates layers too
    assert "Current" in viewer.layers
    assert viewer.layers.selection.active is another
    assert viewer.layers.selection == {another}
    layers.close()
    session.close()


def test_an_edit_comes_to_the_layers(layers: DeskLayers, viewer: ViewerModel, session: Session) -> None:
    session.boxes.add((10, 10, 20, 20))
    cells, letters = viewer.layers["Cells"], viewer.layers["Cells: letters"]
    assert len(cells.data) == 4
    assert letters.features["text"].tolist() == ["–"]
    session.labels.set_class("Neutrophil")
    assert letters.features["text"].tolist() == ["N…"]
    assert np.allclose(cells.edge_color[0], palette.rgba("#009e73"), atol=0.01)
    for _ in range(7):
        session.labels.set_value_number(1)
    assert letters.features["text"].tolist() == ["N"]
    session.history.undo()
    assert letters.features["text"].tolist() == ["N…"]
    session.delete_current()
    assert len(cells.data) == 0
    assert len(letters.data) == 0


def test_labelling_redraws_no_box(
    layers: DeskLayers, viewer: ViewerModel, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.boxes.add((10, 10, 20, 20))
    cells = viewer.layers["Cells"]
    before = cells.data
    session.labels.set_class("Neutrophil")
    assert cells.data is before or np.shares_memory(cells.data, before)


def drawn(viewer: ViewerModel) -> int:
    """Count the suggestions that can be seen: what is settled or below the threshold has no colour."""
    return int((viewer.layers["Suggestions"].edge_color[:, 3] > 0).sum()) // outlines.BRACKET_SEGMENTS


def test_suggestions_look_otherwise_than_cells(
    layers: DeskLayers, viewer: ViewerModel, session: Session, small_project: Path, suggest: Suggest
) -> None:
    suggest(small_project)
    session.refresh()
    assert drawn(viewer) == 3
    assert viewer.layers["Suggestions: letters"].features["text"].tolist() == ["N 81%", "N 63%", "N 45%"]
    session.marks.threshold = 0.8
    assert drawn(viewer) == 1
    session.review.next()
    session.review.accept()
    assert drawn(viewer) == 0
    assert len(viewer.layers["Cells"].data) == outlines.BOX_SEGMENTS


def test_a_region_dims_the_unknown_area(layers: DeskLayers, viewer: ViewerModel, session: Session) -> None:
    assert viewer.layers["Unknown area"].data.max() == 0  # nothing is known: nothing is dimmed
    session.regions.add(Shape.rectangle(10, 10, 50, 50))
    mask = viewer.layers["Unknown area"].data
    assert mask[0, 0] == 1
    assert mask[30, 30] == 0
    assert len(viewer.layers["Regions"].data) == 4 + 2  # and two unseen points that hold the extent


def test_what_nobody_can_read_is_crossed_out(
    layers: DeskLayers, viewer: ViewerModel, session: Session
) -> None:
    session.project.ignore_areas.add(session.fields.current_id, Shape.rectangle(10, 10, 50, 50))  # type: ignore[union-attr, arg-type]
    assert len(viewer.layers["Regions"].data) == 4 + 2 + 2


def test_marks_at_the_edge_change_no_extent(
    layers: DeskLayers, viewer: ViewerModel, session: Session
) -> None:
    """Else napari lays out every layer anew for each box near the edge."""
    before = viewer.layers.extent.world.copy()
    session.boxes.add((0, 0, 30, 30))
    session.boxes.add((90, 70, 30, 30))
    assert np.array_equal(viewer.layers.extent.world, before)


def test_hidden_marks_leave_the_field(layers: DeskLayers, viewer: ViewerModel, session: Session) -> None:
    session.marks.toggle()
    assert [layer.name for layer in viewer.layers if layer.visible] == ["Field"]
    session.marks.toggle()
    assert all(layer.visible for layer in viewer.layers)


def test_a_layer_deleted_by_hand_comes_back(
    layers: DeskLayers, viewer: ViewerModel, session: Session
) -> None:
    viewer.layers.remove("Cells")
    session.boxes.add((10, 10, 20, 20))
    assert len(viewer.layers["Cells"].data) == 4


def test_closing_takes_our_layers_and_no_other(
    layers: DeskLayers, viewer: ViewerModel, session: Session
) -> None:
    viewer.add_points(np.zeros((1, 2)), name="mine")
    layers.close()
    assert [layer.name for layer in viewer.layers] == ["mine"]


@pytest.fixture
def mouse(viewer: ViewerModel, pointer: Pointer) -> Mouse:
    return Mouse(viewer)


def test_a_drag_with_the_box_tool_is_a_cell(mouse: Mouse, session: Session) -> None:
    session.tool = Tool.BOX
    assert mouse.drag((10, 20), (20, 30), (40, 60))
    assert session.marks.cells[0].box == (10, 20, 30, 40)
    assert session.selection.cell is not None
    assert session.tool is Tool.BOX  # the next cell follows


def test_a_drag_ends_where_the_button_is_let_go(mouse: Mouse, session: Session) -> None:
    """Under load a window gets fewer moves than the mouse made."""
    session.tool = Tool.BOX
    mouse.drag((10, 10), (20, 30), let_go=(60, 40))
    assert session.marks.cells[0].box == (10, 10, 50, 30)
    session.tool = Tool.SELECT
    mouse.drag((30, 20), (31, 20), let_go=(40, 25))
    assert session.marks.cells[0].box == (20, 15, 50, 30)


def test_a_box_is_kept_inside_the_field(mouse: Mouse, session: Session) -> None:
    session.tool = Tool.BOX
    mouse.drag((100, 80), (150, 130))
    assert session.marks.cells[0].box == (100, 80, 20, 20)


def test_a_click_with_the_box_tool_draws_nothing(mouse: Mouse, session: Session) -> None:
    session.tool = Tool.BOX
    mouse.click(10, 20)
    assert not session.marks.cells


def test_a_drag_with_the_region_tool_is_a_finished_rectangle(mouse: Mouse, session: Session) -> None:
    session.tool = Tool.REGION
    mouse.drag((10, 10), (60, 70))
    assert session.marks.regions[0].shape.coords == (10, 10, 50, 60)
    assert session.tool is Tool.SELECT


def test_clicks_with_the_region_tool_are_a_polygon(mouse: Mouse, session: Session, pointer: Pointer) -> None:
    session.tool = Tool.REGION
    for point in ((10, 10), (60, 10), (60, 60)):
        mouse.click(*point)
    assert pointer.drawing
    mouse.double_click(10, 60)
    assert session.marks.regions[0].shape.coords == (10, 10, 60, 10, 60, 60, 10, 60)
    assert not pointer.drawing


def test_a_polygon_is_closed_by_its_first_corner(mouse: Mouse, session: Session) -> None:
    session.tool = Tool.REGION
    for point in ((10, 10), (60, 10), (60, 60), (10, 10)):
        mouse.click(*point)
    assert len(session.marks.regions) == 1


def test_the_current_box_is_moved_and_resized(mouse: Mouse, session: Session) -> None:
    session.boxes.add((20, 20, 40, 40))
    assert mouse.drag((40, 40), (50, 45))
    assert session.marks.cells[0].box == (30, 25, 40, 40)
    assert mouse.drag((70, 65), (80, 70))
    assert session.marks.cells[0].box == (30, 25, 50, 45)
    session.history.undo()
    assert session.marks.cells[0].box == (30, 25, 40, 40)


def test_a_drag_elsewhere_is_the_cameras(mouse: Mouse, session: Session) -> None:
    session.boxes.add((20, 20, 20, 20))
    assert not mouse.drag((80, 80), (100, 90))
    assert session.marks.cells[0].box == (20, 20, 20, 20)


def test_a_click_chooses(mouse: Mouse, session: Session) -> None:
    cell = session.boxes.add((20, 20, 20, 20))
    session.regions.add(Shape.rectangle(0, 0, 80, 80))
    mouse.click(30, 30)
    assert session.selection.cell.id == cell  # type: ignore[union-attr]
    mouse.click(80, 50)
    assert session.selection.region is not None
    mouse.click(100, 90)
    assert session.selection.current is None


def test_the_mouse_is_left_to_layers_of_others(mouse: Mouse, session: Session, viewer: ViewerModel) -> None:
    viewer.add_points(np.zeros((1, 2)), name="mine")
    session.tool = Tool.BOX
    assert not mouse.drag((10, 20), (40, 60))
    assert not session.marks.cells


def test_a_smaller_field_fills_the_view_too(tmp_path: Path) -> None:
    """Marks of the field before, when it was larger, do not count in."""
    from PIL import Image as Picture

    for name, size in (("a_large", (400, 300)), ("b_small", (40, 30))):
        Picture.new("RGB", size, "white").save(tmp_path / f"{name}.png")
    viewer = ViewerModel()
    session = Session()
    with Project.create(tmp_path / "p.lld") as project:
        project.fields.add([tmp_path / "a_large.png", tmp_path / "b_small.png"])
    assert session.open(tmp_path / "p.lld")
    layers = DeskLayers(session, viewer)
    large = camera_of(viewer).zoom
    session.fields.next()
    assert camera_of(viewer).zoom > 4 * large
    layers.close()
    session.close()


def test_a_box_is_drawn_without_laying_out_all_layers_and_another_field_with(
    layers: DeskLayers, viewer: ViewerModel, session: Session
) -> None:
    laid_out: list[object] = []
    for layer in viewer.layers:
        layer.events.data.connect(laid_out.append)
    extent = viewer.layers.extent.world
    before = len(viewer.layers["Cells"].data)
    session.boxes.add((10, 10, 20, 20))
    assert len(viewer.layers["Cells"].data) > before
    assert not laid_out
    assert np.array_equal(viewer.layers.extent.world, extent)
    session.fields.next()
    assert laid_out


def test_another_project_is_shown_on_the_same_layers_and_none_of_them_outlives_the_last(
    layers: DeskLayers, viewer: ViewerModel, session: Session, tmp_path: Path, qtbot: QtBot
) -> None:
    from PIL import Image as Picture

    Picture.new("RGB", (64, 48), "white").save(tmp_path / "other.png")
    with Project.create(tmp_path / "other.lld") as project:
        project.fields.add([tmp_path / "other.png"])
    with Project.create(tmp_path / "empty.lld"):
        pass
    session.boxes.add((20, 40, 20, 20))
    before = list(viewer.layers)
    assert session.open(tmp_path / "other.lld")
    assert list(viewer.layers) == before
    assert viewer.layers["Field"].data.shape == (48, 64, 3)
    assert viewer.layers.selection.active is viewer.layers["Field"]
    for name in ("Cells", "Cells: letters", "Current"):
        assert not len(viewer.layers[name].data), name
    assert session.open(tmp_path / "empty.lld")
    assert not viewer.layers
    assert session.open(tmp_path / "other.lld")
    session.close()
    assert not viewer.layers
