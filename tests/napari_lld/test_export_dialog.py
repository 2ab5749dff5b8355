"""What the export dialog tells before anything is written."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox

from annotation_store import Project, formats
from napari_lld.widgets.dialogs.export_dialog import ExportDialog, describe_loss


@pytest.fixture
def survey(small_project: Path, suggest: Callable[[Path], list[int]]) -> formats.Survey:
    suggest(small_project)
    with Project.open(small_project) as project:
        field = project.fields.all()[0].id
        project.regions.add_whole_field(field)
        project.cells.add(field, (1, 1, 20, 20), cell_class="Neutrophil", attributes={"nucleolus": "unsure"})
        project.cells.add(field, (40, 1, 20, 20))
        return formats.survey(project)


@pytest.fixture
def dialog(survey: formats.Survey, tmp_path: Path, qtbot: QtBot) -> ExportDialog:
    dialog = ExportDialog(survey, tmp_path)
    qtbot.addWidget(dialog)
    dialog.show()
    return dialog


def choose(dialog: ExportDialog, form: str, *, suggestions: bool = False) -> None:
    for name, value in (("format", form), ("what", "suggestions" if suggestions else "cells")):
        combo = dialog.options.controls[name].native
        assert isinstance(combo, QComboBox)
        combo.setCurrentIndex(combo.findData(value))


def test_every_format_of_the_registry_can_be_chosen(dialog: ExportDialog) -> None:
    combo = dialog.options.controls["format"].native
    assert isinstance(combo, QComboBox)
    titles = [combo.itemText(i) for i in range(combo.count())]
    assert titles == [formats.FORMATS[name].title for name in formats.names(writing=True)]


def test_it_says_what_goes_out_and_what_is_lost(dialog: ExportDialog) -> None:
    choose(dialog, "coco")
    assert dialog.holds.text().startswith("2 cells, 1 finished region of 2 fields")
    choose(dialog, "yolo")
    assert "1 cell loses its attributes." in dialog.loses.text()
    choose(dialog, "lld")
    assert "1 cell is left out: its class is missing" in dialog.loses.text()
    assert "Unsure becomes missing in 1 cell." in dialog.loses.text()


def test_suggestions_are_refused_where_the_format_has_no_place_for_them(dialog: ExportDialog) -> None:
    choose(dialog, "voc", suggestions=True)
    assert not dialog.ok.isEnabled()
    choose(dialog, "coco", suggestions=True)
    assert dialog.ok.isEnabled()
    assert dialog.answer().options.what == "suggestions"


def test_a_place_that_cannot_be_is_said_at_once(dialog: ExportDialog, tmp_path: Path) -> None:
    choose(dialog, "crops")
    assert dialog.ok.isEnabled()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    dialog.place.setText(str(tmp_path / "full"))
    assert not dialog.ok.isEnabled()
    assert "not empty" in dialog.loses.text()
    dialog.place.setText(str(tmp_path / "nowhere" / "crops"))
    assert not dialog.ok.isEnabled()


def test_the_answer_has_the_suffix_and_the_options_of_the_format(
    dialog: ExportDialog, tmp_path: Path
) -> None:
    choose(dialog, "csv")
    dialog.place.setText(str(tmp_path / "cells"))
    assert dialog.answer().out == tmp_path / "cells.csv"
    choose(dialog, "crops")
    margin = dialog.format_options.controls["margin"].native
    assert isinstance(margin, QDoubleSpinBox)
    margin.setValue(0.5)
    assert dialog.answer().options.options == {"margin": "0.5"}
    assert dialog.answer().out.suffix == ""


def test_what_becomes_of_unknown_area_is_chosen_before_the_export(
    survey: formats.Survey, dialog: ExportDialog
) -> None:
    """It was told afterwards, cut short, as ``--option fields=covered``."""
    assert (survey.annotated, survey.covered) == (1, 1)
    choose(dialog, "yolo")
    assert "unmarked" not in dialog.loses.text()
    assert dialog.answer().options.options == {}
    dialog._survey = dataclasses.replace(survey, annotated=20, covered=3)
    choose(dialog, "coco")
    assert "Other programs will treat the unmarked area of 17 fields as background." in dialog.loses.text()
    choose(dialog, "coco", suggestions=True)
    assert "unmarked" not in dialog.loses.text()
    choose(dialog, "geojson")
    assert "unmarked" not in dialog.loses.text()
    choose(dialog, "yolo")
    fields = dialog.format_options.controls["fields"].native
    assert isinstance(fields, QComboBox)
    assert fields.currentText() == "Only completely annotated fields (3 of 20)"
    assert dialog.answer().options.options == {"fields": "covered"}
    assert "17 fields are left out" in dialog.loses.text()
    fields.setCurrentIndex(fields.findData("annotated"))
    assert "The unmarked area of 17 fields will count as background" in dialog.loses.text()
    assert dialog.answer().options.options == {}
    choose(dialog, "huggingface")
    fields = dialog.format_options.controls["fields"].native
    assert isinstance(fields, QComboBox)
    assert fields.currentData() == "annotated", "the export says what is unknown"
    assert "Other programs will treat the unmarked area of 17 fields as background." in dialog.loses.text()
    fields.setCurrentIndex(fields.findData("covered"))
    assert "17 fields are left out" in dialog.loses.text()
    dialog._survey = dataclasses.replace(survey, annotated=20, covered=0)
    choose(dialog, "coco")
    choose(dialog, "yolo")
    fields = dialog.format_options.controls["fields"].native
    assert isinstance(fields, QComboBox)
    assert fields.currentData() == "annotated", "there is nothing else to export"
    assert "--" not in dialog.loses.text()
    fields.setCurrentIndex(fields.findData("covered"))
    assert not dialog.ok.isEnabled()
    assert "No field is annotated completely" in dialog.loses.text()


def test_every_kind_of_loss_has_a_sentence() -> None:
    for kind in {kind for kinds in formats.LOST.values() for kind in kinds}:
        assert "2" in describe_loss(kind, 2) or kind == "images"


@pytest.mark.parametrize("form", ["coco", "csv", "yolo", "lld"])
def test_a_place_without_a_name_is_said(dialog: ExportDialog, form: str) -> None:
    choose(dialog, form)
    for place in ("/", ".", ".."):
        dialog.place.setText(place)
        assert not dialog.ok.isEnabled()
        choose(dialog, "voc" if form != "voc" else "coco")
        choose(dialog, form)


def test_another_format_replaces_only_the_suffix_of_a_format(dialog: ExportDialog, tmp_path: Path) -> None:
    dialog.place.setText(str(tmp_path / "films.2024"))
    for form, name in (("yolo", "films.2024"), ("csv", "films.2024.csv"), ("coco", "films.2024.json")):
        choose(dialog, form)
        assert dialog.place.text() == str(tmp_path / name)
    choose(dialog, "voc")
    assert dialog.answer().out == tmp_path / "films.2024"
