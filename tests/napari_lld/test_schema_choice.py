"""A new project takes its classes from a file that is chosen in its dialog."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, QPointF, QSize, Qt
from qtpy.QtGui import QTextDocumentFragment, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QFileDialog, QPushButton

from annotation_store import Project
from annotation_store.errors import LLDError
from annotation_store.schema import Schema, load_schema
from napari_lld.i18n.translate import use_language
from napari_lld.widgets.base import room
from napari_lld.widgets.base.room import keep_on_screen
from napari_lld.widgets.dialogs import schema_choice
from napari_lld.widgets.dialogs.dialogs import NewProjectDialog
from tests.napari_lld.cut_texts import cut_texts

BLASTS = """\
name: blasts
title: Blasts and others
classes:
  - {id: 1, name: Blast, letter: B, key: b, colour: "#d55e00"}
  - {id: 2, name: Other, letter: O, key: o, colour: "#0072b2"}
attributes:
  - {name: auer_rods, values: [present, absent]}
"""
COCO = {
    "categories": [{"id": 1, "name": "Blast"}, {"id": 2, "name": "Other"}, {"id": 3, "name": "Smudge"}],
    "images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 3], "attributes": {"rim": "thin"}}
    ],
}


@pytest.fixture
def dialog(qtbot: QtBot, tmp_path: Path) -> Iterator[NewProjectDialog]:
    dialog = NewProjectDialog()
    qtbot.addWidget(dialog)
    keep_on_screen(dialog)
    dialog.name.setText("ward 7")
    dialog.place.setText(str(tmp_path))
    dialog.show()
    yield dialog
    dialog.done(0)
    use_language("en")


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of files that the next file dialogs return; an empty name is a cancelled one."""
    files: list[str] = []
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (files.pop(0), ""))
    return files


def pick(dialog: NewProjectDialog, row: int) -> None:
    """Choose a row as a user does, in the opened list by keys."""
    choices = dialog.schema.choices
    choices.showPopup()
    view = choices.view()
    view.setCurrentIndex(choices.model().index(row, 0))
    QTest.keyClick(view, Qt.Key.Key_Return)


def entries(dialog: NewProjectDialog) -> list[str]:
    choices = dialog.schema.choices
    return [choices.itemText(row) for row in range(choices.count())]


def pick_file(dialog: NewProjectDialog, qtbot: QtBot) -> None:
    pick(dialog, dialog.schema.choices.count() - 1)
    qtbot.waitUntil(lambda: not dialog.schema.busy, timeout=20_000)


def tooltip(dialog: NewProjectDialog) -> str:
    return QTextDocumentFragment.fromHtml(dialog.schema.choices.toolTip()).toPlainText()


def create_button(dialog: NewProjectDialog) -> QPushButton:
    buttons = dialog.findChild(QDialogButtonBox)
    assert buttons is not None
    button = buttons.button(QDialogButtonBox.StandardButton.Ok)
    assert button is not None
    return button


def create(dialog: NewProjectDialog, qtbot: QtBot) -> Schema:
    dialog.accept()
    qtbot.waitUntil(lambda: not dialog.isVisible(), timeout=20_000)
    with Project.open(dialog.answer().folder) as project:
        return project.schema


def test_a_project_gets_the_classes_of_a_schema_file(
    dialog: NewProjectDialog, chosen: list[str], qtbot: QtBot, tmp_path: Path
) -> None:
    file = tmp_path / "blasts.yaml"
    file.write_text(BLASTS)
    chosen.append(str(file))
    pick_file(dialog, qtbot)
    assert dialog.schema.choices.currentText() == "blasts: 2 classes, 1 attribute"
    assert entries(dialog)[-1] == "From a file …"
    assert tooltip(dialog) == str(file)
    file.unlink()  # it has been read
    assert create(dialog, qtbot) == load_schema_of(BLASTS, tmp_path)


def load_schema_of(text: str, folder: Path) -> Schema:
    file = folder / "again.yaml"
    file.write_text(text)
    return load_schema(file)


