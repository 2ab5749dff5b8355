"""Every control is reached by keyboard, is seen then, and has a name for screen readers, in both languages.

PyQt has no binding of `QAccessible`: names are worked out by the rules of Qt's own interfaces.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QDialog,
    QHeaderView,
    QLabel,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QScrollBar,
    QTabBar,
    QWidget,
)

from annotation_store import Project
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.i18n.translate import use_language
from napari_lld.widgets.base.focus import controls
from napari_lld.widgets.base.room import keep_on_screen
from napari_lld.widgets.display.display_panel import DisplayPanel
from napari_lld.widgets.fields.field_filter import FieldFilterPopup
from napari_lld.widgets.fields.field_jump import FieldJumpPopup
from napari_lld.widgets.fields.slide_map_window import SlideMapView
from napari_lld.widgets.review.proposed_bar import ProposedBar
from napari_lld.widgets.review.reference_panel import ReferencePanel
from tests.napari_lld.all_dialogs import all_dialogs, windows_of_slides
from tests.napari_lld.window_texts import bare, english_left

INTERACTIVE = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QMenu,
    QPlainTextEdit,
    QTabBar,
    SlideMapView,
)
WITHIN = (QComboBox, QAbstractSpinBox, QLineEdit, QTabBar, QAbstractItemView)
"""Of these the parts are reached with the whole: a line, arrows, a list that drops down, headers."""


@pytest.fixture(autouse=True)
def _english_again() -> Iterator[None]:
    yield
    use_language("en")


def interactive(window: QWidget) -> Iterator[QWidget]:
    """Give what of a window is used, and not only seen."""
    for one in window.findChildren(QWidget):
        if not isinstance(one, INTERACTIVE) or isinstance(one, QScrollBar | QHeaderView):
            continue
        parent = one.parentWidget()
        inside = False
        while parent is not None and parent is not window.parentWidget():
            inside = inside or isinstance(parent, WITHIN)
            parent = parent.parentWidget()
        if one.isVisible() and one.isEnabled() and not inside and "pyqtgraph" not in type(one).__module__:
            yield one


def name_of(widget: QWidget) -> str:
    """Give what a screen reader calls a widget: by its name, its own text, or the label that is its buddy."""
    if widget.accessibleName():
        return str(widget.accessibleName())
    if isinstance(widget, QAbstractButton):
        return str(widget.text())
    labels = [one for one in widget.window().findChildren(QLabel) if one.buddy() is widget]
    return str(labels[0].text()) if labels else ""


def rows_of(view: QAbstractItemView) -> list[str]:
    """Give what a screen reader reads of each row."""
    model = view.model()
    if model is None:
        return []
    rows = [model.index(row, 0) for row in range(model.rowCount())]
    roles = (Qt.ItemDataRole.AccessibleTextRole, Qt.ItemDataRole.DisplayRole)
    return [next((str(text) for role in roles if (text := row.data(role))), "") for row in rows]


def told(widget: QWidget) -> str:
    return f"{type(widget).__name__} {widget.objectName()!r} {name_of(widget)!r}"


@pytest.fixture
def windows(
    dock: AnnotateDock,
    small_project: Path,
    suggest: Callable[[Path], list[int]],
    tmp_path: Path,
    qtbot: QtBot,
) -> Callable[[], Iterator[QWidget]]:
    """Give a function that opens everything, one after the other."""
    suggest(small_project)
    session = dock.desk.session
    assert session.open(small_project, annotator="Ada")
    session.selection.select("suggestion", session.suggestions.shown[0].id)
    qtbot.wait(100)

    @contextmanager
    def shown(window: QWidget) -> Iterator[QWidget]:
        window.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
        if isinstance(window, QDialog):
            keep_on_screen(window)
        window.show()
        QApplication.processEvents()
        yield window
        if hasattr(window, "release"):
            window.release()
        window.close()
        window.deleteLater()

    def all_of_them() -> Iterator[QWidget]:
        for show in (dock.show_count_tab, dock.show_model_tab, dock.show_suggestions_tab):
            show()
            QApplication.processEvents()
            yield dock
        desk = dock.desk
        for _ in range(2):  # the list of label errors, and back
            assert desk.commands.run("mistakes.check")
            qtbot.wait(20)
            yield dock
        for window in (
            DisplayPanel(desk),
            ProposedBar(session, desk.commands),
            ReferencePanel(session, desk.commands),
            FieldFilterPopup(session, None),
            FieldJumpPopup(session, None),
        ):
            with shown(window) as it:
                yield it
        desk.gallery.open()
        gallery = desk.gallery.window
        assert gallery is not None
        qtbot.waitUntil(lambda: len(gallery.gallery.shown) == 3)
        yield gallery
        gallery.close()
        with Project.open(small_project, read_only=True) as other:
            for dialog in (*all_dialogs(dock, other, tmp_path), *windows_of_slides()):
                with shown(dialog) as it:
                    yield it
        session.close()
        QApplication.processEvents()
        yield dock  # the start page
        assert session.open(small_project, annotator="Ada")

    return all_of_them


def test_every_control_is_reached_by_tab_and_has_a_name_in_both_languages(
    windows: Callable[[], Iterator[QWidget]], dock: AnnotateDock
) -> None:
    unreached, nameless, english = set(), set(), set()
    for language in ("en", "de"):
        dock.desk.session.preferences.language = language
        for window in windows():
            reached = list(controls(window))
            for one in interactive(window):
                proxied = one.focusProxy()
                if one not in reached and (proxied is None or proxied not in reached):
                    unreached.add(f"{type(window).__name__}: {told(one)}")
                if not re.search(r"[^\W\d_]", bare(name_of(one))):
                    nameless.add(f"{type(window).__name__}: {told(one)}")
                if isinstance(one, QAbstractItemView) and not all(rows_of(one)):
                    nameless.add(f"{type(window).__name__}: a row of {told(one)}")
            if language == "de":
                english |= {f"{type(window).__name__}: {text}" for text in english_left(window)}
    assert not unreached, "\n".join(sorted(unreached))
    assert not nameless, "\n".join(sorted(nameless))
    assert not english, "\n".join(sorted(english))


def test_every_command_has_a_key_or_is_reached_in_a_menu_or_on_a_button(
    windows: Callable[[], Iterator[QWidget]], dock: AnnotateDock
) -> None:
    offered = set()
    for window in windows():
        for menu in window.findChildren(QMenu):
            menu.aboutToShow.emit()
            offered |= {bare(action.text()) for action in menu.actions()}
        for one in window.findChildren(QAbstractButton):
            offered |= {one.objectName().removeprefix("lld_"), bare(one.text())}
    without = [one for one in dock.desk.commands if not one.keys]
    assert without
    assert {one.id for one in without if one.id not in offered and one.title not in offered} == set()


def test_tab_goes_through_the_dock_from_top_to_bottom(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    assert dock.desk.session.open(small_project, annotator="Ada")
    qtbot.wait(100)
    names = [one.objectName() for one in controls(dock)]
    order = ("lld_gallery.open", "lld_fields.filter", "lld_field_view", "lld_tool.region", "lld_edit.undo")
    assert [name for name in names if name in order] == list(order[:-1]), "what is disabled is passed over"
    assert names.index("lld_tool.box") < names.index("lld_queue")
