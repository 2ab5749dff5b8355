"""The choice of the current reading; no Qt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from psygnal import Signal

from annotation_store import Project
from annotation_store.records import Reading
from napari_lld.i18n.translate import later, tr
from napari_lld.session.fields import Fields
from napari_lld.session.label_errors import LabelErrorReview
from napari_lld.session.open_project import OpenProject


@dataclass(frozen=True)
class NewReading:
    """A reading to begin, and whose it is."""

    name: str
    annotator: str
    blind: bool


FIRST_READING = later("Reading 1")
"""The name that the store gives to the reading of a new project."""

ReadingChoice = int | NewReading
"""The number of a reading, or one to begin."""


class Questions(Protocol):
    """What a session asks of the person at the window before it opens a project."""

    def choose_reading(self, project: Project) -> ReadingChoice | None:
        """Ask an annotator without a reading where to work; ``None`` = do not open the project."""

    def open_for_reading(self, why: str) -> bool:
        """Ask whether to open a project for reading only, which cannot be written."""


def reading_words(name: str) -> str:
    """Return the name of a reading as it is shown: the one that a project starts with is named by nobody."""
    return tr(FIRST_READING) if name == FIRST_READING else name


def take_up(project: Project, choice: ReadingChoice) -> None:
    """Work in the reading that was chosen, now and when the project is opened next."""
    if isinstance(choice, NewReading):
        choice = project.readings.add(choice.name, blind=choice.blind, annotator=choice.annotator).id
    project.readings.use(choice, remember=True)


class Readings:
    """The readings of the project, and the one that is worked in."""

    changed = Signal()

    def __init__(self, opened: OpenProject, fields: Fields, label_errors: LabelErrorReview) -> None:
        self._opened = opened
        self._fields = fields
        self._label_errors = label_errors
        self.all: list[Reading] = []

    def read(self) -> None:
        """Read the list of the project."""
        self.all = self._opened.project.readings.all() if self._opened.project is not None else []

    def note_edit(self) -> None:
        """Report it once the first mark has made another annotator's empty reading the user's own."""
        project, known = self._opened.project, self.all
        if project is None or len(known) != 1 or known[0].annotator in ("", project.annotator):
            return
        self.read()  # an import marks in it too, from another thread
        if self.all[0].annotator == project.annotator:
            self.changed.emit()
            self._opened.notify(
                "info",
                tr(
                    "The only reading was empty and is yours now. {reader}, whose it was, is asked for "
                    "a new one when they open the project.",
                    reader=known[0].annotator,
                ),
            )

    def use(self, reading_id: int) -> None:
        """Work in another reading: its regions, cells and values are shown, and no other's."""
        project = self._opened.project
        if project is None or project.reading.id == reading_id:
            return
        self._label_errors.forget()  # those of another reading are others
        if self._opened.done(lambda: project.readings.use(reading_id, remember=True)):
            self.read()
            self._fields.read_again()
            self.changed.emit()
            self._fields.summaries_changed.emit()
            self._fields.go_to(self._fields.current_id)

    def add(self, name: str, *, blind: bool, annotator: str | None = None) -> Reading | None:
        """Start a reading and work in it; one for somebody else is opened when they annotate."""
        project = self._opened.project
        if project is None:
            return None
        reading = self._opened.attempt(lambda: project.readings.add(name, blind=blind, annotator=annotator))
        if reading is None:
            return None
        if reading.annotator == project.annotator:
            self.use(reading.id)
            self._opened.notify(
                "info", tr("The reading {name} is still empty.", name=reading_words(reading.name))
            )
        else:
            self.read()
            self.changed.emit()
            self._opened.notify(
                "info",
                tr(
                    "The reading {name} is ready: it opens when {reader} annotates.",
                    name=reading_words(reading.name),
                    reader=reading.annotator,
                ),
            )
        return reading

    def go_to(self, choice: ReadingChoice) -> None:
        """Work in a reading that was chosen, or begin it."""
        if isinstance(choice, NewReading):
            self.add(choice.name, blind=choice.blind, annotator=choice.annotator)
        else:
            self.use(choice)