def test_a_project_gets_the_classes_of_a_coco_file(
    dialog: NewProjectDialog, chosen: list[str], qtbot: QtBot, tmp_path: Path
) -> None:
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(COCO))
    chosen.append(str(file))
    pick_file(dialog, qtbot)
    assert dialog.schema.choices.currentText() == "labels: 3 classes, 1 attribute"
    schema = create(dialog, qtbot)
    assert schema.class_names == ("Blast", "Other", "Smudge")
    assert schema.attribute_names == ("rim",)


def test_a_cancelled_file_dialog_brings_back_what_was_chosen(
    dialog: NewProjectDialog, chosen: list[str], qtbot: QtBot
) -> None:
    pick(dialog, 1)
    before = entries(dialog)
    chosen.append("")
    pick_file(dialog, qtbot)
    assert not chosen, "it was asked"
    assert dialog.schema.choices.currentText() == "WBCAtt: 5 classes, 11 attributes"
    assert entries(dialog) == before
    assert not dialog.schema.problem.isVisible()
    assert create(dialog, qtbot).name == "wbcatt"


BROKEN: dict[str, bytes | None] = {
    "missing.yaml": None,
    "empty.yaml": b"",
    "empty.json": b"",
    "cut.json": b'{"categories": [',
    "list.yaml": b"- 1",
    "tabs.yaml": b"name: x\nclasses:\n\t- 1",
    "bytes.yaml": b"\xff\xfe\x00\x00",
    "deep.json": b"[" * 100_000,
    "bomb.yaml": b"a: &a [x]\n"
    + b"".join(b"%c: &%c [*%c, *%c]\n" % (c, c, c - 1, c - 1) for c in range(98, 122)),
    "big.yaml": b"#" * 2_100_000,
    "twins.yaml": BLASTS.replace("Other", "Blast").encode(),
    "typo.yaml": BLASTS.replace("classes:", "clases:").encode(),
    "alike.yaml": BLASTS.replace("Other", "Blast\u200b").encode(),
    "none.yaml": b"name: none\nclasses: []",
    "nan.json": b'{"categories": NaN}',
    "many.json": json.dumps({"categories": [{"id": n, "name": f"c{n}"} for n in range(1_001)]}).encode(),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_schema_is_explained_and_the_choice_is_back(
    name: str, dialog: NewProjectDialog, chosen: list[str], qtbot: QtBot, tmp_path: Path
) -> None:
    content, file = BROKEN[name], tmp_path / name
    if content is not None:
        file.write_bytes(content)
    pick(dialog, 1)
    before = entries(dialog)
    chosen.append(str(file))
    pick_file(dialog, qtbot)
    assert dialog.schema.problem.isVisible()
    english = dialog.schema.problem.text()
    with pytest.raises(LLDError) as refused:
        load_schema(file)
    assert english == str(refused.value)
    qtbot.waitUntil(lambda: not cut_texts(dialog))
    assert dialog.schema.choices.currentText() == "WBCAtt: 5 classes, 11 attributes"
    assert entries(dialog) == before
    assert not (tmp_path / "ward 7.lld").exists()
    use_language("de")
    chosen.append(str(file))
    pick_file(dialog, qtbot)
    german = dialog.schema.problem.text()
    assert german != english
    assert str(file) in german
    assert not re.search(r"\b(class|group|is|it)\b", german.replace(str(file), ""))
    pick(dialog, 0)
    assert not dialog.schema.problem.isVisible(), "another choice answers it"


def test_a_pipe_is_not_waited_for(
    dialog: NewProjectDialog, chosen: list[str], qtbot: QtBot, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    chosen.append(str(tmp_path / "pipe.yaml"))
    pick_file(dialog, qtbot)
    assert "There is no schema" in dialog.schema.problem.text()


def test_a_broken_file_leaves_the_choice_of_another_file(
    dialog: NewProjectDialog, chosen: list[str], qtbot: QtBot, tmp_path: Path
) -> None:
    file, broken = tmp_path / "blasts.yaml", tmp_path / "broken.yaml"
    file.write_text(BLASTS)
    broken.write_text("[")
    chosen.extend([str(file), str(broken)])
    pick_file(dialog, qtbot)
    pick_file(dialog, qtbot)
    assert dialog.schema.problem.isVisible()
    assert dialog.schema.choices.currentText() == "blasts: 2 classes, 1 attribute"
    assert create(dialog, qtbot).name == "blasts"


def test_a_corrected_file_replaces_what_it_was(
    dialog: NewProjectDialog, chosen: list[str], qtbot: QtBot, tmp_path: Path
) -> None:
    file = tmp_path / "blasts.yaml"
    file.write_text(BLASTS)
    chosen.extend([str(file)] * 2)
    pick_file(dialog, qtbot)
    file.write_text(BLASTS.partition("attributes:")[0])
    pick_file(dialog, qtbot)
    assert entries(dialog)[2:] == ["blasts: 2 classes, 0 attributes", "From a file …"]
    assert create(dialog, qtbot).attributes == ()


def test_while_a_file_is_read_nothing_is_created_and_another_choice_counts(
    dialog: NewProjectDialog,
    chosen: list[str],
    qtbot: QtBot,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go, readers = threading.Event(), []

    def slow(file: Path) -> Schema:
        readers.append(threading.current_thread())
        go.wait(20)
        return load_schema(file)

    monkeypatch.setattr(schema_choice, "load_schema", slow)
    file = tmp_path / "blasts.yaml"
    file.write_text(BLASTS)
    chosen.extend([str(file)] * 2)
    pick(dialog, dialog.schema.choices.count() - 1)
    assert dialog.schema.problem.text() == "Reading blasts.yaml …"
    assert not create_button(dialog).isEnabled()
    dialog.accept()
    assert dialog.isVisible()
    assert not dialog.jobs.busy
    pick(dialog, 1)
    assert create_button(dialog).isEnabled()
    assert not dialog.schema.problem.isVisible()
    go.set()
    readers[0].join(20)
    assert readers[0] is not threading.main_thread()
    qtbot.wait(1)
    assert dialog.schema.choices.currentText() == "WBCAtt: 5 classes, 11 attributes"
    assert create(dialog, qtbot).name == "wbcatt"


def test_the_file_is_reached_by_keys_and_not_by_the_wheel(
    dialog: NewProjectDialog, chosen: list[str], qtbot: QtBot, tmp_path: Path
) -> None:
    file = tmp_path / "blasts.yaml"
    file.write_text(BLASTS)
    choices = dialog.schema.choices
    assert choices.focusPolicy() & Qt.FocusPolicy.TabFocus
    here, down = QPointF(choices.rect().center()), QPoint(0, -120)
    for _ in range(4):
        wheel = QWheelEvent(
            here,
            choices.mapToGlobal(here),
            down,
            down,
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(choices, wheel)
    assert choices.currentIndex() == 0
    chosen.append(str(file))
    choices.setFocus()
    QTest.keyClick(choices, Qt.Key.Key_Down)
    QTest.keyClick(choices, Qt.Key.Key_Down)
    qtbot.waitUntil(lambda: not dialog.schema.busy, timeout=20_000)
    assert choices.currentText() == "blasts: 2 classes, 1 attribute"


@pytest.mark.parametrize("language", ["en", "de"])
def test_a_long_name_keeps_its_counts_and_the_dialog_its_screen(
    language: str, chosen: list[str], qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = QSize(853, 480)  # 1280 × 720 at 150 %
    monkeypatch.setattr(room, "available", lambda _widget: size)
    file = tmp_path / "<b>long.yaml"
    file.write_text(BLASTS.replace("name: blasts", "name: " + "W" * 80))
    use_language(language)
    dialog = NewProjectDialog()
    qtbot.addWidget(dialog)
    keep_on_screen(dialog)
    dialog.show()
    chosen.append(str(file))
    pick_file(dialog, qtbot)
    qtbot.wait(20)
    shown = {"en": "…: 2 classes, 1 attribute", "de": "…: 2 Klassen, 1 Attribut"}[language]
    assert dialog.schema.choices.currentText().endswith(shown)
    assert tooltip(dialog).split("\n") == ["W" * 80, str(file)]
    assert not cut_texts(dialog)
    assert dialog.width() <= size.width()
    assert dialog.height() <= size.height()
    dialog.done(0)
    use_language("en")
