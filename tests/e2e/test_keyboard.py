"""Field, dock and zoom view by keyboard alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from qtpy.QtWidgets import QAbstractItemView, QApplication, QWidget

from napari_lld.widgets.base.focus import holds

pytestmark = pytest.mark.window


def test_one_key_goes_from_place_to_place_and_letters_act_in_all(
    show: Callable[..., Any], small_project: Path
) -> None:
    window = show(small_project)
    session = window.session
    panel = window.dock.desk.binding.display.panel

    def focus() -> QWidget:
        widget = QApplication.focusWidget()
        assert widget is not None
        return widget

    window.canvas.setFocus()
    window.press("F6")
    first = focus()
    assert holds(window.dock, first)
    window.press("Tab")
    assert holds(window.dock, focus())
    assert focus() is not first
    here = session.fields.current_id
    window.press("N")
    assert session.fields.current_id != here, "a letter acts wherever the keyboard is"
    assert holds(window.dock, focus())
    fields = window.dock.findChild(QAbstractItemView, "lld_field_view")
    fields.setFocus()
    rings = [child for child in window.dock.findChildren(QWidget) if "Ring" in type(child).__name__]
    assert [ring.parentWidget() for ring in rings if ring.isVisible()] == [fields]
    there = session.fields.current_id
    window.press("Up")
    assert session.fields.current_id == here != there, "an arrow chooses in a list"
    window.button("tool.box").setFocus()
    window.press("Space")
    assert session.tool.name == "BOX"
    window.press("Esc")
    window.press("F6")
    assert holds(panel, focus())
    window.press("F6")
    assert focus() is window.canvas
    window.press("Tab")
    assert focus() is window.canvas, "on the field Tab goes to what is missing"
    window.press("F6", "Shift+F6")
    assert focus() is window.canvas
