"""The foot of the dock: a line of advice or of what was done, the long action that runs, and ways out."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QFont, QFontMetricsF
from qtpy.QtWidgets import QGridLayout, QProgressBar, QToolButton

from napari_lld.i18n.translate import tr
from napari_lld.widgets.base.context import DeskContext
from napari_lld.widgets.base.parts import Part, label
from napari_lld.widgets.base.theme import HINT_PADDING

_HINT_MS = 8000
_NARROWEST = 80
"""Percent of their width that letters keep."""
_ELLIPSIS = 2
"""Pixels between the sentence and its frame, or else it is cut by a letter."""


class Foot(Part):
    """The line at the foot of the dock.

    Parameters
    ----------
    can_take
        Whether the active layer of napari is one that cells can be taken from.
    """

    def __init__(self, desk: DeskContext, can_take: Callable[[], bool]) -> None:
        super().__init__(desk.session, desk.commands)
        self._desk, self._can_take = desk, can_take
        self._of_box = False
        """Whether the hint was given while a box is proposed: without that box it is out of date."""
        self._fading = QTimer(self)
        self._fading.setSingleShot(True)
        self._fading.setInterval(_HINT_MS)
        self._fading.timeout.connect(self.rest)
        self.line = label(role="hint", gives_way=True)
        self.line.setEllipsesWidth(2 * HINT_PADDING + _ELLIPSIS)  # else the ellipsis lies under the padding
        self.line.setFixedHeight(21)
        self.line.installEventFilter(self)
        self._busy = QProgressBar()
        self._busy.setTextVisible(False)
        self._busy.setProperty("role", "thin")
        self._stop = _button("lld_job.stop", tr("Stop"), desk.jobs.stop)
        self._back = _button("lld_layers.back", tr("Back to the field"), desk.layers.select)
        self._take = _button("lld_layers.take", tr("Take cells"), lambda: desk.commands.run("layers.take"))
        self._take.setToolTip(desk.commands.tooltip("layers.take"))
        for widget in (self._busy, self._stop, self._back, self._take):
            widget.hide()
        # The bar lies over the foot of the sentence, and both share a row: nothing moves when a job starts.
        layout = QGridLayout(self)
        layout.setContentsMargins(8, 0, 8, 4)
        layout.setColumnStretch(0, 1)
        layout.addWidget(self.line, 0, 0)
        layout.addWidget(self._busy, 0, 0, Qt.AlignmentFlag.AlignBottom)
        for column, button in enumerate((self._stop, self._back, self._take), 1):
            layout.addWidget(button, 0, column)
        self.setFixedHeight(25)
        session = desk.session
        self.bind(session.project_changed, self.make_way)
        self.bind(session.selection.proposed_box_changed, self._on_proposed_box)
        for changed in (
            session.marks.changed,
            session.marks.threshold_changed,
            session.fields.current_changed,
            session.label_errors.changed,
        ):
            self.bind(changed, self._on_marks)
        self.bind(desk.jobs.changed, self._on_job)
        self.bind(desk.viewer.layers.selection.events.active, self._on_layer)
        self.rest()
        self._on_layer()
        self._on_job()

    def release(self) -> None:
        """Let go of the desk."""
        self._fading.stop()
        super().release()

    def hint(self, sentence: str) -> None:
        """Show a sentence for a while."""
        self._of_box = self.session.selection.proposed_box is not None
        self._show(sentence)
        self._fading.start()

    def make_way(self) -> None:
        """Drop the sentence that is shown."""
        self._fading.stop()
        self.rest()

    def rest(self) -> None:
        """Show what runs, else what to do next."""
        self._of_box = False
        jobs = self._desk.jobs
        if jobs.busy:
            counted = tr(" · {done} of {total}", done=jobs.done, total=jobs.total) if jobs.total else ""
            self._show(f"{jobs.title}{counted} …")
        elif self.session.project is None:
            self._show("")
        else:
            self._show(self.commands.spelled(self._advice()))

    def _show(self, sentence: str) -> None:
        self.line.setVisible(bool(sentence))
        self.line.setText(sentence)
        self.line.setToolTip(sentence)
        self._squeeze()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Write the sentence as wide as there is room."""
        if watched is self.line and event is not None and event.type() == QEvent.Type.Resize:
            self._squeeze()
        return False

    def _squeeze(self) -> None:
        """Set narrower letters, a little, where the end of the sentence would be cut."""
        font, room = self.line.font(), self.line.width() - 2 * HINT_PADDING - _ELLIPSIS
        stretch = 100
        font.setStretch(stretch)
        while stretch > _NARROWEST and self._width(font) > room > 0:
            stretch -= 2
            font.setStretch(stretch)
        if stretch != self.line.font().stretch():
            self.line.setFont(font)
            self.line.setText(self.line.text())  # cut anew

    def _width(self, font: QFont) -> float:
        return float(QFontMetricsF(font, self.line).horizontalAdvance(self.line.text()))

    def _advice(self) -> str:
        if (foreign := self._desk.layers.foreign) is not None:
            return tr("Keys and mouse act on the layer “{name}”, not on the project.", name=foreign)
        if self.session.fields.current_id is None:
            return tr("Add fields, or drop images here · [help.keys] shows all keys")
        if not self.session.marks.regions:
            return tr(
                "[tool.region] draws a region to finish, [tool.box] boxes its cells · "
                "[help.keys] shows all keys"
            )
        return tr("[help.keys] shows all keys")

    def _on_proposed_box(self) -> None:
        """Drop what was said about a proposed box that is no longer there."""
        if self.session.selection.proposed_box is None and self._of_box:
            self.make_way()

    def _on_marks(self, *_args: object) -> None:
        self._on_proposed_box()
        if not self._fading.isActive():
            self.rest()

    def _on_layer(self, *_args: object) -> None:
        """Show that another layer has the keys and mouse, and offer the way back."""
        foreign = self.session.project is not None and self._desk.layers.foreign is not None
        if foreign or not self._back.isHidden():
            self._back.setVisible(foreign)
            self._take.setVisible(foreign and self._can_take())
            self.make_way()

    def _on_job(self) -> None:
        jobs = self._desk.jobs
        self._busy.setVisible(jobs.busy)
        self._stop.setVisible(jobs.busy)
        self._stop.setEnabled(not jobs.stopping)
        if jobs.busy:
            self._busy.setRange(0, jobs.total)
            self._busy.setValue(jobs.done)
        if jobs.busy or not self._fading.isActive():
            self.rest()


def _button(name: str, text: str, press: Callable[[], object]) -> QToolButton:
    button = QToolButton()
    button.setObjectName(name)
    button.setText(text)
    button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    button.clicked.connect(lambda *_: press())
    return button
