"""The project's folder is deleted, replaced or out of reach: nothing typed is lost, nothing is pretended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QAbstractButton

from annotation_store import NotWritableError, Project, ProjectError, ProjectGoneError, Shape
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.layers import DeskLayers
from napari_lld.session.session import Session
from napari_lld.session.tool import Tool
from napari_lld.widgets.dialogs import dialogs
from napari_lld.widgets.dialogs.close_question import what_would_end

BOX = (10.0, 10.0, 20.0, 20.0)


@pytest.fixture
def boxed(small_project: Path) -> Path:
    with Project.open(small_project) as project:
        project.cells.add(1, BOX)
    return small_project


def away(folder: Path) -> Path:
    return folder.rename(folder.with_name("away"))


def back(folder: Path) -> None:
    folder.with_name("away").rename(folder)


def test_a_project_is_reconnected_where_it_lay(boxed: Path, tmp_path: Path) -> None:
    with Project.open(boxed) as project:
        edited: list[str] = []
        project.events.edited.connect(lambda edit: edited.append(edit.command))
        away(boxed)
        with pytest.raises(ProjectGoneError):
            project.cells.change(1, comment="x")
        with pytest.raises(ProjectError, match="no folder"):
            project.reconnect()
        back(boxed)
        assert project.reconnect() == 0
        project.cells.change(1, comment="x")
        assert edited == ["Change cell"] or edited
        shutil.copytree(boxed, tmp_path / "older")  # a sync tool brings an older state
        project.cells.change(1, comment="y")
        away(boxed)
        shutil.copytree(tmp_path / "older", boxed)
        assert project.reconnect() == 1
        assert project.cells.get(1).comment == "x"
        shutil.rmtree(boxed)
        Project.create(boxed).close()
        with pytest.raises(ProjectGoneError, match="another project"):
            project.reconnect()


def test_what_was_typed_is_saved_once_the_folder_is_back(boxed: Path) -> None:
    session = Session()
    told: list[tuple[str, str]] = []
    session.notice.connect(lambda level, sentence: told.append((level, sentence)))
    session.open(boxed)
    session.selection.select("cell", 1)
    away(boxed)
    session.labels.set_comment("looks like a smudge")
    session.boxes.add((50, 50, 20, 20))
    assert session.unsaved.count == 2
    assert session.selection.proposed_box == (50, 50, 20, 20)  # still in sight
    assert not told  # a bar says it, no storm
    session.refresh()
    assert session.unsaved.count == 2
    assert not session.open(boxed.with_name("other"))  # would lose them
    assert "not saved" in told[-1][1]
    back(boxed)
    session.refresh()  # the timer's
    assert not session.unsaved.why
    assert told[-1] == ("info", "The project is back. 2 changes were saved.")
    assert session.selection.proposed_box is None
    with Project.open(boxed, read_only=True) as project:
        assert [cell.comment for cell in project.cells.all()] == ["looks like a smudge", ""]
    session.labels.set_comment("")
    session.close()


def test_another_field_says_that_the_folder_is_missing_and_is_shown_once_it_is_back(
    sample_project: Path,
) -> None:
    session, viewer = Session(), ViewerModel()
    layers = DeskLayers(session, viewer)
    told: list[tuple[str, str]] = []
    session.notice.connect(lambda level, sentence: told.append((level, sentence)))
    session.open(sample_project)
    away(sample_project)
    session.fields.show(10)
    session.fields.show(14)
    assert told == []  # a bar says it
    assert "no longer there" in session.unsaved.why
    assert session.unsaved.count == 0  # a look is no change
    back(sample_project)
    assert session.try_to_save()
    with Project.open(sample_project, read_only=True) as project:
        assert (viewer.layers["Field"].data == project.pixels.read(14)).all()
        session.fields.next()
        assert (viewer.layers["Field"].data == project.pixels.read(15)).all()
    assert told == [("info", "The project is back.")]
    layers.close()
    session.close()


def test_without_an_edit_it_is_noticed_too_and_an_older_state_is_told(boxed: Path, tmp_path: Path) -> None:
    session = Session()
    told: list[tuple[str, str]] = []
    session.notice.connect(lambda level, sentence: told.append((level, sentence)))
    session.open(boxed)
    shutil.copytree(boxed, tmp_path / "older")
    session.boxes.add((50, 50, 20, 20))
    shutil.rmtree(boxed)
    session.refresh()
    assert session.why_no_edits
    shutil.copytree(tmp_path / "older", boxed)
    assert session.try_to_save()
    assert told[-1][0] == "warning"
    assert "without the last 1 edit" in told[-1][1]
    assert len(session.marks.cells) == 1
    session.close()


def test_the_dock_says_so_until_it_is_back(dock: AnnotateDock, boxed: Path, qtbot: QtBot) -> None:
    session, run = dock.desk.session, dock.desk.commands.run
    session.open(boxed)
    bar, again = dock._saving, dock.findChild(QAbstractButton, "lld_project.save")
    assert bar.isHidden()
    session.selection.select("cell", 1)
    away(boxed)
    run("class.Monocyte")
    qtbot.waitUntil(lambda: not bar.isHidden())
    assert bar.title.text().startswith("Nothing is being saved")
    assert "last change is kept" in bar.about.text()
    bar.about.setText(bar.about.text() * 2)  # another language, a narrow dock
    dock.resize(341, 690)
    dock.show()
    qtbot.waitUntil(lambda: bar.about.height() >= bar.about.heightForWidth(bar.about.width()))
    assert bar.about.height() > 2 * bar.about.fontMetrics().lineSpacing() - 4, "wrapped, not cut"
    tool = dock.findChild(QAbstractButton, "lld_tool.box")
    qtbot.waitUntil(lambda: not tool.isEnabled())
    assert "Nothing is being saved" in tool.toolTip()
    run("tool.box")  # by key: the reason, and nothing else
    assert session.tool is Tool.SELECT
    assert "Nothing is being saved" in dock._foot.line.text()
    assert "it is lost" in what_would_end(dock.desk)[0]
    again.click()
    assert not bar.isHidden()
    back(boxed)
    run("project.save")
    qtbot.waitUntil(lambda: bar.isHidden() and tool.isEnabled())
    assert [cell.cell_class for cell in session.marks.cells] == ["Monocyte"]


def test_what_needs_the_folder_says_that_it_is_gone(dock: AnnotateDock, boxed: Path) -> None:
    session, run = dock.desk.session, dock.desk.commands.run
    session.open(boxed)
    told: list[tuple[str, str]] = []
    session.notice.connect(lambda level, sentence: told.append((level, sentence)))
    away(boxed)  # nothing has noticed it yet
    commands = ("project.export", "gallery.open", "project.report", "reading.choose", "annotator.change")
    for command in (*commands, "conflicts.show", "mistakes.check"):
        told.clear()
        run(command)
        assert told == [("hint", session.why_no_edits)], command
        assert "folder is missing" in told[0][1]
        assert not dock.desk.commands[command].when(session)
        assert session.why_no_edits in dock.desk.commands.tooltip(command)
        session.unsaved.take()
    back(boxed)


def test_a_project_that_cannot_be_written_is_opened_for_reading(
    dock: AnnotateDock, boxed: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotation_store.project._writable", lambda *_: False)
    with pytest.raises(NotWritableError):
        Project.open(boxed)
    answers = iter([False, True])
    monkeypatch.setattr(dialogs, "ask_for_reading", lambda *_: next(answers))
    session, run = dock.desk.session, dock.desk.commands.run
    assert not session.open(boxed)
    assert session.open(boxed)
    assert session.project is not None
    assert session.project.read_only
    qtbot.waitUntil(lambda: not dock._saving.isHidden())
    assert dock._saving.title.text().startswith("Read-only")
    assert not dock.findChild(QAbstractButton, "lld_training.start").isEnabled()
    session.selection.select("cell", 1)
    for command in ("class.Monocyte", "tool.region", "training.suggest", "fields.add", "field.skip"):
        run(command)
        assert "read-only" in dock._foot.line.text(), command
        session.notify("hint", "")
    session.labels.move_box((0, 0, 5, 5))  # as the mouse does
    session.regions.add(Shape.rectangle(0, 0, 9, 9))
    assert "read-only" in dock._foot.line.text()
    assert session.marks.cells[0].box == BOX
    dock.desk.projects.close()
    assert dock._saving.isHidden()


def test_while_something_is_at_work_it_is_said_before_files_are_chosen(
    dock: AnnotateDock, boxed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, desk = dock.desk.session, dock.desk
    session.open(boxed)
    monkeypatch.setattr(type(desk.jobs), "busy", property(lambda _self: True))
    desk.jobs.title = "Exporting"

    def never(*_: object, **__: object) -> None:
        raise AssertionError("asked")

    for name in ("ask_images", "ask_new_project"):
        monkeypatch.setattr(dialogs, name, never)
    told: list[str] = []
    session.notice.connect(lambda _level, sentence: told.append(sentence))
    commands = ("fields.add", "project.new", "field.details", "project.patients", "project.report")
    for command in commands:
        desk.commands.run(command)
    assert told == ["Exporting is still running."] * len(commands)
    monkeypatch.undo()
