"""Fields and regions in a real window: mouse on the canvas, files dropped on it, a proposed region."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.window

Open = Callable[..., Any]


def drop(window: Any, paths: list[Path], *, on: Any = None) -> bool:
    """Drop files on the canvas; whether they were taken as soon as they came over it."""
    from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
    from qtpy.QtGui import QDragEnterEvent, QDropEvent
    from qtpy.QtWidgets import QApplication

    target = on or window.viewer.window._qt_viewer
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    copy, left, none = Qt.DropAction.CopyAction, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    enter = QDragEnterEvent(QPoint(40, 40), copy, mime, left, none)
    enter.ignore()
    QApplication.sendEvent(target, enter)
    if enter.isAccepted():
        QApplication.sendEvent(target, QDropEvent(QPointF(40, 40), copy, mime, left, none))
    window.settle()
    return enter.isAccepted()


def test_what_is_dropped_on_the_canvas_becomes_a_project_or_fields_else_it_is_naparis(
    open_window: Open, small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    from napari_lld.layers.layer_set import CASINGS, CURRENT

    (tmp_path / "more").mkdir()
    Image.new("RGB", (50, 40), "red").save(tmp_path / "more" / "red.png")
    Image.new("RGB", (50, 40), "blue").save(tmp_path / "blue.png")
    window = open_window(None)
    viewer = window.viewer.window._qt_viewer
    opened: list[Any] = []
    monkeypatch.setattr(viewer, "_qt_open", lambda names, **_: opened.append(names))
    drop(window, [tmp_path / "blue.png"])  # no project: napari shows it
    assert opened == [[str(tmp_path / "blue.png")]]
    assert drop(window, [small_project], on=viewer._welcome_widget)
    assert window.session.project.path == small_project
    layers = list(window.viewer.layers)
    assert drop(window, [tmp_path / "more", tmp_path / "blue.png"])
    window.qtbot.waitUntil(lambda: len(window.session.fields.summaries()) == 4, timeout=20_000)
    added = {layer.name for layer in window.viewer.layers if layer not in layers}
    assert added <= {CURRENT, CASINGS[CURRENT]}, (
        "which are created in a quiet moment; no image is shown twice"
    )
    drop(window, [tmp_path / "notes.csv"])
    assert len(opened) == 2


def test_regions_and_ignore_areas_are_moved_resized_and_deleted_with_the_mouse(
    show: Open, small_project: Path
) -> None:
    window = show(small_project)
    window.press("R")
    window.drag((20, 20), (60, 50))
    region = window.session.selection.region
    assert region.shape.coords == pytest.approx((20, 20, 40, 30), abs=0.6)
    window.drag((40, 35), (50, 45))  # the handle in its middle
    assert window.session.selection.region.shape.coords == pytest.approx((30, 30, 40, 30), abs=1.2)
    window.drag((70, 60), (90, 80))  # the handle of its corner
    assert window.session.selection.region.shape.coords == pytest.approx((30, 30, 60, 50), abs=1.8)
    window.press("Escape")
    window.click_field(60, 30)  # on its outline
    assert window.session.selection.region.id == region.id
    window.press("Delete")
    assert not window.session.marks.regions
    window.press("I")  # what cannot be read
    window.drag((20, 20), (60, 50))
    assert len(window.session.marks.ignore_areas) == 1
    assert window.session.tool == "select"
    window.press("Ctrl+Return")
    window.qtbot.waitUntil(
        lambda: bool(window.session.marks.regions), timeout=20_000
    )  # nuclei are looked for
    (region,) = window.session.marks.regions
    assert region.shape.bounds == (0, 0, 120, 100)
    window.press("Escape")
    window.click_field(40, 20)
    window.press("Delete")
    assert not window.session.marks.ignore_areas


def test_a_region_with_a_missing_class_is_finished_only_when_one_insists(
    show: Open, small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qtpy.QtWidgets import QMessageBox, QPushButton

    asked: list[str] = []
    answers = ["Go back and check", "Finish"]

    def answer(box: QMessageBox) -> int:
        asked.append(box.informativeText())
        wanted = answers[len(asked) - 1]
        next(b for b in box.findChildren(QPushButton) if b.text().replace("&", "") == wanted).click()
        return 0

    monkeypatch.setattr(QMessageBox, "exec", answer)
    window = show(small_project)
    window.press("T")
    window.drag((10, 10), (100, 90))
    window.press("B")
    window.drag((20, 20), (40, 40))
    window.drag((85, 50), (108, 75))
    window.press("Shift+N", "Escape", "E")
    window.qtbot.waitUntil(lambda: len(asked) == 1, timeout=20_000)
    for doubt in ("1 cell touches the edge", "1 cell has no class", "1 cell lacks an attribute"):
        assert doubt in asked[0]
    assert str(window.session.marks.regions[0].state) == "draft"
    window.press("E")
    window.qtbot.waitUntil(lambda: len(asked) == 2, timeout=20_000)
    assert str(window.session.marks.regions[0].state) == "finished"


def test_a_proposed_region_is_shifted_taken_and_left_by_mouse_and_key(
    show: Open, small_project: Path, suggest: Callable[[Path], list[int]]
) -> None:
    from qtpy.QtCore import Qt
    from qtpy.QtWidgets import QAbstractButton

    suggest(small_project)
    window = show(small_project)
    window.press("Alt+R")
    box = window.session.region_proposal.current.box
    bar = window.dock.desk.binding.proposed
    assert bar.isVisible()
    assert window.canvas.rect().contains(bar.geometry())
    assert "3 likely cells" in bar._why.text()
    x, y, w, h = box
    window.drag((x + w / 2, y + h / 2), (x + w / 2 - 10, y + h / 2 - 8))
    shifted = window.session.region_proposal.current.box
    assert shifted == pytest.approx((x - 10, y - 8, w, h), abs=1.2)
    window.press("Return")
    assert window.session.marks.regions[0].shape.coords == pytest.approx(shifted)
    assert str(window.session.marks.regions[0].state) == "draft"
    assert not bar.isVisible()
    window.press("Alt+R")
    if window.session.region_proposal.current is not None:
        window.press("Escape")
    assert window.session.region_proposal.current is None
    window.press("Ctrl+Z", "Alt+R")
    leave = bar.findChild(QAbstractButton, "lld_region.leave")
    window.qtbot.mouseClick(leave, Qt.MouseButton.LeftButton)
    assert window.session.region_proposal.current is None
    assert not window.session.marks.regions


def test_what_is_marked_is_seen_as_soon_as_a_project_is_open(show: Open, sample_project: Path) -> None:
    import numpy as np

    window = show(sample_project)
    assert window.session.marks.cells

    def seen() -> Any:
        window.settle()
        return window.viewer.screenshot(canvas_only=True, flash=False)

    with_marks = seen()
    window.session.marks.toggle()
    changed = np.any(seen() != with_marks, axis=-1)
    window.session.marks.toggle()
    assert changed.mean() > 0.01
