"""The report from the window: asked where to, and without names unless somebody wants them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QCheckBox, QFileDialog, QLineEdit, QPushButton

from annotation_store import Project
from annotation_store.errors import LLDError
from napari_lld.options import ReportOptions
from napari_lld.tasks import actions
from napari_lld.tasks.jobs import Stopped
from napari_lld.widgets.dialogs.report_dialog import ReportChoice, ReportDialog


def test_names_are_left_out_unless_somebody_ticks_them_and_then_it_warns(
    tmp_path: Path, qtbot: QtBot
) -> None:
    dialog = ReportDialog(tmp_path / "a-report.html")
    qtbot.addWidget(dialog)
    dialog.show()
    assert dialog.answer() == ReportChoice(tmp_path / "a-report.html", ReportOptions())
    assert "annotators stand with their names" in dialog.problem.text()
    names, title = (dialog.options.controls[name].native for name in ("names", "title"))
    assert isinstance(names, QCheckBox)
    assert isinstance(title, QLineEdit)
    names.setChecked(True)
    title.setText(" Ward 4 ")
    dialog.place.setText(str(tmp_path / "other"))
    assert dialog.answer() == ReportChoice(tmp_path / "other.html", ReportOptions(title="Ward 4", names=True))
    assert "share it with care" in dialog.problem.text()


def test_a_place_that_cannot_be_is_told_before_it_is_tried(tmp_path: Path, qtbot: QtBot) -> None:
    (tmp_path / "folder.html").mkdir()
    dialog = ReportDialog(tmp_path / "r.html")
    qtbot.addWidget(dialog)
    for place, words in {
        "": "Choose a location",
        str(tmp_path / "nowhere" / "r.html"): "does not exist",
        str(tmp_path / "folder.html"): "is a folder",
    }.items():
        dialog.place.setText(place)
        assert words in dialog.problem.text()
        assert not dialog.ok.isEnabled()
    dialog.place.setText(str(tmp_path / "r.html"))
    assert dialog.ok.isEnabled()


def test_a_place_is_found_by_browsing_and_stays_where_that_is_given_up(
    tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    dialog = ReportDialog(tmp_path / "r.html")
    qtbot.addWidget(dialog)
    browse = next(b for b in dialog.findChildren(QPushButton) if b.text() == "Browse …")
    for found, place in ((str(tmp_path / "s.html"), "s.html"), ("", "s.html")):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, found=found: (found, ""))
        browse.click()
        assert dialog.answer().out == tmp_path / place


def test_it_is_written_beside_the_window_as_it_was_asked_for(small_project: Path, tmp_path: Path) -> None:
    with Project.open(small_project, annotator="Ada") as project:
        project.fields.update(project.fields.all()[0].id, patient="Jane Doe")
        out, second = tmp_path / "r.html", project.readings.add("Second look").id
        told = actions.report(
            small_project, out, lambda *_: None, ReportOptions(title="Ward 4"), reading=second
        )
    assert str(out) in told
    assert "<h1>Ward 4</h1>" in out.read_text("utf-8")
    assert "Jane Doe" not in out.read_text("utf-8")
    assert "“Second look”" in out.read_text("utf-8")


def test_what_goes_wrong_is_one_sentence_and_a_stop_leaves_nothing(
    small_project: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(LLDError, match="is a folder"):
        actions.report(small_project, tmp_path / "folder", lambda *_: None, ReportOptions())
    before = sorted(tmp_path.iterdir())

    def stop(_done: int, _total: int) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        actions.report(small_project, tmp_path / "r.html", stop, ReportOptions())
    assert sorted(tmp_path.iterdir()) == before
