"""The page that the dock shows while no project is open."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget

from napari_lld.commands.registry import Commands
from napari_lld.i18n.translate import tr
from napari_lld.session import user_state
from napari_lld.session.session import Session
from napari_lld.widgets.base.parts import Part, column, label, rule
from napari_lld.widgets.base.theme import RESEARCH_USE

_SHOWN = 5


class StartPage(Part):
    """New, open, recent, sample."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        self.setObjectName("lld_start")
        layout = column(self, 8, (16, 18, 16, 12))
        layout.addWidget(label(tr("White cells of blood films"), "big", wrap=True))
        layout.addWidget(
            label(
                tr(
                    "Box and describe the white cells in a corner of a field, train, review what the "
                    "model suggests for the rest, export."
                ),
                wrap=True,
            )
        )
        layout.addWidget(label(tr(RESEARCH_USE), "notice"))
        layout.addSpacing(6)
        for command_id, primary in (
            ("project.new", True),
            ("project.open", False),
            ("project.sample", False),
        ):
            button = self.button(command_id, primary=primary)
            button.setMinimumHeight(30)
            layout.addWidget(button)
            if commands[command_id].help:
                layout.addWidget(label(commands[command_id].help, "muted", wrap=True))
        layout.addSpacing(6)
        layout.addWidget(rule())
        layout.addWidget(label(tr("Recent projects"), "heading"))
        self._recent = QVBoxLayout()
        self._recent.setSpacing(3)
        layout.addLayout(self._recent)
        layout.addStretch(1)
        self.bind(session.project_changed, self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """List the recent projects."""
        super().refresh()
        if self.session.project is not None:
            return
        while self._recent.count():
            item = self._recent.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.deleteLater()
        paths = user_state.recent_projects()[:_SHOWN]
        for path in paths:
            self._recent.addWidget(self._entry(path))
        if not paths:
            self._recent.addWidget(label(tr("None yet."), "muted"))

    def _entry(self, path: Path) -> QToolButton:
        button = QToolButton()
        button.setText(f"{path.name.removesuffix('.lld')}   —   {path.parent}")
        button.setToolTip(str(path))
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setSizePolicy(button.sizePolicy().Policy.Ignored, button.sizePolicy().Policy.Fixed)
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextOnly)
        button.clicked.connect(lambda *_: self.session.open(path))
        return button
