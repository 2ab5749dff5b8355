"""The patient rule of a new project, shown while it is typed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QDialogButtonBox

from annotation_store import FormatError, Project, formats
from napari_lld.session.patient_rule import RULES, coverage, images_in, in_words, preview
from napari_lld.tasks.actions import add_fields, create_project
from napari_lld.widgets.dialogs.dialogs import NewProjectDialog


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for number, name in enumerate(("P1_01_1000_AML.png", "P1_02_1000_AML.png", "P2_01_1000_ALL.png")):
        Image.fromarray(np.full((20, 20, 3), 200 + number, dtype=np.uint8)).save(folder / name)
    Image.fromarray(np.zeros((20, 20, 3), dtype=np.uint8)).save(folder / "stray.png")
    return folder


def test_what_the_rule_reads_is_told(images: Path) -> None:
    paths = images_in(images)
    told, sound = preview(r"^([^_]+)_", paths)
    assert sound
    assert told.splitlines() == [
        "P1_01_1000_AML.png → P1",
        "P2_01_1000_ALL.png → P2",
        "stray.png → no patient",
        "2 patients in 4 images; 1 without one",
    ]
    assert "films" in preview(RULES[3][0], paths)[0]
    assert "No patient" in preview("", paths)[0]
    assert "Choose a folder" in preview("x", images_in(None))[0]
    assert in_words(RULES[1][0]) == "Before the first _"


def test_one_patient_is_one_and_no_name_is_shown_twice() -> None:
    told, _ = preview(r"^(P\d)_", [Path("P1_a.png"), Path("stray.png")])
    assert told.splitlines() == [
        "P1_a.png → P1",
        "stray.png → no patient",
        "1 patient in 2 images; 1 without one",
    ]
    assert preview(r"^(P\d)_", [Path("stray.png")])[0].splitlines() == [
        "stray.png → no patient",
        "0 patients in 1 image; 1 without one",
    ]


def test_the_dialog_shows_it_and_refuses_a_rule_that_cannot_be_read(images: Path, qtbot: QtBot) -> None:
    dialog = NewProjectDialog()
    qtbot.addWidget(dialog)
    box = dialog.findChild(QDialogButtonBox)
    assert box is not None
    ok = box.button(QDialogButtonBox.StandardButton.Ok)
    assert ok is not None
    dialog.images.setText(str(images))
    patients = dialog.patients
    patients.use("(")
    assert "regular expression" in patients.preview.text()
    assert not ok.isEnabled()
    patients.own.setText(r"^(P\d)_")
    assert "2 patients" in patients.preview.text()
    assert ok.isEnabled()
    assert dialog.answer().patient_from == r"^(P\d)_"
    dialog.name.setText("")
    assert not ok.isEnabled()


def test_the_project_has_the_patients(images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new.lld"
    create_project(folder, "lld", [images], lambda _done, _total: None, patient_from=r"^([^_]+)_")
    with Project.open(folder, read_only=True) as project:
        assert sorted(field.patient or "" for field in project.fields.all()) == ["", "P1", "P1", "P2"]
        assert project.fields.patient_rule == r"^([^_]+)_"


def test_fields_added_later_have_a_patient_and_the_count_is_told(images: Path, tmp_path: Path) -> None:
    folder, early = tmp_path / "new.lld", images / "P1_01_1000_AML.png"
    create_project(folder, "lld", [early], lambda _done, _total: None, patient_from=r"^([^_]+)_")
    told = add_fields(folder, [images], lambda _done, _total: None)
    assert "3 fields added. Patients: 2 patients, 1 field without (before: 1 patient)." in told
    assert "☰ › Patients …" in told
    with Project.open(folder, read_only=True) as project:
        assert str(coverage(project.fields.all())) == "2 patients, 1 field without"


def test_a_label_file_s_images_follow_the_rule_and_a_rehearsal_keeps_none(
    images: Path, tmp_path: Path
) -> None:
    with Project.create(tmp_path / "a.lld") as project:
        project.fields.add([images])
        formats.write("coco", project, tmp_path / "a.json")
    with Project.create(tmp_path / "b.lld") as project:
        formats.preview("coco", project, tmp_path / "a.json", images=images, patient_from="^(P)")
        assert project.fields.patient_rule is None
        project.fields.set_patient_rule("^(P.)_")
        formats.read("coco", project, tmp_path / "a.json", images=images)
        assert [patient.name for patient in project.fields.patients()] == ["P1", "P2"]
        formats.read("coco", project, tmp_path / "a.json", images=images, patient_from="")
        assert project.fields.patient_rule is None
        with pytest.raises(FormatError, match="regular expression"):
            project.fields.set_patient_rule("(")
