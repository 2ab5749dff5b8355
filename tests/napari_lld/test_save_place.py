"""The window asks once before it replaces a file, and never writes into a project."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QDialog, QFileDialog, QMessageBox

from annotation_store.formats import Survey
from napari_lld.widgets.dialogs.export_dialog import ExportDialog
from napari_lld.widgets.dialogs.report_dialog import ReportDialog


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every question that is asked; the answer is the last one's word."""
    asked: list[str] = []

    def question(_parent: object, _title: str, text: str, *_: object) -> QMessageBox.StandardButton:
        asked.append(text)
        return QMessageBox.StandardButton.Yes if len(asked) > 1 else QMessageBox.StandardButton.No

    monkeypatch.setattr(QMessageBox, "question", question)
    return asked


@pytest.fixture(params=["report", "export"])
def dialog(request: pytest.FixtureRequest, tmp_path: Path, qtbot: QtBot, small_project: Path) -> QDialog:
    if request.param == "report":
        made: QDialog = ReportDialog(tmp_path / "out.html")
    else:
        from annotation_store import Project, formats

        with Project.open(small_project) as project:
            project.regions.add_whole_field(project.fields.all()[0].id)
            survey: Survey = formats.survey(project)
        made = ExportDialog(survey, tmp_path)
    qtbot.addWidget(made)
    return made


def test_a_typed_name_of_a_file_that_exists_is_asked_about(dialog, tmp_path: Path, questions) -> None:
    out = dialog.answer().out
    out.write_text("mine")
    dialog.ok.click()
    assert len(questions) == 1
    assert out.name in questions[0]
    assert dialog.result() != QDialog.DialogCode.Accepted
    dialog.ok.click()
    assert len(questions) == 2
    assert dialog.result() == QDialog.DialogCode.Accepted


def test_the_file_dialogs_own_question_counts(dialog, tmp_path: Path, questions, monkeypatch) -> None:
    out = tmp_path / f"other{dialog.answer().out.suffix}"
    out.write_text("mine")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(out), ""))
    dialog.place.setText(dialog._browse())
    dialog.ok.click()
    assert questions == []
    assert dialog.result() == QDialog.DialogCode.Accepted


def test_a_place_inside_a_project_is_refused_in_the_dialog(dialog, small_project: Path) -> None:
    dialog.place.setText(str(small_project / f"x{dialog.answer().out.suffix}"))
    assert not dialog.ok.isEnabled()
