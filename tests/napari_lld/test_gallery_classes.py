"""The classes beside the crops: counted, listed alone by a click, and labelled with by a drop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QMimeData, QPoint, QPointF, Qt
from qtpy.QtGui import QDragMoveEvent, QDropEvent, QMouseEvent, QPixmap
from qtpy.QtWidgets import QAbstractButton

from annotation_store import Project
from annotation_store.schema import Schema
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session.gallery import MISSING
from napari_lld.widgets.base.theme import colours
from napari_lld.widgets.gallery.class_strip import crops_to_drag, drag_picture
from napari_lld.widgets.gallery.gallery_window import GalleryWindow

from .test_gallery import choose, opened, settle

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


@pytest.fixture
def window(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> Iterator[GalleryWindow]:
    """Give the gallery of three suggested neutrophils and one cell without a class."""
    suggest(small_project)
    window = opened(dock, small_project, qtbot)
    dock.desk.session.boxes.add((60, 60, 20, 20))
    settle(window, qtbot)
    yield window
    window.close()


def middle(window: GalleryWindow, name: str | None) -> QPoint:
    """Return where in the strip a class is."""
    strip = window.classes
    return strip.visualItemRect(strip.item(strip.names.index(name))).center()


def drop(window: GalleryWindow, name: str | None, data: QMimeData) -> None:
    """Move crops over a class and let go."""
    where, action = middle(window, name), Qt.DropAction.CopyAction
    window.classes.dragMoveEvent(QDragMoveEvent(where, action, data, LEFT, NONE))
    window.classes.dropEvent(QDropEvent(QPointF(where), action, data, LEFT, NONE))


def test_a_click_on_a_class_lists_it_alone_and_another_lists_all(window: GalleryWindow, qtbot: QtBot) -> None:
    strip = window.classes
    assert strip.counts == {"Neutrophil": 3, MISSING: 1}
    qtbot.mouseClick(strip.viewport(), LEFT, pos=middle(window, "Neutrophil"))
    assert [item.word for item in window.gallery.shown] == ["Neutrophil"] * 3
    qtbot.waitUntil(lambda: strip.only == "Neutrophil")
    assert strip.counts == {"Neutrophil": 3, MISSING: 1}, "the others are counted all the same"
    qtbot.mouseClick(strip.viewport(), LEFT, pos=middle(window, "Neutrophil"))
    assert len(window.gallery.shown) == 4


def test_keys_go_through_the_classes_that_have_crops(window: GalleryWindow, qtbot: QtBot) -> None:
    listed = []
    for _ in range(3):
        qtbot.keyClick(window.grid, Qt.Key.Key_Down, Qt.KeyboardModifier.AltModifier)
        listed.append(window.gallery.only_class)
        qtbot.waitUntil(lambda: window.classes.only == window.gallery.only_class)
    assert listed == ["Neutrophil", MISSING, None]
    qtbot.keyClick(window.grid, Qt.Key.Key_Up, Qt.KeyboardModifier.AltModifier)
    assert window.gallery.only_class == MISSING


def test_crops_dropped_on_a_class_get_it_and_one_undo_takes_it_back(
    window: GalleryWindow, dock: AnnotateDock, qtbot: QtBot
) -> None:
    choose(window, 0, 2)
    drop(window, "Monocyte", crops_to_drag(window.grid.name))
    settle(window, qtbot)
    assert window.classes.counts["Monocyte"] == 2
    assert window.classes.under_drag is None
    assert len(window.grid.chosen()) == 2
    window.commands.run("edit.undo")
    settle(window, qtbot)
    assert window.classes.counts == {"Neutrophil": 3, MISSING: 1}


def test_only_a_class_takes_crops_and_only_those_of_its_window(window: GalleryWindow, qtbot: QtBot) -> None:
    choose(window, 0)
    ours = crops_to_drag(window.grid.name)
    strip, where = window.classes, QPointF(middle(window, None))
    for point, aimed in ((middle(window, "Monocyte"), True), (where.toPoint(), False)):
        event = QDragMoveEvent(point, Qt.DropAction.CopyAction, ours, LEFT, NONE)
        strip.dragMoveEvent(event)
        assert event.isAccepted() is aimed
        assert (strip.under_drag is not None) is aimed
    drop(window, None, ours)
    others = crops_to_drag(b"1")
    foreign = QDragMoveEvent(middle(window, "Monocyte"), Qt.DropAction.CopyAction, others, LEFT, NONE)
    foreign.ignore()
    strip.dragEnterEvent(foreign)
    assert not foreign.isAccepted()
    settle(window, qtbot)
    assert window.classes.counts == {"Neutrophil": 3, MISSING: 1}


def test_a_drag_begins_on_a_picture_and_a_frame_beside_it(window: GalleryWindow) -> None:
    tile = window.grid.visualRect(window.grid.model_.index(1))
    port = window.grid.viewport()
    assert port is not None

    def press(where: QPoint, modifiers: Qt.KeyboardModifier = NONE) -> bool:
        spot = QPointF(where)
        everywhere = QPointF(port.mapToGlobal(where))
        window.grid.mousePressEvent(
            QMouseEvent(QEvent.Type.MouseButtonPress, spot, everywhere, LEFT, LEFT, modifiers)
        )
        return bool(window.grid.dragEnabled())

    assert press(tile.center() - QPoint(0, 20))
    assert not press(tile.bottomLeft() + QPoint(30, -8))
    assert not press(tile.center() - QPoint(0, 20), Qt.KeyboardModifier.ControlModifier)


def test_the_drag_picture_says_how_many_there_are() -> None:
    crop = QPixmap(96, 96)
    crop.fill(Qt.GlobalColor.red)
    one, _ = drag_picture([crop], 1, colours())
    many, _ = drag_picture([crop], 150, colours())
    assert one.toImage() != many.toImage()


def test_a_class_that_another_program_adds_or_renames_is_there_at_once(
    window: GalleryWindow, dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    session = dock.desk.session
    session.selection.select("cell", session.marks.cells[0].id)
    session.labels.set_class("Monocyte")
    settle(window, qtbot)
    with Project.open(small_project, annotator="Bob") as project:
        content = project.schema.model_dump(mode="json")
        next(one for one in content["classes"] if one["name"] == "Monocyte")["name"] = "Mono"
        content["classes"].append({"id": 99, "name": "Hairy cell", "letter": "hc", "colour": "#123456"})
        project.schema_versions.change(Schema.model_validate(content), {"Monocyte": "Mono"})
    session.refresh()
    settle(window, qtbot)
    assert {"Hairy cell", "Mono"} <= set(window.classes.names)
    assert window.classes.counts == {"Neutrophil": 3, "Mono": 1}
    choose(window, 0)
    assert window.commands.run("class.Hairy cell")
    settle(window, qtbot)
    assert window.classes.counts["Hairy cell"] == 1
    assert dock.findChild(QAbstractButton, "lld_class_Hairy cell") is not None
    assert "Monocyte" not in {cell.cell_class for cell in session.marks.cells}
