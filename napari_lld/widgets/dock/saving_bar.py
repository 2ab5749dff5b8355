"""A bar that stays for as long as nothing can be saved: the folder is gone, or open for reading only."""

from __future__ import annotations

from qtpy.QtWidgets import QFrame, QSizePolicy, QWidget

from napari_lld.commands.registry import Commands
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.session import Session
from napari_lld.widgets.base.parts import Part, column, label, row


class SavingBar(Part):
    """Bar that explains why nothing is saved, and tries again."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        frame = QFrame()
        frame.setObjectName("lld_saving")
        column(self, 0, (8, 8, 8, 0)).addWidget(frame)
        policy = QSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        policy.setHeightForWidth(True)
        self.setSizePolicy(policy)
        layout = column(frame, 1, (8, 3, 8, 3))
        self.title = label(role="heading", wrap=True)
        self.about = label(wrap=True)
        self._again = self.button("project.save", tr("Try again"))
        top = row(self._again)
        top.insertWidget(0, self.title, 1)
        layout.addLayout(top)
        layout.addWidget(self.about)
        self.bind(session.project_changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Show it where nothing can be saved."""
        super().refresh()
        session = self.session
        project, unsaved = session.project, session.unsaved
        self.setVisible(bool(session.why_no_edits))
        for widget in (self.about, self._again):
            widget.setVisible(bool(unsaved.why))
        if not unsaved.why:
            self.title.setText(tr("Read-only: nothing can be changed or trained"))
            self.title.setToolTip(session.why_no_edits)
            return
        self.title.setText(tr("Nothing is being saved"))
        place = str(project.path) if project is not None else ""
        for widget in (self.title, self.about):
            widget.setToolTip(
                tr("The project's folder was deleted, replaced, or cannot be reached: {place}", place=place)
            )
        self.about.setText(
            trn(
                "The folder is missing. Your last change is kept until it is back.",
                "The folder is missing. Your last {count} changes are kept until it is back.",
                unsaved.count,
            )
            if unsaved.count
            else tr("The folder is missing. The program keeps searching for it.")
        )
