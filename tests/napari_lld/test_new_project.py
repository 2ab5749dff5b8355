"""A new project is judged in its dialog, which stays open with what was typed until the project is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QDialog, QFileDialog, QMessageBox

from annotation_store import Project
from annotation_store.errors import ProjectError
from napari_lld.session import new_project
from napari_lld.session.new_project import folder_problem, images_problem
from napari_lld.tasks import actions
from napari_lld.widgets.base.save_place import problem_of
from napari_lld.widgets.dialogs import dialogs
from napari_lld.widgets.dialogs.dialogs import NewProjectDialog


@pytest.fixture
def dialog(qtbot: QtBot, tmp_path: Path) -> Iterator[NewProjectDialog]:
    dialog = NewProjectDialog()
    qtbot.addWidget(dialog)
    dialog.name.setText("ward 7")
    dialog.place.setText(str(tmp_path))
    dialog.show()
    yield dialog
    dialog.jobs.wait(5)


def test_it_closes_once_the_project_is_made(dialog: NewProjectDialog, qtbot: QtBot, tmp_path: Path) -> None:
    assert not dialog.problem.isVisible()
    dialog.annotator.setText("Ada")
    dialog.accept()
    qtbot.waitUntil(lambda: not dialog.isVisible(), timeout=20_000)
    assert dialog.result() == QDialog.DialogCode.Accepted
    with Project.open(tmp_path / "ward 7.lld") as project:
        assert project.schema.name == "lld"


def test_what_the_store_refuses_leaves_it_open_with_the_entries(
    dialog: NewProjectDialog, qtbot: QtBot, tmp_path: Path
) -> None:
    """The dialog had closed, and all that was typed was lost."""
    (tmp_path / "ward 7.lld").mkdir()
    (tmp_path / "ward 7.lld" / "thesis.docx").write_text("x")
    (tmp_path / "film.png").touch()
    dialog.images.setText(str(tmp_path))
    dialog.accept()
    qtbot.waitUntil(dialog.problem.isVisible, timeout=20_000)
    assert "not empty (it holds thesis.docx)" in dialog.problem.text()
    assert dialog.isVisible()
    assert (dialog.name.text(), dialog.images.text()) == ("ward 7", str(tmp_path))
    dialog.name.setText("ward 8")
    assert not dialog.problem.isVisible()
    dialog.accept()
    qtbot.waitUntil(lambda: not dialog.isVisible(), timeout=20_000)
    assert (tmp_path / "ward 8.lld" / "project.db").is_file()


def test_a_folder_without_images_is_said_before_the_project_is_made(
    dialog: NewProjectDialog, qtbot: QtBot, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    dialog.images.setText(str(tmp_path / "empty"))
    dialog.accept()
    qtbot.waitUntil(dialog.images_problem.isVisible, timeout=20_000)
    assert "holds no images" in dialog.images_problem.text()
    assert dialog.isVisible()
    assert dialog._ok.isEnabled()
    assert not (tmp_path / "ward 7.lld").exists()


@pytest.mark.parametrize("relative", ["films", ".", "../films"])
def test_a_path_from_nowhere_is_refused(relative: str) -> None:
    assert "full path" in folder_problem(Path(relative), "films")
    assert "full path" in images_problem(Path(relative))


def test_a_disk_that_fills_while_it_is_made_is_said_there(
    dialog: NewProjectDialog, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_options: object) -> str:
        raise ProjectError("The disk is full.")

    monkeypatch.setattr(actions, "create_project", full)
    dialog.accept()
    qtbot.waitUntil(dialog.problem.isVisible, timeout=20_000)
    assert dialog.problem.text() == "The disk is full."
    assert dialog.isVisible()


def test_each_entry_is_judged_as_it_is_typed(dialog: NewProjectDialog, tmp_path: Path) -> None:
    Project.create(tmp_path / "old.lld").close()
    dialog.name.setText("old")
    assert dialog.problem.text() == "old.lld is a project already: open it, or choose another name."
    dialog.accept()
    assert dialog.isVisible()
    assert not dialog.jobs.busy
    dialog.name.setText("new")
    dialog.images.setText(str(tmp_path / "nowhere"))
    assert not dialog.problem.isVisible()
    assert "does not exist" in dialog.images_problem.text()


def test_names_and_places_that_cannot_be_are_known_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Project.create(tmp_path / "old.lld").close()
    (tmp_path / "file").touch()
    assert folder_problem(tmp_path, "films") == ""
    assert folder_problem(tmp_path / "made" / "later", "films") == ""
    for name in ("", "  ", ".", "..", ".lld", "a/b", "a\\b", "films?", "a\x00b", "x" * 250):
        assert folder_problem(tmp_path, name), repr(name)
    assert "inside the project old.lld" in folder_problem(tmp_path / "old.lld" / "films", "deeper")
    assert "is a file" in folder_problem(tmp_path / "file", "films")
    assert "too long" in folder_problem(tmp_path / ("x" * 200) / ("y" * 200), "films")
    assert images_problem(None) == images_problem(tmp_path) == ""
    monkeypatch.setattr(new_project.os, "access", lambda *_: False)
    assert "may not write" in folder_problem(tmp_path, "films")
    assert "may not write" in problem_of(tmp_path / "export.json"), "exports and reports too"


def test_open_asks_again_where_the_folder_is_not_a_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Project.create(tmp_path / "old.lld").close()
    answers = iter([str(tmp_path), str(tmp_path / "old.lld")])
    told: list[str] = []
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: next(answers))
    monkeypatch.setattr(QMessageBox, "warning", lambda *args: told.append(args[2]))
    assert dialogs.ask_project(None) == tmp_path / "old.lld"
    assert len(told) == 1
    assert "is not a project" in told[0]
