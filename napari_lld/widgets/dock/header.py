"""The top of the dock: project, annotator, research-use note, and tools."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QMenu, QToolButton, QWidget

from napari_lld.commands.registry import Commands
from napari_lld.i18n.durations import duration
from napari_lld.i18n.edit_texts import edit_in_words
from napari_lld.i18n.translate import later, tr
from napari_lld.session.session import Session
from napari_lld.session.tool import Tool
from napari_lld.session.work_clock import WorkClock
from napari_lld.widgets.base.parts import Part, column, label, restyle, row
from napari_lld.widgets.base.room import FoldingRow
from napari_lld.widgets.base.theme import RESEARCH_USE
from napari_lld.widgets.dialogs.reading_dialog import reading_title

_AREAS = {Tool.DRAFT: later("Draft"), Tool.IGNORE: later("Ignore")}

_WHO = 150
"""Pixels that the annotator's name gets at most."""
_READING = 360
"""Pixels that a reading and its reader get at most."""

_MENU = (
    "project.new",
    "project.open",
    "fields.add",
    "project.patients",
    "project.import",
    "project.merge",
    "annotator.change",
    "project.report",
    "reading.choose",
    "reading.add",
    "conflicts.show",
    "",
    "gallery.open",
    "references.show",
    "slide.map",
    "slide.differential",
    "",
    "layers.send",
    "layers.take",
    "",
    "project.close",
    "",
    "help.keys",
    "keys.edit",
    "help.log",
)
"""The menu's entries; empty for a separator."""


class Header(Part):
    """Project, annotator and time at work, the disclaimer, export and the menu."""

    def __init__(
        self, session: Session, commands: Commands, clock: WorkClock, parent: QWidget | None = None
    ) -> None:
        super().__init__(session, commands, parent)
        layout = column(self, 1)
        self._title = label(role="title", gives_way=True)
        self._title.setObjectName("lld_project")
        self._clock = clock
        self._who = self.tool_button("annotator.change", "", hint=False)
        self._who.setProperty("role", "sign")
        self._reading = self.tool_button("reading.choose", "", hint=False)
        self._reading.setProperty("role", "sign")
        self._time = label(role="muted")
        self._time.setObjectName("lld_time")
        menu_button = QToolButton()
        menu_button.setText("☰")
        menu_button.setToolTip(tr("Project and help"))
        menu_button.setAccessibleName(tr("Menu"))
        menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._menu = QMenu(menu_button)
        self._of_slides: list[tuple[QAction, str]] = []
        for command_id in _MENU:
            if not command_id:
                self._menu.addSeparator()
            elif command_id in commands:
                action = self.menu_action(self._menu, command_id)
                if command_id.startswith("slide."):
                    self._of_slides.append((action, command_id))
        self._menu.aboutToShow.connect(self._on_menu)
        menu_button.setMenu(self._menu)
        top = row(self.tool_button("gallery.open"), self.button("project.export", hint=False), menu_button)
        top.insertWidget(0, self._title, 1)
        layout.addLayout(top)
        line = row(label(tr(RESEARCH_USE), "muted"), 1, self._time)
        layout.addWidget(FoldingRow(row(self._who, 1), line, stretch=1))
        layout.addLayout(row(self._reading, 1))
        self.bind(clock.changed, self.refresh_soon)
        self.bind(session.project_changed, self.refresh_soon)
        self.bind(session.readings.changed, self.refresh_soon)
        self.refresh()

    def refresh(self) -> None:
        """Show project and annotator, and whose reading it is where that is not plain."""
        super().refresh()
        project = self.session.project
        title = project.path.name.removesuffix(".lld") if project else ""
        self._title.setText(title)
        self._title.setToolTip(str(project.path) if project else "")
        self._who.setVisible(project is not None)
        who = tr("Annotator {name}", name=project.annotator) if project else ""
        metrics = self._who.fontMetrics()
        self._who.setText(metrics.elidedText(who, Qt.TextElideMode.ElideRight, _WHO))  # long names give way
        self._who.setToolTip(f"{who}\n{self.commands['annotator.change'].tooltip}".strip())
        self._show_reading()
        on_field, in_project = self._clock.seconds()
        self._time.setText(duration(in_project, in_minutes=True) if project else "")
        self._time.setToolTip(
            tr(
                (
                    "Your working time: {here} on this field, {total} in this project.\nIt is "
                    "counted while you use mouse or keys, and pauses after a minute without "
                    "input."
                ),
                here=duration(on_field, in_minutes=True),
                total=duration(in_project, in_minutes=True),
            )
        )

    def _on_menu(self) -> None:
        """Offer what is done with a slide only on one."""
        for action, command_id in self._of_slides:
            action.setVisible(self.commands[command_id].when(self.session))

    def _show_reading(self) -> None:
        """Show the reading and its reader, once there are several or it is another's."""
        project = self.session.project
        if project is None:
            self._reading.hide()
            return
        reading = project.reading
        # an empty reading that becomes one's own is no other's: nothing to warn of
        is_of_other = reading.annotator != project.annotator and not project.readings.unclaimed
        self._reading.setVisible(reading.id > 1 or is_of_other or len(self.session.readings.all) > 1)
        text = tr("Reading: {reading}", reading=reading_title(reading, project.annotator))
        metrics = self._reading.fontMetrics()
        self._reading.setText(metrics.elidedText(text, Qt.TextElideMode.ElideMiddle, _READING))
        self._reading.setToolTip(f"{text}\n{self.commands['reading.choose'].tooltip}")
        if self._reading.property("others") != is_of_other:
            self._reading.setProperty("others", is_of_other)
            restyle(self._reading)


