"""Bar over the field for a proposed region: reason, expected time, accept or dismiss."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_lld.commands.registry import Commands
from napari_lld.i18n.reasons import in_words
from napari_lld.i18n.translate import tr
from napari_lld.session.session import Session
from napari_lld.widgets.base.focus import show_focus
from napari_lld.widgets.base.over_canvas import OverCanvas
from napari_lld.widgets.base.parts import column, label, row
from napari_lld.widgets.base.theme import Colours, stylesheet

_MARGIN = 10
_WIDTH = 560
_SCALE_BAR = (175, 44)
"""What the scale bar takes of the canvas' lower left corner; a narrow canvas has it under this bar."""


class ProposedBar(OverCanvas):
    """Lies at the foot of the canvas while a region is proposed; without a canvas it is never seen."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        self.setObjectName("lld_proposed")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._why = label(role="heading", wrap=True)
        self._how_long = label(role="muted", gives_way=True)
        layout = column(self, 4, (10, 7, 10, 7))
        layout.addWidget(self._why)
        self._take = self.button("region.take", tr("Accept"), primary=True)
        self._leave = self.button("region.leave", tr("Dismiss"))
        another = self.button("region.propose", tr("Another"))
        foot = row(self._take, another, self._leave)
        foot.insertWidget(0, self._how_long, 1)
        layout.addLayout(foot)
        show_focus(self)
        self.hide()
        self.bind(session.region_proposal.changed, self.refresh)

    def refresh(self) -> None:
        """Show what is proposed."""
        super().refresh()
        proposed = self.session.region_proposal.current
        if proposed is None or self._canvas is None:
            self.hide()
            return
        self._why.setText(
            "\n".join(in_words(proposed.reasons)) or tr("A place that has not been annotated yet.")
        )
        minutes = max(1, round(proposed.seconds / 60))
        text = tr("about {count} min · adjustable", count=minutes)
        self._how_long.setText(text)
        self._how_long.setToolTip(f"{text}\n{tr('Its handles move and resize it.')}")
        # Return and Esc do more than this, so they are keys of other commands.
        self._take.setText(f"{tr('Accept')}  {self.commands['draw.finish'].key}")
        self._leave.setText(f"{tr('Dismiss')}  {self.commands['tool.select'].key}")
        self._place()
        self.show()
        self.raise_()

    def use_colours(self, new: Colours) -> None:
        """Apply the colours of the theme."""
        super().use_colours(new)
        self.setStyleSheet(
            stylesheet(new).replace("#lld_desk", "#lld_proposed")  # it lies outside the dock
            + f"#lld_proposed {{ border: 1px solid {new.line.name()}; border-radius: 6px; }}"
        )

    def _place(self) -> None:
        if self._canvas is None:
            return
        width = min(_WIDTH, self._canvas.width() - 2 * _MARGIN)
        height = max(self.heightForWidth(width), self.sizeHint().height())
        left = (self._canvas.width() - width) // 2
        below = _MARGIN if left >= _SCALE_BAR[0] else _SCALE_BAR[1]
        self.setGeometry(left, self._canvas.height() - height - below, width, height)
