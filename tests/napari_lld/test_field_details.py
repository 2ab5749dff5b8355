"""Patient, slide, domain and pixel size of many fields at once, and the patient rule of a project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QLocale, Qt

from annotation_store import EditError, Project
from annotation_store.records import Field
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.widgets.fields import field_dialogs
from napari_lld.widgets.fields.field_dialogs import FieldDetailsDialog, PatientAnswer, PatientsDialog


@pytest.fixture
def six(small_project: Path, more_fields: Callable[[Path, list[str]], None]) -> Path:
    more_fields(small_project, ["P1_a.png", "P1_b.png", "P2_a.png", "x.png"])
    return small_project


def fields_of(folder: Path) -> list[Field]:
    with Project.open(folder, read_only=True) as project:
        return project.fields.all()


def details(folder: Path, qtbot: QtBot, pixel_size: str) -> FieldDetailsDialog:
    chosen = fields_of(folder)[:1]
    dialog = FieldDetailsDialog(chosen, chosen)
    qtbot.addWidget(dialog)
    dialog.lines["pixel_size_um"].clear()
    qtbot.keyClicks(dialog.lines["pixel_size_um"], pixel_size)
    return dialog


def test_many_fields_are_described_in_one_transaction(six: Path) -> None:
    with Project.open(six) as project:
        with pytest.raises(EditError, match="no field 99"):
            project.fields.update_many({1: {"patient": "P"}, 99: {"patient": "P"}})
        assert project.fields.get(1).patient is None
        edits = project.fields.update_many({i: {"patient": "P", "pixel_size_um": 0.1} for i in (1, 2, 3)})
        assert project.fields.update_many({1: {"patient": "P"}}) == []
        project.bulk_edits.undo([edit.id for edit in edits])
        assert project.fields.patients() == []


def test_the_dialog_changes_only_what_was_written(six: Path, qtbot: QtBot) -> None:
    with Project.open(six) as project:
        project.fields.update_many({1: {"patient": "A", "slide": "s"}, 2: {"patient": "B", "slide": "s"}})
    chosen = fields_of(six)[:2]
    dialog = FieldDetailsDialog(chosen, chosen)
    qtbot.addWidget(dialog)
    lines = dialog.lines
    assert (lines["patient"].text(), lines["patient"].placeholderText()) == ("", "several, left unchanged")
    assert lines["slide"].text() == "s"
    assert dialog.answer() == {}
    qtbot.keyClicks(lines["pixel_size_um"], "a")
    assert not dialog.ok.isEnabled()
    lines["pixel_size_um"].clear()
    qtbot.keyClicks(lines["pixel_size_um"], "0.25")
    lines["slide"].selectAll()
    qtbot.keyClick(lines["slide"], Qt.Key.Key_Delete)
    assert dialog.ok.isEnabled()
    assert dialog.answer() == {i: {"slide": None, "pixel_size_um": 0.25} for i in (1, 2)}


@pytest.mark.parametrize("language", ["de_DE", "en_US"])
@pytest.mark.parametrize(
    ("written", "meant"),
    [("0.065", 0.065), ("0,065", 0.065), ("0,125", 0.125), (".5", 0.5), ("1,", 1.0), ("65e-3", 0.065)],
)
def test_point_and_comma_are_decimal_signs_in_every_language(
    language: str, written: str, meant: float, six: Path, qtbot: QtBot
) -> None:
    usual = QLocale()
    QLocale.setDefault(QLocale(language))
    try:
        dialog = details(six, qtbot, written)
        assert dialog.ok.isEnabled()
        assert dialog.answer() == {1: {"pixel_size_um": meant}}
    finally:
        QLocale.setDefault(usual)


@pytest.mark.parametrize(
    "written", ["1.000,5", "1,000.5", "1 000", "nan", "inf", "-1", "0", "0,0", "1e9", "65000"]
)
def test_a_pixel_size_that_cannot_be_is_said_in_the_dialog(written: str, six: Path, qtbot: QtBot) -> None:
    dialog = details(six, qtbot, written)
    assert not dialog.ok.isEnabled()
    assert dialog.about.text()


def test_what_the_store_refuses_of_a_patient_is_said_in_the_dialog(six: Path, qtbot: QtBot) -> None:
    dialog = details(six, qtbot, "0.1")
    dialog.lines["patient"].setText("x" * 20_000)
    dialog.lines["patient"].setModified(True)
    dialog.lines["patient"].textEdited.emit("")
    assert not dialog.ok.isEnabled()
    assert "longer than" in dialog.about.text()


def test_fields_chosen_in_the_list_are_described_and_undone_together(
    dock: AnnotateDock, six: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, desk = dock.desk.session, dock.desk
    session.open(six)
    view = dock._fields._view
    view.resize(400, 300)

    def click(row: int, *keys: Qt.KeyboardModifier) -> None:
        place = view.visualRect(dock._fields.model.index(row)).center()
        modifier = keys[0] if keys else Qt.KeyboardModifier.NoModifier
        qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, modifier, place)

    click(2)
    assert (session.fields.current_id, list(session.fields.chosen)) == (3, [])
    click(4, Qt.KeyboardModifier.ShiftModifier)
    assert (session.fields.current_id, list(session.fields.chosen)) == (3, [3, 4, 5])
    assert dock._fields._title.text() == "3 of 6 selected"
    session.fields.next()  # turning over keeps them
    assert list(session.fields.chosen) == [3, 4, 5]
    asked: list[list[int]] = []

    def answer(chosen: list[Field], _every: object, _parent: object) -> dict[int, dict[str, str]]:
        asked.append([field.id for field in chosen])
        return {field.id: {"patient": "P9"} for field in chosen}

    monkeypatch.setattr(field_dialogs, "ask_field_details", answer)
    desk.commands.run("field.details")
    qtbot.waitUntil(lambda: not desk.jobs.busy)
    assert asked == [[3, 4, 5]]
    assert [s.field.patient for s in session.fields.summaries()] == [None, None, "P9", "P9", "P9", None]
    session.history.undo()
    assert [s.field.patient for s in session.fields.summaries()] == [None] * 6
    click(0)
    assert (session.fields.current_id, list(session.fields.chosen)) == (1, [])
    desk.commands.run("fields.choose_all")  # and by key
    assert len(session.fields.targets) == 6
    desk.commands.run("fields.choose")
    assert list(session.fields.chosen) == [2, 3, 4, 5, 6]
    session.project.fields.update(4, patient="other")  # type: ignore[union-attr]
    assert [field.patient for field in session.fields.targets].count("other") == 1


def test_together_is_refused_once_something_else_was_done_and_then_undone_alone(
    dock: AnnotateDock, six: Path, qtbot: QtBot
) -> None:
    session = dock.desk.session
    session.open(six)
    assert session.project is not None
    edits = session.project.fields.update_many({1: {"patient": "P"}, 2: {"patient": "P"}})
    session.history.join([edit.id for edit in edits])
    session.project.fields.update(2, quality="good")
    session.history.undo()
    assert session.project.fields.get(1).patient == "P"
    session.history.undo()
    assert session.project.fields.get(1).patient is None
    assert session.project.fields.get(2).patient == "P"


def test_the_rule_shows_before_and_after_and_is_kept(
    dock: AnnotateDock, six: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialog = PatientsDialog(None, fields_of(six))
    qtbot.addWidget(dialog)
    assert dialog.then.text() == "Then: 0 patients, 6 fields without."
    dialog.chooser.use(r"^([^_]+)_")
    assert "P1_a.png → P1" in dialog.chooser.preview.text()
    assert dialog.then.text() == "Then: 3 patients, 1 field without."
    assert dialog.missing.text() == "And 5 fields without a patient"
    answer = dialog.answer()
    assert answer.changes[4] == {"patient": "P1"}
    dialog.new.setChecked(True)
    assert dialog.answer() == PatientAnswer(r"^([^_]+)_", {})
    dialog.chooser.use("(")
    assert not dialog.ok.isEnabled()

    session, desk = dock.desk.session, dock.desk
    session.open(six)
    monkeypatch.setattr(field_dialogs, "ask_patients", lambda *_: answer)
    desk.commands.run("project.patients")
    qtbot.waitUntil(lambda: not desk.jobs.busy)
    assert session.project is not None
    assert session.project.fields.patient_rule == r"^([^_]+)_"
    assert len(session.project.fields.patients()) == 3
    session.history.undo()
    assert session.project.fields.patients() == []
