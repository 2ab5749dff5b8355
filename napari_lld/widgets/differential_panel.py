"""The running differential count of a patient, or of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QPlainTextEdit, QPushButton, QWidget

from napari_lld.commands import Commands
from napari_lld.differential import Differential, as_csv, as_text, differential
from napari_lld.session import Session
from napari_lld.translate import tr
from napari_lld.widgets.parts import Part, column, label, row

_ALL, _HERE = "all", "here"
_SOON_MS = 300
"""All cells are read for a count, so many edits in a row are counted as one."""


class DifferentialPanel(Part):
    """Counts, percentages with their interval, blasts; copy and CSV. It counts only while it is seen."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        self.setObjectName("lld_differential")
        self._found: Differential | None = None
        layout = column(self, 4, (0, 6, 0, 0))
        self._scope = QComboBox()
        self._scope.setObjectName("lld_scope")
        self._scope.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scope.addItem(tr("This patient"), _HERE)
        self._scope.addItem(tr("All fields"), _ALL)
        self._scope.activated.connect(lambda *_: self.refresh())
        self._sum = label(role="muted")
        self._copy = QPushButton(tr("Copy"))
        self._csv = QPushButton(tr("CSV …"))
        for button, name, action in (
            (self._copy, "copy", self._on_copy),
            (self._csv, "csv", self._on_csv),
        ):
            button.setObjectName(f"lld_differential_{name}")
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.clicked.connect(action)
        layout.addLayout(row(self._scope, self._sum, 1, self._copy, self._csv))
        self._table = QPlainTextEdit()
        self._table.setObjectName("lld_differential_table")
        self._table.setReadOnly(True)
        self._table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._table.setFixedHeight(56)  # as high as the other tabs: the classes above keep their room
        layout.addWidget(self._table, 1)
        self._settling.setInterval(_SOON_MS)
        for signal in (session.project_changed, session.field_changed, session.summaries_changed):
            self.bind(signal, self.refresh_soon)

    def showEvent(self, event: Any) -> None:
        """Count when the tab is opened."""
        super().showEvent(event)
        self.refresh()

    def refresh(self) -> None:
        """Count anew."""
        super().refresh()
        if not self.isVisible():
            return
        self._found = self._count()
        found = self._found
        for button in (self._copy, self._csv):
            button.setEnabled(found is not None and bool(found.counted or found.unclassified))
        if found is None:
            self._sum.setText("")
            self._table.setPlainText("")
            return
        left = tr(", {count} without a class", count=found.unclassified) if found.unclassified else ""
        self._sum.setText(tr("{counted} counted{left}", counted=found.counted, left=left))
        lines = [
            f"{share.share:6.1%}  ({share.low:.0%}–{share.high:.0%})  {share.title} · {share.count}"
            for share in ([found.blasts] if found.blasts is not None else []) + list(found.shares)
        ]
        per = found.nucleated_red_per_100
        if found.nucleated_red and per is not None:
            lines.append(
                tr(
                    "{per:.1f} nucleated red cells per 100 white cells · {count}",
                    per=per,
                    count=found.nucleated_red,
                )
            )
        self._table.setPlainText("\n".join(lines) if found.counted else tr("No cell with a class yet."))

    def _count(self) -> Differential | None:
        project, field = self.session.project, self.session.field
        if project is None:
            return None
        if self._scope.currentData() == _ALL or field is None:
            return differential(project.cells(), project.schema)
        wanted = [field.id]  # where no patient is known a field stands for itself
        if field.patient:
            wanted = [other.id for other in project.fields() if other.patient == field.patient]
        return differential((cell for one in wanted for cell in project.cells(one)), project.schema)

    def _on_copy(self) -> None:
        clipboard = QApplication.clipboard()
        if self._found is not None and clipboard is not None:
            clipboard.setText(as_text(self._found))
            self.session.tell("hint", tr("The differential is on the clipboard."))

    def _on_csv(self) -> None:
        project = self.session.project
        if self._found is None or project is None:
            return
        start = str(project.path.parent / "differential.csv")
        file, _filter = QFileDialog.getSaveFileName(self, tr("Differential as CSV"), start, "CSV (*.csv)")
        if not file:
            return
        try:
            Path(file).write_text(as_csv(self._found), encoding="utf-8")
        except OSError as error:
            self.session.tell("error", tr("{file} cannot be written: {why}.", file=file, why=error.strerror))
        else:
            self.session.tell("info", tr("Differential written to {file}.", file=file))
