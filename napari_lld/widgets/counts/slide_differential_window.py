"""The differential of a whole slide: progress, counts, and unreviewed predictions."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDialog,
    QHeaderView,
    QProgressBar,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_lld.i18n.durations import duration
from napari_lld.i18n.schema_texts import word
from napari_lld.i18n.translate import decimal, tr, trn
from napari_lld.session.differential import Share
from napari_lld.session.slide_differential import TARGETS, SlideDifferential
from napari_lld.session.training_state import TrainingState
from napari_lld.widgets.base.parts import label, row
from napari_lld.widgets.base.room import keep_on_screen
from napari_lld.widgets.base.theme import RESEARCH_USE, Colours, stylesheet

_ROWS = 6
"""Rows of the table that are seen at least."""
_MOST = 100_000


class SlideDifferentialWindow(QDialog):
    """A separate window beside napari's; it stays open while one reviews what was counted."""

    asked = Signal(int)
    """So many white cells are to be counted."""
    stopped = Signal()
    review_asked = Signal()
    copied = Signal()

    def __init__(self, colours: Colours, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("lld_desk")
        self.setWindowTitle(tr("Differential of the slide"))
        self._shown: SlideDifferential | None = None
        self.target = QComboBox()
        self.target.setObjectName("lld_slide_target")
        self.target.setEditable(True)
        self.target.setInsertPolicy(QComboBox.InsertPolicy.NoInsert)
        self.target.setAccessibleName(tr("Number of white cells to count"))
        self.target.addItems([str(target) for target in TARGETS])
        self.target.setCurrentText(str(TARGETS[1]))
        self.count = QPushButton(tr("Count"))
        self.count.setObjectName("lld_slide_count")
        self.count.setProperty("role", "primary")
        self.count.setToolTip(
            tr(
                "Search the monolayer in a random order that is spread over all of it, until "
                "this many are found. Nothing is read twice."
            )
        )
        self.stop = QPushButton(tr("Stop"))
        self.stop.setObjectName("lld_slide_stop")
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)
        self.message = label(role="muted", gives_way=True)
        self.heading = label(role="heading")
        self.table = QTreeWidget()
        self.table.setObjectName("lld_slide_table")
        self.table.setAccessibleName(tr("Counts and shares"))
        self.table.setRootIsDecorated(False)
        self.table.setSelectionMode(QTreeWidget.SelectionMode.NoSelection)
        self.table.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.table.setHeaderLabels([tr("Class"), tr("Count"), tr("Share"), tr("95% interval")])
        header = self.table.header()
        header.setStretchLastSection(False)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        for column in (1, 2, 3):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
            self.table.headerItem().setTextAlignment(
                column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            )
        self.table.setMinimumHeight((_ROWS + 2) * (self.fontMetrics().lineSpacing() + 6))
        self.apart = label(wrap=True)
        self.where = label(role="muted", wrap=True)
        self.trust = label(role="notice", wrap=True)
        self.review = QPushButton(tr("Review …"))
        self.review.setObjectName("lld_slide_review")
        self.review.setToolTip(
            tr("Show the counted cells to review in the gallery, class by class; the counts are updated.")
        )
        self.copy = QPushButton(tr("Copy"))
        self.copy.setObjectName("lld_slide_copy")
        self.copy.setToolTip(tr("Put the counts on the clipboard as text"))
        for button in (self.stop, self.review, self.copy):
            button.setAutoDefault(False)
        self.count.setDefault(True)
        layout = QVBoxLayout(self)
        layout.addLayout(row(label(tr("White cells")), self.target, self.count, self.stop, 1))
        layout.addWidget(self.bar)
        layout.addWidget(self.message)
        layout.addWidget(self.heading)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.apart)
        layout.addWidget(self.where)
        layout.addWidget(self.trust)
        layout.addLayout(row(label(tr(RESEARCH_USE), "muted"), 1, self.review, self.copy))
        self.count.clicked.connect(lambda *_: self._ask())
        self.stop.clicked.connect(lambda *_: self.stopped.emit())
        self.review.clicked.connect(lambda *_: self.review_asked.emit())
        self.copy.clicked.connect(lambda *_: self._copy())
        self.use_colours(colours)
        self.resize(460, 440)
        keep_on_screen(self)
        self.show_counts(None)

    def use_colours(self, colours: Colours) -> None:
        """Take the colours of a theme."""
        self.setStyleSheet(stylesheet(colours))

    @property
    def wanted(self) -> int | None:
        """How many white cells are to be counted; ``None`` where that is not a number."""
        text = self.target.currentText().strip()
        return int(text) if text.isdecimal() and 0 < int(text) <= _MOST else None

    def _ask(self) -> None:
        target = self.wanted
        if target is None:
            self.message.setText(tr("Enter the number of white cells to count, such as 200."))
            self.target.setFocus()
        else:
            self.asked.emit(target)

    def begin(self, name: str) -> None:
        """Show nothing of a slide yet."""
        self.setWindowTitle(tr("Differential of {slide}", slide=name))
        self.message.setText("")
        self.show_counts(None)

    def show_training(self, state: TrainingState, *, own: bool, forbidden: str) -> None:
        """Show the progress of the search, or why none can start.

        Parameters
        ----------
        own
            Whether the running task counts on this slide.
        forbidden
            Why nothing may be written into the project.
        """
        at_work = state.busy and own
        self.count.setEnabled(not state.busy and not forbidden)
        self.target.setEnabled(not state.busy)
        self.stop.setVisible(at_work)
        self.bar.setVisible(at_work)
        if at_work:
            fraction = state.progress.fraction
            self.bar.setRange(0, 0 if fraction is None else 1000)
            self.bar.setValue(round(1000 * (fraction or 0)))
            self.show_message(self._progress(state))
        elif state.busy:
            self.show_message(
                tr("Another task is running: {what}.", what=state.progress.title or state.message)
            )
        else:
            self.show_message(forbidden or (state.message if own else ""))

    def _progress(self, state: TrainingState) -> str:
        progress = state.progress
        if not progress.stage:
            return state.message
        parts = [progress.title]
        if progress.total:
            parts[0] += f" {progress.done}/{progress.total}"
        if progress.seconds_left is not None:
            parts.append(tr("{time} left", time=duration(progress.seconds_left)))
        return " · ".join(parts)

    def show_message(self, sentence: str) -> None:
        """Show a sentence below the bar."""
        self.message.setText(sentence)
        self.message.setToolTip(sentence)

    def show_counts(self, shown: SlideDifferential | None) -> None:
        """Show the counts; ``None`` before the first."""
        self._shown = shown
        self.table.clear()
        self.copy.setEnabled(shown is not None)
        self.review.setVisible(shown is not None)
        self.trust.setVisible(shown is not None)
        if shown is None:
            self.heading.setText(tr("Nothing counted yet"))
            self.apart.setText("")
            self.where.setText(
                tr(
                    "The model searches the monolayer until this many white cells are found; "
                    "sparse and thick zones are not counted. The results are predictions: "
                    "review them."
                )
            )
            return
        self.heading.setText(shown.heading)
        counts = shown.counts
        for share in counts.shares:
            self._add(word(share.title), share)
        if counts.blasts is not None and counts.blasts.count:
            self._add(counts.blasts.title, counts.blasts, bold=True)
        if counts.nucleated_red and counts.nucleated_red_per_100 is not None:
            per = tr("{per:.1f} per 100", per=counts.nucleated_red_per_100)
            self._line([tr("Nucleated red cells"), str(counts.nucleated_red), per, ""])
        self.apart.setText(shown.apart)
        self.apart.setVisible(bool(shown.apart))
        self.where.setText(shown.where)
        self.trust.setText(shown.trust)
        self.review.setEnabled(bool(shown.unreviewed))
        self.review.setText(
            trn("Review {count} …", "Review {count} …", shown.unreviewed)
            if shown.unreviewed
            else tr("Review …")
        )

    def _add(self, title: str, share: Share, *, bold: bool = False) -> None:
        interval = f"{decimal(100 * share.low, '.1f')}–{decimal(share.high, '.1%')}"
        self._line([title, str(share.count), decimal(share.share, ".1%"), interval], bold=bold)

    def _line(self, texts: list[str], *, bold: bool = False) -> None:
        item = QTreeWidgetItem(texts)
        item.setFlags(Qt.ItemFlag.ItemIsEnabled)
        font = item.font(0)
        font.setBold(bold)
        for column in range(4):
            item.setFont(column, font)
            if column:
                item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.table.addTopLevelItem(item)

    def _copy(self) -> None:
        clipboard = QApplication.clipboard()
        if self._shown is not None and clipboard is not None:
            clipboard.setText(self._shown.as_text())
            self.copied.emit()
