"""The zoom view: the current cell in large, in its own pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QMainWindow, QSlider

from annotation_store import Project
from napari_lld.controllers.desk import Desk
from napari_lld.imaging.display import DisplaySettings
from napari_lld.session import user_state
from napari_lld.widgets.display.display_panel import DisplayDock, DisplayPanel


@pytest.fixture
def desk(sample_project: Path, qapp: object) -> Iterator[Desk]:
    desk = Desk(ViewerModel())
    assert desk.session.open(sample_project)
    yield desk
    desk.close()


@pytest.fixture
def panel(desk: Desk, qtbot: QtBot) -> Iterator[DisplayPanel]:
    panel = DisplayPanel(desk)
    qtbot.addWidget(panel)
    panel.resize(248, 700)
    panel.show()
    qtbot.wait(50)
    yield panel
    panel.release()


def middle(panel: DisplayPanel) -> tuple[int, int, int]:
    """Give the colour in the middle of the view: that of the cell's centre."""
    panel.refresh()
    colour = panel.view.grab().toImage().pixelColor(panel.view.width() // 2, panel.view.height() // 2)
    return (colour.red(), colour.green(), colour.blue())


def test_the_current_cell_is_shown_in_the_pixels_of_the_field(desk: Desk, panel: DisplayPanel) -> None:
    session, project = desk.session, desk.session.project
    assert project is not None
    assert session.fields.current_id is not None
    assert not panel.view.showing
    session.display.switch("smooth", on=False)
    pixels = project.pixels.read(session.fields.current_id)
    for x, y in ((100, 90), (300, 200), (3, 3)):
        session.boxes.add((max(0, x - 20), max(0, y - 20), 41, 41))
        box = session.selection.cell.box  # type: ignore[union-attr]
        wanted = pixels[int(box[1] + box[3] / 2), int(box[0] + box[2] / 2)]
        assert np.abs(np.array(middle(panel)) - wanted).max() <= 1
    session.display.look = DisplaySettings(contrast=2.0)
    assert middle(panel) == tuple(DisplaySettings(contrast=2.0).shown(wanted[None, None])[0, 0])


def test_small_cells_are_shown_at_four_times_and_large_ones_fill_the_view(
    desk: Desk, panel: DisplayPanel
) -> None:
    assert panel.view.scale_for((0, 0, 45, 45)) >= 4
    assert panel.view.scale_for((0, 0, 4, 4)) == 8
    assert 1 < panel.view.scale_for((0, 0, 150, 100)) < 4
    session = desk.session
    session.boxes.add((100, 100, 40, 40))
    panel.refresh()
    assert panel._caption.text().startswith("40 × 40 px · 4.")
    session.display.set_pixel_size(0.25)
    panel.refresh()
    assert panel._caption.text().startswith("10.0 × 10.0 µm · 4.")


def test_suggestions_and_proposed_boxes_are_shown_too(
    desk: Desk, panel: DisplayPanel, suggest: Callable[[Path], list[int]]
) -> None:
    session = desk.session
    assert session.project is not None
    suggest(session.project.path)
    session.refresh()
    session.review.next()
    panel.refresh()
    assert panel.view.showing
    session.selection.select(None)
    panel.refresh()
    assert not panel.view.showing
    session.selection.proposed_box = (50, 50, 30, 30)
    panel.refresh()
    assert panel.view.showing


def test_stains_are_shown_on_demand_and_worked_out_once_a_cell(
    desk: Desk, panel: DisplayPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_lld.widgets.display import display_panel

    asked: list[tuple[int, ...]] = []
    work = display_panel.stain_channels
    monkeypatch.setattr(
        display_panel,
        "stain_channels",
        lambda pixels, white: (asked.append(pixels.shape), work(pixels, white))[1],
    )
    session = desk.session
    session.boxes.add((100, 100, 40, 40))
    panel.refresh()
    assert not asked
    assert desk.commands.run("sight.stains")
    for _ in range(3):
        panel.refresh()
    assert len(asked) == 1
    assert all(view.showing for view in panel._stain_views)
    assert max(asked[0]) < 400, "of the crop only"


def test_cells_of_a_slide_are_shown(
    small_project: Path, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 400 * 400)
    pixels = np.full((500, 600, 3), (200, 150, 190), np.uint8)
    pixels[200:260, 300:360] = (90, 50, 140)
    tifffile.imwrite(tmp_path / "slide.tif", pixels, tile=(128, 128), photometric="rgb")
    with Project.open(small_project) as project:
        slide = project.fields.add([tmp_path / "slide.tif"]).added[0]
    desk = Desk(ViewerModel())
    assert desk.session.open(small_project)
    desk.session.fields.show(slide)
    panel = DisplayPanel(desk)
    qtbot.addWidget(panel)
    panel.resize(248, 700)
    panel.show()
    desk.session.boxes.add((300, 200, 60, 60))
    assert middle(panel) == (90, 50, 140)
    desk.session.display.look = DisplaySettings((200, 150, 190))
    assert middle(panel) == tuple(DisplaySettings((200, 150, 190)).shown(pixels[230:231, 330:331])[0, 0])
    shown = desk.viewer.layers["Field"].data[0][230:231, 330:331]
    assert tuple(shown[0, 0]) == middle(panel)
    panel.release()
    desk.close()


def test_what_is_measured_is_told_in_words(desk: Desk, panel: DisplayPanel) -> None:
    sight = desk.session.display
    panel.refresh()
    assert panel._pixel.text().startswith("The pixel size is unknown")
    sight.set_pixel_size(0.25)
    panel.refresh()
    assert panel._pixel.text() == "A pixel is 0.250 µm."
    sight.lay_ruler((0, 0), (30, 40))
    panel.refresh()
    assert panel._pixel.text() == "Ruler: 12.5 µm"
    sight.clear_measures()
    sight.lay_ring((50, 50))
    panel.refresh()
    assert panel._pixel.text() == "Ring: 7.5 µm"


def test_sliders_change_the_look_and_reset_puts_them_back(desk: Desk, panel: DisplayPanel) -> None:
    session = desk.session
    contrast = panel.findChild(QSlider, "lld_contrast")
    gamma = panel.findChild(QSlider, "lld_gamma")
    for step in (0, 25, 50, 75, 100):
        contrast.setValue(step)
        gamma.setValue(100 - step)
        panel.refresh()
        assert (contrast.value(), gamma.value()) == (step, 100 - step)
    assert session.display.look == DisplaySettings(contrast=3.0, gamma=0.4)
    assert desk.commands.run("look.reset")
    panel.refresh()
    assert (contrast.value(), gamma.value()) == (50, 50)


def test_the_dock_is_hidden_by_its_key_stays_so_and_leaves_nothing_behind(desk: Desk, qtbot: QtBot) -> None:
    window = QMainWindow()
    qtbot.addWidget(window)
    from qtpy.QtWidgets import QWidget

    window.setCentralWidget(QWidget())
    window.resize(900, 700)
    window.show()
    dock = DisplayDock(desk, window)
    assert dock.panel.isVisible()
    assert dock.bar is not None
    assert dock.bar.text.endswith(" px")
    desk.session.display.set_pixel_size(0.1)
    assert dock.bar.text.endswith(" µm")
    desk.commands.run("sight.panel")
    assert not dock.panel.isVisible()
    assert user_state.recall("sight")["panel"] is False
    desk.commands.run("sight.scale_bar")
    assert not dock.bar.isVisible()
    dock.release()
    desk.commands.run("sight.panel")  # nobody listens any more
    desk.session.fields.next()
