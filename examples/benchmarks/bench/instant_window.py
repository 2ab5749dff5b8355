"""Measure the latency from key press to screen, as one JSON line.

    python instant_window.py PROJECT LABELS PACE

Each label is a press of A on the selected suggestion, in a real window. Measured are the time until the
updated suggestions of the current field are drawn, the time until all others are updated, and how long the
window's thread was blocked.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QOpenGLWidget

from napari_lld.window import build_window

_BEAT = 0.005
_STALL = 0.05
_DRAWN_WITHIN = 0.25
"""Seconds without a frame after a result, from which on there was nothing to draw."""
_PATIENCE = 120.0


class Heard:
    """Forwards requests to the window's worker process, and records when its results were processed."""

    def __init__(self, process: Any) -> None:
        self._process = process
        self.shown: dict[int, float] = {}
        """Time at which the current field's update was processed, by number of the update."""
        self.done: dict[int, float] = {}
        self.renewals = 0

    def ask(self, request: Any, answered: Any, heard: Any = None, *, kind: str = "") -> None:
        """Forward a request, and record its results."""
        if request.task != "renew":
            self._process.ask(request, answered, heard, kind=kind)
            return
        self.renewals += 1
        number = self.renewals

        def on_message(message: Any) -> None:
            heard(message)
            if message.type == "renewed":
                self.shown.setdefault(number, time.perf_counter())

        def on_answer(message: Any) -> None:
            answered(message)
            if message.type != "done":
                raise RuntimeError(f"{message.cause} {message.details}")
            self.done[number] = time.perf_counter()
            self.shown.setdefault(number, self.done[number])

        self._process.ask(request, on_answer, on_message, kind=kind)

    def forget(self) -> None:
        """Forward the call."""
        self._process.forget()


class Beats:
    """Records when the window's thread was blocked."""

    def __init__(self) -> None:
        self.stalls: list[float] = []
        self._last = time.perf_counter()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(round(1e3 * _BEAT))

    def _beat(self) -> None:
        now = time.perf_counter()
        if (late := now - self._last - _BEAT) > _STALL:
            self.stalls.append(late)
        self._last = now

    def take(self) -> list[float]:
        """Return the stalls since the last call."""
        found, self.stalls = self.stalls, []
        return found


class Desk:
    """A real window with the project open."""

    def __init__(self, folder: Path) -> None:
        _viewer, dock = build_window()
        self._app = QApplication.instance()
        self.session = dock.desk.session
        if not self.session.open(folder):
            raise RuntimeError(f"{folder} was not opened")
        self.heard = Heard(self.session.assistant.process)
        self.session.assistant.process = self.heard
        self.canvas = next(item for item in QApplication.allWidgets() if isinstance(item, QOpenGLWidget))
        self.drawn = 0.0
        self.canvas.frameSwapped.connect(self._on_drawn)

    def _on_drawn(self) -> None:
        self.drawn = time.perf_counter()

    def wait(self, until: Any, patience: float = _PATIENCE) -> bool:
        """Process events until a condition holds; return whether it does."""
        end = time.perf_counter() + patience
        while not until():
            if time.perf_counter() > end:
                return False
            QTest.qWait(5)
        return True

    def learnt(self, number: int) -> bool:
        """Return whether an update has finished for all fields."""
        return number in self.heard.done

    def to_a_field_with(self, suggestions: int) -> None:
        """Go on to a field with at least a number of pending suggestions."""
        for _ in range(1000):
            if len(self.session.suggestions.shown) >= suggestions:
                return
            self.session.fields.next()
        raise RuntimeError("No field has enough suggestions.")


def measure(folder: Path, labels: int, pace: float) -> dict[str, Any]:
    """Label a number of suggestions, with `pace` seconds between labels; 0 = after each update."""
    desk, beats = Desk(folder), Beats()
    desk.to_a_field_with(4)
    desk.session.instant_learning.learn()  # starts the process, and computes missing features
    if not desk.wait(lambda: desk.learnt(1), 1800):
        raise RuntimeError("The first renewal did not end.")
    seen: list[float] = []
    whole: list[float] = []
    keys: list[float] = []
    stalls: list[float] = []
    for _ in range(labels):
        desk.to_a_field_with(2)
        desk.session.selection.select("suggestion", desk.session.suggestions.shown[0].id)
        desk.wait(lambda: False, 0.5)  # let pending events of the last step finish
        beats.take()
        number = desk.heard.renewals + 1
        begun = time.perf_counter()
        QTest.keyClick(desk.canvas, Qt.Key.Key_A)
        keys.append(time.perf_counter() - begun)
        if not desk.wait(lambda n=number: n in desk.heard.shown):
            raise RuntimeError("No answer.")
        answered = desk.heard.shown[number]
        desk.wait(lambda at=answered: desk.drawn > at, _DRAWN_WITHIN)
        seen.append(max(answered, desk.drawn if desk.drawn > answered else 0.0) - begun)
        if pace:
            desk.wait(lambda at=begun: time.perf_counter() > at + pace)
        elif not desk.wait(lambda n=number: desk.learnt(n)):
            raise RuntimeError("The renewal did not end.")
        else:
            whole.append(desk.heard.done[number] - begun)
        stalls += beats.take()
    return {"seconds to the screen": seen, "seconds to all": whole, "key": keys, "stalls": stalls}


if __name__ == "__main__":
    found = measure(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
    print(json.dumps(found), flush=True)
    os._exit(0)  # with the window open, Python would destroy Qt's objects in an order that crashes
