"""The dock floats, moves to another side, is closed and comes back; the work goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget

pytestmark = pytest.mark.window

Open = Callable[..., Any]


def dock_of(widget: Any) -> QDockWidget:
    while not isinstance(widget, QDockWidget):
        widget = widget.parentWidget()
    return widget


def frame(window: Any) -> QDockWidget:
    return dock_of(window.dock)


def keys_work(window: Any, *, on: Any) -> bool:
    """Whether B takes the box tool and Esc leaves it."""
    window.press("B", on=on)
    taken = window.session.tool == "box"
    window.press("Escape", on=on)
    return taken and window.session.tool == "select"


def test_docks_that_float_or_move_go_on_working(open_window: Open, small_project: Path) -> None:
    window = open_window(small_project)
    panel = window.dock.desk.binding.display.panel
    window.session.boxes.add((10, 10, 20, 20))
    for floats in (True, False):
        frame(window).setFloating(floats)
        window.settle()
        assert len(window.session.marks.cells) == 1
        assert window.dock.desk.window is window.main
        assert panel.isVisible()
        assert keys_work(window, on=window.dock)
        assert keys_work(window, on=window.canvas)
    window.main.addDockWidget(Qt.DockWidgetArea.BottomDockWidgetArea, frame(window))
    dock_of(panel).setFloating(True)
    window.settle()
    assert keys_work(window, on=window.dock)
    assert keys_work(window, on=panel)


def test_a_window_or_a_floating_dock_that_is_hidden_goes_on(open_window: Open, small_project: Path) -> None:
    window = open_window(small_project)
    frame(window).setFloating(True)
    window.settle()
    frame(window).close()  # what the eye in its title bar does
    window.settle()
    assert keys_work(window, on=window.canvas)
    toggle(window)
    assert window.dock.isVisible()
    window.main.hide()
    window.settle()
    window.main.show()
    window.settle()
    assert keys_work(window, on=window.dock)
    window.close()
    assert window.session.project is None


def toggle(window: Any) -> None:
    """Choose *Plugins → Annotate (LLD)*."""
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command("napari-lld.annotate").result()
    window.settle()


def test_the_menu_hides_and_shows_the_dock_and_opens_a_closed_one_with_its_project(
    open_window: Open, small_project: Path
) -> None:
    window = open_window(small_project)
    window.session.fields.next()
    place = window.session.fields.current_id
    toggle(window)
    assert not window.dock.isVisible()
    toggle(window)
    assert window.dock.isVisible()
    assert window.dock.desk.docks == [window.dock]
    frame(window).destroyOnClose()  # what the cross in its title bar does
    window.settle()
    assert window.session.project is None
    toggle(window)
    (again,) = (d for d in window.main.findChildren(QDockWidget) if d.objectName() == "Annotate (LLD)")
    window.dock = again.widget()
    window.session = window.dock.desk.session
    assert window.session.project.path == small_project
    assert window.session.fields.current_id == place
    assert keys_work(window, on=window.dock)


def test_the_keys_outlive_the_dock_that_came_first(open_window: Open, small_project: Path) -> None:
    from napari_lld.controllers.dock import AnnotateDock

    window = open_window(small_project)
    other = AnnotateDock(window.viewer)
    window.viewer.window.add_dock_widget(other, name="another", area="left")
    window.settle()
    window.viewer.window.remove_dock_widget(window.dock)
    window.settle()
    window.dock = other
    assert keys_work(window, on=other)
    assert keys_work(window, on=window.canvas)
    window.dock.show_model_tab()
    assert window.dock.desk.training_options() == {"budget": 300.0}
