"""Another language is chosen while the window is open: all is said in it, and all stays where it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication, QComboBox, QTabWidget

from napari_lld.controllers.dock import AnnotateDock
from napari_lld.i18n.translate import language, use_language
from napari_lld.session.gallery_order import GalleryOrder
from napari_lld.widgets.dialogs.log_window import LogWindow
from tests.napari_lld.conftest import button
from tests.napari_lld.window_texts import all_texts, english_left


@pytest.fixture(autouse=True)
def _english_again() -> Iterator[None]:
    yield
    use_language("en")


def said(dock: AnnotateDock) -> set[str]:
    return {text for one, text in all_texts(dock) if one.isVisible()}


def test_the_dock_changes_its_language_at_once_and_keeps_what_is_open(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    session = dock.desk.session
    assert session.open(small_project, annotator="Ada")
    project = session.project
    assert project is not None
    session.fields.next()
    session.fields.previous()
    session.selection.select("suggestion", session.suggestions.shown[1].id)
    session.marks.threshold = 0.4
    tabs, target = dock.findChild(QTabWidget), dock.findChild(QComboBox, "lld_target")
    assert tabs is not None
    assert target is not None
    tabs.setCurrentIndex(2)
    target.setCurrentIndex(2)
    target.activated.emit(2)
    qtbot.wait(150)
    before, here, chosen = said(dock), session.fields.current_id, session.selection.current
    assert "Next field" in dock.desk.commands["field.next"].title

    session.preferences.language = "de"
    qtbot.wait(150)
    assert language() == "de"
    assert english_left(dock) == set()
    assert dock.desk.commands["field.next"].title == "Nächstes Feld"
    assert button(dock, "class_Neutrophil").text() == "Neutrophiler"
    assert (session.project, session.fields.current_id) == (project, here)
    assert (session.selection.current, session.marks.threshold) == (chosen, 0.4)
    tabs, target = dock.findChild(QTabWidget), dock.findChild(QComboBox, "lld_target")
    assert tabs is not None
    assert target is not None
    assert (tabs.currentIndex(), target.currentIndex()) == (2, 2)
    button(dock, "field.next").click()
    assert session.fields.current_id != here, "the new buttons work"
    session.fields.previous()
    session.selection.select("suggestion", session.suggestions.shown[1].id)

    session.preferences.language = "en"
    qtbot.wait(150)
    assert said(dock) == before


def test_open_windows_change_their_language_and_keep_what_is_chosen(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    assert dock.desk.session.open(small_project, annotator="Ada")
    dock.desk.gallery.open()
    window = dock.desk.gallery.window
    assert window is not None
    qtbot.waitUntil(lambda: len(window.gallery.shown) == 3)
    window.gallery.sort_by(GalleryOrder.SUREST)
    window.grid.choose(window.gallery.shown[:2])
    chosen = [item.key for item in window.grid.chosen()]
    dock.desk.services.show_log()

    dock.desk.session.preferences.language = "de"
    qtbot.wait(150)
    logs = [w for w in QApplication.topLevelWidgets() if isinstance(w, LogWindow) and w.isVisible()]
    assert [log.windowTitle() for log in logs] == ["Protokoll"]
    assert window.windowTitle() == "Galerie"
    assert english_left(window) == set()
    assert [item.key for item in window.grid.chosen()] == chosen
    assert window.gallery.order is GalleryOrder.SUREST
    assert len(window.gallery.shown) == 3
    window.commands.run("suggestion.not_a_cell")
    qtbot.waitUntil(lambda: len(dock.desk.session.suggestions.shown) == 1)
    logs[0].close()
