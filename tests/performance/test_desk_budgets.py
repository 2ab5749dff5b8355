"""What the hand waits for at the desk: counts are asserted, times reported beside their budgets (issue 5).

Decodes for the next field and memory over 200 fields are counted in `tests/napari_lld/test_prefetch.py`, what
reaches the screen of a real window in `tests/e2e/test_repaint.py`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QMainWindow

from annotation_store import Project, Proposal
from annotation_store.records import Cell, Suggestion
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session.session import Session
from tests.database import engine

# in a process of its own, where nothing is imported yet; napari's own part is done before the clock starts
OPENING = """
import json, os, sys, time
import napari, napari.components
from napari._qt.qt_main_window import Window  # what any napari window imports
from napari.qt import get_qapp
get_qapp()
viewer = napari.components.ViewerModel()
before = set(sys.modules)
begun, used = time.perf_counter(), time.process_time()
from napari_lld.controllers.dock import AnnotateDock
dock = AnnotateDock(viewer)
dock.show()
seconds, processor = time.perf_counter() - begun, time.process_time() - used
heavy = {"torch", "torchvision", "ultralytics"} & set(sys.modules)
dock.release()
print(json.dumps([sorted(heavy), len(set(sys.modules) - before), seconds, processor]), flush=True)
os._exit(0)  # what is measured is over; PyQt crashes now and then where an interpreter ends
"""


pytestmark = pytest.mark.usefixtures("no_warm_worker")


def propose(project: Project, count: int) -> None:
    """Put suggestions in rows over the first field of 120 x 100 pixels."""
    boxes = [(3.0 * (i % 38), 3.0 * (i // 38), 3.0, 3.0) for i in range(count)]
    project.suggestions.replace(
        project.fields.all()[0].id, [Proposal(box, 0.9, {"Monocyte": 1.0}) for box in boxes], model_id=None
    )


@pytest.fixture
def dock(small_project: Path, qtbot: QtBot, no_leaks: None) -> Iterator[AnnotateDock]:
    """Give a dock in a window, so that it takes keys, on a field with 500 suggestions."""
    with Project.open(small_project) as project:
        propose(project, 500)
    window = QMainWindow()
    qtbot.addWidget(window)
    dock, holder = AnnotateDock(ViewerModel()), QDockWidget()
    holder.setWidget(dock)
    window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, holder)
    window.show()
    assert dock.desk.session.open(small_project, annotator="Ada")
    yield dock
    dock.release()


def test_a_label_by_key_is_one_transaction_and_lays_out_no_box(
    dock: AnnotateDock, qtbot: QtBot, tell: Callable[..., None]
) -> None:
    session = dock.desk.session
    assert session.project is not None
    assert len(session.suggestions.shown) == 500
    session.boxes.add((20, 20, 30, 30))
    qtbot.keyClick(dock, Qt.Key.Key_M, Qt.KeyboardModifier.ShiftModifier)  # what is made at first use
    qtbot.wait(100)
    statements: list[str] = []
    sa.event.listen(
        engine(session.project),
        "before_cursor_execute",
        lambda _connection, _cursor, statement, *_: statements.append(statement),
    )
    laid_out: Counter[str] = Counter()
    for name in ("Cells", "Suggestions"):
        layer = dock.desk.viewer.layers[name]
        layer.events.set_data.connect(lambda _event, name=name: laid_out.update([name]))
    data = {name: dock.desk.viewer.layers[name].data for name in ("Cells", "Suggestions")}
    took, own, begins = [], [], []
    for key in "3222121":
        statements.clear()
        begun, used = time.perf_counter(), time.thread_time()
        qtbot.keyClick(dock, key)
        took.append(1000 * (time.perf_counter() - begun))
        own.append(1000 * (time.thread_time() - used))  # however busy the machine is
        begins.append(sum(statement.startswith("BEGIN") for statement in statements))
        assert len(statements) <= 8, statements
        qtbot.wait(50)
    assert len(session.marks.cells[0].attributes) == 7
    assert begins == [1] * 7
    assert all(dock.desk.viewer.layers[name].data is same for name, same in data.items())
    assert not laid_out["Suggestions"], "500 suggestions are drawn anew for a cell's value"
    tell("a value by key, 500 suggestions shown, median", sorted(took)[3], "ms", "10 ms")
    tell("its processor time, median", sorted(own)[3], "ms", "10 ms")


@pytest.mark.parametrize("kind", ["cell", "suggestion"])
def test_a_click_among_1_000_boxes_looks_at_the_few_around_it(
    kind: str, small_project: Path, monkeypatch: pytest.MonkeyPatch, tell: Callable[..., None]
) -> None:
    with Project.open(small_project) as project:
        propose(project, 1000)
        if kind == "cell":
            project.suggestions.accept_many(
                [s.id for s in project.suggestions.find(project.fields.all()[0].id)]
            )
    session = Session()
    session.open(small_project, annotator="Ada")
    marks = session.marks.cells if kind == "cell" else session.suggestions.shown
    assert len(marks) == 1000
    wanted = marks[700]
    session.selection.select_at(1, 1)  # builds the index
    looked_at: list[int] = []

    def noticed(mark: Any, name: str) -> Any:
        if name == "box":
            looked_at.append(object.__getattribute__(mark, "id"))
        return object.__getattribute__(mark, name)

    monkeypatch.setattr(Cell if kind == "cell" else Suggestion, "__getattribute__", noticed)
    x, y, w, h = wanted.box
    looked_at.clear()
    begun = time.perf_counter()
    assert session.selection.select_at(x + w / 2, y + h / 2)
    seconds = time.perf_counter() - begun
    selected = session.selection.cell if kind == "cell" else session.selection.suggestion
    assert selected is not None
    assert selected.id == wanted.id
    assert set(looked_at) == {wanted.id}
    session.close()
    tell(f"a click among 1,000 boxes ({kind})", 1000 * seconds, "ms", "none")


def test_opening_the_plugin_imports_no_torch(tell: Callable[..., None]) -> None:
    run = subprocess.run(
        [sys.executable, "-c", OPENING],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
    )
    heavy, modules, seconds, processor = json.loads(run.stdout.splitlines()[-1])
    assert heavy == []
    tell("opening the plugin adds to napari", 1000 * seconds, "ms", "1000 ms")
    tell("of processor time", 1000 * processor, "ms", "1000 ms")
    tell("modules it imports", modules, "modules", "none")
