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


def measure(folder: Path) -> dict[str, str]:
    """Measure opening a project, reopening it, going to the next field, filtering and sorting."""
    _viewer, dock = build_window()
    app = QApplication.instance()
    assert app is not None
    fields = dock.desk.session.fields

    def seconds(work: Callable[[], object]) -> float:
        app.processEvents()
        begun = time.perf_counter()
        work()
        app.processEvents()
        return time.perf_counter() - begun

    found = {"window: open": f"{seconds(lambda: dock.desk.session.open(folder)):.2f} s"}
    found["window: open once more"] = f"{seconds(lambda: dock.desk.session.open(folder)):.2f} s"
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
