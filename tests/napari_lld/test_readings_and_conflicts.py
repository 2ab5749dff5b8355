"""Readings in the window, a blind one above all; conflicts of imports, taken or left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractButton, QLabel, QTabWidget

from annotation_store import Project, Shape, formats
from annotation_store.records import FieldState, Reading
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.i18n.translate import use_language
from napari_lld.session.readings import NewReading, ReadingChoice
from napari_lld.session.session import Session
from napari_lld.widgets.dialogs import reading_dialog
from napari_lld.widgets.dialogs.conflicts_dialog import ConflictsDialog
from napari_lld.widgets.dialogs.reading_dialog import ReadingDialog
from napari_lld.widgets.fields.field_model import SUMMARY_ROLE, state_words

Suggest = Callable[[Path], list[int]]


@pytest.fixture
def read(small_project: Path, suggest: Suggest) -> Path:
    """Give a project with one reader's work, and suggestions."""
    suggest(small_project)
    with Project.open(small_project, annotator="Ada") as project:
        project.regions.add(1, Shape.rectangle(0, 0, 60, 60))
        project.ignore_areas.add(1, Shape.rectangle(70, 0, 20, 20))
        project.cells.add(1, (62, 62, 20, 20), cell_class="Basophil")
    return small_project


def everything_said(dock: AnnotateDock) -> str:
    """Give all that is written in the dock, the fields' rows and tooltips included."""
    said = [w.text() for w in (*dock.findChildren(QLabel), *dock.findChildren(QAbstractButton))]
    for tabs in dock.findChildren(QTabWidget):
        said += [tabs.tabText(i) for i in range(tabs.count())]
    model = dock._fields.model
    for row in range(model.rowCount()):
        index = model.index(row)
        said += [index.data(Qt.ItemDataRole.ToolTipRole), state_words(index.data(SUMMARY_ROLE))]
    return "\n".join(said)


