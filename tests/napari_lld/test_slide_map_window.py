"""The map of a slide: made beside the window, says what is where, and leads there by mouse and by keys."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_lld.widgets.base.theme import colours
from napari_lld.widgets.fields.slide_map_window import SlideMapWindow
from training.inference.slide_map import SlideMap


@pytest.fixture
def window(qtbot: object) -> SlideMapWindow:
    made = SlideMapWindow(colours("dark"))
    qtbot.addWidget(made)  # type: ignore[attr-defined]
    kinds = np.array([[0, 1], [2, 3], [2, 0]], np.uint8)
    nuclei = np.array([[0, 1], [2, 9], [5, 0]], np.float32)
    made.begin("film.ndpi", np.full((96, 64, 3), 200, np.uint8), 2000, 3000)
    assert not made.next.isEnabled()
    made.show_map(SlideMap(1000, 2000, 3000, kinds, nuclei, nuclei))
    return made


def test_next_place_goes_through_the_monolayer_first(window: SlideMapWindow) -> None:
    went: list[tuple[float, float]] = []
    window.went.connect(lambda x, y: went.append((x, y)))
    for _ in range(5):
        window.next.click()
    assert went == [(500, 2500), (500, 1500), (1500, 500), (1500, 1500), (500, 2500)]
    assert "7" in window.note.text()


def test_a_click_leads_to_that_place_and_beside_the_slide_nowhere(
    qtbot: object, window: SlideMapWindow
) -> None:
    went: list[tuple[float, float]] = []
    window.went.connect(lambda x, y: went.append((x, y)))
    view = window.view
    view.resize(400, 300)  # the slide is 200 wide in the middle
    left = Qt.MouseButton.LeftButton
    qtbot.mouseClick(view, left, pos=QPoint(10, 150))  # type: ignore[attr-defined]
    assert went == []
    qtbot.mouseClick(view, left, pos=QPoint(200, 150))  # type: ignore[attr-defined]
    assert went == [(pytest.approx(1000), pytest.approx(1500))]
    assert view.place == (1, 1)


def test_arrows_and_enter_lead_there_too(qtbot: object, window: SlideMapWindow) -> None:
    went: list[tuple[float, float]] = []
    window.went.connect(lambda x, y: went.append((x, y)))
    assert window.view.place == (2, 0), "where to look first"
    for key in (Qt.Key.Key_Up, Qt.Key.Key_Right, Qt.Key.Key_Right, Qt.Key.Key_Return):
        qtbot.keyClick(window.view, key)  # type: ignore[attr-defined]
    assert went == [(1500, 1500)]


def test_the_kinds_are_laid_over_the_overview_and_can_be_hidden(window: SlideMapWindow) -> None:
    def middle() -> tuple[int, int, int]:
        view = window.view
        view.resize(400, 300)
        colour = view.grab().toImage().pixelColor(130, 250)
        return colour.red(), colour.green(), colour.blue()

    veiled = middle()
    assert veiled[1] > veiled[0] + 20, "green: monolayer"
    window.kinds.setChecked(False)
    assert middle() == (200, 200, 200)
