"""A real window, driven with mouse and keys as a person would."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot


class Window:
    """One napari window with the dock: real events on the canvas and on buttons, no short cuts."""

    def __init__(self, viewer: Any, dock: Any, qtbot: QtBot) -> None:
        self.viewer = viewer
        self.dock = dock
        self.qtbot = qtbot
        self.session = dock.desk.session
        self.canvas = viewer.window._qt_viewer.canvas.native
        self.main = viewer.window._qt_window
        self.mouse_actions = 0
        self.keystrokes = 0

    def settle(self, milliseconds: int = 150) -> None:
        self.qtbot.wait(milliseconds)

    def place(self, x: float, y: float) -> Any:
        """Give where a point of the field is on the canvas."""
        from qtpy.QtCore import QPoint

        from napari_lld.layers.camera import camera_of

        camera = camera_of(self.viewer)
        _z, row, column = camera.center
        return QPoint(
            round(self.canvas.width() / 2 + (x - column) * camera.zoom),
            round(self.canvas.height() / 2 + (y - row) * camera.zoom),
        )

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.mouse_actions += 1
        QTest.mousePress(self.canvas, Qt.MouseButton.LeftButton, pos=self.place(*start))
        for share in (0.1, 0.5, 0.9, 1.0):
            point = tuple(a + (b - a) * share for a, b in zip(start, end, strict=True))
            QTest.mouseMove(self.canvas, self.place(*point))
            self.qtbot.wait(10)
        QTest.mouseRelease(self.canvas, Qt.MouseButton.LeftButton, pos=self.place(*end))
        self.settle()

    def click_field(self, x: float, y: float) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        self.mouse_actions += 1
        QTest.mouseMove(self.canvas, self.place(x, y))
        QTest.mouseClick(self.canvas, Qt.MouseButton.LeftButton, pos=self.place(x, y))
        self.settle()

    def press(self, *keys: str, on: Any = None) -> None:
        """Press keys in Qt's notation, such as ``"Shift+N"``, on what has the focus."""
        from qtpy.QtGui import QKeySequence
        from qtpy.QtTest import QTest
        from qtpy.QtWidgets import QApplication

        for key in keys:
            combination = QKeySequence(key)[0]
            target = on or QApplication.focusWidget() or self.canvas
            QTest.keyClick(target, combination.key(), combination.keyboardModifiers())
            self.keystrokes += 1
        self.settle()

    def button(self, name: str) -> Any:
        from qtpy.QtWidgets import QAbstractButton

        found = self.dock.findChild(QAbstractButton, f"lld_{name}")
        assert found is not None, name
        return found

    def click(self, name: str) -> None:
        from qtpy.QtCore import Qt

        button = self.button(name)
        assert button.isVisible(), f"{name} cannot be seen"
        assert button.isEnabled(), f"{name} is disabled"
        self.mouse_actions += 1
        self.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
        self.settle()

    def show_field(self, start: str) -> Any:
        project = self.session.project
        field = next(f for f in project.fields.all() if f.name.startswith(start))
        self.session.fields.show(field.id)
        self.settle()
        return field

    def unforeseen(self) -> list[str]:
        """Return the errors that nobody foresaw."""
        return [entry.text() for entry in self.dock.desk.services.log.entries if entry.level == "trace"]

    def close(self) -> None:
        self.viewer.close()
        self.settle(50)


@pytest.fixture
def open_window(qtbot: QtBot, no_leaks: None) -> Iterator[Callable[[Path | None], Window]]:
    """Give a function that opens a window on a project."""
    from napari_lld.window import build_window

    windows: list[Window] = []

    def make(project: Path | None = None) -> Window:
        viewer, dock = build_window(project)
        window = Window(viewer, dock, qtbot)
        windows.append(window)
        window.settle(400)
        return window

    yield make
    unforeseen = [said for window in windows for said in window.unforeseen()]
    for window in windows:
        window.close()
    assert not unforeseen, "\n".join(unforeseen)  # the window has said so, and lived on


class Shared:
    """A window that stays for the tests of a file: making one takes four seconds."""

    def __init__(self) -> None:
        self.window: Window | None = None

    def give(self, project: Path | None, qtbot: QtBot) -> Window:
        """Return the window with a project in it, looking as a new one would."""
        if self.window is None:
            from napari_lld.window import build_window

            self.window = Window(*build_window(), qtbot)
        window = self.window
        window.qtbot = qtbot
        window.mouse_actions = window.keystrokes = 0
        if project is not None:
            assert window.session.open(project)
        window.canvas.setFocus()
        window.settle(400)
        return window


@pytest.fixture(scope="module")
def _shared() -> Iterator[Shared]:
    shared = Shared()
    yield shared
    if shared.window is not None:
        shared.window.close()


@pytest.fixture
def show(qtbot: QtBot, _shared: Shared) -> Iterator[Callable[[Path | None], Window]]:
    """Give a function that shows a project in the window of this file, for what leaves no traces in it."""
    yield lambda project=None: _shared.give(project, qtbot)
    window = _shared.window
    assert window is not None
    unforeseen = window.unforeseen()
    window.session.close()
    window.settle(50)
    assert not unforeseen, "\n".join(unforeseen)


class Stalls:
    """Notes when the window's thread did not come round for a while.

    What it was doing then is not sampled: walking the stack of a running thread from another one crashes
    Python 3.11 now and then.
    """

    LIMIT = 0.05
    BEAT = 10

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self.stalls: list[float] = []
        self._begun = self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setInterval(self.BEAT)
        self._timer.timeout.connect(self._beat)

    def _beat(self) -> None:
        now = time.perf_counter()
        late = now - self._last - self.BEAT / 1000
        if late > self.LIMIT:
            self.stalls.append(late)
        self._last = now

    def __enter__(self) -> Stalls:
        self._begun = self._last = time.perf_counter()
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.stop()
        self._seconds = time.perf_counter() - self._begun

    def report(self) -> str:
        """Say how many stalls there were, and how long."""
        if not self.stalls:
            return f"no stall over {1000 * self.LIMIT:.0f} ms in {self._seconds:.0f} s"
        worst = ", ".join(f"{1000 * late:.0f}" for late in sorted(self.stalls, reverse=True)[:6])
        return (
            f"{len(self.stalls)} stalls over {1000 * self.LIMIT:.0f} ms in {self._seconds:.0f} s, "
            f"{sum(self.stalls):.1f} s together; the worst: {worst} ms"
        )


@pytest.fixture
def stalls() -> Stalls:
    return Stalls()


@pytest.fixture(autouse=True)
def _no_warm_worker(no_warm_worker: None) -> None:
    """See `no_warm_worker`."""
