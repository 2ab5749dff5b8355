"""Reviewing what the model proposes on this field."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QLabel, QMenu, QSizePolicy, QSlider, QToolButton, QWidget
from superqt import QElidingLabel

from annotation_store.records import Proposal
from napari_lld.commands.registry import Commands
from napari_lld.i18n.translate import tr
from napari_lld.layers.palette import set_word, set_words
from napari_lld.session.session import Session
from napari_lld.widgets.base.parts import Part, ToolButton, column, label, row
from napari_lld.widgets.base.room import FoldingRow
from napari_lld.widgets.review.queue_choice import QueueChoice
from training.inference.stain_proposals import has_box_from_stain

_ELLIPSIS = 3
"""Pixels that a label that gives way needs beside its text, or it is cut."""


class _TwoLines(QElidingLabel):
    """A sentence over two lines, or two that have one each: whatever is said, nothing above may move."""

    def __init__(self) -> None:
        super().__init__()
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setProperty("role", "muted")
        self.setWordWrap(True)
        self.setFixedHeight(28)
        self.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)

    def setText(self, text: str) -> None:
        """Show a text, of which `text` returns all."""
        super().setText(text)
        self._cut()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Cut the lines anew."""
        super().resizeEvent(event)
        self._cut()

    def _cut(self) -> None:
        lines = self.text().split("\n")
        if len(lines) > 1:
            cut = (
                self.fontMetrics().elidedText(line, Qt.TextElideMode.ElideRight, self.width())
                for line in lines
            )
            QLabel.setText(self, "\n".join(cut))


