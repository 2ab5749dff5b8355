"""The patient rule of a new project, shown while it is typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QDialogButtonBox

from annotation_store import Project
from napari_lld.background import create_project
from napari_lld.patient_rule import RULES, preview
from napari_lld.widgets.dialogs import NewProjectDialog


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for number, name in enumerate(("P1_01_1000_AML.png", "P1_02_1000_AML.png", "P2_01_1000_ALL.png")):
        Image.fromarray(np.full((20, 20, 3), 200 + number, dtype=np.uint8)).save(folder / name)
    Image.fromarray(np.zeros((20, 20, 3), dtype=np.uint8)).save(folder / "stray.png")
    return folder


def test_what_the_rule_reads_is_told(images: Path) -> None:
    told, sound = preview(r"^([^_]+)_", images)
    assert sound
    assert told.splitlines() == [
        "P1_01_1000_AML.png → P1",
        "P1_02_1000_AML.png → P1",
        "P2_01_1000_ALL.png → P2",
        "2 patients in the first 4 images; 1 without one",
    ]
    assert "films" in preview(RULES[3][0], images)[0]
    assert "No patient" in preview("", images)[0]
    assert "Choose a folder" in preview("x", None)[0]


def test_the_dialog_shows_it_and_refuses_a_rule_that_cannot_be_read(images: Path, qtbot: QtBot) -> None:
    dialog = NewProjectDialog()
    qtbot.addWidget(dialog)
    box = dialog.findChild(QDialogButtonBox)
    assert box is not None
    ok = box.button(QDialogButtonBox.StandardButton.Ok)
    assert ok is not None
    dialog.images.setText(str(images))
    dialog.rule.setEditText("(")
    assert "regular expression" in dialog.preview.text()
    assert not ok.isEnabled()
    dialog.rule.setEditText(r"^(P\d)_")
    assert "2 patients" in dialog.preview.text()
    assert ok.isEnabled()
    assert dialog.answer().patient_from == r"^(P\d)_"
    dialog.name.setText("")
    assert not ok.isEnabled()


def test_the_project_has_the_patients(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new.lld"
    create_project(folder, "lld", [images], lambda _done, _total: None, patient_from=r"^([^_]+)_")
    with Project.open(folder, read_only=True) as project:
        assert sorted(field.patient or "" for field in project.fields()) == ["", "P1", "P1", "P2"]
