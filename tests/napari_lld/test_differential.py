"""The differential count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QPlainTextEdit, QProgressBar, QPushButton

from annotation_store import ClassCount, Project
from annotation_store.schema import load_schema
from napari_lld import sample
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.imaging.overlap import find_overlap
from napari_lld.session.differential import as_csv, differential
from napari_lld.widgets.counts.differential_panel import DifferentialPanel, in_two_columns
from napari_lld.widgets.dialogs import dialogs

from .conftest import listen


def cells(*classes: str | None, kind: str | None = None) -> list[ClassCount]:
    return [ClassCount(name, kind, 1) for name in classes]


def test_shares_are_of_white_cells_with_a_class() -> None:
    found = differential(
        [
            *cells(*["Neutrophil"] * 6, "Myeloblast", "blast", "Lymphocyte", "Lymphocyte"),
            *cells(None, "unsure", None),
            *cells("None", "None", kind="nucleated red cell"),
            *cells("None", kind="smudge"),
        ],
        load_schema("lld"),
    )
    assert (found.counted, found.unclassified, found.nucleated_red) == (10, 3, 2)
    assert [(s.name, s.count) for s in found.shares] == [
        ("Myeloblast", 1),
        ("Neutrophil", 6),
        ("Lymphocyte", 2),
        ("blast", 1),
    ]
    neutrophils = found.shares[1]
    assert neutrophils.share == 0.6
    assert (neutrophils.low, neutrophils.high) == pytest.approx((0.313, 0.832), abs=0.001)
    assert found.blasts is not None
    assert (found.blasts.count, found.blasts.share) == (2, 0.2)
    assert found.nucleated_red_per_100 == 20
    text = as_csv(found)
    assert text.splitlines()[0] == "class,count,percent,from,to"
    assert "Neutrophil,6,60.0,31.3,83.2" in text


def test_nothing_counted_is_no_division_by_nothing() -> None:
    found = differential([], load_schema("wbcatt"))
    assert found.shares == ()
    assert found.blasts is None
    assert found.nucleated_red_per_100 is None
    assert "White cells counted,0" in as_csv(found)


def test_the_count_runs_along_per_patient_or_all(
    small_project: Path, qtbot: QtBot, no_leaks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dock = AnnotateDock(ViewerModel())
    qtbot.addWidget(dock)
    dock.resize(420, 703)
    dock.show()
    dock.show_count_tab()
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    table = dock.findChild(QPlainTextEdit, "lld_differential_table")
    scope = dock.findChild(QComboBox, "lld_scope")
    copy, save = (dock.findChild(QPushButton, f"lld_differential_{name}") for name in ("copy", "csv"))
    assert table is not None
    assert scope is not None
    assert copy is not None
    assert save is not None
    session.boxes.add((10, 10, 20, 20))
    session.labels.set_class("Monocyte")
    session.fields.next()
    session.boxes.add((10, 10, 20, 20))
    session.labels.set_class("Myeloblast")
    qtbot.wait(500)
    assert "All blasts · 1" in table.toPlainText()
    assert "Monocyte" not in table.toPlainText()  # another field, and no patient is known
    scope.setCurrentIndex(2)
    scope.activated.emit(2)
    assert "50.0%" in table.toPlainText()
    assert "Monocyte · 1" in table.toPlainText()
    qtbot.mouseClick(copy, Qt.MouseButton.LeftButton)
    clipboard = QApplication.clipboard()
    assert clipboard is not None
    assert "Monocyte\t1\t50.0" in clipboard.text()
    out = tmp_path / "count.csv"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_args: (str(out), ""))
    qtbot.mouseClick(save, Qt.MouseButton.LeftButton)
    assert "Monocyte,1,50.0" in out.read_text(encoding="utf-8")
    assert dock.minimumSizeHint().height() <= 703
    assert dock.minimumSizeHint().width() <= 430
    dock.release()


def test_it_counts_to_a_target_per_patient_or_slide(
    small_project: Path, qtbot: QtBot, no_leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Project.open(small_project, annotator="Ada") as project:
        for number, field in enumerate(project.fields.all()):
            project.fields.update(field.id, patient="P1", slide=f"S{number}")
            for i in range(60 if number else 99):
                project.cells.add(field.id, (i, 40, 10, 10), cell_class="Monocyte")
    dock = AnnotateDock(ViewerModel())
    qtbot.addWidget(dock)
    dock.show()
    dock.show_count_tab()
    session = dock.desk.session
    session.open(small_project, annotator="Ada")
    scope, target = (dock.findChild(QComboBox, f"lld_{name}") for name in ("scope", "target"))
    progress = dock.findChild(QProgressBar, "lld_count_progress")
    assert scope is not None
    assert target is not None
    assert progress is not None
    told = listen(session)
    target.setCurrentIndex(target.findData(200))
    target.activated.emit(2)
    assert (progress.value(), progress.maximum()) == (159, 200)
    scope.setCurrentIndex(1)
    scope.activated.emit(1)
    assert (progress.value(), progress.maximum()) == (99, 200)
    target.setCurrentIndex(target.findData(100))
    target.activated.emit(1)
    session.boxes.add((1, 1, 9, 9))
    session.labels.set_class("Neutrophil")
    qtbot.wait(500)
    assert "100 white cells are counted." in told
    told.clear()
    session.fields.next()
    qtbot.wait(400)
    assert progress.value() == 60
    assert not [sentence for sentence in told if "counted" in sentence]
    session.close()
    session.open(small_project, annotator="Ada")
    assert target.currentData() == 100, "it is remembered with the project"

    asked: list[str] = []
    monkeypatch.setattr(
        "annotation_store._collections.cells.Cells.all", lambda *_: asked.append("cells") or []
    )
    dock.findChild(DifferentialPanel).refresh()  # type: ignore[union-attr]
    assert not asked, "no cell is read for a count"
    dock.release()


def overlapping() -> tuple[np.ndarray, np.ndarray]:
    """Give two windows of one film; the second lies at (150, 40) in the first."""
    with Image.open(sample.fields()[-1]) as image:
        pixels = np.asarray(image.convert("RGB"))
    return pixels[:280, :300].copy(), pixels[40:320, 150:].copy()


def test_the_offset_of_two_fields_is_found_by_their_pixels() -> None:
    first, second = overlapping()
    found = find_overlap(first, second)
    assert found is not None
    assert (found.dx, found.dy) == (pytest.approx(150, abs=3), pytest.approx(40, abs=3))
    assert found.alike > 0.9
    with Image.open(sample.fields()[0]) as image:
        assert find_overlap(first, np.asarray(image.convert("RGB"))) is None
    assert find_overlap(first, np.full((200, 200, 3), 255, np.uint8)) is None
    assert find_overlap(first, np.zeros((3, 3, 3), np.uint8)) is None


def test_the_user_says_that_fields_overlap_by_pixels_or_by_one_cell_and_takes_it_back(
    tmp_path: Path, qtbot: QtBot, no_leaks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, pixels in zip("ab", overlapping(), strict=True):
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    with Project.create(tmp_path / "p.lld", annotator="Ada") as project:
        one, two = project.fields.add([tmp_path / "a.png", tmp_path / "b.png"]).added
        project.cells.add(one, (200, 100, 30, 30), cell_class="Monocyte")
        project.cells.add(two, (51, 61, 30, 30), cell_class="Monocyte")
    dock = AnnotateDock(ViewerModel())
    qtbot.addWidget(dock)
    session, commands = dock.desk.session, dock.desk.commands
    session.open(tmp_path / "p.lld", annotator="Ada")
    own = session.project
    assert own is not None

    def counted() -> int:
        return sum(count.count for count in own.cells.count_by_class())

    told = listen(session)
    monkeypatch.setattr(dialogs, "ask_overlapping_field", lambda _name, others, _parent: others[0])
    assert commands.run("overlap.find")
    qtbot.waitUntil(lambda: not dock.desk.jobs.busy, timeout=30_000)
    assert counted() == 1
    assert "1 cell is in both and counts once." in told[-1]
    session.history.undo()
    assert counted() == 2
    session.selection.select("cell", session.marks.cells[0].id)
    commands.run("overlap.same_cell")
    assert counted() == 2
    session.fields.next()
    session.selection.select("cell", session.marks.cells[0].id)
    commands.run("overlap.same_cell")
    assert counted() == 1
    commands.run("overlap.remove")
    assert counted() == 2
    dock.release()


def test_two_short_lines_share_one_and_a_long_one_stands_alone(qapp: QApplication) -> None:
    metrics = QFontMetrics(qapp.font())
    lines = ["a", "b", "a line that is far too long for half", "c", "d"]
    wide = metrics.horizontalAdvance(lines[2]) - 10
    assert in_two_columns(lines, metrics, wide) == f"a\tb\n{lines[2]}\nc\td"
