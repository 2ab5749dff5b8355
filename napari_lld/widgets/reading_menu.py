"""The menu of readings: whose marks are shown, and a reading of one's own."""

from __future__ import annotations

from qtpy.QtWidgets import QMenu, QWidget

from annotation_store.records import Reading
from napari_lld.commands import Commands
from napari_lld.session import Session
from napari_lld.translate import later, tr

TITLE = later("Readings")


def reading_name(reading: Reading) -> str:
    """Name a reading, with whether it is blind."""
    return tr("{name} (blind)", name=reading.name) if reading.blind else reading.name


class ReadingMenu(QMenu):
    """Lists the readings of the project whenever it is opened."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(tr(TITLE), parent)
        self._session = session
        self._commands = commands
        self.aboutToShow.connect(self.fill)

    def fill(self) -> None:
        """List the readings, and what adds one."""
        self.clear()
        project = self._session.project
        for reading in project.readings() if project is not None else []:
            action = self.addAction(f"{reading_name(reading)} – {reading.annotator}")
            action.setCheckable(True)
            action.setChecked(project is not None and reading.id == project.reading.id)
            action.triggered.connect(lambda *_, wanted=reading.id: self._session.use_reading(wanted))
        self.addSeparator()
        add = self._commands["reading.add"]
        action = self.addAction(add.title)
        action.setToolTip(add.tooltip)
        action.setEnabled(add.when(self._session))
        action.triggered.connect(lambda *_: self._commands.run("reading.add"))
