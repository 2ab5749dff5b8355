"""The field list in the dock: filter, sort, quality, skip, thumbnails, and ten thousand fields."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMenu, QTableView, QToolButton

from annotation_store._collections.pixels import FieldPixels
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session.field_order import FieldFilter, FieldOrder, Standing
from napari_lld.widgets.fields.field_delegate import in_a_line
from napari_lld.widgets.fields.field_filter import FieldFilterPopup
from napari_lld.widgets.fields.field_jump import FieldJumpPopup

MoreFields = Callable[[Path, list[str]], None]


@pytest.fixture
def dock(
    qtbot: QtBot, no_leaks: None, small_project: Path, more_fields: MoreFields
) -> Iterator[AnnotateDock]:
    more_fields(small_project, [f"film_{n}.png" for n in range(8)])
    dock = AnnotateDock(ViewerModel())
    qtbot.addWidget(dock)
    dock.resize(420, 703)
    dock.show()
    dock.desk.session.open(small_project, annotator="Ada")
    qtbot.wait(80)
    yield dock
    dock.release()


def view(dock: AnnotateDock) -> QTableView:
    return dock.findChild(QTableView, "lld_field_view")


def names(dock: AnnotateDock) -> list[str]:
    model = view(dock).model()
    return [model.index(row, 0).data() for row in range(model.rowCount())]


def menu(dock: AnnotateDock, text: str) -> QMenu:
    button = next(b for b in dock.findChildren(QToolButton) if b.text() == text and b.menu() is not None)
    button.menu().aboutToShow.emit()
    return button.menu()


def choose(dock: AnnotateDock, button: str, title: str) -> None:
    action = next(a for a in menu(dock, button).actions() if a.text().startswith(title))
    assert action.isEnabled()
    action.trigger()


def popup(dock: AnnotateDock, qtbot: QtBot) -> FieldFilterPopup:
    dock.desk.commands.run("fields.filter")
    qtbot.wait(20)
    return next(p for p in dock.findChildren(FieldFilterPopup) if p.isVisible())


def test_the_list_is_filtered_by_words_and_state(dock: AnnotateDock, qtbot: QtBot) -> None:
    asked = popup(dock, qtbot)
    qtbot.keyClicks(asked.text, "film_7")
    qtbot.waitUntil(lambda: names(dock) == ["film_7.png"])
    asked.text.clear()
    qtbot.waitUntil(lambda: len(names(dock)) == 10)
    asked.states[Standing.REVIEWED].setChecked(True)
    qtbot.waitUntil(lambda: names(dock) == [])
    asked.everything.click()
    assert len(names(dock)) == 10
    assert not asked.isVisible()


def test_a_row_of_one_line_says_of_a_field_what_there_is_room_for(dock: AnnotateDock) -> None:
    project = dock.desk.session.project
    assert project is not None
    field = project.fields.all()[0].id
    project.fields.update(field, quality="blurred")
    (summary,) = project.fields.summaries({field})

    def row(room: int, why: str = "") -> str:
        return in_a_line(summary, why, lambda text: len(text) <= room)

    assert row(40) == "blurred  untouched · 0 cells"
    assert row(20) == "blurred  untouched"
    assert row(0) == "blurred  0 cells", "the sign says that it is untouched"
    assert row(40, "many blasts") == "blurred  many blasts · 0 cells"
    assert row(0, "many blasts") == "blurred  many blasts"


def test_the_list_is_filtered_by_class(dock: AnnotateDock, qtbot: QtBot) -> None:
    session = dock.desk.session
    assert session.project is not None
    session.project.cells.add(2, (5, 5, 20, 20), cell_class="Myeloblast")
    asked = popup(dock, qtbot)
    titles = [asked.cell_class.itemText(i) for i in range(asked.cell_class.count())]
    blast = next(i for i, title in enumerate(titles) if title.startswith("Blast"))
    assert titles[blast].endswith("(1)"), "a group's classes count for it"
    asked.cell_class.setCurrentIndex(blast)
    asked.apply()
    assert list(session.fields.listed) == [2]
    asked.close()
    again = popup(dock, qtbot)
    assert again.cell_class.currentIndex() == blast
    again.everything.click()


def test_one_key_goes_to_a_field_by_name_or_number(dock: AnnotateDock, qtbot: QtBot) -> None:
    session = dock.desk.session

    def opened() -> FieldJumpPopup:
        assert dock.desk.commands.run("field.go")
        qtbot.wait(20)
        return next(p for p in dock.findChildren(FieldJumpPopup) if p.isVisible())

    asked = opened()
    assert asked.list.count() == 10
    qtbot.keyClicks(asked.line, "film_7")
    qtbot.keyClick(asked.line, Qt.Key.Key_Return)
    assert session.fields.current is not None
    assert session.fields.current.name == "film_7.png"
    asked = opened()
    qtbot.keyClicks(asked.line, "3")
    qtbot.keyClick(asked.line, Qt.Key.Key_Down)
    qtbot.keyClick(asked.line, Qt.Key.Key_Up)
    qtbot.keyClick(asked.line, Qt.Key.Key_Return)
    assert session.fields.current_id == 3
    asked = opened()
    qtbot.keyClicks(asked.line, "99999")
    assert "99999" in asked.about.text()
    qtbot.keyClick(asked.line, Qt.Key.Key_Return)
    assert asked.isVisible()
    assert session.fields.current_id == 3
    asked.close()


def test_what_was_typed_last_holds_when_the_filter_closes(dock: AnnotateDock, qtbot: QtBot) -> None:
    asked = popup(dock, qtbot)
    qtbot.keyClicks(asked.text, "film_7")
    qtbot.keyClick(asked.text, Qt.Key.Key_Return)
    assert names(dock) == ["film_7.png"]
    assert dock.desk.session.fields.filter == FieldFilter(text="film_7")


def test_quality_skip_and_order_are_said_with_the_mouse(dock: AnnotateDock, qtbot: QtBot) -> None:
    session = dock.desk.session
    choose(dock, "⋯", "Quality: blurred")
    assert session.fields.current is not None
    assert session.fields.current.quality == "blurred"
    choose(dock, "⋯", "Quality: blurred")
    assert session.fields.current.quality is None
    choose(dock, "⋯", "Skip this field")
    assert session.fields.current_id == 2
    choose(dock, "Sort", "by name")
    assert session.fields.order is FieldOrder.NAME
    assert session.project is not None
    best = {"field": 9, "score": 1.0, "seconds": 5.0, "reasons": [], "reserve": False}
    session.project.rankings.store("stain", [best], about={})
    choose(dock, "Sort", "most to learn first")
    assert names(dock)[0] == "film_6.png"


def test_a_comment_on_the_field_is_kept_and_found(
    dock: AnnotateDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_lld.widgets.fields import field_dialogs

    monkeypatch.setattr(field_dialogs, "ask_field_comment", lambda *_: " strange crystals \n")
    choose(dock, "⋯", "Comment on this field")
    session = dock.desk.session
    assert session.fields.current is not None
    assert session.fields.current.note == "strange crystals"
    session.fields.filter = FieldFilter(text="crystals")
    assert names(dock) == ["field_0.png"]


def test_thumbnails_are_decoded_beside_the_window(
    dock: AnnotateDock, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()
    original = FieldPixels.thumbnail

    def noted(self: FieldPixels, field_id: int, side: int = 96) -> object:
        threads.add(threading.current_thread().name)
        return original(self, field_id, side)

    monkeypatch.setattr(FieldPixels, "thumbnail", noted)
    model = dock._fields.model
    model.forget()
    index = model.index(0)  # of a field with pixels: one that was asked for before may still be on its way
    assert index.data(Qt.ItemDataRole.DecorationRole) is None
    qtbot.waitUntil(lambda: bool(threads) and index.data(Qt.ItemDataRole.DecorationRole) is not None)
    assert not index.data(Qt.ItemDataRole.DecorationRole).isNull()
    assert threading.main_thread().name not in threads


def test_ten_thousand_fields_are_one_model_of_which_only_the_seen_are_painted(
    dock: AnnotateDock, qtbot: QtBot, small_project: Path, more_fields: MoreFields, record_property: Callable
) -> None:
    session = dock.desk.session
    session.close()
    more_fields(small_project, [f"slide_{n}.png" for n in range(9_990)])
    session.open(small_project)
    qtbot.waitUntil(lambda: not session.fields.being_read)
    assert view(dock).model().rowCount() == 10_000
    seen: list[int] = []
    dock._fields.model._thumbnails.get = seen.append  # type: ignore[method-assign, assignment]
    times = {}
    begun = time.perf_counter()
    view(dock).scrollToBottom()
    dock.grab()
    times["scroll to the end"] = time.perf_counter() - begun
    assert 1 <= len(set(seen)) < 40
    begun = time.perf_counter()
    session.boxes.add((10, 10, 20, 20))
    dock._fields.refresh()
    times["a label told to the list"] = time.perf_counter() - begun
    begun = time.perf_counter()
    session.fields.filter = FieldFilter(text="slide_99")
    times["filter"] = time.perf_counter() - begun
    assert len(names(dock)) == 1 + 10 + 90
    for what, seconds in times.items():
        record_property(what, f"{1000 * seconds:.0f} ms")


def test_the_filter_button_shows_whether_a_filter_is_active(dock: AnnotateDock, qtbot: QtBot) -> None:
    """A click on it checked it, whatever came of the click."""
    button = dock.findChild(QToolButton, "lld_fields.filter")
    assert button is not None
    assert not button.isChecked()
    button.click()
    popup = next(w for w in dock.findChildren(FieldFilterPopup) if w.isVisible())
    assert not button.isChecked()
    popup.close()
    assert not button.isChecked()
    dock.desk.session.fields.filter = FieldFilter(text="film_7")
    assert button.isChecked()
    assert button.toolTip().startswith("A filter is active.")
    button.click()
    assert button.isChecked()
    next(w for w in dock.findChildren(FieldFilterPopup) if w.isVisible()).close()
    dock.desk.session.fields.filter = FieldFilter()
    assert not button.isChecked()