class ToolBar(Part):
    """What the mouse draws, undo and redo, hide marks."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        layout = column(self, 0)
        self._region = self.tool_button("tool.region")
        self._region.setPopupMode(QToolButton.ToolButtonPopupMode.MenuButtonPopup)
        self._areas = QMenu(self._region)
        self._areas.setToolTipsVisible(True)
        for command_id in (
            "tool.region",
            "tool.draft",
            "region.propose",
            "region.finish",
            "region.reopen",
            "field.cut",
            "tool.ignore",
        ):
            self.menu_action(self._areas, command_id)
        self._region.setMenu(self._areas)
        self._box = self.tool_button("tool.box")
        for button in (self._region, self._box):
            button.setCheckable(True)
        self._undo = self.tool_button("edit.undo", "↶", hint=False)
        self._redo = self.tool_button("edit.redo", "↷", hint=False)
        self._marks = self.tool_button("view.marks", tr("Hide"))
        self._marks.setCheckable(True)
        whole = self.tool_button("region.whole", tr("Whole"), hint=False)
        left = row(self._region, self._box, whole, 1, spacing=3)
        right = row(self._undo, self._redo, self._marks, 1, spacing=3)
        layout.addWidget(FoldingRow(left, right, spacing=3))
        self.bind(session.tool_changed, self.refresh)
        self.bind(session.marks.shown_changed, self.refresh)
        for signal in (
            session.project_changed,
            session.fields.current_changed,
            session.fields.summaries_changed,
        ):
            self.bind(signal, self.refresh_soon)
        self.refresh()

    def refresh(self) -> None:
        """Show tool and history."""
        super().refresh()
        session = self.session
        self._region.setChecked(session.tool.draws_areas)
        self._region.setText(f"{tr(_AREAS.get(session.tool, 'Region'))}  {self._area_key()}")
        self._box.setChecked(session.tool is Tool.BOX)
        self._marks.setChecked(not session.marks.shown)
        undoable, redoable = session.history.undoable, session.history.redoable
        free = not session.why_no_edits
        self._undo.setEnabled(undoable is not None and free)
        self._redo.setEnabled(redoable is not None and free)
        self._undo.setToolTip(
            tr("Undo: {command} ({key})", command=edit_in_words(undoable), key=self.commands["edit.undo"].key)
            if undoable
            else tr("Nothing to undo on this field")
        )
        self._redo.setToolTip(
            tr("Redo: {command} ({key})", command=edit_in_words(redoable), key=self.commands["edit.redo"].key)
            if redoable
            else tr("Nothing to redo on this field")
        )

    def _area_key(self) -> str:
        """Return the key of what is being drawn, else that of a region."""
        command_id = f"tool.{self.session.tool}" if self.session.tool in _AREAS else "tool.region"
        return self.commands[command_id].key
