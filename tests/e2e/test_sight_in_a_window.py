"""Seeing right and labelling by key, in a real window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.window

Open = Callable[..., Any]


def test_cells_are_labelled_by_keys_alone_and_the_next_comes_in_large(
    show: Open, sample_project: Path
) -> None:
    window = show(sample_project)
    session = window.session
    panel = window.dock.desk.binding.display.panel
    for x in (300, 60, 180):
        session.boxes.add((x, 100, 40, 40))
    first, second, third = (
        c.id for c in sorted(session.marks.cells, key=lambda c: c.box[0]) if c.box[2] == 40
    )
    session.selection.select("cell", first)
    window.settle()
    seen = panel.view.grab().toImage()
    window.mouse_actions = window.keystrokes = 0
    window.press("Shift+N", "2", "2", "2", "1", "2", "1", "Q")
    assert session.selection.cell.id == second
    assert session.selection.caret == 0
    assert panel.view.showing
    assert panel.view.grab().toImage() != seen
    window.press("L")  # like the last
    assert session.selection.cell.cell_class == "Neutrophil"
    assert session.selection.cell.attributes["cytoplasmic_vacuoles"] == "unsure"
    window.press("Tab")
    assert session.selection.cell.id == third
    window.press("Shift+M", "3", "Tab", "2", "Down", "Down", "1")
    assert dict(session.project.cells.get(third).attributes) == {
        "cell_size": "large",
        "nuclear_shape": "irregular",
        "cytoplasmic_basophilia": "slight",
    }
    assert window.mouse_actions == 0


def test_one_click_proposes_the_box_of_a_cell_and_enter_takes_it(show: Open, sample_project: Path) -> None:
    window = show(sample_project)
    window.show_field("txl_00")
    session = window.session
    before = len(session.marks.cells)
    window.press("B")
    window.click_field(170, 190)  # on the nucleus of the cell in the middle
    assert session.selection.proposed_box is not None
    assert window.dock.desk.binding.display.panel.view.showing
    window.press("Return")
    assert len(session.marks.cells) == before + 1
    x, y, w, h = session.selection.cell.box
    assert x < 170 < x + w
    assert y < 190 < y + h
    assert not session.selection.cell.cut
    told: list[str] = []
    session.notice.connect(lambda _level, sentence: told.append(sentence))
    window.drag((x + 1, y + 1), (x + w, y + h))  # the same cell once more
    assert any("nearly the same box" in sentence for sentence in told)
    window.press("Ctrl+Z")
    assert len(session.marks.cells) == before + 1


def test_field_is_measured_and_seen_otherwise_by_mouse_and_key(
    show: Open, small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_lld.widgets.dialogs.dialogs.ask_pixel_size", lambda *_: "one")
    window = show(small_project)
    session, sight = window.session, window.dock.desk.binding.display
    assert sight.bar.text.endswith("px")
    window.press("J")
    window.drag((30, 50), (60, 50))
    window.press("Return")
    assert session.display.pixel_size_um == pytest.approx(0.25, abs=0.01)
    assert sight.bar.text.endswith("µm")
    window.press("K")
    centre = window.viewer.scene.camera.center
    window.drag((20, 20), (60, 20))
    assert list(window.viewer.layers["Sizes"].features["text"]) == [
        f"{40 * session.display.pixel_size_um:.1f} µm"
    ]
    assert window.viewer.scene.camera.center == centre
    window.press("Esc")
    assert session.display.ruler is None
    assert not session.marks.cells
    width = window.canvas.width()
    window.press("Y")
    assert not sight.panel.isVisible()
    window.settle()
    assert window.canvas.width() > width + 150, "the field gets the room"
