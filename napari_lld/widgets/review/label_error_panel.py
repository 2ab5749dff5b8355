"""Review of one possible label error: the label, the prediction, keep or take."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_lld.commands.registry import Commands
from napari_lld.i18n.reasons import in_words
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.session import Session
from napari_lld.widgets.base.parts import Part, column, label, row
from napari_lld.widgets.base.room import FoldingRow
from napari_lld.widgets.review.queue_choice import QueueChoice

_BUTTON = 116
"""Pixels for the words on a button."""


class LabelErrorPanel(Part):
    """Stands in the place of the suggestions while possible label errors are gone through."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        self.setObjectName("lld_mistakes")
        layout = column(self, 3, (0, 4, 0, 0))
        self._queue = QueueChoice(session, commands)
        self._queue.setObjectName("lld_queue_mistakes")
        self._count = label()
        self._again = self.tool_button("mistakes.look", tr("Compare again"))
        layout.addLayout(row(self._queue, self._count, 1, self._again))
        self._take = self.button("suggestion.accept", primary=True)
        self._keep = self.button("suggestion.not_a_cell")
        previous = self.tool_button("suggestion.previous", "‹")
        following = self.tool_button("suggestion.next", tr("Next ›"))
        layout.addWidget(FoldingRow(row(previous, following, 1), row(self._take, self._keep, 1)))
        self._why = label(role="muted", wrap=True, gives_way=True)
        self._why.setFixedHeight(28)  # whatever is said: nothing above may move
        self._why.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        layout.addWidget(self._why)
        layout.addStretch(1)
        self.bind(session.label_errors.changed, self.refresh_soon)
        self.bind(session.selection.changed, self.refresh_soon)
        self.bind(session.marks.changed, self.refresh_soon)
        self.refresh()

    def refresh(self) -> None:
        """Show the current possible label error, and how many there are."""
        super().refresh()
        session = self.session
        self._queue.refresh()
        if not session.label_errors.active:
            return
        left, current = session.label_errors.items, session.label_errors.current
        count = trn("{count} left", "{count} left", len(left)) if left else ""
        if current is not None:
            count = tr("{place} of {count}", place=left.index(current) + 1, count=len(left))
        self._count.setText(count)
        self._again.setText(("● " if session.label_errors.outdated else "") + tr("Compare again"))
        take, keep = self.commands["suggestion.accept"], self.commands["suggestion.not_a_cell"]
        model, label_ = session.label_errors.model_would, session.label_errors.keeping
        self._take.setEnabled(current is not None)
        self._keep.setEnabled(current is not None)
        self._take.setText(f"{self._cut(model) or tr('Use its label')}  {take.key}".rstrip())
        self._keep.setText(f"{self._cut(label_) or tr('Keep')}  {keep.key}".rstrip())
        self._take.setToolTip(
            f"{model}\n{tr('Prediction of the model. Any class or value key changes it.')}".strip()
        )
        self._keep.setToolTip(f"{label_}\n{tr('It is not listed again unless the label changes.')}".strip())
        self._why.setText(self._reasons())
        self._why.setToolTip("\n".join(in_words(current.reasons)) if current is not None else "")

    def _cut(self, text: str) -> str:
        """Elide the text of a button, so that the dock keeps its width; its tooltip has the full text."""
        return str(self.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, _BUTTON))

    def _reasons(self) -> str:
        session = self.session
        current, state = session.label_errors.current, session.label_errors.state
        if current is not None:
            *why, learnt = in_words(current.reasons)
            return "\n".join((" · ".join(why), learnt))
        if session.label_errors.items and not state:
            return self.commands.spelled(
                tr("[suggestion.next] or a click in the list shows one. The model may be wrong.")
            )
        return state
