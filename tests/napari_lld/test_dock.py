"""The dock and its parts, on a viewer without a window."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QComboBox, QLabel, QPushButton, QSlider, QTableView

from annotation_store import Project, Shape
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.options import ExportOptions
from napari_lld.session.session import Session
from napari_lld.widgets.base.choice_button import ChoiceButton

from .conftest import button

Suggest = Callable[[Path], list[int]]


@pytest.fixture
def open_dock(dock: AnnotateDock, small_project: Path, qtbot: QtBot) -> AnnotateDock:
    assert dock.desk.session.open(small_project, annotator="Ada")
    settle(qtbot)
    return dock


def settle(qtbot: QtBot) -> None:
    qtbot.wait(120)  # parts refresh once the events under way have been told


def texts(dock: AnnotateDock) -> str:
    return "\n".join(label.text() for label in dock.findChildren(QLabel) if label.isVisible())


def click(qtbot: QtBot, dock: AnnotateDock, name: str) -> None:
    qtbot.mouseClick(button(dock, name), Qt.MouseButton.LeftButton)
    settle(qtbot)


def test_importing_the_plugin_imports_no_torch() -> None:
    code = "import sys, napari_lld.widgets; print('torch' in sys.modules, 'ultralytics' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["False", "False"]


def test_it_begins_with_a_start_page(dock: AnnotateDock) -> None:
    shown = texts(dock)
    assert "Research use only, not for diagnosis" in shown
    assert "None yet." in shown
    for name in ("project.new", "project.open", "project.sample"):
        assert button(dock, name).isVisible()


def test_a_recent_project_opens_with_one_click(dock: AnnotateDock, small_project: Path, qtbot: QtBot) -> None:
    session = dock.desk.session
    session.open(small_project)
    session.close()
    settle(qtbot)
    entry = next(b for b in dock.findChildren(QAbstractButton) if b.text().startswith("small "))
    qtbot.mouseClick(entry, Qt.MouseButton.LeftButton)
    assert session.project is not None


def test_the_open_project_shows_who_and_what(open_dock: AnnotateDock) -> None:
    shown = texts(open_dock)
    assert "small" in shown
    assert "Research use only" in shown
    assert button(open_dock, "annotator.change").text() == "Annotator Ada"
    assert "Fields · 2" in shown


def test_class_and_all_attributes_fit_without_scrolling(open_dock: AnnotateDock) -> None:
    """In the 703 pixels that the dock gets of a window of 1366 × 768."""
    for choice in open_dock.findChildren(ChoiceButton):
        corner = choice.mapTo(open_dock, choice.rect().bottomRight())
        assert choice.isVisible()
        assert open_dock.rect().contains(corner), choice.text()
    assert open_dock.minimumSizeHint().height() <= 703
    assert open_dock.minimumSizeHint().width() <= 430


def test_a_cell_is_described_with_the_mouse(open_dock: AnnotateDock, qtbot: QtBot) -> None:
    session = open_dock.desk.session
    session.boxes.add((10, 10, 20, 20))
    settle(qtbot)
    click(qtbot, open_dock, "class_Neutrophil")
    click(qtbot, open_dock, "value_nucleolus_prominent")
    click(qtbot, open_dock, "value_cytoplasm_unsure")
    assert session.selection.cell is not None
    assert session.selection.cell.cell_class == "Neutrophil"
    assert dict(session.selection.cell.attributes) == {"nucleolus": "prominent", "cytoplasm": "unsure"}
    assert button(open_dock, "class_Neutrophil").isChecked()
    assert button(open_dock, "value_nucleolus_prominent").isChecked()
    assert not button(open_dock, "value_nucleolus_inconspicuous").isChecked()
    click(qtbot, open_dock, "value_nucleolus_prominent")  # a second click takes it back
    assert "nucleolus" not in session.selection.cell.attributes


def test_an_artefact_has_no_attributes_to_give(open_dock: AnnotateDock, qtbot: QtBot) -> None:
    session = open_dock.desk.session
    session.boxes.add((10, 10, 20, 20))
    session.labels.set_class("None")
    settle(qtbot)
    assert not button(open_dock, "value_nucleolus_prominent").isEnabled()


def test_without_a_cell_nothing_can_be_chosen(open_dock: AnnotateDock) -> None:
    assert not button(open_dock, "class_Neutrophil").isEnabled()
    assert "No cell selected" in texts(open_dock)


def test_a_suggestion_shows_what_the_model_thinks(
    open_dock: AnnotateDock, small_project: Path, suggest: Suggest, qtbot: QtBot
) -> None:
    session = open_dock.desk.session
    suggest(small_project)
    session.refresh()
    session.review.next()
    settle(qtbot)
    shown = texts(open_dock)
    assert "3 of 3 here" in shown
    not_checked = "Probabilities not yet checked on your films"
    assert f"White cell 90% · Neutrophil 81%, Monocyte 9%\n{not_checked}" in shown
    proposed = button(open_dock, "class_Neutrophil")
    assert isinstance(proposed, ChoiceButton)
    assert proposed.suggested
    assert not proposed.isChecked()
    assert proposed.probability == pytest.approx(0.81)
    click(qtbot, open_dock, "suggestion.accept")
    assert len(session.marks.cells) == 1
    click(qtbot, open_dock, "reject")
    assert len(session.suggestions.shown) == 1
    menu = button(open_dock, "reject").menu()  # type: ignore[attr-defined]
    assert [a.text().split("\t")[0] for a in menu.actions()] == ["Not a cell", "Duplicate", "Bad box"]


def test_there_is_nothing_to_accept_without_a_suggestion_or_a_candidate(
    open_dock: AnnotateDock, small_project: Path, suggest: Suggest, qtbot: QtBot
) -> None:
    session = open_dock.desk.session
    buttons = open_dock.findChildren(QPushButton, "lld_suggestion.accept")
    (accept,) = (button for button in buttons if button.isVisibleTo(open_dock))
    settle(qtbot)
    assert not accept.isEnabled()
    suggest(small_project)
    session.refresh()
    settle(qtbot)
    assert accept.isEnabled()
    session.marks.threshold = 0.99
    settle(qtbot)
    assert not accept.isEnabled(), "none is shown"


def test_entries_of_a_menu_are_offered_while_they_can_be_done(open_dock: AnnotateDock) -> None:
    session, menu = open_dock.desk.session, button(open_dock, "tool.region").menu()  # type: ignore[attr-defined]
    entries = {action.text().split("\t")[0]: action for action in menu.actions()}
    menu.aboutToShow.emit()
    assert not entries["Make the region a draft again"].isEnabled()
    session.regions.add_whole_field()
    session.selection.select("region", session.marks.regions[0].id)
    menu.aboutToShow.emit()
    assert entries["Make the region a draft again"].isEnabled()


def test_the_slider_is_the_threshold(
    open_dock: AnnotateDock, small_project: Path, suggest: Suggest, qtbot: QtBot
) -> None:
    session = open_dock.desk.session
    suggest(small_project)
    session.refresh()
    slider = open_dock.findChild(QSlider, "lld_threshold")
    assert slider is not None
    slider.setValue(60)
    settle(qtbot)
    assert session.marks.threshold == 0.6
    assert "2 of 3 here" in texts(open_dock)
    session.marks.raise_threshold()
    settle(qtbot)
    assert slider.value() == 65


def test_the_list_shows_states_and_chooses_fields(open_dock: AnnotateDock, qtbot: QtBot) -> None:
    session = open_dock.desk.session
    view = open_dock.findChild(QTableView, "lld_field_view")
    assert view is not None
    model = view.model()
    assert model is not None
    index = model.index(1, 0)
    qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=view.visualRect(index).center())
    assert session.fields.current.name == "field_1.png"  # type: ignore[union-attr]
    session.regions.add_whole_field()
    settle(qtbot)
    assert "whole field reviewed" in index.data(Qt.ItemDataRole.ToolTipRole)
    session.fields.previous()
    assert view.currentIndex().row() == 0
    qtbot.waitUntil(lambda: index.data(Qt.ItemDataRole.DecorationRole) is not None, timeout=5000)


def test_it_keeps_its_width_whatever_is_said_in_it(open_dock: AnnotateDock, qtbot: QtBot) -> None:
    session = open_dock.desk.session
    session.change_annotator("Prof. Dr. Maria-Magdalena von Mustermann-Schmidtbauer")
    session.notify("hint", "a sentence that goes on and on " * 9)
    session.boxes.add((10, 10, 20, 20))
    session.labels.set_class("Abnormal promyelocyte")
    open_dock.show_count_tab()
    settle(qtbot)
    assert open_dock.minimumSizeHint().width() <= 430


def test_two_docks_never_disagree(open_dock: AnnotateDock, viewer: ViewerModel, qtbot: QtBot) -> None:
    other = AnnotateDock(viewer)
    qtbot.addWidget(other)
    other.show()
    assert other.desk is open_dock.desk
    session = open_dock.desk.session
    session.boxes.add((10, 10, 20, 20))
    settle(qtbot)
    click(qtbot, other, "class_Monocyte")
    assert button(open_dock, "class_Monocyte").isChecked()
    session.history.undo()
    settle(qtbot)
    for dock in (open_dock, other):
        assert not button(dock, "class_Monocyte").isChecked()
    other.release()
    assert session.project is not None  # the first dock still shows it
    click(qtbot, open_dock, "class_Monocyte")
    assert session.marks.cells[0].cell_class == "Monocyte"


def test_the_time_of_a_training_is_remembered_by_the_next_window(
    open_dock: AnnotateDock, qtbot: QtBot
) -> None:
    budget = open_dock.findChild(QComboBox, "lld_budget")
    assert budget is not None
    settle(qtbot)
    assert budget.currentText() == "5 minutes"
    budget.setCurrentIndex(0)
    preferences = open_dock.desk.session.preferences
    assert preferences.budget == 120, "which napari keeps"
    preferences.budget = 0  # as another window, or napari's Preferences, sets it
    settle(qtbot)
    assert budget.currentText() == "no limit"
    assert open_dock.desk.training_options() == {"budget": None}


def test_training_is_started_watched_and_stopped(open_dock: AnnotateDock, qtbot: QtBot) -> None:
    from types import SimpleNamespace

    session = open_dock.desk.session
    requests: list[object] = []
    session.training.process = SimpleNamespace(
        start=requests.append, cancel=lambda: requests.append("cancel")
    )  # type: ignore[assignment]
    session.regions.add(Shape.rectangle(0, 0, 50, 50))
    open_dock.show_model_tab()
    budget = open_dock.findChild(QComboBox, "lld_budget")
    assert budget is not None
    budget.setCurrentIndex(0)
    settle(qtbot)
    click(qtbot, open_dock, "training.start")
    assert requests[0].budget == 120  # type: ignore[attr-defined]
    session.training.state.receive(SimpleNamespace(type="started", device="cpu", fields=1, cells=0))
    session.training.state.receive(
        SimpleNamespace(
            type="progress", stage="train", done=3, total=10, seconds_left=42.0, losses={"box": 1.25}
        )
    )
    settle(qtbot)
    shown = texts(open_dock)
    assert "Training 3/10 · 42 s left · box 1.25" in shown
    assert button(open_dock, "training.start").isVisible()  # another one can queue
    click(qtbot, open_dock, "training.cancel")
    assert requests[-1] == "cancel"
    session.training.state.receive(SimpleNamespace(type="cancelled"))
    settle(qtbot)
    assert button(open_dock, "training.start").isVisible()


def test_notices_become_a_line_at_the_foot(open_dock: AnnotateDock, qtbot: QtBot) -> None:
    open_dock.desk.session.notify("hint", "Something small.")
    assert "Something small." in texts(open_dock)


def test_the_sample_project_is_made_beside_the_window(dock: AnnotateDock, qtbot: QtBot) -> None:
    session = dock.desk.session
    click(qtbot, dock, "project.sample")
    qtbot.waitUntil(lambda: session.project is not None, timeout=60_000)
    summaries = session.fields.summaries()
    assert len(summaries) == 18
    assert all(s.finished_regions == 1 for s in summaries)
    assert sum(s.cells for s in summaries) > 20


def test_images_are_added_and_cells_exported(
    open_dock: AnnotateDock, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_lld import sample
    from napari_lld.widgets.dialogs import export_dialog

    session = open_dock.desk.session
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    told: list[str] = []
    session.notice.connect(lambda _level, sentence: told.append(sentence))
    open_dock.desk.add_paths([sample.fields()[0], bad])
    qtbot.waitUntil(lambda: bool(told), timeout=20_000)
    assert told[-1].startswith("1 field added. Patients: 0 patients, 3 fields without")
    assert " 1 file skipped: see Details.\nThe image " in told[-1]
    assert told[-1].count("bad.png") == 1
    assert len(session.fields.summaries()) == 3

    out = tmp_path / "export.json"
    wanted = export_dialog.Export(out, ExportOptions(format="coco"))
    monkeypatch.setattr(export_dialog, "ask_export", lambda *_: wanted)
    click(qtbot, open_dock, "project.export")
    qtbot.waitUntil(lambda: out.exists() and not open_dock.desk.jobs.busy, timeout=20_000)
    settle(qtbot)
    assert told[-1].startswith(f"0 cells exported to {out}.")


def test_a_new_project_opens_with_its_images(
    dock: AnnotateDock, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_lld import sample
    from napari_lld.widgets.dialogs import dialogs

    wanted = dialogs.NewProject(tmp_path / "mine.lld", "wbcatt", sample.fields()[0].parent, "Ada")
    Project.create(wanted.folder, wanted.schema, annotator="Ada").close()  # as the dialog does
    monkeypatch.setattr(dialogs, "ask_new_project", lambda *_: wanted)
    click(qtbot, dock, "project.new")
    session = dock.desk.session
    qtbot.waitUntil(lambda: session.project is not None, timeout=60_000)
    settle(qtbot)
    assert session.schema.name == "wbcatt"  # type: ignore[union-attr]
    assert session.project.annotator == "Ada"  # type: ignore[union-attr]
    assert len(session.fields.summaries()) == 18
    assert dock.findChild(QAbstractButton, "lld_class_Neutrophil") is not None
    assert dock.findChild(QAbstractButton, "lld_class_Myeloblast") is None


def test_what_another_process_writes_appears_by_itself(
    open_dock: AnnotateDock, small_project: Path, suggest: Suggest, qtbot: QtBot
) -> None:
    session = open_dock.desk.session
    assert not session.suggestions.shown
    suggest(small_project)
    qtbot.waitUntil(lambda: len(session.suggestions.shown) == 3, timeout=10_000)


def test_both_themes_are_taken_over(open_dock: AnnotateDock, viewer: ViewerModel, qtbot: QtBot) -> None:
    dark = open_dock.styleSheet()
    viewer.theme = "light"
    assert open_dock.styleSheet() != dark
    assert not open_dock.findChildren(ChoiceButton)[0].colours.dark


def test_a_released_dock_hears_nothing_more(viewer: ViewerModel, small_project: Path, qtbot: QtBot) -> None:
    dock = AnnotateDock(viewer)
    qtbot.addWidget(dock)
    session = dock.desk.session
    session.open(small_project)
    project = session.project
    assert isinstance(project, Project)
    dock.release()
    assert session.project is None
    assert not viewer.layers

    def listeners(of: Session) -> list[int]:
        signals = (of.project_changed, of.fields.current_changed, of.marks.changed, of.selection.changed)
        return [len(signal) for signal in signals]

    assert listeners(session) == listeners(Session()), "only the session's own parts still listen"
    other = AnnotateDock(viewer)
    qtbot.addWidget(other)
    assert other.desk is not dock.desk
    other.release()


def test_the_new_project_dialog_answers_what_was_typed(qtbot: QtBot, tmp_path: Path) -> None:
    from napari_lld.widgets.dialogs.dialogs import NewProjectDialog

    new = NewProjectDialog()
    qtbot.addWidget(new)
    new.name.setText("ward 7")
    new.place.setText(str(tmp_path))
    QTest.keyClick(new.schema.choices, Qt.Key.Key_Down)
    answer = new.answer()
    assert answer.folder == tmp_path / "ward 7.lld"
    assert answer.schema == "wbcatt"
    assert answer.images is None


def test_a_foreign_layer_that_takes_the_keys_is_named_and_one_click_leads_back(
    open_dock: AnnotateDock, viewer: ViewerModel, qtbot: QtBot
) -> None:
    back = button(open_dock, "layers.back")
    assert not back.isVisible()
    viewer.add_points([[1, 1]], name="mine")  # napari makes it the active one
    assert "“mine”" in texts(open_dock)
    assert back.isVisible()
    click(qtbot, open_dock, "layers.back")
    assert viewer.layers.selection.active is viewer.layers["Field"]
    assert "“mine”" not in texts(open_dock)
    assert not back.isVisible()
