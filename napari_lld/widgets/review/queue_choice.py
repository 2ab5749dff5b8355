"""The choice of queue: the surest suggestions, those that teach most, or possible label errors."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QWidget

from napari_lld.commands.registry import Commands
from napari_lld.i18n.translate import tr
from napari_lld.session.session import Session
from training.ranking.cells import Queue

LABEL_ERRORS = "label_errors"


class QueueChoice(QComboBox):
    """The three queues, whichever panel it stands on."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._commands = session, commands
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(9)
        self.setAccessibleName(tr("What is reviewed"))
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        for queue, title, help_ in (
            (Queue.ACCEPT, tr("Fast accept"), tr("The surest first: most are right.")),
            (Queue.TEACH, tr("Teach me"), tr("Those from which the model would learn most come first.")),
            (LABEL_ERRORS, tr("Label errors"), tr("Labels that the model confidently contradicts.")),
        ):
            self.addItem(title, queue)
            self.setItemData(self.count() - 1, help_, Qt.ItemDataRole.ToolTipRole)
        self.activated.connect(self._on_chosen)

    def refresh(self) -> None:
        """Show which queue it is, and the keys that change it."""
        session = self._session
        self.setCurrentIndex(
            self.findData(LABEL_ERRORS if session.label_errors.active else session.suggestions.queue)
        )
        tips = [self._commands[name].tooltip for name in ("suggestion.queue", "mistakes.check")]
        self.setToolTip("\n".join(tips))

    def _on_chosen(self, _index: int) -> None:
        queue = self.currentData()
        if (queue == LABEL_ERRORS) != self._session.label_errors.active:
            self._commands.run("mistakes.check")
        if queue != LABEL_ERRORS and queue != self._session.suggestions.queue:
            self._commands.run("suggestion.queue")
        self.refresh()  # what could not be done is not shown as done
