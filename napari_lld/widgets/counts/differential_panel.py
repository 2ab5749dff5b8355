"""The running differential count of a patient, or of all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QFontMetrics
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QMenu,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QToolButton,
    QWidget,
)

from annotation_store.errors import OutputError
from annotation_store.files.outputs import check_output, write_file
from napari_lld.commands.registry import Commands
from napari_lld.i18n.schema_texts import word
from napari_lld.i18n.translate import decimal, tr
from napari_lld.session import user_state
from napari_lld.session.differential import Differential, as_csv, as_text, differential
from napari_lld.session.session import Session
from napari_lld.widgets.base.parts import Part, column, label, row
from napari_lld.widgets.base.room import FoldingRow
from napari_lld.widgets.base.whole_text import ChosenText

_ALL, _SLIDE, _HERE = "all", "slide", "here"
_TARGETS = (100, 200, 500)
_SOON_MS = 300
"""Many edits in a row are counted as one."""
_LINES = 3


class DifferentialPanel(Part):
    """Counts, percentages with their interval, blasts; copy and CSV. It counts only while it is seen."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        self.setObjectName("lld_differential")
        self._counts: Differential | None = None
        layout = column(self, 1, (0, 2, 0, 0))
        self._scope = ChosenText()
        self._scope.setObjectName("lld_scope")
        self._scope.setAccessibleName(tr("What is counted"))
        self._scope.addItem(tr("This patient"), _HERE)
        self._scope.addItem(tr("This slide"), _SLIDE)
        self._scope.addItem(tr("All fields"), _ALL)
        self._scope.activated.connect(lambda *_: self.refresh())
        self._sum = label(role="muted", gives_way=True)
        self._copy = QPushButton(tr("Copy"))
        self._csv = QPushButton(tr("CSV …"))
        for button, name, action in (
            (self._copy, "copy", self._on_copy),
            (self._csv, "csv", self._on_csv),
        ):
            button.setObjectName(f"lld_differential_{name}")
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            button.clicked.connect(action)
        self._target = ChosenText()
        self._target.setObjectName("lld_target")
        self._target.setToolTip(tr("Number of white cells to count"))
        self._target.setAccessibleName(tr("Number of white cells to count"))
        self._target.addItem(tr("No target"), 0)
        for target in _TARGETS:
            self._target.addItem(tr("To {target}", target=target), target)
        self._target.activated.connect(self._on_target)
        self._progress = QProgressBar()
        self._progress.setObjectName("lld_count_progress")
        self._progress.setTextVisible(False)
        self._progress.setFixedSize(110, 8)
        self._before: tuple[object, int] | None = None
        overlap = QToolButton()
        overlap.setObjectName("lld_overlap")
        overlap.setText(tr("Overlap") + " ▾")
        overlap.setToolTip(tr("Fields that overlap: their common cells count once"))
        overlap.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        overlap.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        menu = QMenu(overlap)
        menu.setToolTipsVisible(True)
        for command_id in ("overlap.find", "overlap.same_cell", "overlap.remove"):
            self.menu_action(menu, command_id)
        overlap.setMenu(menu)
        self._slide = self.tool_button("slide.differential", tr("Slide …"), hint=False)
        self._slide.setProperty("others", True)
        what = row(self._scope, self._target, spacing=2)
        acts = row(self._slide, overlap, self._copy, self._csv, 1, spacing=2)
        layout.addWidget(FoldingRow(what, acts, spacing=2, stretch=0))
        counted = row(self._sum, self._progress)
        counted.setStretch(0, 1)
        layout.addLayout(counted)
        self._table = QPlainTextEdit()
        self._table.setObjectName("lld_differential_table")
        self._table.setAccessibleName(tr("Counts and shares"))
        self._table.setReadOnly(True)
        self._table.setTabChangesFocus(True)
        self._table.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        # As high as the other tabs: the classes above keep their room.
        self._table.setFixedHeight(_LINES * self._table.fontMetrics().lineSpacing() + 6)
        document = self._table.document()
        if document is not None:
            document.setDocumentMargin(2)
        layout.addWidget(self._table, 1)
        self._settling.setInterval(_SOON_MS)
        self.bind(session.project_changed, self._on_project)
        for signal in (session.fields.current_changed, session.fields.summaries_changed):
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
        self._counts = self._count()
        counts = self._counts
        self._slide.setVisible(self.commands["slide.differential"].when(self.session))
        for button in (self._copy, self._csv):
            button.setEnabled(
                counts is not None and bool(counts.counted or counts.unclassified or counts.unknown)
            )
        if counts is None:
            self._sum.setText("")
            self._progress.hide()
            self._table.setPlainText("")
            return
        rest = tr(", {count} without a class", count=counts.unclassified) if counts.unclassified else ""
        if counts.unknown:
            rest += tr(", {count} unknown pending", count=counts.unknown)
        target = self._target.currentData()
        self._sum.setText(
            tr("{counted} of {target} counted{left}", counted=counts.counted, target=target, left=rest)
            if target
            else tr("{counted} counted{left}", counted=counts.counted, left=rest)
        )
        self._sum.setToolTip(self._sum.text())
        self._progress.setVisible(bool(target))
        self._progress.setRange(0, target or 1)
        self._progress.setValue(min(counts.counted, target))
        self._announce_target(counts.counted, target)
        lines = [
            f"{decimal(share.share, '.1%')} ({share.low * 100:.0f}–{share.high:.0%}) "
            f"{word(share.title)} · {share.count}"
            for share in ([counts.blasts] if counts.blasts is not None else []) + list(counts.shares)
        ]
        per = counts.nucleated_red_per_100
        if counts.nucleated_red and per is not None:
            lines.append(
                tr(
                    "{per:.1f} nucleated red cells per 100 white cells · {count}",
                    per=per,
                    count=counts.nucleated_red,
                )
            )
        text = "\n".join(lines) if counts.counted else tr("No cell with a class yet.")
        self._table.setToolTip(text)  # all of it at a glance: the table itself is low
        viewport = self._table.viewport()
        half = (viewport.width() if viewport is not None else 0) / 2 - 2
        self._table.setTabStopDistance(max(half, 1))
        self._table.setPlainText(in_two_columns(text.split("\n"), self._table.fontMetrics(), half))

    def _announce_target(self, counted: int, target: int) -> None:
        """Announce once that the target is reached, while counting only."""
        session = self.session
        field = session.fields.current
        scope = (
            session.project,
            self._scope.currentData(),
            target,
            (field.patient, field.slide)
            if field is not None and field.patient
            else session.fields.current_id,
        )
        before, self._before = self._before, (scope, counted)
        if target and before is not None and before[0] == scope and before[1] < target <= counted:
            session.notify("info", tr("{target} white cells are counted.", target=target))

    def _on_target(self, _index: int) -> None:
        project = self.session.project
        if project is not None:
            user_state.remember_project(project.path, count_target=self._target.currentData())
        self.refresh()

    def _on_project(self) -> None:
        project = self.session.project
        target = user_state.recall_project(project.path).get("count_target") if project is not None else 0
        self._target.setCurrentIndex(max(self._target.findData(target), 0))
        self._before = None
        self.refresh_soon()

    def _count(self) -> Differential | None:
        project, field_id = self.session.project, self.session.fields.current_id
        if project is None:
            return None
        scope = self._scope.currentData()
        among = None
        if scope != _ALL and field_id is not None:
            among = project.fields.beside(field_id, slide=scope == _SLIDE)
        unknown = project.suggestions.count_unknown(among)
        return differential(project.cells.count_by_class(among), project.schema, unknown=unknown)

    def _on_copy(self) -> None:
        clipboard = QApplication.clipboard()
        if self._counts is not None and clipboard is not None:
            clipboard.setText(as_text(self._counts))
            self.session.notify("hint", tr("The differential is on the clipboard."))

    def _on_csv(self) -> None:
        project = self.session.project
        if self._counts is None or project is None:
            return
        start = str(project.path.parent / "differential.csv")
        file, _filter = QFileDialog.getSaveFileName(self, tr("Differential as CSV"), start, "CSV (*.csv)")
        if not file:
            return
        try:
            check_output(Path(file), overwrite=True)  # the file dialog has asked
            write_file(Path(file), as_csv(self._counts))
        except OutputError as error:
            self.session.notify("error", str(error))
        else:
            self.session.notify("info", tr("Differential written to {file}.", file=file))


def in_two_columns(lines: list[str], metrics: QFontMetrics, wide: float) -> str:
    """Join two lines by a tab, if both are narrow enough."""
    rows: list[str] = []
    beside = False
    for line in lines:
        narrow = metrics.horizontalAdvance(line) < wide - 4
        if beside and narrow:
            rows[-1] += f"\t{line}"
            beside = False
        else:
            rows.append(line)
            beside = narrow
    return "\n".join(rows)
