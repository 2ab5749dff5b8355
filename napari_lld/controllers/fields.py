"""Commands and dialogs for fields, readings and conflicts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from psygnal import Signal

from annotation_store import Project
from annotation_store.images import IMAGE_SUFFIXES
from napari_lld.commands.fields import field_commands
from napari_lld.commands.registry import Command, has_field, has_project
from napari_lld.controllers.importing import LABEL_SUFFIXES
from napari_lld.controllers.language import show_window
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.patient_rule import coverage
from napari_lld.session.readings import ReadingChoice
from napari_lld.session.session import Session
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.tasks import actions
from napari_lld.tasks.import_preview import ProjectPlace

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext
    from napari_lld.widgets.fields.field_dialogs import Changes


def is_project(path: Path) -> bool:
    """Return whether a folder is a project."""
    return (path / "project.db").is_file()


class FieldController:
    """The part of a desk that has to do with fields."""

    filter_asked = Signal()
    jump_asked = Signal()

    def __init__(self, desk: DeskContext) -> None:
        self._desk = desk
        self._session: Session = desk.session
        self._session.questions = self
        self._listening = Subscriptions()
        self._listening.add(self._session.project_changed, self._on_project)
        self._listening.add(self._session.fields.ranking_wanted, self.rank)

    def commands(self) -> Iterator[Command]:
        """Make the commands, with those that need no window."""
        yield from field_commands(self._session)
        yield Command(
            "fields.filter",
            "Filter the fields …",
            self.filter_asked.emit,
            ("Ctrl+F",),
            "Fields",
            has_project,
            "By state, patient, class, quality, or words in name and comment. Next and previous follow the "
            "list.",
        )
        yield Command(
            "field.go",
            "Go to a field …",
            self.jump_asked.emit,
            ("Ctrl+J",),
            "Fields",
            has_project,
            "By its number, or words of its name, patient or slide.",
        )
        yield Command(
            "field.comment",
            "Comment on this field …",
            self.comment,
            (),
            "Fields",
            has_field,
            "A comment that is stored with the field.",
        )

        yield Command(
            "field.details",
            "Field details …",
            self.details,
            ("Ctrl+I",),
            "Fields",
            has_field,
            "Patient, slide, domain and pixel size of all fields selected in the list.",
        )
        yield Command(
            "project.patients",
            "Patients …",
            self.patients,
            (),
            "Project",
            has_project,
            "How the patient is read from the names of images, and how many fields have one.",
        )
        yield Command(
            "reading.add",
            "Add a reading …",
            self.add_reading,
            (),
            "Project",
            has_project,
            (
                "Regions, cells and values of one reader on the same fields; blind readings show "
                "no suggestions."
            ),
        )
        yield Command(
            "reading.choose",
            "Readings …",
            self.change_reading,
            (),
            "Project",
            has_project,
            "The reading you work in, and its reader. Working in another person's reading needs "
            "confirmation.",
        )
        yield Command(
            "conflicts.show",
            "Conflicts …",
            self.show_conflicts,
            (),
            "Project",
            has_project,
            "Cells that conflict with an imported file.",
        )

    def close(self) -> None:
        """Disconnect from the session."""
        self._session.questions = None
        self._listening.close()

    def rank(self) -> None:
        """Rank the fields before the first training."""
        session, project = self._session, self._session.project
        if project is None:
            return
        place, reading_id, annotator = project.path, project.reading.id, project.annotator
        scheduler = session.training.cluster.used

        def take(_result: None) -> None:
            session.refresh()
            session.fields.take_ranking()

        self._desk.jobs.start(
            tr("Finding where to start"),
            lambda on_progress: actions.rank_fields(
                place, reading_id, on_progress, annotator=annotator, scheduler=scheduler
            ),
            None,
            self._desk.fail,
            in_project=take,
        )

    def _on_project(self) -> None:
        project = self._session.project
        count = len(project.conflicts.all()) if project is not None else 0
        if count:
            self._session.notify(
                "info",
                trn(
                    "{count} conflict waits for your decision: ☰ › Conflicts.",
                    "{count} conflicts wait for your decision: ☰ › Conflicts.",
                    count,
                ),
            )

    # ------------------------------------------------------------------ dropping files

    def wants(self, paths: Sequence[Path]) -> bool:
        """Return whether dropped paths can be opened: a project, or images and labels while one is open."""
        if any(is_project(path) for path in paths):
            return True
        suffixes = IMAGE_SUFFIXES | LABEL_SUFFIXES
        images = (path.is_dir() or path.suffix.lower() in suffixes for path in paths)
        return self._session.project is not None and any(images)

    def drop(self, paths: Sequence[Path]) -> None:
        """Open the project among what was dropped, else ask how to import the labels, else add the images."""
        project = next((path for path in paths if is_project(path)), None)
        labels = next((path for path in paths if path.suffix.lower() in LABEL_SUFFIXES), None)
        if project is None and labels is not None:
            self._desk.import_labels(labels)
        elif project is None:
            self._desk.add_paths(list(paths))
        elif self._session.project is None or self._session.project.path.resolve() != project.resolve():
            self._session.open(project)

    # ------------------------------------------------------------------ asking

    def comment(self) -> None:
        """Prompt for the comment on the field that is shown."""
        from napari_lld.widgets.fields import field_dialogs

        field = self._session.fields.current
        if field is None:
            return
        text = field_dialogs.ask_field_comment(field.name, field.note, self._desk.window)
        if text is not None:
            self._session.fields.describe(field.id, note=text.strip())

    def details(self) -> None:
        """Prompt for patient, slide, domain and pixel size of the chosen fields."""
        from napari_lld.widgets.fields import field_dialogs

        session = self._session
        if self._desk.still_busy():
            return
        fields = [summary.field for summary in session.fields.summaries()]
        changes = field_dialogs.ask_field_details(session.fields.targets, fields, self._desk.window)
        if changes:
            self._describe(changes)

    def patients(self) -> None:
        """Ask how patients are read from names, and apply it."""
        from napari_lld.widgets.fields import field_dialogs

        session, project = self._session, self._session.project
        if project is None or self._desk.still_busy():
            return
        fields = [summary.field for summary in session.fields.summaries()]
        answer = field_dialogs.ask_patients(project.fields.patient_rule, fields, self._desk.window)
        if answer is not None and session.fields.set_patient_rule(answer.rule) and answer.changes:
            self._describe(answer.changes)

    def _describe(self, changes: Changes) -> None:
        """Change the metadata of fields in the background; undo reverts all of them."""
        session, project = self._session, self._session.project
        if project is None:
            return
        place, before = (
            ProjectPlace.of_project(project),
            coverage(s.field for s in session.fields.summaries()),
        )

        def take(edits: list[int]) -> None:
            session.refresh()
            session.history.join(edits)
            message = trn("{count} field changed.", "{count} fields changed.", len(edits))
            after = coverage(summary.field for summary in session.fields.summaries())
            if after != before:
                message += " " + after.change_since(before)
            session.notify("info", message)

        self._desk.jobs.start(
            tr("Field details"),
            lambda on_progress: actions.describe_fields(place, changes, on_progress),
            None,
            self._desk.fail,
            in_project=take,
        )

    def add_reading(self) -> None:
        """Prompt for a new reading, and whose it is."""
        self._ask_reading(begin=True)

    def change_reading(self) -> None:
        """Ask in which reading to work."""
        self._ask_reading(begin=False)

    def _ask_reading(self, *, begin: bool) -> None:
        from napari_lld.widgets.dialogs import reading_dialog

        project = self._session.project
        if project is None:
            return
        choice = reading_dialog.ask_reading(
            project.annotator,
            project.readings.all(),
            project.reading,
            self._desk.window,
            unclaimed=project.readings.unclaimed,
            begin=begin,
        )
        if choice is not None:
            self._session.readings.go_to(choice)

    def open_for_reading(self, why: str) -> bool:
        """Ask whether to open a project for reading only, which cannot be written."""
        from napari_lld.widgets.dialogs import dialogs

        return dialogs.ask_for_reading(why, self._desk.window)

    def choose_reading(self, project: Project) -> ReadingChoice | None:
        """Ask an annotator who has no reading in a project where to work."""
        from napari_lld.widgets.dialogs import reading_dialog

        return reading_dialog.ask_reading(project.annotator, project.readings.all(), None, self._desk.window)

    def show_conflicts(self) -> None:
        """List the conflicts beside the field."""
        from napari_lld.widgets.dialogs.conflicts_dialog import ConflictsDialog

        show_window(lambda: ConflictsDialog(self._session, self._desk.window), self._session)
