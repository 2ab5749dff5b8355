"""The target of a dialog: an existing file is replaced only after one question."""

from __future__ import annotations

import os
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from annotation_store.errors import OutputError
from annotation_store.files.outputs import project_around
from napari_lld.i18n.translate import tr
from napari_lld.i18n.worker_texts import in_the_window


class SavePlace:
    """Ask where to write; remember which file the file dialog has asked about already."""

    def __init__(self, parent: QWidget) -> None:
        self._parent = parent
        self._agreed: Path | None = None

    def browse(self, title: str, start: str, files: str = "") -> str:
        """Open the system's dialog, which asks before it gives a file that exists; "" where cancelled."""
        path = str(QFileDialog.getSaveFileName(self._parent, title, start, files)[0])
        if path:
            self._agreed = Path(path)
        return path

    def agreed(self, *places: Path) -> bool:
        """Return whether the places may be written; ask about files not asked about yet."""
        existing = [
            place
            for place in places
            if os.path.lexists(place) and not place.is_dir() and place != self._agreed
        ]
        if not existing:
            return True
        names = ", ".join(place.name for place in existing)
        answer = QMessageBox.question(
            self._parent,
            tr("Replace the file?"),
            tr("{name} already exists. Do you want to replace it?", name=names),
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No,
            QMessageBox.StandardButton.No,
        )
        return bool(answer == QMessageBox.StandardButton.Yes)


def problem_of(out: Path) -> str:
    """Explain why a place cannot be written, whatever is agreed to; "" where it can."""
    try:
        if project_around(out) is not None:
            return tr("{name} is inside a project: choose another location.", name=out.name)
    except OutputError as error:
        return in_the_window(str(error))
    if out.absolute().parent.is_dir() and not os.access(out.absolute().parent, os.W_OK | os.X_OK):
        return tr("You may not write in {name}: choose another folder.", name=out.absolute().parent.name)
    return ""
