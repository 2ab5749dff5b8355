"""Measure a real window on a project, as one JSON line: ``python big_window.py PROJECT``."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from qtpy.QtWidgets import QApplication

from napari_lld.session.field_order import NO_FILTER, FieldFilter, FieldOrder
from napari_lld.window import build_window

_CHOOSING = 4
"""Seconds before the first project is opened."""


def measure(folder: Path) -> dict[str, str]:
    """Measure opening a project, reopening it, going to the next field, filtering and sorting.

    The window is up for some seconds before, as while somebody chooses a project. Opening ends when the field
    and the list are drawn; the states of all fields, which sorting and filtering need, are read after that.
    """
    _viewer, dock = build_window()
    app = QApplication.instance()
    assert app is not None
    fields = dock.desk.session.fields
    ready = time.perf_counter() + _CHOOSING
    while time.perf_counter() < ready:
        app.processEvents()
        time.sleep(0.01)

    def seconds(work: Callable[[], object]) -> float:
        app.processEvents()
        begun = time.perf_counter()
        work()
        app.processEvents()
        return time.perf_counter() - begun

    def opened() -> str:
        begun = time.perf_counter()
        shown = seconds(lambda: dock.desk.session.open(folder))
        if not fields.listed:
            raise RuntimeError("the list is empty")
        while fields.being_read:
            time.sleep(0.002)
            app.processEvents()
        return f"{shown:.2f} s (states of all fields after {time.perf_counter() - begun:.2f})"

    found = {"window: open": opened(), "window: open once more": opened()}
    steps = [seconds(fields.next) for _ in range(20)]
    found["next field"] = f"{1e3 * statistics.median(steps):.0f} ms (worst of 20: {1e3 * max(steps):.0f})"

    def use(passing: FieldFilter, order: FieldOrder) -> Callable[[], None]:
        def work() -> None:
            fields.filter = passing
            if fields.order is not order:
                fields.order = order

        return work

    words = FieldFilter(text="P000")
    found["filter, first"] = f"{1e3 * seconds(use(words, FieldOrder.ADDED)):.0f} ms"
    seconds(use(NO_FILTER, FieldOrder.ADDED))
    found["filter"] = f"{1e3 * seconds(use(words, FieldOrder.ADDED)):.0f} ms"
    found["sort by name"] = f"{1e3 * seconds(use(NO_FILTER, FieldOrder.NAME)):.0f} ms"
    found["memory of the window"] = f"{psutil.Process().memory_info().rss / 2**20:.0f} MB"
    return found


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))), flush=True)
    os._exit(0)  # with the window open, Python would destroy Qt's objects in an order that crashes
