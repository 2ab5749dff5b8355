"""What a key costs until it is on the screen: repaints are counted, times reported beside napari's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotation_store import Project, Proposal

pytestmark = pytest.mark.window

Open = Callable[..., Any]


class Screen:
    """Counts how often the canvas is drawn, and says how long it takes until it is."""

    def __init__(self, window: Any) -> None:
        self.window = window
        self.drawn: list[float] = []
        scene = window.viewer.window._qt_viewer.canvas._scene_canvas
        scene.events.draw.connect(lambda _event: self.drawn.append(time.perf_counter()), position="last")

    def after(self, action: Callable[[], object]) -> tuple[float, float]:
        """Do something; give the milliseconds until it returned and until it was first drawn."""
        self.window.settle()
        self.drawn.clear()
        begun = time.perf_counter()
        action()
        returned = time.perf_counter()
        self.window.qtbot.waitUntil(lambda: bool(self.drawn), timeout=10_000)
        self.window.settle(250)  # a second repaint would come now
        return 1000 * (returned - begun), 1000 * (self.drawn[0] - begun)


@pytest.fixture
def tell(record_property: Any, capsys: pytest.CaptureFixture[str]) -> Callable[[str, float], None]:
    def say(what: str, value: float) -> None:
        record_property(what.replace(" ", "_"), round(value, 2))
        with capsys.disabled():
            print(f"\n  {what}: {value:.1f} ms", end="")  # noqa: T201

    return say


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def test_a_label_by_key_with_500_suggestions_is_one_edit_and_one_repaint(
    show: Open, sample_project: Path, tell: Callable[[str, float], None]
) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtGui import QKeySequence
    from qtpy.QtTest import QTest

    with Project.open(sample_project) as project:
        boxes = [(30.0 * (i % 25), 28.0 * (i // 25), 24.0, 22.0) for i in range(500)]
        project.suggestions.replace(
            project.fields.all()[0].id, [Proposal(b, 0.9, {"Monocyte": 1.0}) for b in boxes], model_id=None
        )
    window = show(sample_project)
    session, layers = window.session, window.viewer.layers
    assert len(session.suggestions.shown) == 500
    screen = Screen(window)
    window.press("H")  # the image alone
    alone = middle([screen.after(layers["Field"].refresh)[1] for _ in range(5)])
    window.press("H")
    session.boxes.add((200, 200, 60, 60))
    edits: list[object] = []
    session.project.events.edited.connect(edits.append)
    data = layers["Cells"].data, layers["Suggestions"].data
    returned, seen, repaints = [], [], []
    for letter in "NMNLM":
        key = QKeySequence(letter)[0].key()
        took, shown = screen.after(
            lambda key=key: QTest.keyClick(window.canvas, key, Qt.KeyboardModifier.ShiftModifier)
        )
        returned.append(took)
        seen.append(shown)
        repaints.append(len(screen.drawn))
    assert len(edits) == 5
    assert layers["Cells"].data is data[0]
    assert layers["Suggestions"].data is data[1]
    assert repaints == [1] * 5
    tell("a class with 500 suggestions shown, in the handler (budget 10 ms)", middle(returned))
    tell("until it is on the screen (budget twice the image alone)", middle(seen))
    tell("the image alone", alone)


def test_the_next_field_is_drawn_twice_at_most(
    show: Open, sample_project: Path, tell: Callable[[str, float], None]
) -> None:
    window = show(sample_project)
    session = window.session
    screen = Screen(window)
    image = window.viewer.layers["Field"]
    other = session.fields.pixels(session.fields.current_id)[::-1].copy()

    def swap() -> None:
        image.data = other

    own = middle([screen.after(swap)[1] for _ in range(3)])
    shown = []
    for _ in range(4):
        session.fields._cache._pool.submit(lambda: None).result()  # the neighbour is there
        before = session.fields.current_id
        shown.append(screen.after(session.fields.next)[1])
        assert session.fields.current_id != before
        assert len(screen.drawn) <= 2, "more than the field, and its marks"
    tell("the next field until it is on the screen (budget 150 ms beyond napari's own)", middle(shown))
    tell("another image in napari's layer", own)
