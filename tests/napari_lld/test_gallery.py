"""The gallery: many cells and suggestions side by side, chosen and settled at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from napari.components import ViewerModel
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QItemSelectionModel, QPoint, Qt
from qtpy.QtGui import QAction, QContextMenuEvent
from qtpy.QtWidgets import QApplication, QComboBox

from annotation_store import Entry, Project, Proposal
from annotation_store._collections.bulk_edits import BulkEdits
from annotation_store.records import RejectionReason, Shape, SuggestionState
from annotation_store.schema import load_schema
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session.gallery_items import crop_window, read_items
from napari_lld.session.gallery_order import GalleryOrder, Scope, Show
from napari_lld.session.predictions import Disagreement, disagreement
from napari_lld.widgets.gallery.gallery_window import GalleryWindow
from tests.database import engine

from .conftest import button, listen


@pytest.fixture
def dock(qtbot: QtBot, no_leaks: None) -> Iterator[AnnotateDock]:
    dock = AnnotateDock(ViewerModel())
    qtbot.addWidget(dock)
    yield dock
    dock.release()


def opened(dock: AnnotateDock, folder: Path, qtbot: QtBot) -> GalleryWindow:
    dock.desk.session.open(folder, annotator="Ada")
    assert dock.desk.commands.run("gallery.open")
    window = dock.desk.gallery.window
    assert window is not None
    settle(window, qtbot)
    return window


def settle(window: GalleryWindow, qtbot: QtBot) -> None:
    """Wait until all is read and cut that was asked for."""
    qtbot.wait(30)
    qtbot.waitUntil(lambda: window.reader is not None and window.reader.idle, timeout=20_000)
    qtbot.wait(60)
    qtbot.waitUntil(lambda: window.reader is not None and window.reader.idle, timeout=20_000)
    qtbot.wait(30)


def choose(window: GalleryWindow, *rows: int) -> None:
    selection = window.grid.selectionModel()
    assert selection is not None
    selection.clearSelection()
    for row in rows:
        index = window.grid.model_.index(row)
        selection.setCurrentIndex(index, QItemSelectionModel.SelectionFlag.Select)


def pick(window: GalleryWindow, name: str, value: object) -> None:
    box = window.findChild(QComboBox, f"lld_gallery_{name}")
    assert box is not None
    index = box.findData(value)
    assert index >= 0
    box.setCurrentIndex(index)
    box.activated.emit(index)


def confidences(window: GalleryWindow) -> list[float | None]:
    return [item.entry.confidence for item in window.gallery.shown]


def test_it_opens_with_a_key_and_sorts_and_filters(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    with Project.open(small_project, annotator="Ada") as project:
        one, two = (field.id for field in project.fields.all())
        # the model was sure of a neutrophil here
        contested = project.cells.add(one, (10, 10, 20, 20), cell_class="Monocyte")
        project.cells.add(two, (10, 10, 20, 20), cell_class="Basophil", bookmark=True)
    assert dock.desk.commands["gallery.open"].keys == ("G",)
    window = opened(dock, small_project, qtbot)
    assert len(window.gallery.shown) == 5
    pick(window, "show", Show.WAITING)
    pick(window, "order", GalleryOrder.SUREST)
    assert confidences(window) == [0.9, 0.7, 0.5]
    pick(window, "show", Show.CELLS)
    pick(window, "order", GalleryOrder.DISAGREEMENT)
    first = window.gallery.shown[0]
    assert first.entry.id == contested
    assert first.disagreement == (pytest.approx(0.9), "Neutrophil", pytest.approx(0.9))
    assert window.gallery.shown[1].disagreement is None, "where no model looked there is no disagreement"
    window.classes.picked.emit("Basophil")
    assert [item.word for item in window.gallery.shown] == ["Basophil"]
    window.classes.picked.emit(None)
    pick(window, "show", Show.BOOKMARKED)
    assert [item.word for item in window.gallery.shown] == ["Basophil"]
    heard: list[str] = []
    window.session.notice.connect(lambda _level, sentence: heard.append(sentence))
    pick(window, "order", GalleryOrder.DISAGREEMENT)
    assert heard == ["No label here differs from its prediction."]
    pick(window, "show", Show.EVERYTHING)
    pick(window, "order", GalleryOrder.DISAGREEMENT)
    assert len(heard) == 1, "here one does"
    pick(window, "attribute", "cell_size")
    pick(window, "value", "small")
    assert {item.entry.kind for item in window.gallery.shown} == {"suggestion"}
    pick(window, "value", None)
    pick(window, "order", GalleryOrder.CLASS)
    assert [i.word for i in window.gallery.shown] == ["Neutrophil"] * 3 + ["Monocyte", "Basophil"]
    pick(window, "scope", Scope.FIELD)
    settle(window, qtbot)
    assert {item.entry.field_id for item in window.gallery.shown} == {one}
    dock.desk.session.fields.next()
    settle(window, qtbot)
    assert {item.entry.field_id for item in window.gallery.shown} == {two}


def test_it_opens_from_a_button_and_from_the_menu(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    dock.desk.session.open(small_project, annotator="Ada")
    opener = button(dock, "gallery.open")
    qtbot.waitUntil(opener.isEnabled)
    assert opener.text() == "Gallery  G"
    assert "(G)" in opener.toolTip()
    opener.click()
    window = dock.desk.gallery.window
    assert window is not None
    window.close()
    entry = next(a for a in dock.findChildren(QAction) if a.text() == "Gallery\tG")
    entry.trigger()
    assert window.isVisible()


def test_many_get_a_class_by_one_key_and_one_undo_takes_it_back(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    with Project.open(small_project, annotator="Ada") as project:
        for field in project.fields.all():
            project.cells.add(field.id, (60, 60, 20, 20))
    window = opened(dock, small_project, qtbot)
    session = dock.desk.session
    assert session.project is not None
    edits = len({row.edit_id for row in session.project.history.rows()})
    qtbot.keyClick(window.grid, Qt.Key.Key_A, Qt.KeyboardModifier.ControlModifier)
    assert len(window.grid.chosen()) == 5
    qtbot.keyClick(window.grid, Qt.Key.Key_M, Qt.KeyboardModifier.ShiftModifier)
    settle(window, qtbot)
    assert [cell.cell_class for cell in session.project.cells.all()] == ["Monocyte"] * 5
    assert len({row.edit_id for row in session.project.history.rows()}) == edits + 2, "one edit a field"
    assert [item.word for item in window.gallery.shown] == ["Monocyte"] * 5
    assert len(window.grid.chosen()) == 5, "the cells that suggestions became stay chosen"
    choose(window, 0, 2)
    qtbot.keyClick(window.grid, Qt.Key.Key_3)
    settle(window, qtbot)
    assert sum(cell.attributes.get("cell_size") == "large" for cell in session.project.cells.all()) == 2
    told = listen(session)
    qtbot.keyClick(window.grid, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    qtbot.keyClick(window.grid, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    settle(window, qtbot)
    assert told == ["Undone for 2 crops.", "Undone for 5 crops."], "of all fields, not of the first"
    assert [cell.cell_class for cell in session.project.cells.all()] == [None, None]
    assert session.project.suggestions.find()[0].state is SuggestionState.PENDING
    assert not window.gallery.undoable


def test_suggestions_are_accepted_and_rejected_with_a_reason(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    ids = suggest(small_project)
    window = opened(dock, small_project, qtbot)
    project = dock.desk.session.project
    assert project is not None
    pick(window, "order", GalleryOrder.SUREST)
    choose(window, 0, 1)
    qtbot.keyClick(window.grid, Qt.Key.Key_D)
    settle(window, qtbot)
    assert [project.suggestions.get(i).reason for i in ids[:2]] == [RejectionReason.DUPLICATE] * 2
    current = window.grid.current()
    assert current is not None, "the keyboard goes on where it was"
    choose(window, 0)
    qtbot.keyClick(window.grid, Qt.Key.Key_A)
    settle(window, qtbot)
    assert [cell.suggestion_id for cell in project.cells.all()] == [ids[2]]
    choose(window, 0)
    told = listen(dock.desk.session)
    qtbot.keyClick(window.grid, Qt.Key.Key_X)
    assert told == ["None of the selected crops is a pending suggestion."]


def test_nothing_is_accepted_that_was_never_on_the_screen(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    with Project.open(small_project, annotator="model") as project:
        boxes = [(float(x), float(y), 8.0, 8.0) for x in range(0, 100, 10) for y in range(0, 90, 3)]
        proposals = [Proposal(box, 0.9, {"Monocyte": 1.0}) for box in boxes]
        project.suggestions.replace(project.fields.all()[0].id, proposals, model_id=None)
    window = opened(dock, small_project, qtbot)
    told = listen(dock.desk.session)
    window.grid.selectAll()
    assert len(window.grid.chosen()) == 300
    seen = len(window.grid.model_.seen)
    assert 0 < seen < 100
    window.commands.run("suggestion.accept")
    assert dock.desk.session.project is not None
    assert len(dock.desk.session.project.cells.all()) == seen
    assert f"{300 - seen} that were not on the screen are skipped: The bundled starter has not" in told[-1]


def test_what_is_listed_and_its_order_are_chosen_by_keys_too(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    window = opened(dock, small_project, qtbot)
    order = window.findChild(QComboBox, "lld_gallery_order")
    assert order is not None
    order.setFocus(Qt.FocusReason.TabFocusReason)
    qtbot.keyClick(order, Qt.Key.Key_Down)
    assert window.gallery.order is GalleryOrder.SUREST
    assert confidences(window) == [0.9, 0.7, 0.5]


def test_nothing_moves_under_the_hand_until_it_is_sorted_again(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    window = opened(dock, small_project, qtbot)
    pick(window, "order", GalleryOrder.SUREST)
    choose(window, 1)
    chosen, first = window.grid.chosen()[0].entry.box, window.gallery.shown[0].entry.box
    project, again = dock.desk.session.project, button(window, "gallery.sort")
    place = window.grid.mapTo(window, QPoint(0, 0))
    assert project is not None
    assert again.isHidden()
    shown = window.gallery.shown
    shares = [{"Neutrophil": 0.6 + 0.1 * n, "Monocyte": 0.4 - 0.1 * n} for n in range(3)]
    anew = [Proposal(item.entry.box, 0.9, share) for item, share in zip(shown, shares, strict=True)]
    project.suggestions.replace(shown[0].entry.field_id, anew, model_id=None)
    settle(window, qtbot)
    assert [round(item.entry.class_probabilities["Neutrophil"], 1) for item in window.gallery.shown] == [
        *(0.6, 0.7, 0.8)
    ]
    assert [item.entry.box for item in window.grid.chosen()] == [chosen]
    assert not again.isHidden()
    assert again.text() == "Sort again  F5"
    assert window.grid.mapTo(window, QPoint(0, 0)) == place
    qtbot.keyClick(window.grid, Qt.Key.Key_F5)
    qtbot.waitUntil(again.isHidden)
    assert window.gallery.shown[-1].entry.box == first
    assert [item.entry.box for item in window.grid.chosen()] == [chosen]


def test_a_double_click_goes_to_the_cell_in_its_field(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    ids = suggest(small_project)
    window = opened(dock, small_project, qtbot)
    session = dock.desk.session
    session.fields.next()
    session.marks.threshold = 0.95
    pick(window, "order", GalleryOrder.SUREST)
    place = window.grid.visualRect(window.grid.model_.index(1)).center()
    viewport = window.grid.viewport()
    qtbot.mouseClick(viewport, Qt.MouseButton.LeftButton, pos=place)
    qtbot.mouseDClick(viewport, Qt.MouseButton.LeftButton, pos=place)
    assert session.selection.suggestion is not None
    assert session.selection.suggestion.id == ids[1]
    assert session.marks.threshold == 0.63, "what was asked for is shown"
    assert window.isVisible()


def test_a_right_click_offers_what_can_be_done_with_the_selected_crops(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    ids = suggest(small_project)
    window = opened(dock, small_project, qtbot)
    project = dock.desk.session.project
    assert project is not None
    pick(window, "order", GalleryOrder.SUREST)
    grid, viewport = window.grid, window.grid.viewport()
    assert viewport is not None

    def ask(spot: QPoint, reason: QContextMenuEvent.Reason) -> None:
        QApplication.sendEvent(viewport, QContextMenuEvent(reason, spot, viewport.mapToGlobal(spot)))

    choose(window)
    ask(QPoint(3, viewport.height() - 3), QContextMenuEvent.Reason.Mouse)
    assert not window.crop_menu.isVisible(), "there is nothing to act on"
    place = grid.visualRect(grid.model_.index(1)).center()
    qtbot.mouseClick(viewport, Qt.MouseButton.RightButton, pos=place)
    ask(place, QContextMenuEvent.Reason.Mouse)
    assert window.crop_menu.isVisible()
    offered = {action.text().split("\t")[0]: action for action in window.crop_menu.actions()}
    assert {"Accept", "Set class", "Cell size", "Reject", "Similar cells", "Show in its field"} <= set(
        offered
    )
    offered["Accept"].trigger()
    window.crop_menu.close()
    settle(window, qtbot)
    assert [cell.suggestion_id for cell in project.cells.all()] == [ids[1]]
    choose(window, 0)
    ask(QPoint(0, 0), QContextMenuEvent.Reason.Keyboard)
    here = grid.visualRect(grid.currentIndex()).center()
    assert window.crop_menu.pos() == viewport.mapToGlobal(here), "a key opens it at the crop"
    window.crop_menu.close()


def test_what_cannot_be_done_with_the_selected_crops_is_not_offered(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    with Project.open(small_project, annotator="Ada") as project:
        project.cells.add(project.fields.all()[0].id, (10, 10, 20, 20), cell_class="Monocyte")
    window = opened(dock, small_project, qtbot)
    rows = {item.entry.kind: row for row, item in enumerate(window.gallery.shown)}

    def offered() -> dict[str, bool]:
        qtbot.wait(20)
        window.crop_menu.aboutToShow.emit()
        states = {a.text().split("\t")[0]: a.isEnabled() for a in window.crop_menu.actions()}
        assert states["Accept"] is button(window, "suggestion.accept").isEnabled()
        assert states["Reject"] is button(window, "gallery_reject").isEnabled()
        return {name: states[name] for name in ("Accept", "Set class", "Reject", "Undo")}

    choose(window, rows["cell"])
    assert offered() == {"Accept": False, "Set class": True, "Reject": False, "Undo": False}
    choose(window, rows["cell"], rows["suggestion"])
    assert offered() == {"Accept": True, "Set class": True, "Reject": True, "Undo": False}
    window.commands.run("suggestion.accept")
    settle(window, qtbot)
    assert offered()["Undo"]


def test_a_blind_reader_s_gallery_shows_no_suggestion_before_the_region_is_finished(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    assert session.project is not None
    session.project.readings.use(session.project.readings.add("second", blind=True).id)
    dock.desk.commands.run("gallery.open")
    window = dock.desk.gallery.window
    assert window is not None
    settle(window, qtbot)
    assert window.gallery.shown == []
    session.regions.add(Shape.rectangle(0, 0, 45, 45))
    settle(window, qtbot)
    assert confidences(window) == [0.9]


@pytest.fixture
def ten_thousand(tmp_path: Path) -> Path:
    """Give a project of 40 fields with 250 suggestions each."""
    for number in range(40):
        pixels = np.full((256, 320, 3), 100 + number, np.uint8)
        pixels[0, 0] = number
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    folder = tmp_path / "large.lld"
    with Project.create(folder, annotator="Ada") as project:
        project.fields.add(sorted(tmp_path.glob("*.png")))
        for field in project.fields.all():
            proposals = [
                Proposal(
                    (12.0 * (i % 25), 24.0 * (i // 25), 10.0, 10.0), 0.5, {"Monocyte": 0.6, "Basophil": 0.4}
                )
                for i in range(250)
            ]
            project.suggestions.replace(field.id, proposals, model_id=None)
    return folder


def test_ten_thousand_are_one_statement_and_only_what_is_in_sight_is_cut(
    dock: AnnotateDock,
    ten_thousand: Path,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    asked: list[str] = []
    entries = BulkEdits.entries

    def counted(self: BulkEdits, *args: Any, **more: Any) -> list[Entry]:
        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            asked.append(statement)

        sa.event.listen(engine(self), "before_cursor_execute", note)
        try:
            return entries(self, *args, **more)
        finally:
            sa.event.remove(engine(self), "before_cursor_execute", note)

    monkeypatch.setattr(BulkEdits, "entries", counted)
    window = opened(dock, ten_thousand, qtbot)
    assert len(window.gallery.shown) == 10_000
    assert len(asked) == 1
    reader, grid, bar = window.reader, window.grid, window.grid.verticalScrollBar()
    assert reader is not None
    assert bar is not None
    in_sight = len(grid.in_sight())
    assert 12 <= in_sight <= 120
    assert reader.cut == in_sight
    stalls, looked_at = [], in_sight
    for part in range(1, 41):  # as fast as a hand can drag
        begin = time.perf_counter()
        bar.setValue(bar.maximum() * part // 40)
        looked_at += len(grid.in_sight())
        qtbot.wait(1)
        stalls.append(time.perf_counter() - begin)
    settle(window, qtbot)
    assert reader.cut <= looked_at < 5_000
    assert all(grid.model_.crop(grid.model_.items[row]) is not None for row in grid.in_sight())
    assert grid.model_.kept <= 1500
    begin = time.perf_counter()
    window.gallery.arrange()
    again = time.perf_counter() - begin
    begin = time.perf_counter()
    grid.selectAll()
    chosen = time.perf_counter() - begin
    assert len(grid.chosen()) == 10_000
    asked.clear()
    dock.desk.session.boxes.add((1, 1, 9, 9))
    settle(window, qtbot)
    assert len(asked) == 1, "an edit reads its own field again"
    assert len(window.gallery.shown) == 10_001
    assert len(grid.chosen()) == 10_000, "what was chosen stays chosen"
    record_property("longest scroll step, ms", round(max(stalls) * 1000))
    record_property("sort and show 10,000, ms", round(again * 1000))
    record_property("choose 10,000, ms", round(chosen * 1000))
    record_property("crops cut", reader.cut)


def test_a_field_that_cannot_be_read_is_a_grey_crop(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    for file in (small_project / "fields.zarr" / "1").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    window = opened(dock, small_project, qtbot)
    assert len(window.gallery.shown) == 3
    assert window.reader is not None
    assert window.reader.cut == 0
    assert not window.grid.model_.lacking(window.gallery.shown), "it is not asked for again and again"


def test_closing_the_project_or_the_desk_closes_it(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    window = opened(dock, small_project, qtbot)
    reader = window.reader
    assert reader is not None
    dock.desk.session.close()
    assert not window.isVisible()
    assert not reader.is_alive()
    window = opened(dock, small_project, qtbot)
    assert len(window.gallery.shown) == 3
    qtbot.keyClick(window.grid, Qt.Key.Key_Escape)
    assert not window.isVisible()
    assert window.reader is None
    dock.desk.commands.run("gallery.open")
    reader = window.reader
    dock.release()  # in the middle of reading
    assert reader is not None
    assert not reader.is_alive()


def test_a_group_a_missing_word_and_what_was_never_taught_are_no_disagreement() -> None:
    schema = load_schema("lld")
    classes = {"Myeloblast": 0.5, "Lymphoblast": 0.4, "Neutrophil": 0.1}
    size = {"cell_size": {"small": 0.9, "large": 0.1}}

    def found(cell_class: str | None, **attributes: str) -> Disagreement | None:
        entry = Entry("cell", 1, 1, (0, 0, 9, 9), cell_class, attributes, class_probabilities=classes,
                      attribute_probabilities=size)  # fmt: skip
        return disagreement(entry, schema)

    blast = found("blast")
    assert blast is not None
    assert blast == (pytest.approx(0.1), "", 0.0)
    assert found("Myeloblast") == (pytest.approx(0.5), "", 0.0), "the label is the most probable class"
    assert found("Lymphoblast") == (pytest.approx(0.6), "Myeloblast", 0.5)
    assert found("Basophil") is None
    assert found(None) is None
    assert found("unsure") is None
    assert found("blast", cell_size="large") == (pytest.approx(0.9), "Cell size: Small", 0.9)
    # the class agrees at 50%, the size does not: what is contradicted is told
    assert found("Myeloblast", cell_size="large") == (pytest.approx(0.9), "Cell size: Small", 0.9)
    assert found("Lymphoblast", cell_size="small") == (pytest.approx(0.6), "Myeloblast", 0.5)
    assert found(None, cell_size="medium") is None


def test_a_crop_at_the_field_s_edge_keeps_the_cell_in_its_middle() -> None:
    (x, y, w, h), (left, top, right, bottom) = crop_window((0.0, 90.0, 20.0, 10.0), 120, 100)
    assert (x, y, x + w, y + h) == (0, 81, 24, 100)
    assert (left, top, right, bottom) == (4, 0, 0, 9)
    assert w + left + right == h + top + bottom == 28


def test_what_is_read_says_what_it_is_sorted_by(
    small_project: Path, suggest: Callable[[Path], list[int]]
) -> None:
    suggest(small_project)
    with Project.open(small_project) as project:
        items = read_items(project, None)
    assert len(items) == 3
    assert {item.word for item in items} == {"Neutrophil"}
    assert all(0 < (item.doubt or 0) < 1.5 for item in items)


def test_a_label_that_is_the_model_s_most_probable_class_bears_no_mark(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    """Label and model said *Eosinophil*, at 40%: the crop was marked ≠."""
    with Project.open(small_project, annotator="Ada") as project:
        field = project.fields.all()[0].id
        chances = {"Eosinophil": 0.4, "Neutrophil": 0.35, "Monocyte": 0.25}
        places = [(10.0 + 30 * i, 10.0, 20.0, 20.0) for i in range(3)]
        project.suggestions.replace(field, [Proposal(place, 0.9, chances) for place in places], model_id=None)
        project.cells.add(field, places[0], cell_class="Eosinophil")
        project.cells.add(field, places[1], cell_class="Monocyte")
    window = opened(dock, small_project, qtbot)
    pick(window, "show", Show.CELLS)
    pick(window, "order", GalleryOrder.DISAGREEMENT)
    model = window.grid.model_
    assert [model.aside(item) for item in window.gallery.shown] == ["≠ Eosinophil", ""]
    assert "predicts Eosinophil at 40%; your label has 25%" in model.provenance(window.gallery.shown[0])
    pick(window, "show", Show.WAITING)
    assert [model.aside(item) for item in window.gallery.shown] == ["36%"] * 3


def test_keys_without_a_selection_are_answered_in_the_gallery_s_words(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    """They had been told to click on a cell or to draw a box."""
    suggest(small_project)
    window = opened(dock, small_project, qtbot)
    told = listen(dock.desk.session)
    choose(window)
    for key, modifier in (
        (Qt.Key.Key_3, Qt.KeyboardModifier.NoModifier),
        (Qt.Key.Key_M, Qt.KeyboardModifier.ShiftModifier),
        (Qt.Key.Key_A, Qt.KeyboardModifier.NoModifier),
        (Qt.Key.Key_X, Qt.KeyboardModifier.NoModifier),
    ):
        told.clear()
        qtbot.keyClick(window.grid, key, modifier)
        assert told
        assert told[-1].startswith("Select crops first: click one")
    pick(window, "show", Show.REJECTED)
    qtbot.keyClick(window.grid, Qt.Key.Key_A)
    assert told[-1] == "No crops here: choose other cells above."


def test_a_line_searches_the_gallery_and_names_the_word_it_does_not_know(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> None:
    suggest(small_project)
    with Project.open(small_project, annotator="Ada") as project:
        project.cells.add(1, (5, 60, 20, 20), cell_class="Monocyte", comment="a twin")
    window = opened(dock, small_project, qtbot)
    assert len(window.gallery.shown) == 4
    assert window.commands.run("gallery.search")
    line = window.search_line.line
    line.setText("class:monocyte twin")
    window.search_line.apply()
    assert [item.word for item in window.gallery.shown] == ["Monocyte"]
    line.setText("class:monoclonal")
    window.search_line.apply()
    assert "monoclonal" in window.search_line.problem.text()
    assert "Monocyte" in window.search_line.problem.text()
    assert len(window.gallery.shown) == 1, "what was found stays while the query cannot be read"
    qtbot.keyClick(line, Qt.Key.Key_Escape)
    assert (line.text(), window.search_line.problem.text()) == ("", "")
    assert len(window.gallery.shown) == 4
    qtbot.keyClicks(line, "kind:sugg")
    assert window.search_line.proposed.stringList() == ["kind:suggestion"]
    window.search_line.complete("kind:suggestion")
    window.search_line.apply()
    assert len(window.gallery.shown) == 3
