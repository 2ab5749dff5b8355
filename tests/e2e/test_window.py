"""Behaviour of the real window: mouse on the canvas, keys wherever the focus is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotation_store import Project

pytestmark = pytest.mark.window

Open = Callable[..., Any]


def test_a_cell_is_boxed_and_described_by_mouse_and_key(show: Open, small_project: Path) -> None:
    """At most 9 keystrokes and 2 mouse actions per fully labelled cell."""
    window = show(small_project)
    window.press("B")
    window.keystrokes = window.mouse_actions = 0
    window.drag((20, 20), (50, 60))
    window.press("Shift+N", "3", "2", "2", "1", "2", "1", "Q")
    cell = window.session.selection.cell
    assert cell.box == pytest.approx((20, 20, 30, 40), abs=0.5)
    assert cell.cell_class == "Neutrophil"
    assert dict(cell.attributes) == {
        "cell_size": "large",
        "nuclear_chromatin": "coarse",
        "nuclear_shape": "irregular",
        "nucleolus": "inconspicuous",
        "cytoplasm": "abundant",
        "cytoplasmic_basophilia": "slight",
        "cytoplasmic_vacuoles": "unsure",
    }
    assert window.keystrokes <= 9
    assert window.mouse_actions <= 2


def test_keys_work_with_the_focus_on_the_canvas_and_in_the_dock(show: Open, small_project: Path) -> None:
    window = show(small_project)
    first = window.session.fields.current_id
    window.press("N", on=window.canvas)
    assert window.session.fields.current_id != first
    window.press("P", on=window.dock)
    assert window.session.fields.current_id == first
    window.press("R", on=window.canvas)
    assert window.session.tool == "region"
    window.press("Escape", on=window.canvas)
    assert window.session.tool == "select"


def test_digits_never_reach_naparis_modes(show: Open, small_project: Path) -> None:
    window = show(small_project)
    window.press("2", on=window.canvas)  # napari: transform mode of an image layer
    assert str(window.viewer.layers["Field"].mode) == "pan_zoom"


def test_typing_in_a_text_field_is_typing(open_window: Open, small_project: Path) -> None:
    from qtpy.QtWidgets import QLineEdit

    window = open_window(small_project)
    first = window.session.fields.current_id
    line = QLineEdit()
    window.viewer.window.add_dock_widget(line, name="note", area="bottom")
    line.setFocus()
    window.press("N", "1", on=line)
    assert line.text() == "n1"
    assert window.session.fields.current_id == first


def test_keys_are_left_to_layers_of_others(open_window: Open, small_project: Path) -> None:
    import numpy as np

    window = open_window(small_project)
    first = window.session.fields.current_id
    window.viewer.add_points(np.zeros((1, 2)), name="mine")
    window.press("N", on=window.canvas)
    assert window.session.fields.current_id == first
    window.press("N", on=window.dock)
    assert window.session.fields.current_id != first


def test_a_drag_without_a_tool_moves_the_view(show: Open, small_project: Path) -> None:
    window = show(small_project)
    before = window.viewer.scene.camera.center
    window.drag((30, 30), (60, 60))
    assert window.viewer.scene.camera.center != before
    assert not window.session.marks.cells


def test_a_box_tool_does_not_move_the_view(show: Open, small_project: Path) -> None:
    window = show(small_project)
    before = window.viewer.scene.camera.center
    window.press("B")
    window.drag((30, 30), (60, 60))
    assert window.viewer.scene.camera.center == before
    assert len(window.session.marks.cells) == 1
    window.press("Escape")
    window.drag((45, 45), (55, 45))  # the current box is moved, not the view
    assert window.viewer.scene.camera.center == before
    assert window.session.marks.cells[0].box == pytest.approx((40, 30, 30, 30), abs=0.5)


def test_a_polygon_is_clicked_corner_by_corner(show: Open, small_project: Path) -> None:
    window = show(small_project)
    window.press("R")
    for corner in ((10, 10), (70, 10), (70, 70)):
        window.click_field(*corner)
        window.settle(450)  # slower than a double click
    window.press("Return")
    assert len(window.session.marks.regions) == 1
    assert window.session.marks.regions[0].shape.coords == pytest.approx((10, 10, 70, 10, 70, 70), abs=0.6)


def test_a_double_click_closes_a_polygon_and_does_not_zoom(show: Open, small_project: Path) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    window = show(small_project)
    zoom = window.viewer.scene.camera.zoom
    window.press("R")
    for corner in ((10, 10), (70, 10)):
        window.click_field(*corner)
        window.settle(450)
    window.click_field(70, 70)
    QTest.mouseDClick(window.canvas, Qt.MouseButton.LeftButton, pos=window.place(70, 70))
    window.settle()
    assert len(window.session.marks.regions) == 1
    assert window.viewer.scene.camera.zoom == zoom
    QTest.mouseDClick(window.canvas, Qt.MouseButton.LeftButton, pos=window.place(110, 90))
    assert window.viewer.scene.camera.zoom > zoom  # without the tool it is napari's again


def test_suggestions_are_reviewed_by_single_keys(
    show: Open, small_project: Path, suggest: Callable[[Path], list[int]]
) -> None:
    """At most 2 keystrokes per correct suggestion."""
    suggest(small_project)
    window = show(small_project)
    window.keystrokes = 0
    window.press("S", "A")
    assert window.keystrokes == 2
    assert len(window.session.marks.cells) == 1
    window.press("D")
    window.press("Shift+M")
    assert window.session.selection.cell.cell_class == "Monocyte"
    assert not window.session.suggestions.shown
    window.press("Ctrl+Z", "Ctrl+Z", "Ctrl+Z")
    assert len(window.session.suggestions.shown) == 3
    window.press("Ctrl+Shift+Z")
    assert len(window.session.marks.cells) == 1
    window.press("Ctrl+Z", "Ctrl+Y")
    assert len(window.session.marks.cells) == 1, "as on Windows; in napari it is the view in three dimensions"


def test_no_key_of_napari_hides_or_turns_the_field(show: Open, small_project: Path) -> None:
    window = show(small_project)
    hints: list[str] = []
    window.session.notice.connect(lambda _level, sentence: hints.append(sentence))
    dims = window.viewer.dims
    before = dims.order, dims.ndisplay
    window.press("V", "Shift+V", "Ctrl+E", "Ctrl+T", on=window.canvas)
    assert all(layer.visible for layer in window.viewer.layers)
    assert (dims.order, dims.ndisplay) == before
    assert len(hints) == 4
    assert "hides or turns the field" in hints[0]


def test_the_start_page_leads_to_the_sample(open_window: Open) -> None:
    window = open_window(None)
    window.click("project.sample")
    window.qtbot.waitUntil(lambda: window.session.project is not None, timeout=60_000)
    window.settle(300)
    assert len(window.session.fields.summaries()) == 18
    assert "Field" in window.viewer.layers


def test_the_window_reopens_where_it_was_left(open_window: Open, sample_project: Path) -> None:
    window = open_window(sample_project)
    field = window.show_field("txl_02")
    window.main.resize(1000, 600)
    window.settle()
    size = window.main.size()
    window.close()
    again = open_window(sample_project)
    assert again.session.fields.current_id == field.id
    assert again.main.size() == size


def test_a_closed_window_leaves_a_sound_project(open_window: Open, small_project: Path) -> None:
    window = open_window(small_project)
    window.press("B")
    window.drag((20, 20), (50, 60))
    session = window.session
    window.close()
    assert session.project is None
    with Project.open(small_project) as project:
        assert project.check() == []
        assert len(project.cells.all()) == 1


def test_the_dock_alone_can_be_closed(open_window: Open, small_project: Path) -> None:
    window = open_window(small_project)
    session = window.session
    window.viewer.window.remove_dock_widget(window.dock)
    window.settle()
    assert session.project is None
    assert len(window.viewer.layers) == 0


def test_closing_while_a_model_trains_stops_the_worker(
    open_window: Open, small_project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sys

    from napari_lld.tasks import worker_process

    script = tmp_path / "worker.py"
    script.write_text(
        'import sys\nsys.stdin.readline()\nprint(\'{"type": "started", "task": "train"}\', flush=True)\n'
        "sys.stdin.readline()\n"
        'print(\'{"type": "cancelled"}\', flush=True)\n',
        encoding="utf-8",
    )
    monkeypatch.setattr(worker_process, "warm_worker_command", lambda: [sys.executable, str(script)])
    window = open_window(small_project)
    window.session.regions.add_whole_field()
    window.dock.show_model_tab()
    window.click("training.start")
    process = window.dock.desk.process
    window.qtbot.waitUntil(lambda: window.session.training.state.phase == "running", timeout=20_000)
    window.close()
    assert not process.worker.running


def test_a_project_that_cannot_be_opened_leaves_no_window(no_leaks: None, tmp_path: Path) -> None:
    from annotation_store import ProjectError
    from napari_lld.window import build_window

    with pytest.raises(ProjectError, match="nowhere"):
        build_window(tmp_path / "nowhere")


def test_help_shows_and_goes(show: Open, small_project: Path) -> None:
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from napari_lld.widgets.dialogs.help_overlay import HelpOverlay

    window = show(small_project)
    window.press("F1")
    overlay = next(w for w in QApplication.topLevelWidgets() if isinstance(w, HelpOverlay) and w.isVisible())
    from qtpy.QtCore import Qt

    QTest.keyClick(overlay, Qt.Key.Key_F1)
    window.settle()
    assert not any(isinstance(w, HelpOverlay) and w.isVisible() for w in QApplication.topLevelWidgets())


def test_the_window_is_never_larger_than_the_screen_and_layer_docks_do_not_make_it_grow(
    open_window: Open, small_project: Path
) -> None:
    from qtpy.QtWidgets import QDockWidget

    window = open_window(small_project)
    screen = window.main.screen().availableGeometry()
    assert screen.contains(window.main.geometry())
    assert window.main.minimumSizeHint().width() <= 680  # 1366 x 768 at 200 %
    assert window.main.minimumSizeHint().height() <= 384
    before = window.main.size()
    docks = [window.main.findChild(QDockWidget, name) for name in ("layer list", "layer controls")]
    for shown in (True, False):
        for dock in docks:
            dock.setVisible(shown)
        window.settle()
        assert window.main.size() == before
    canvas, camera = window.canvas, window.viewer.scene.camera
    assert camera.zoom * 120 == pytest.approx(canvas.width(), rel=0.25) or (
        camera.zoom * 100 == pytest.approx(canvas.height(), rel=0.25)
    ), "the field is fitted into the canvas"
