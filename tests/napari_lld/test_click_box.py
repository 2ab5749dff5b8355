"""One click on a cell proposes its box."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot

from annotation_store.geometry import iou
from annotation_store.images.read import read_image
from napari_lld import sample
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.imaging.click_box import box_at, search_window, usual_side
from napari_lld.session.tool import Tool


def test_it_finds_the_sample_s_cells_in_some_milliseconds() -> None:
    truth = json.loads(sample.truth().read_text(encoding="utf-8"))
    paths = {path.name: path for path in sample.fields()}
    found, seconds = [], []
    for image in truth["images"]:
        boxes = [tuple(a["bbox"]) for a in truth["annotations"] if a["image_id"] == image["id"]]
        pixels = read_image(paths[image["file_name"]])
        height, width = pixels.shape[:2]
        side = usual_side([], width, height)
        for x, y, w, h in boxes:
            begun = time.perf_counter()
            left, top, right, bottom = search_window(x + w / 2, y + h / 2, side, width, height)
            box = box_at(pixels[top:bottom, left:right], x + w / 2 - left, y + h / 2 - top, side)
            seconds.append(time.perf_counter() - begun)
            shifted = (box[0] + left, box[1] + top, box[2], box[3]) if box is not None else (0, 0, 0, 0)
            found.append(iou(shifted, (x, y, w, h)))
    assert np.mean(np.array(found) >= 0.5) > 0.95
    assert np.median(seconds) < 0.03


def test_an_empty_place_gives_no_box() -> None:
    assert box_at(np.full((80, 80, 3), 230, dtype=np.uint8), 40, 40, 40) is None


@pytest.fixture
def dock(sample_project: Path, qtbot: QtBot, no_leaks: None) -> Iterator[AnnotateDock]:
    dock = AnnotateDock(ViewerModel())
    qtbot.addWidget(dock)
    session = dock.desk.session
    session.open(sample_project)
    assert session.project is not None
    session.fields.show(next(f.id for f in session.project.fields.all() if f.name == "txl_00.jpg"))
    yield dock
    dock.release()


def click(dock: AnnotateDock, x: float, y: float) -> None:
    event = SimpleNamespace(type="mouse_press", button=1, modifiers=(), position=(y, x), handled=False)
    steps: Any = dock.desk.pointer._on_drag(dock.desk.viewer, event)
    next(steps, None)
    event.type = "mouse_release"
    next(steps, None)


def test_a_click_proposes_and_enter_takes(dock: AnnotateDock) -> None:
    session, commands = dock.desk.session, dock.desk.commands
    before = len(session.marks.cells)
    commands.run("tool.box")
    click(dock, 180, 182)
    proposed = session.selection.proposed_box
    assert proposed is not None
    assert iou(proposed, (125, 130, 110, 110)) > 0.5
    assert len(session.marks.cells) == before  # nothing is stored before Enter
    assert commands.run("draw.finish")
    assert session.selection.cell is not None
    assert session.selection.cell.box == pytest.approx(proposed)
    assert session.selection.proposed_box is None
    assert session.tool is Tool.BOX  # the next click proposes the next


def test_esc_and_another_field_drop_what_was_proposed(dock: AnnotateDock) -> None:
    session, commands = dock.desk.session, dock.desk.commands
    commands.run("tool.box")
    click(dock, 180, 182)
    commands.run("tool.select")
    assert session.selection.proposed_box is None
    assert session.tool is Tool.BOX
    click(dock, 180, 182)
    session.fields.next()
    assert session.selection.proposed_box is None
    assert not commands.run("draw.finish")


def test_a_second_box_of_one_cell_is_warned_of(dock: AnnotateDock) -> None:
    session = dock.desk.session
    told: list[str] = []
    session.notice.connect(lambda level, sentence: told.append(sentence) if level == "warning" else None)
    session.boxes.add((20, 20, 40, 40))
    assert not told
    session.boxes.add((22, 22, 40, 40))
    assert "nearly the same box" in told[0]