def test_a_blind_reader_sees_nothing(
    dock: AnnotateDock, read: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, layers = dock.desk.session, dock.desk.viewer.layers
    seen: list[str] = []

    def answer(annotator: str, *_: object, **__: object) -> ReadingChoice:
        seen.append(everything_said(dock))
        return NewReading("Ben's", annotator, True)

    monkeypatch.setattr(reading_dialog, "ask_reading", answer)
    session.open(read, annotator="Ben")
    qtbot.wait(120)
    assert "to review" not in "".join(seen)  # nothing was shown before the question
    assert session.project is not None
    assert session.project.reading.blind
    said = everything_said(dock)
    assert "Reading: Ben's (blind) – your own" in said
    for word in ("to review", "Suggestions (", "1 cell", "region finished", "2 of 3", "3 of 3"):
        assert word not in said
    assert [s.state for s in session.fields.summaries()] == [FieldState.UNTOUCHED] * 2
    assert not session.marks.waiting
    assert not session.marks.cells
    for name in ("Suggestions", "Cells", "Suggestions: letters", "Cells: letters"):
        assert len(layers[name].data) == 0
    assert len(layers["Regions"].data) == 2  # the unseen points that hold the extent
    assert not layers["Unknown area"].data.any()
    for command in ("suggestion.next", "suggestion.accept", "region.propose"):
        dock.desk.commands.run(command)
        assert session.selection.suggestion is None
        assert session.region_proposal.current is None
    assert not session.selection.select_at(20, 20)
    assert not session.selection.select_at(70, 70)
    session.history.undo()
    session.regions.add(Shape.rectangle(0, 0, 40, 40))  # finished: what is in it may be compared
    qtbot.wait(120)
    assert "1 suggestion to review" in everything_said(dock)
    assert len(session.marks.waiting) == 1
    session.regions.add(Shape.rectangle(0, 0, 100, 100))
    qtbot.wait(120)
    assert "3 suggestions to review" in everything_said(dock)
    assert len(layers["Suggestions"].data) > 0
    assert not session.marks.cells  # the other reader's stay hers


Answers = Callable[..., list[str]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Give a function that says what is answered to the next questions; it gives who was asked."""

    def prepare(*choices: ReadingChoice | None) -> list[str]:
        asked: list[str] = []
        given = iter(choices)

        def ask(annotator: str, *_: object, **__: object) -> ReadingChoice | None:
            asked.append(annotator)
            return next(given)

        monkeypatch.setattr(reading_dialog, "ask_reading", ask)
        return asked

    return prepare


def test_each_reader_works_in_a_reading_of_their_own(
    dock: AnnotateDock, read: Path, answers: Answers
) -> None:
    asked = answers(NewReading("Ben's", "Ben", True))
    session = dock.desk.session
    session.open(read, annotator="Ada")
    assert session.change_annotator("Ben")
    assert asked == ["Ben"]
    session.boxes.add((5, 5, 20, 20))
    assert session.project is not None
    assert session.change_annotator("Ada")
    assert (session.project.reading.id, [c.cell_class for c in session.marks.cells]) == (1, ["Basophil"])
    for reopen in (lambda: session.change_annotator("Ben"), lambda: session.open(read, annotator="Ben")):
        reopen()
        assert (session.project.reading.name, session.project.reading.blind) == ("Ben's", True)
        assert len(session.marks.cells) == 1
        assert not session.marks.waiting
        session.open(read, annotator="Ada")
    assert asked == ["Ben"]  # once


def test_without_an_answer_everything_stays(dock: AnnotateDock, read: Path, answers: Answers) -> None:
    answers(None, None)
    session = dock.desk.session
    assert not session.open(read, annotator="Ben")
    assert session.project is None
    session.open(read, annotator="Ada")
    assert not session.change_annotator("Ben")
    assert session.project is not None
    assert (session.project.annotator, session.preferences.annotator) == ("Ada", "")
    with Project.open(read) as project:
        assert len(project.readings.all()) == 1


def test_one_person_is_never_asked_in_the_window(
    dock: AnnotateDock, small_project: Path, answers: Answers
) -> None:
    asked = answers()
    session = dock.desk.session
    session.open(small_project)  # made by Ada, nothing in it: the account's from the first mark on
    session.boxes.add((5, 5, 20, 20))
    session.close()
    session.open(small_project)
    assert len(session.marks.cells) == 1
    assert asked == []


def test_anothers_reading_is_named_in_the_header(dock: AnnotateDock, read: Path, answers: Answers) -> None:
    answers(1, NewReading("Ben's", "Ben", False), 1)
    session, run = dock.desk.session, dock.desk.commands.run
    session.open(read, annotator="Ben")
    button = dock.findChild(QAbstractButton, "lld_reading.choose")
    dock._header.refresh()
    assert (button.text(), button.property("others")) == ("Reading: Reading 1 – of Ada", True)
    assert [cell.cell_class for cell in session.marks.cells] == ["Basophil"]
    run("reading.add")
    dock._header.refresh()
    assert (button.text(), button.property("others")) == ("Reading: Ben's – your own", False)
    button.click()
    assert session.project is not None
    assert session.project.reading.id == 1
    session.open(read, annotator="Ben")
    assert session.project.reading.name == "Ben's"  # that was a look
    session.open(read, annotator="Ada")
    dock._header.refresh()
    assert button.text() == "Reading: Reading 1 – your own"


def told_by(session: Session) -> list[str]:
    told: list[str] = []
    session.notice.connect(lambda _level, sentence: told.append(sentence))
    return told


def test_an_empty_reading_of_another_is_nothing_to_warn_of_and_is_said_to_be_taken(
    dock: AnnotateDock,
    small_project: Path,
    answers: Answers,
    monkeypatch: pytest.MonkeyPatch,
    qtbot: QtBot,
) -> None:
    session = dock.desk.session
    told = told_by(session)
    session.open(small_project, annotator="Ben")  # made by Ada, who has marked nothing
    button = dock.findChild(QAbstractButton, "lld_reading.choose")
    qtbot.wait(50)
    assert not button.isVisible()
    assert not button.property("others")
    asked: list[dict[str, object]] = []
    monkeypatch.setattr(reading_dialog, "ask_reading", lambda *_, **told: asked.append(told))
    dock.desk.commands.run("reading.choose")
    assert asked[0]["unclaimed"]
    session.boxes.add((5, 5, 20, 20))
    assert [sentence for sentence in told if "Ada" in sentence] == [
        "The only reading was empty and is yours now. Ada, whose it was, is asked for a new one when they "
        "open the project."
    ]
    assert [reading.annotator for reading in session.readings.all] == ["Ben"]
    session.boxes.add((50, 5, 20, 20))
    qtbot.wait(50)
    assert not button.isVisible()
    assert len([sentence for sentence in told if "Ada" in sentence]) == 1
    asked_for = answers(NewReading("Ada's", "Ada", False))
    session.change_annotator("Ada")
    assert asked_for == ["Ada"]


def test_an_import_into_an_empty_reading_of_another_is_said_to_take_it(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    session = dock.desk.session
    told = told_by(session)
    session.open(small_project, annotator="Ben")
    with Project.open(small_project, annotator="Ben") as project:  # as a job does
        project.cells.add(1, (5, 5, 20, 20))
    session.refresh()
    assert len([sentence for sentence in told if "is yours now" in sentence]) == 1
    qtbot.wait(50)
    assert not dock.findChild(QAbstractButton, "lld_reading.choose").isVisible()


def test_continuing_anothers_reading_takes_nothing_from_them(
    dock: AnnotateDock, read: Path, answers: Answers
) -> None:
    answers(1)
    session = dock.desk.session
    told = told_by(session)
    session.open(read, annotator="Ben")
    session.boxes.add((5, 5, 20, 20))
    assert [reading.annotator for reading in session.readings.all] == ["Ada"]
    assert not [sentence for sentence in told if "yours now" in sentence]


def test_an_empty_reading_is_described_as_such_and_the_first_one_named_in_german(qtbot: QtBot) -> None:
    first = Reading(1, "Reading 1", "Ada", False)
    dialog = ReadingDialog("Ben", [first], first, unclaimed=True)
    qtbot.addWidget(dialog)
    assert "Reading 1 – still empty" in [w.text() for w in dialog.findChildren(QAbstractButton)]
    assert "becomes yours" in dialog.about.text()
    use_language("de")
    german = ReadingDialog("Ben", [first], None)
    qtbot.addWidget(german)
    assert "Befundung 1 – von Ada" in [w.text() for w in german.findChildren(QAbstractButton)]
    german.name.setText("Befundung 1")
    assert not german.ok.isEnabled()
    assert "Befundung 1" in german.about.text()
    use_language("en")


def test_the_question_says_whose_reading_it_is(read: Path, qtbot: QtBot) -> None:
    with Project.open(read, annotator="Ben") as project:
        project.readings.add("together", annotator="")
        readings = project.readings.all()
    dialog = ReadingDialog("Ben", readings, None)
    qtbot.addWidget(dialog)
    said = [w.text() for w in dialog.findChildren(QAbstractButton)]
    assert "Reading 1 – of Ada" in said
    assert "together – no reader (consensus)" in said
    assert dialog.answer() == NewReading("Ben", "Ben", False)  # the harmless one is proposed
    dialog.blind.setChecked(True)
    assert dialog.answer() == NewReading("Ben", "Ben", True)
    dialog.name.setText("Reading 1")
    assert not dialog.ok.isEnabled()
    dialog.choose(1)
    assert dialog.answer() == 1
    assert dialog.ok.text() == "Continue the reading of Ada"
    assert "under your name Ben" in dialog.about.text()
    blind = ReadingDialog("Ben", readings, Reading(7, "Ben's", "Ben", True), begin=True)
    qtbot.addWidget(blind)
    blind.reader.setText("Cem")
    assert "when Cem annotates" in blind.about.text()
    blind.choose(1)
    assert "can influence it" in blind.about.text()


def test_a_reading_for_somebody_else_waits_for_them(dock: AnnotateDock, read: Path, answers: Answers) -> None:
    answers(NewReading("Cem's", "Cem", True))
    session = dock.desk.session
    session.open(read, annotator="Ada")
    dock.desk.commands.run("reading.add")
    assert session.project is not None
    assert session.project.reading.id == 1
    session.change_annotator("Cem")
    assert session.project.reading.name == "Cem's"


@pytest.fixture
def conflicting(read: Path, tmp_path: Path) -> Path:
    """Give a project with two conflicts: a file says other classes of two cells."""
    with Project.open(read, annotator="Ada") as project:
        project.cells.add(2, (10, 10, 30, 30), cell_class="Monocyte", attributes={"cell_size": "small"})
        formats.write("coco", project, tmp_path / "before.json")
        project.cells.change(1, cell_class="Eosinophil")
        project.cells.change(2, cell_class="Neutrophil", attributes={"cell_size": "large"})
        formats.read("coco", project, tmp_path / "before.json")
        assert len(project.conflicts.all()) == 2
    return read


def test_conflicts_are_listed_shown_and_taken_or_left(
    dock: AnnotateDock, conflicting: Path, qtbot: QtBot
) -> None:
    session = dock.desk.session
    told: list[str] = []
    session.notice.connect(lambda _level, sentence: told.append(sentence))
    session.open(conflicting, annotator="Ada")
    assert any(sentence.startswith("2 conflicts wait for your decision") for sentence in told)
    session.fields.show(2)
    dialog = ConflictsDialog(session)
    dialog.show()
    assert (session.fields.current_id, session.selection.cell and session.selection.cell.id) == (
        1,
        1,
    )  # the first one is shown
    rows = [[dialog.model.index(r, c).data() for c in range(4)] for r in range(2)]
    assert rows[0] == ["field_0.png", "Eosinophil", "Basophil", "before.json"]
    assert rows[1][1:3] == ["Neutrophil, Cell size: Large", "Monocyte, Cell size: Small"]
    dialog.take.click()
    assert session.project is not None
    assert session.project.cells.get(1).cell_class == "Basophil"
    assert session.fields.current_id == 2
    dialog.keep.click()
    assert session.project.cells.get(2).cell_class == "Neutrophil"
    assert dialog.model.conflicts == []
    assert not dialog.take.isEnabled()
    session.history.undo()
    assert len(dialog.model.conflicts) == 1  # undone, it is open again
    dialog.close()
    session.history.undo()
