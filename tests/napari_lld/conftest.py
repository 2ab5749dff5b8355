"""No test of the desk leaves a widget behind."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from annotation_store import Project, Proposal

if TYPE_CHECKING:
    from pytestqt.qtbot import QtBot

    from napari_lld.controllers.dock import AnnotateDock


def _windows() -> dict[int, Any]:
    if "qtpy.QtWidgets" not in sys.modules:
        return {}
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is None:
        return {}
    return {id(widget): widget for widget in QApplication.topLevelWidgets() if widget.parent() is None}


@pytest.fixture(autouse=True)
def no_widget_leaks() -> Iterator[None]:
    """Fail where a window outlives its test, hidden or shown: it would hear of sessions that are closed."""
    before = _windows()
    yield
    if not _windows():
        return
    from qtpy.QtCore import QCoreApplication, QEvent

    for _ in range(2):  # what is deleted may delete in its turn
        QCoreApplication.sendPostedEvents(None, int(QEvent.Type.DeferredDelete.value))
        QCoreApplication.processEvents()
    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()  # modules, mostly: to walk over them after each test takes longer than many a test
    left = [widget for key, widget in _windows().items() if key not in before]
    assert not left, f"left behind: {[(type(w).__name__, w.objectName()) for w in left]}"


@pytest.fixture
def dock(qtbot: QtBot, no_leaks: None) -> Iterator[AnnotateDock]:
    """Give a dock of a usual size on a viewer without a canvas."""
    from napari.components import ViewerModel

    from napari_lld.controllers.dock import AnnotateDock

    dock = AnnotateDock(ViewerModel())
    qtbot.addWidget(dock)
    dock.resize(420, 703)
    dock.show()
    yield dock
    dock.release()


@pytest.fixture(autouse=True)
def no_question_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a test opens a project as somebody without a reading: the question would wait for ever."""
    if "napari_lld.widgets" in sys.modules:
        from napari_lld.widgets.dialogs import reading_dialog

        def refuse(annotator: str, *_: object, **__: object) -> None:
            pytest.fail(f"{annotator} was asked for a reading: open the project as its reader")

        monkeypatch.setattr(reading_dialog, "ask_reading", refuse)


@pytest.fixture(autouse=True)
def _no_warm_worker(no_warm_worker: None) -> None:
    """See `no_warm_worker`."""


EARNED: dict[str, Any] = {
    "least": 0.3,
    "units": 30,
    "of": 300,
    "wrong": 3,
    "classes": {"Monocyte": [297, 300]},
}
"""What a model has earned on held-out cells: monocytes may be accepted many at once."""


def suggest_by_a_model(folder: Path, proposals: Sequence[Proposal]) -> None:
    """Put proposals of an active model into the first field of a project."""
    with Project.open(folder, annotator="model") as project:
        number = project.models.reserve_id()
        project.models.folder(number).mkdir(parents=True, exist_ok=True)
        card = {"metrics": {"held_out": {"cells": 300}, "bulk": EARNED}}
        project.models.add(number, parent="starter", card=card, activate=True)
        project.suggestions.replace(project.fields.all()[0].id, proposals, model_id=number)
