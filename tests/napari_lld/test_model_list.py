"""The list of models in the dock."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QPushButton

from napari_lld.controllers.dock import AnnotateDock

WHY = "On the held-out cells it is worse than that in use (-0.100, at best -0.020), which stays active."


def write_files(folder: Path) -> None:
    """Write the files of a model that is as it was written."""
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"weights")
    card = {
        "format": "napari-lld model",
        "version": 1,
        "sha256": hashlib.sha256(b"weights").hexdigest(),
        "size": 448,
        "vocabulary": {"classes": ["Monocyte"], "groups": {}, "attributes": {}},
        "calibration": {"slope": 1, "intercept": 0},
    }
    (folder / "model.json").write_text(json.dumps(card))


def test_a_refused_model_says_why_and_can_be_activated(
    small_project: Path, qtbot: QtBot, no_leaks: None
) -> None:
    dock = AnnotateDock(ViewerModel())
    qtbot.addWidget(dock)
    dock.resize(420, 703)
    dock.show()
    dock.show_model_tab()
    session = dock.desk.session
    session.open(small_project)
    project = session.project
    assert project is not None
    for number, why in ((1, None), (2, WHY)):
        assert project.models.reserve_id() == number
        write_files(project.models.folder(number))
        card = {"metrics": {"held_out": {"cells": 41, "ap50": 0.9}}, "why_not_active": why}
        project.models.add(number, parent="starter", card=card, activate=why is None)
    qtbot.wait(100)
    assert dock.minimumSizeHint().height() <= 703
    models = dock.findChild(QComboBox, "lld_models")
    about = dock.findChild(QLabel, "lld_told")
    activate = dock.findChild(QPushButton, "lld_activate")
    assert models is not None
    assert about is not None
    assert activate is not None
    assert models.currentText() == "Model 1 · active · AP50 0.90"
    assert "41 held-out cells" in about.text()
    assert not activate.isVisible()

    models.setCurrentIndex(models.findData(2))
    models.activated.emit(models.currentIndex())
    assert WHY in about.text()
    assert project.models.active().id == 1  # type: ignore[union-attr]  # looking is not choosing
    qtbot.mouseClick(activate, Qt.MouseButton.LeftButton)
    qtbot.wait(100)
    assert project.models.active().id == 2  # type: ignore[union-attr]
    assert "Not promoted" not in about.text()

    # a damaged one is marked, and cannot be activated
    (project.models.folder(1) / "model.safetensors").write_bytes(b"weighty")
    session.models.changed.emit()
    qtbot.waitUntil(lambda: "damaged" in models.itemText(models.findData(1)))
    assert "damaged" not in models.itemText(models.findData(2))
    models.setCurrentIndex(models.findData(1))
    models.activated.emit(models.currentIndex())
    assert "Model 1 cannot be used" in about.text()
    assert not activate.isVisible()
    dock.release()
