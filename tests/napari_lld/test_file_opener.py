"""macOS hands a folder over as an event, to a program that runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QWidget

from napari_lld.window import FileOpener


def test_a_folder_that_the_system_hands_over_is_opened_and_other_events_pass(qtbot: QtBot) -> None:
    dropped: list[list[Path]] = []
    dock: Any = QWidget()
    qtbot.addWidget(dock)
    dock.desk = SimpleNamespace(fields=SimpleNamespace(drop=dropped.append))
    opener = FileOpener(dock)
    event = SimpleNamespace(type=lambda: QEvent.Type.FileOpen, file=lambda: "/films/one.lld")
    assert opener.eventFilter(QObject(), event)
    assert dropped == [[Path("/films/one.lld")]]
    assert not opener.eventFilter(QObject(), QEvent(QEvent.Type.KeyPress))
    assert len(dropped) == 1
