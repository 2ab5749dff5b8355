"""Small screens, large letters: nothing is off the screen, and nothing jumps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, QPointF, QRect, QSize, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QApplication,
    QBoxLayout,
    QCheckBox,
    QComboBox,
    QDialog,
    QLabel,
    QLineEdit,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from annotation_store import Project, Proposal
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.i18n.translate import use_language
from napari_lld.session.field_order import FieldOrder
from napari_lld.widgets.base import room
from napari_lld.widgets.base.parts import Part, confirm_buttons, label, row
from napari_lld.widgets.base.room import FoldingRow, Scrolling, keep_on_screen
from napari_lld.widgets.base.theme import HINT_PADDING
from napari_lld.widgets.dock.foot import Foot
from napari_lld.window import keep_frame_on_screen
from tests.napari_lld.all_dialogs import all_dialogs, windows_of_slides
from tests.napari_lld.cut_texts import cut_texts

SMALL = QSize(853, 480)
"""1280 × 720 at 150 %, in logical pixels."""


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Callable[[QSize], None]:
    def be(size: QSize) -> None:
        monkeypatch.setattr(room, "available", lambda _widget: size)
        for module in ("controllers.dock", "widgets.gallery.gallery_window"):
            monkeypatch.setattr(f"napari_lld.{module}.available", lambda _widget: size)

    return be


@pytest.fixture
def letters() -> Iterator[Callable[[float], None]]:
    """Give a function that makes the letters of the program larger."""
    usual = QApplication.font()

    def larger(times: float) -> None:
        font = QApplication.font()
        font.setPointSizeF(usual.pointSizeF() * times)
        QApplication.setFont(font)

    yield larger
    QApplication.setFont(usual)


@pytest.fixture
def open_dock(dock: AnnotateDock, small_project: Path, qtbot: QtBot) -> AnnotateDock:
    assert dock.desk.session.open(small_project, annotator="Ada")
    qtbot.wait(120)
    return dock


# ---------------------------------------------------------------------- the dock


def test_the_dock_leaves_most_of_a_small_screen_to_the_field(
    open_dock: AnnotateDock, screen: Callable[[QSize], None]
) -> None:
    screen(SMALL)
    assert open_dock.sizeHint().width() <= 0.4 * SMALL.width()
    assert open_dock.minimumSizeHint().width() <= 0.4 * SMALL.width()
    assert open_dock.minimumSizeHint().height() <= 0.5 * SMALL.height()
    screen(QSize(1920, 1080))
    assert open_dock.sizeHint().width() == 420


def test_every_control_of_the_dock_can_be_scrolled_to(open_dock: AnnotateDock, qtbot: QtBot) -> None:
    area = open_dock.findChild(Scrolling)
    assert area is not None
    for width in (341, 420):
        open_dock.resize(width, 400)
        for show in (open_dock.show_count_tab, open_dock.show_model_tab, open_dock.show_suggestions_tab):
            show()
            qtbot.wait(20)
            assert area.horizontalScrollBar().maximum() == 0, "nothing is cut at the right"
            content, seen = area.widget().height(), area.viewport().height()
            assert area.verticalScrollBar().maximum() == content - seen > 0


def test_the_dock_needs_the_same_room_whatever_it_shows(open_dock: AnnotateDock, qtbot: QtBot) -> None:
    sizes = set()
    for show in (open_dock.show_count_tab, open_dock.show_model_tab, open_dock.show_suggestions_tab):
        show()
        qtbot.wait(20)
        size = open_dock.minimumSizeHint()
        sizes.add((size.width(), size.height()))
    open_dock.desk.session.close()
    size = open_dock.minimumSizeHint()
    sizes.add((size.width(), size.height()))
    assert len(sizes) == 1


def test_in_the_window_that_napari_opens_on_720_pixels_the_dock_need_not_be_scrolled(
    open_dock: AnnotateDock, qtbot: QtBot
) -> None:
    open_dock.resize(420, 615)
    qtbot.wait(20)
    area = open_dock.findChild(Scrolling)
    assert area is not None
    assert area.verticalScrollBar().maximum() == 0


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("preset", ["lld", "wbcatt"])
def test_on_720_pixels_four_fields_are_seen_with_all_that_labels_a_cell(
    preset: str,
    language: str,
    dock: AnnotateDock,
    tmp_path: Path,
    more_fields: Callable[[Path, list[str]], None],
    qtbot: QtBot,
) -> None:
    folder = tmp_path / "film.lld"
    with Project.create(folder, preset, annotator="Ada") as project:
        Image.fromarray(np.full((100, 120, 3), 220, dtype=np.uint8)).save(tmp_path / "field.png")
        project.fields.add([tmp_path / "field.png"])
    more_fields(folder, [f"more_{number:02d}.png" for number in range(9)])
    session = dock.desk.session
    session.preferences.language = language
    dock.resize(420, 630)  # of a window as large as the screen, with title bar, menu and status bar
    assert session.open(folder, annotator="Ada")
    session.boxes.add((10, 10, 20, 20))
    qtbot.wait(100)
    use_language("en")
    area, view = dock.findChild(Scrolling), dock.findChild(QTableView, "lld_field_view")
    assert area is not None
    assert view is not None
    assert area.verticalScrollBar().maximum() == 0, "all is there without scrolling"
    height = view.viewport().height()
    assert height // view.rowHeight(0) >= 4
    assert view.rowHeight(0) >= view.fontMetrics().height()
    dock.resize(420, 900)
    qtbot.wait(20)
    assert view.rowHeight(0) == 33, "where there is room, with a picture and a second line"
    assert view.viewport().height() // 33 >= 4


def test_nothing_moves_when_a_job_or_a_training_starts(open_dock: AnnotateDock, qtbot: QtBot) -> None:
    from threading import Event

    open_dock.show_model_tab()
    open_dock.resize(420, 640)
    qtbot.wait(20)
    parts = [part for part in open_dock._parts() if part.isVisible()]
    ended = Event()

    def places() -> list[object]:
        qtbot.wait(80)
        return [(type(part), part.mapTo(open_dock, QPoint(0, 0)), part.size()) for part in parts]

    before = places()
    open_dock.desk.jobs.start("Waiting", lambda _tell: ended.wait(5), lambda _told: None, lambda _why: None)
    open_dock.desk.session.training.state.begin("train")
    try:
        assert places() == before
    finally:
        ended.set()
        open_dock.desk.session.training.state.end("")
        qtbot.waitUntil(lambda: not open_dock.desk.jobs.busy)
    assert places() == before


def test_a_window_leaves_room_for_the_frame_that_the_window_manager_gives_it(qtbot: QtBot) -> None:
    class Framed(QWidget):
        def frameGeometry(self) -> QRect:
            return self.geometry().adjusted(-1, -20, 1, 1)

    window = Framed()
    qtbot.addWidget(window)
    screen = window.screen().availableGeometry().size()
    window.resize(screen)
    keep_frame_on_screen(window)
    assert window.frameGeometry().size() == screen
    window.resize(400, 300)
    keep_frame_on_screen(window)
    assert window.size() == QSize(400, 300)


def _places_of_parts(dock: AnnotateDock, width: int, qtbot: QtBot) -> Callable[[], list[object]]:
    """Show the dock; return what measures the parts that are visible now."""
    dock.resize(width, 690)
    dock.show()
    qtbot.wait(80)
    parts = [part for part in dock.findChildren(Part) if part.isVisible()]

    def places() -> list[object]:
        qtbot.wait(80)
        return [(type(part), part.mapTo(dock, QPoint(0, 0)), part.size()) for part in parts]

    return places


def test_nothing_moves_when_a_cell_is_chosen(open_dock: AnnotateDock, qtbot: QtBot) -> None:
    places = _places_of_parts(open_dock, 420, qtbot)
    before = places()
    open_dock.desk.session.boxes.add((10, 10, 20, 20))
    assert places() == before


def test_nothing_moves_when_the_next_suggestion_is_said_in_more_words(
    open_dock: AnnotateDock, qtbot: QtBot
) -> None:
    session = open_dock.desk.session
    assert session.project is not None
    share = {"Abnormal promyelocyte": 0.5, "Atypical lymphocyte": 0.3, "Metamyelocyte": 0.2}
    proposals = [
        Proposal((10.0, 10.0, 20.0, 20.0), 0.9, {"Monocyte": 1.0}),
        Proposal((50.0, 10.0, 20.0, 20.0), 0.8, share),
    ]
    session.project.suggestions.replace(session.fields.current_id or 0, proposals, model_id=None)
    places = _places_of_parts(open_dock, 340, qtbot)
    session.review.next()
    before = places()
    session.review.next()
    assert places() == before
    thoughts = next(
        text for text in open_dock.findChildren(QLabel) if text.text().startswith("White cell 80%")
    )
    first, second = QLabel.text(thoughts).split("\n")
    assert first.endswith("…")
    assert second.startswith("Probabilities")
    assert "Metamyelocyte 16%" in thoughts.toolTip()


def test_a_hint_that_is_a_little_too_long_is_written_in_narrower_letters(
    open_dock: AnnotateDock, qtbot: QtBot
) -> None:
    hint, notify = open_dock.findChild(Foot).line, open_dock.desk.session.notify
    open_dock.resize(420, 690)
    open_dock.show()
    qtbot.wait(20)
    room = hint.width() - 2 * HINT_PADDING - 4
    sentence = ""
    while hint.fontMetrics().horizontalAdvance(sentence) < 1.1 * room:
        sentence += "word "
    notify("hint", sentence.strip())
    assert QLabel.text(hint) == sentence.strip()
    assert 80 <= hint.font().stretch() < 100
    assert hint.fontMetrics().horizontalAdvance(QLabel.text(hint)) <= room + 2
    notify("hint", "Done.")
    assert hint.font().stretch() == 100
    open_dock.resize(900, 690)
    notify("hint", sentence.strip())
    assert hint.font().stretch() == 100
    open_dock.resize(420, 690)
    qtbot.wait(20)
    assert QLabel.text(hint) == sentence.strip(), "it follows the width of the dock"


def test_a_hint_that_is_too_long_ends_in_an_ellipsis_and_has_all_in_its_tooltip(
    open_dock: AnnotateDock, qtbot: QtBot
) -> None:
    hint = open_dock._foot.line
    open_dock.resize(420, 690)
    open_dock.show()
    sentence = "All that is not boxed in it counts as background, " * 4
    for cut in range(12):  # wherever the edge falls within a letter
        open_dock._on_hint(sentence[cut:])
        shown = QLabel.text(hint)
        assert shown.endswith("…")
        room = hint.width() - 2 * HINT_PADDING
        assert hint.fontMetrics().horizontalAdvance(shown) <= room, "the frame's padding takes its share"
        assert hint.toolTip() == sentence[cut:]


def test_the_wheel_scrolls_the_dock_and_changes_no_value(open_dock: AnnotateDock, qtbot: QtBot) -> None:
    open_dock.resize(420, 400)
    open_dock.show_model_tab()
    qtbot.wait(20)
    budget = open_dock.findChild(QComboBox, "lld_budget")
    assert budget is not None
    place = QPointF(5, 5)
    event = QWheelEvent(
        place,
        QPointF(budget.mapToGlobal(place.toPoint())),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    before = budget.currentIndex()
    QApplication.sendEvent(budget, event)
    assert budget.currentIndex() == before
    assert not event.isAccepted()  # it goes on to the area


def test_the_list_scrolls_to_the_current_field(
    dock: AnnotateDock,
    small_project: Path,
    more_fields: Callable[[Path, list[str]], None],
    qtbot: QtBot,
) -> None:
    more_fields(small_project, [f"more_{number:02d}.png" for number in range(40)])
    session = dock.desk.session
    assert session.open(small_project)
    view = dock.findChild(QTableView, "lld_field_view")
    assert view is not None

    def seen() -> bool:
        qtbot.wait(90)
        place = view.visualRect(view.currentIndex())
        assert view.currentIndex().row() == session.fields.place_of(session.fields.current_id)
        return view.viewport().rect().contains(place.center())

    session.fields.show(session.fields.listed[25])
    assert seen()
    session.fields.order = (
        FieldOrder.NAME if session.fields.order is not FieldOrder.NAME else next(iter(FieldOrder))
    )
    assert seen()
    session.fields.next()
    assert seen()
    for height in (500, 900, 500):  # rows of one line and of two
        dock.resize(420, height)
        assert seen()
    session.close()
    assert session.open(small_project)  # where it was left
    assert session.fields.place_of(session.fields.current_id) > 20
    assert seen()


def test_a_fitted_field_stays_fitted_and_a_moved_view_stays_where_it_is(
    dock: AnnotateDock, small_project: Path
) -> None:
    viewer = dock.desk.viewer
    assert dock.desk.session.open(small_project)
    camera = viewer.scene.camera
    viewer.canvas.size = (300, 300)
    small = camera.zoom
    viewer.canvas.size = (600, 600)
    assert camera.zoom == pytest.approx(2 * small)
    camera.zoom = 7.0
    viewer.canvas.size = (500, 500)
    assert camera.zoom == 7.0


def test_a_row_folds_where_it_is_too_narrow(qtbot: QtBot) -> None:
    left, right = QLabel("on the left " * 3), QLabel("on the right " * 3)
    parent = QWidget()
    qtbot.addWidget(parent)
    folding = FoldingRow(row(left), row(right))
    folding.setParent(parent)
    parent.show()
    folding.resize(900, 60)
    assert left.y() == right.y()
    folding.resize(folding.minimumSizeHint().width(), 60)
    qtbot.waitUntil(lambda: right.y() > left.y())
    assert right.x() == left.x()


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_row_of_the_dock_folds_before_a_text_in_it_is_cut(
    language: str, open_dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]]
) -> None:
    session = open_dock.desk.session
    suggest(small_project)
    session.preferences.language = language
    session.refresh()
    cut, folded = set(), set()
    for show in (open_dock.show_suggestions_tab, open_dock.show_model_tab, open_dock.show_count_tab):
        show()
        for width in range(470, 318, -6):
            open_dock.resize(width, 760)
            for _ in range(4):  # layouts ask for another one
                QApplication.processEvents()
            for place, folding in enumerate(open_dock.findChildren(FoldingRow)):
                layout = folding.layout()
                assert isinstance(layout, QBoxLayout)
                if layout.direction() == QBoxLayout.Direction.TopToBottom:
                    folded.add(place)
                cut |= {(width, text) for text in cut_texts(folding)}
                cut |= {
                    (width, shown) for shown in map(QLabel.text, folding.findChildren(QLabel)) if "…" in shown
                }
    use_language("en")
    assert len(folded) >= 3
    assert not cut


def test_a_choice_is_as_wide_as_what_is_chosen(open_dock: AnnotateDock, qtbot: QtBot) -> None:
    open_dock.show_count_tab()
    open_dock.resize(340, 760)
    scope = open_dock.findChild(QComboBox, "lld_scope")
    assert scope is not None
    scope.addItem("A choice that is longer than all others")
    for number in range(scope.count()):
        scope.setCurrentIndex(number)
        qtbot.wait(5)
        assert not cut_texts(scope), scope.currentText()


# ---------------------------------------------------------------------- dialogs


@pytest.mark.parametrize(
    ("size", "times"), [(SMALL, 1.0), (QSize(1280, 720), 1.5), (QSize(1366, 768), 2.0)], ids=str
)
def test_every_dialog_fits_the_screen_with_its_buttons(
    size: QSize,
    times: float,
    screen: Callable[[QSize], None],
    letters: Callable[[float], None],
    dock: AnnotateDock,
    small_project: Path,
    tmp_path: Path,
    qtbot: QtBot,
) -> None:
    from qtpy.QtWidgets import QAbstractButton

    screen(size)
    letters(times)
    with Project.open(small_project) as project:
        for dialog in all_dialogs(dock, project, tmp_path):
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
            keep_on_screen(dialog)
            dialog.show()
            qtbot.wait(1)
            name = type(dialog).__name__
            assert dialog.width() <= size.width(), name
            assert dialog.height() <= size.height(), name
            scrolls = dialog.findChild(Scrolling)
            assert scrolls is not None
            last = [b for b in dialog.findChildren(QAbstractButton) if b.isVisible()]
            last = [b for b in last if not scrolls.isAncestorOf(b)]
            assert last, f"{name} has no button below its contents"
            assert all(dialog.rect().contains(b.mapTo(dialog, b.rect().center())) for b in last), name
            dialog.close()
            dialog.deleteLater()


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("size", [SMALL, QSize(1366, 768)], ids=str)
def test_no_text_of_a_dialog_is_cut(
    size: QSize,
    language: str,
    screen: Callable[[QSize], None],
    dock: AnnotateDock,
    small_project: Path,
    tmp_path: Path,
    qtbot: QtBot,
) -> None:
    screen(size)
    session = dock.desk.session
    assert session.open(small_project, annotator="Ada")
    session.preferences.language = language
    cut = {}
    with Project.open(small_project, annotator="Ada") as project:
        for dialog in (*all_dialogs(dock, project, tmp_path), *windows_of_slides()):
            dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose, False)
            keep_on_screen(dialog)
            dialog.show()
            qtbot.wait(10)
            if found := cut_texts(dialog):
                cut[type(dialog).__name__] = found
            dialog.close()
            dialog.deleteLater()
    for ask in ("fields.filter", "field.go"):
        dock.desk.commands.run(ask)
        popup = QApplication.activePopupWidget()
        assert popup is not None
        if found := cut_texts(popup):
            cut[ask] = found
        popup.close()
    use_language("en")
    assert not cut


def test_what_is_cut_is_found(qtbot: QtBot) -> None:
    """What looks for cut texts sees each kind of them."""
    parent = QWidget()
    qtbot.addWidget(parent)
    choice, line, wrapped = QComboBox(parent), QLineEdit(parent), QLabel("many words " * 9, parent)
    choice.addItem("A long choice")
    line.setPlaceholderText("What may be written here")
    wrapped.setWordWrap(True)
    everything = [choice, line, wrapped, QLabel("A long text", parent), QPushButton("Do something", parent)]
    everything.append(QCheckBox("A long condition", parent))
    for number, widget in enumerate(everything):
        widget.setGeometry(0, 30 * number, 60, 24)
    parent.resize(400, 300)
    parent.show()
    assert len(cut_texts(parent)) == len(everything)
    for widget in everything:
        widget.setGeometry(0, 0, 390, 60)
    assert not cut_texts(parent)
    parent.resize(200, 300)
    assert len(cut_texts(parent)) == len(everything), "what lies outside cannot be read either"


def test_a_dialog_with_room_is_as_large_as_ever_and_grows_with_what_it_says(qtbot: QtBot) -> None:
    def made() -> tuple[QDialog, QLabel]:
        dialog = QDialog()
        qtbot.addWidget(dialog)
        layout = QVBoxLayout(dialog)
        told = label("One line.")
        layout.addWidget(told)
        layout.addWidget(confirm_buttons(dialog)[0])
        return dialog, told

    plain, _ = made()
    kept, told = made()
    keep_on_screen(kept)
    keep_on_screen(kept)  # twice is once
    for dialog in (plain, kept):
        dialog.show()
    assert abs(plain.height() - kept.height()) <= 2
    before = kept.height()
    told.setMinimumHeight(200)
    qtbot.waitUntil(lambda: kept.height() > before + 100)


def test_a_dialog_opens_without_bars_and_grows_where_the_screen_has_room(
    screen: Callable[[QSize], None], qtbot: QtBot
) -> None:
    """Qt opens a window no larger than two thirds of the screen, and leaves it as it is."""
    screen(QSize(800, 800))
    dialog = QDialog()
    qtbot.addWidget(dialog)
    layout = QVBoxLayout(dialog)
    wide = label("Wide")
    wide.setMinimumSize(650, 650)
    layout.addWidget(wide)
    layout.addWidget(confirm_buttons(dialog)[0])
    keep_on_screen(dialog)
    dialog.show()
    area = dialog.findChild(Scrolling)
    assert area is not None

    def bars() -> int:
        return int(area.verticalScrollBar().maximum() + area.horizontalScrollBar().maximum())

    qtbot.waitUntil(lambda: bars() == 0)
    wide.setMinimumSize(700, 670)
    qtbot.waitUntil(lambda: dialog.width() >= 700 and bars() == 0)
    wide.setMinimumSize(690, 2000)
    qtbot.waitUntil(lambda: dialog.height() > 700)
    assert dialog.height() <= 800
    assert area.horizontalScrollBar().maximum() == 0, "the bar has its own room"


def test_the_gallery_and_the_filter_fit_a_small_screen(
    open_dock: AnnotateDock, screen: Callable[[QSize], None], qtbot: QtBot
) -> None:
    screen(SMALL)
    open_dock.desk.commands.run("gallery.open")
    window: Any = open_dock.desk.gallery.window
    assert isinstance(window, QWidget)
    assert window.minimumSizeHint().width() <= SMALL.width()
    assert window.minimumSizeHint().height() <= SMALL.height()
    assert window.width() <= SMALL.width()
    assert window.height() <= SMALL.height()
    open_dock.move(5000, 5000)
    open_dock.desk.commands.run("fields.filter")
    popup = QApplication.activePopupWidget()
    assert popup is not None
    assert popup.screen().availableGeometry().contains(popup.geometry())
    popup.close()


def test_a_viewer_without_a_field_is_left_alone() -> None:
    from napari_lld.layers.fitting import Fit

    viewer = ViewerModel()
    fit = Fit(viewer)
    viewer.scene.camera.zoom = 3.0
    viewer.canvas.size = (300, 200)
    assert viewer.scene.camera.zoom == 3.0
    fit.close()


def test_contents_that_grew_before_they_were_shown_are_laid_out_at_their_size(qtbot: QtBot) -> None:
    content = QWidget()
    QVBoxLayout(content).addWidget(QCheckBox("Blind"))
    area = Scrolling(content)
    qtbot.addWidget(area)
    area.resize(600, 200)
    area.grab()
    layout = content.layout()
    assert layout is not None
    layout.setGeometry(QRect(0, 0, 100, 100))  # as Qt leaves it where a style makes a dialog wider
    area.show()
    assert layout.geometry() == content.rect()
