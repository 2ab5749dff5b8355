"""The differential count."""

from __future__ import annotations

from pathlib import Path

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QPlainTextEdit, QPushButton

from annotation_store.records import Cell
from annotation_store.schema import load_schema
from napari_lld.differential import as_csv, differential
from napari_lld.widgets import DeskDock


def cells(*classes: str | None, kind: str | None = None) -> list[Cell]:
    return [Cell(i, 1, 1, (0, 0, 9, 9), name, kind=kind) for i, name in enumerate(classes)]


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
    dock = DeskDock(ViewerModel())
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
    session.add_box((10, 10, 20, 20))
    session.set_class("Monocyte")
    session.next_field()
    session.add_box((10, 10, 20, 20))
    session.set_class("Myeloblast")
    qtbot.wait(500)
    assert "All blasts · 1" in table.toPlainText()
    assert "Monocyte" not in table.toPlainText()  # another field, and no patient is known
    scope.setCurrentIndex(1)
    scope.activated.emit(1)
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