class SuggestionPanel(Part):
    """Count and threshold, next and previous, accept, reject with a reason, and what the model thinks."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        self.setObjectName("lld_suggestions")
        layout = column(self, 3, (0, 4, 0, 0))
        self._count = label(gives_way=True)
        self._slider = QSlider(Qt.Orientation.Horizontal)
        self._slider.setObjectName("lld_threshold")
        self._slider.setAccessibleName(tr("Minimum confidence to show"))
        self._slider.setRange(0, 100)
        self._slider.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._slider.setFixedWidth(54)
        self._slider.setToolTip(
            tr("Show suggestions whose class is at least this probable (, shows more · . shows fewer)")
        )
        self._slider.valueChanged.connect(self._on_slider)
        self._percent = label()
        self._percent.setFixedWidth(34)
        self._percent.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self._queue = QueueChoice(session, commands)
        self._queue.setObjectName("lld_queue")
        threshold = row(label(tr("Confidence ≥"), "muted"), self._slider, self._percent)
        queue = row(self._queue, self._count)
        queue.setStretch(1, 1)
        layout.addWidget(FoldingRow(queue, threshold, stretch=0))

        self._accept = self.button("suggestion.accept", primary=True)
        self._all = self.tool_button("suggestion.accept_all", tr("All"), hint=False)
        self._reject = ToolButton()
        self._reject.setObjectName("lld_reject")
        self._reject.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self._reject.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._reject.clicked.connect(lambda *_: commands.run("suggestion.not_a_cell"))
        menu = QMenu(self._reject)
        menu.setToolTipsVisible(True)
        for command_id in ("suggestion.not_a_cell", "suggestion.duplicate", "suggestion.bad_box"):
            self.menu_action(menu, command_id)
        self._reject.setMenu(menu)
        previous = self.tool_button("suggestion.previous", "‹")
        following = self.tool_button("suggestion.next", tr("Next ›"))
        layout.addWidget(
            FoldingRow(row(previous, following, 1), row(self._accept, self._all, self._reject, 1))
        )

        self._thoughts = _TwoLines()
        layout.addWidget(self._thoughts)
        layout.addStretch(1)
        for signal in (
            session.project_changed,
            session.fields.current_changed,
            session.selection.changed,
            session.marks.threshold_changed,
            session.suggestions.queue_changed,
            session.label_errors.changed,
            session.models.changed,
            session.marks.changed,
            session.candidates.changed,
        ):
            self.bind(signal, self.refresh_soon)
        self.refresh()

    def refresh(self) -> None:
        """Show counts, threshold and the current suggestion."""
        super().refresh()
        session = self.session
        shown_count, pending = len(session.suggestions.shown), session.marks.pending
        self._slider.blockSignals(True)
        self._slider.setValue(round(session.marks.threshold * 100))
        self._slider.blockSignals(False)
        self._percent.setText(f"{session.marks.threshold:.0%}")
        self._count.setText(_here(shown_count, pending) if pending else tr("None here"))
        # It is read whole, or the row folds; fewer suggestions unfold none, or all would move.
        width = self._count.fontMetrics().horizontalAdvance
        self._count.setMinimumWidth(max(width(self._count.text()), width(_here(99, 99))) + _ELLIPSIS)
        self._count.setToolTip(self._count.text())
        self._slider.setEnabled(session.project is not None)
        self._reject.setEnabled(bool(shown_count))
        self._accept.setEnabled(self._accept.isEnabled() and (bool(shown_count) or session.candidates.open))
        reject = self.commands["suggestion.not_a_cell"]
        self._reject.setText(f"{reject.title}  {reject.key}".rstrip())
        self._reject.setToolTip(reject.tooltip)
        self._queue.refresh()
        refusal = session.bulk_accept.refusal
        tip = self.commands["suggestion.accept_all"].tooltip
        self._all.setToolTip(
            tr("Not now: {refusal}", refusal=refusal) if refusal else f"{tip}\n{session.bulk_accept.choice}"
        )
        thoughts = self._thinks(pending)
        self._thoughts.setText(thoughts)
        predicted, schema = session.selection.proposal, session.schema
        sets = set_words(schema, predicted) if predicted and schema else []
        self._thoughts.setToolTip("\n".join((thoughts, *sets)))

    def _thinks(self, pending: int) -> str:
        """Describe the model's prediction for the current suggestion."""
        session, schema = self.session, self.session.schema
        predicted = session.selection.proposal
        if predicted is None or schema is None:
            if pending:
                return tr("S or a click selects one. Any class or value key accepts it with that change.")
            return self.commands.spelled(session.suggestions.what_next)
        ranked = sorted(
            (name for name in predicted.class_probabilities if name in schema.class_names),
            key=lambda name: -predicted.score(name),
        )
        named = [
            f"{schema.class_title(name)} {predicted.score(name):.0%}"
            for i, name in enumerate(ranked[:3])
            if i == 0 or predicted.score(name) >= 0.01
        ]
        classes = ", ".join(named) or self._why_no_class()
        text = tr("White cell {sure:.0%} · {classes}", sure=predicted.confidence, classes=classes)
        if predicted.is_unknown:
            text = tr("White cell {sure:.0%} · its class is unknown", sure=predicted.confidence)
            if named:
                text += " · " + tr("only candidates: {classes}", classes=classes)
        more = " · ".join(
            filter(
                None,
                (set_word(schema, predicted, "class"), _unchecked(predicted), session.suggestions.lesson),
            )
        )
        return f"{text}\n{more}".rstrip()

    def _why_no_class(self) -> str:
        suggestion = self.session.selection.suggestion
        if suggestion is not None and has_box_from_stain(suggestion):
            return tr("no class: the box is from the stain alone")
        return tr("no class predicted")  # not learned by the model, not in the imported file, or renamed

    def _on_slider(self, value: int) -> None:
        self.session.marks.threshold = value / 100


def _here(shown: int, pending: int) -> str:
    return tr("{shown} of {pending} here", shown=shown, pending=pending)


def _unchecked(predicted: Proposal) -> str:
    """Warn that the probabilities have not been validated, unless sets were measured."""
    if predicted.unchecked:
        return tr("Probabilities not yet checked on this film")
    return "" if predicted.sets or predicted.is_unknown else tr("Probabilities not yet checked on your films")
