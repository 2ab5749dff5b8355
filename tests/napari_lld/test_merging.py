"""Another copy's work, brought in by the window: shown first, then beside the window, conflicts listed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QApplication

from annotation_store import Project
from napari_lld.controllers.desk import desk_for
from napari_lld.widgets.dialogs import dialogs, merge_dialog
from napari_lld.widgets.dialogs.conflicts_dialog import ConflictsDialog, in_words
from napari_lld.widgets.dialogs.merge_dialog import MergeDialog


def test_what_would_come_in_is_shown_and_comes_in_once_it_is_agreed(
    small_project: Path, tmp_path: Path, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch, viewer: ViewerModel
) -> None:
    with Project.open(small_project, annotator="Ada") as project:
        cell = project.cells.add(1, (5, 5, 20, 20), cell_class="Monocyte")
        reading = project.reading.id
    other = Path(shutil.copytree(small_project, tmp_path / "other"))
    with Project.open(small_project, annotator="Ada", reading=reading) as project:
        project.cells.change(cell, cell_class="Neutrophil")
    with Project.open(other, annotator="Ada", reading=reading) as project:
        project.cells.change(cell, cell_class="Basophil")
        project.cells.add(1, (40, 5, 20, 20), cell_class="Basophil")
    desk = desk_for(viewer)
    shown: list[str] = []

    def agree(*given: object) -> bool:
        dialog = MergeDialog(*given)  # type: ignore[arg-type]
        qtbot.addWidget(dialog)
        shown.append(dialog.summary.text() + dialog.conflicts.toPlainText())
        return True

    monkeypatch.setattr(dialogs, "ask_project", lambda _parent: other)
    monkeypatch.setattr(merge_dialog, "ask_merge", agree)
    assert desk.session.open(small_project, annotator="Ada")
    desk.merging.ask()
    qtbot.waitUntil(lambda: bool(shown) and not desk.jobs.busy, timeout=60_000)
    assert "1 cell" in shown[0]
    assert "Basophil" in shown[0]
    opened = desk.session.project
    assert opened is not None
    found = opened.conflicts.all()
    assert len(found) == 1
    assert {in_words(found[0].here, opened.schema), in_words(found[0].there, opened.schema)} == {
        "Neutrophil",
        "Basophil",
    }
    desk.merging.ask()
    qtbot.waitUntil(lambda: not desk.jobs.busy, timeout=60_000)
    assert len(shown) == 1
    listed = [window for window in QApplication.topLevelWidgets() if isinstance(window, ConflictsDialog)]
    assert [len(window.model.conflicts) for window in listed] == [1]
    listed[0].close()
    desk.close()
