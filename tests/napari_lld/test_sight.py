"""To see right: looks, stains, sizes, ruler and ring; nothing that is stored changes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from annotation_store import Project, formats
from napari_lld.controllers.desk import Desk
from napari_lld.imaging import measure
from napari_lld.imaging.display import DisplaySettings, ShownLevel, background
from napari_lld.imaging.stains import stain_channels
from napari_lld.session import user_state
from napari_lld.session.session import Session
from napari_lld.session.tool import Tool
from tests.napari_lld.mouse import Mouse

PINKISH = DisplaySettings((200, 220, 180), contrast=1.4, gamma=0.8)


@pytest.fixture
def desk(small_project: Path, qapp: object) -> Iterator[Desk]:
    desk = Desk(ViewerModel())
    assert desk.session.open(small_project, annotator="Ada")
    yield desk
    desk.close()


def told(desk: Desk) -> list[str]:
    sentences: list[str] = []
    desk.hinted.connect(sentences.append)
    return sentences


# ---------------------------------------------------------------------- looks


def test_a_look_changes_what_is_shown_and_nothing_that_is_stored_or_exported(
    desk: Desk, tmp_path: Path
) -> None:
    session, project = desk.session, desk.session.project
    assert project is not None
    assert session.fields.current_id is not None
    session.boxes.add((10, 10, 20, 20))

    def fingerprint(out: Path) -> dict[str, str]:
        formats.write("coco", project, out)
        return {
            str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
            for folder in (out if out.is_dir() else out.parent, project.path)
            for file in sorted(folder.rglob("*"))
            if file.is_file() and not file.name.startswith("project.db")
        }

    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    before, pixels = (
        fingerprint(tmp_path / "a" / "out.json"),
        project.pixels.read(session.fields.current_id).copy(),
    )
    session.display.look = PINKISH
    image = desk.viewer.layers["Field"]
    assert not np.array_equal(image.data, pixels)
    assert np.array_equal(image.data, PINKISH.shown(pixels))
    assert np.array_equal(project.pixels.read(session.fields.current_id), pixels)
    found = desk.layers.pixels((5, 5, 25, 25))  # what a click on a cell looks at
    assert found is not None
    assert np.array_equal(found, pixels[5:25, 5:25])
    assert fingerprint(tmp_path / "b" / "out.json") == before
    desk.commands.run("look.reset")
    assert np.array_equal(image.data, pixels)
    assert not desk.commands.run("look.reset"), "there is nothing to reset"


def test_the_background_becomes_neutral_and_stays_where_it_is() -> None:
    pixels = np.full((60, 60, 3), (210, 190, 160), np.uint8)
    pixels[20:40, 20:40] = (90, 40, 120)
    assert background(pixels) == (210, 190, 160)
    shown = DisplaySettings(background(pixels), contrast=2.0).shown(pixels)
    assert np.ptp(shown[0, 0]) <= 1
    assert shown[0, 0, 0] == 240
    assert shown[30, 30, 1] < DisplaySettings(background(pixels)).shown(pixels)[30, 30, 1], (
        "contrast darkens the cell"
    )
    assert (
        DisplaySettings(gamma=2).shown(pixels)[30, 30, 1]
        > 40
        > DisplaySettings(gamma=0.5).shown(pixels)[30, 30, 1]
    )
    assert DisplaySettings().shown(pixels) is pixels


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 0, 0)])
def test_odd_pictures_have_a_look_too(colour: tuple[int, int, int]) -> None:
    pixels = np.full((1, 1, 3), colour, np.uint8)
    assert DisplaySettings(background(pixels), 3.0, 0.4).shown(pixels).shape == (1, 1, 3)


def test_a_field_of_a_megapixel_is_shown_otherwise_within_50_ms() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1000, 1000, 3), np.uint8)
    times = []
    for _ in range(5):
        begun = time.perf_counter()
        PINKISH.shown(pixels)
        times.append(time.perf_counter() - begun)
    print(f"\nlook of 1000 x 1000: {1000 * min(times):.1f} ms")  # noqa: T201
    assert min(times) < 0.05


def test_the_look_is_that_of_the_project_and_domain_and_is_there_again(desk: Desk) -> None:
    session, project = desk.session, desk.session.project
    assert project is not None
    first, second = (field.id for field in project.fields.all())
    project.fields.update(first, domain="H_100x")
    session.display.look = PINKISH
    session.fields.show(second)  # of another domain
    assert session.display.look.plain
    assert np.array_equal(desk.viewer.layers["Field"].data, project.pixels.read(second))
    session.fields.show(first)
    assert session.display.look == PINKISH
    again = Session()
    assert again.open(project.path)
    again.fields.show(first)
    assert again.display.look == PINKISH
    again.close()


@pytest.mark.parametrize(
    "kept",
    [3, {"": 5}, {"": {"white": [1, 2], "contrast": "x", "gamma": None}}, {"": {"gamma": float("nan")}}],
)
def test_a_damaged_memory_of_looks_counts_for_nothing(small_project: Path, kept: object) -> None:
    user_state.remember_project(small_project, looks=kept)
    session = Session()
    assert session.open(small_project)
    assert session.display.look == DisplaySettings()
    session.close()


def test_white_balance_by_itself_and_by_a_click(desk: Desk) -> None:
    session = desk.session
    assert desk.commands.run("look.auto")
    assert session.display.look.white == (220, 220, 220)
    assert desk.commands.run("tool.white")
    Mouse(desk.viewer).drag((60, 50))
    assert session.display.look.white == (220, 220, 220)
    assert session.tool is Tool.SELECT
    desk.commands.run("tool.white")
    hints = told(desk)
    Mouse(desk.viewer).drag((-50, -50))
    assert hints == ["Click on an empty place of the field."]
    assert not session.marks.cells


def test_a_level_of_a_slide_is_changed_as_it_is_read() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (50, 40, 3), np.uint8)
    level = ShownLevel(pixels, PINKISH)
    assert level.shape == pixels.shape
    assert np.array_equal(level[10:20, 5:9], PINKISH.shown(pixels[10:20, 5:9]))
    assert np.array_equal(np.asarray(level), PINKISH.shown(pixels))


# ---------------------------------------------------------------------- stains


def test_stains_are_told_apart_as_scikit_image_does() -> None:
    from skimage.color import bex_from_rgb, separate_stains

    pixels = np.random.default_rng(0).integers(1, 255, (40, 40, 3), np.uint8)
    wanted = separate_stains(pixels, bex_from_rgb)
    for index, grey in enumerate(stain_channels(pixels)):
        # Theirs is in shares of six orders of magnitude, ours what light is left of it.
        assert np.allclose(255 * 10 ** (-6 * wanted[..., index]), grey, atol=1)


def test_a_nucleus_is_blue_and_a_red_cell_is_pink() -> None:
    pixels = np.array([[(250, 245, 240), (80, 45, 140), (215, 165, 170)]], np.uint8)
    blue, pink = stain_channels(pixels, (250, 245, 240))
    assert blue[0, 0] > 245
    assert pink[0, 0] > 245
    assert blue[0, 1] < 100
    assert blue[0, 2] > 200
    assert pink[0, 2] < 190


# ---------------------------------------------------------------------- sizes


@pytest.mark.parametrize("size", [None, 0.001, 0.0636, 0.1, 1.0, 100.0])
@pytest.mark.parametrize("zoom", [0.001, 0.37, 1.0, 12.5, 400.0])
def test_a_scale_bar_is_a_round_number_that_fits(size: float | None, zoom: float) -> None:
    length, text = measure.bar(zoom, size, longest=140)
    number, unit = text.split()
    assert 140 / 2.6 < length <= 140.001
    assert unit == ("px" if size is None else "µm")
    assert length == pytest.approx(float(number) * zoom / (size or 1), rel=1e-4)


def test_sizes_are_told_in_micrometres_where_a_pixel_is_known() -> None:
    assert measure.box_size((0, 0, 140, 131), 0.1) == "14.0 × 13.1 µm"
    assert measure.box_size((0, 0, 140, 131), None) == "140 × 131 px"
    assert measure.length(5, 0.1) == "0.5 µm"


def test_the_ruler_measures_while_it_is_dragged_and_stores_nothing(desk: Desk) -> None:
    session = desk.session
    edits: list[object] = []
    session.display.set_pixel_size(0.25)
    assert session.project is not None
    session.project.events.edited.connect(edits.append)
    desk.commands.run("tool.ruler")
    live: list[str] = []
    session.display.measured.connect(lambda: live.extend(desk.viewer.layers["Sizes"].features["text"]))
    Mouse(desk.viewer).drag((10, 10), (40, 10), (40, 50))
    assert live[0] == "7.5 µm"
    assert live[-1] == "12.5 µm"
    assert list(desk.viewer.layers["Sizes"].features["text"]) == ["12.5 µm"]
    desk.escape()
    assert session.display.ruler is None
    assert len(desk.viewer.layers["Sizes"].data) == 0
    assert not edits


def test_a_ring_as_wide_as_a_red_cell_is_laid_by_a_click(desk: Desk) -> None:
    session = desk.session
    hints = told(desk)
    desk.commands.run("tool.ring")
    Mouse(desk.viewer).drag((50, 50))
    assert hints == ["The pixel size is unknown here: drag across a red cell from edge to edge."]
    assert session.display.ring is None
    session.display.set_pixel_size(0.25)
    Mouse(desk.viewer).drag((50, 50))
    assert session.display.ring is not None
    assert session.display.ring.diameter == 30
    assert not desk.commands["draw.finish"].when(session), "a ring that was not fitted calibrates nothing"
    session.fields.next()
    assert session.display.ring is None


@pytest.mark.parametrize("answer", ["one", "all", None])
def test_a_ring_fitted_to_a_red_cell_says_how_large_a_pixel_is(
    desk: Desk, answer: str | None, monkeypatch: pytest.MonkeyPatch, qtbot: Any
) -> None:
    session, project = desk.session, desk.session.project
    assert project is not None
    first, second = (field.id for field in project.fields.all())
    asked: list[tuple[Any, ...]] = []

    def ask(*question: Any) -> str | None:
        asked.append(question)
        return answer

    monkeypatch.setattr("napari_lld.widgets.dialogs.dialogs.ask_pixel_size", ask)
    desk.commands.run("tool.ring")
    Mouse(desk.viewer).drag((30, 50), (50, 50), (60, 50))
    assert session.display.ring is not None
    assert session.display.ring.centre == (45, 50)
    assert desk.commands.run("draw.finish")
    qtbot.waitUntil(lambda: not desk.jobs.busy)
    assert asked[0][:3] == (0.25, None, 1)
    assert project.fields.get(first).pixel_size_um == (None if answer is None else 0.25)
    assert project.fields.get(second).pixel_size_um == (0.25 if answer == "all" else None)
    if answer is not None:
        session.history.undo()
        assert project.fields.get(first).pixel_size_um is None
        assert session.tool is Tool.SELECT


def test_fields_taken_otherwise_are_not_calibrated_along(desk: Desk) -> None:
    session, project = desk.session, desk.session.project
    assert project is not None
    _first, second = (field.id for field in project.fields.all())
    assert session.display.alike() == [second]
    project.fields.update(second, microscope="other")
    assert session.display.alike() == []
    project.fields.update(second, microscope=None, pixel_size_um=0.5)
    assert session.display.alike() == [], "its size is known already"


def test_a_ring_that_cannot_be_right_is_refused_with_a_sentence(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_lld.widgets.dialogs.dialogs.ask_pixel_size", lambda *_: "one")
    session = desk.session
    session.display.fit_ring((0, 0), (0.01, 0))
    hints = told(desk)
    desk.finish_drawing()
    assert hints == ["A pixel size of 750 µm is out of range."]
    assert session.display.pixel_size_um is None


# ---------------------------------------------------------------------- boxes at the edge


def test_a_box_that_ends_at_the_edge_of_the_field_is_cut(desk: Desk) -> None:
    session = desk.session
    session.tool = Tool.BOX
    Mouse(desk.viewer).drag((100, 70), (110, 80), (140, 90))
    assert session.selection.cell is not None
    assert session.selection.cell.cut
    session.boxes.add((90, 10, 30, 20))  # as a click proposes it: kept inside, but ending there
    assert session.selection.cell.cut
    session.boxes.add((10, 10, 20, 20))
    assert not session.selection.cell.cut
    session.labels.move_box((-5, 10, 20, 20))
    assert session.selection.cell.cut


def test_projects_without_pixels_or_fields_are_no_trouble(tmp_path: Path, qapp: object) -> None:
    Project.create(tmp_path / "empty.lld").close()
    desk = Desk(ViewerModel())
    assert desk.session.open(tmp_path / "empty.lld")
    for command in list(desk.commands):
        if command.group == "View":
            desk.commands.run(command.id)
    desk.session.display.look = PINKISH
    assert desk.session.display.alike() == []
    assert not desk.session.display.set_pixel_size(0.1)
    desk.close()
