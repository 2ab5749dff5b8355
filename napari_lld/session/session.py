"""The session of the window, without Qt: the open project, the current marks, and all actions.

Widgets and layers bind to the signals of its parts and call their methods; they keep nothing. Each part does
one thing and is given the parts that it needs; the session makes them, and passes the project's events on in
order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from psygnal import Signal

from annotation_store import Project
from annotation_store.errors import LLDError, NotWritableError, ProjectGoneError
from annotation_store.records import Edit
from napari_lld.i18n.translate import tr, trn
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.session import user_state
from napari_lld.session.assistant import Assistant
from napari_lld.session.boxes import Boxes
from napari_lld.session.bulk_accept import BulkAccept
from napari_lld.session.candidates import Candidates
from napari_lld.session.display import FieldDisplay
from napari_lld.session.fields import Fields
from napari_lld.session.history import History
from napari_lld.session.instant_learning import InstantLearning
from napari_lld.session.label_errors import LabelErrorReview
from napari_lld.session.labels import Labels
from napari_lld.session.marks import Marks
from napari_lld.session.model_choice import ModelChoice
from napari_lld.session.open_project import OpenProject
from napari_lld.session.preferences import Preferences
from napari_lld.session.readings import Questions, Readings, take_up
from napari_lld.session.references import References
from napari_lld.session.region_proposal import RegionProposal
from napari_lld.session.regions import Regions
from napari_lld.session.review import Review
from napari_lld.session.selection import Selection
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.session.suggestions import Suggestions
from napari_lld.session.tool import Tool
from napari_lld.session.training import Training


class Session(OpenProject):
    """What is open, and the parts that work on it.

    Attributes
    ----------
    fields
        The list of fields, and the one that is shown.
    readings
        The readings of the project, and the one that is worked in.
    marks
        What stands on that field.
    selection
        The one mark that is current, and the caret.
    regions, boxes, labels
        What people draw and say.
    region_proposal
        Where to look next on the field.
    suggestions, label_errors
        What a model proposes, and what it contradicts.
    review
        The keys of reviewing, for whichever of the two is gone through.
    bulk_accept
        Many suggestions at once.
    models
        Which model suggests.
    training
        The process that learns and predicts.
    references
        Labelled cells to compare the current one with.
    assistant, instant_learning, candidates
        The second process, which answers while one looks on; what it predicts after each label, and of a
        cell that was drawn.
    history
        Undo and redo.
    display
        How the field is shown and measured.
    replacing
        Whether the project is being closed because another is opened at once.
    """

    project_changed = Signal()
    leaving = Signal()
    """The project is about to be closed, and can still be written."""
    tool_changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.preferences = Preferences()
        self.questions: Questions | None = None
        self.replacing = False
        self._tool = Tool.SELECT
        self._listening = Subscriptions()
        # Each part hears of a new field before the window does, and in this order.
        self.fields = Fields(self)
        self.marks = Marks(self, self.fields)
        self.selection = Selection(self, self.fields, self.marks)
        on_field = (self, self.fields, self.marks, self.selection)
        self.regions = Regions(*on_field)
        self.boxes = Boxes(*on_field)
        self.region_proposal = RegionProposal(*on_field, self.regions)
        self.models = ModelChoice(self)
        self.suggestions = Suggestions(*on_field)
        self.bulk_accept = BulkAccept(self, self.selection, self.suggestions, self.models)
        self.label_errors = LabelErrorReview(self, self.fields, self.selection, self.suggestions)
        self.review = Review(self.selection, self.suggestions, self.label_errors)
        self.labels = Labels(self, self.marks, self.selection, self.review)
        self.assistant = Assistant(self)
        self.instant_learning = InstantLearning(self, self.fields, self.preferences, self.assistant)
        self.candidates = Candidates(self, self.fields, self.selection, self.labels, self.assistant)
        self.references = References(self, self.selection, self.assistant)
        self.history = History(*on_field)
        self.readings = Readings(self, self.fields, self.label_errors)
        self.display = FieldDisplay(self, self.fields)
        self.training = Training(self, self.fields, self.preferences)
        self.training.state.received.connect(self._on_worker_message)
        for signal in (self.project_changed, self.models.changed):
            signal.connect(self.training.embed_slides_by_stain)

    # ------------------------------------------------------------------ open and closed

    def open(self, path: Path, *, annotator: str | None = None) -> bool:
        """Open a project, where it was left; False (and a notice) where it cannot be opened.

        Without an annotator it is the one who named themselves last, else the account's name. Who has no
        reading in the project is asked for one before anything is shown.
        """
        annotator = annotator or self.preferences.annotator or None
        return self._attach(lambda: self._open_or_ask(path, annotator))

    def _open_or_ask(self, path: Path, annotator: str | None) -> Project | None:
        """Open a project, for reading only where it cannot be written and that will do."""
        try:
            return Project.open(path, annotator=annotator)
        except NotWritableError as error:
            if self.questions is None:
                raise
            if not self.questions.open_for_reading(in_the_window(str(error))):
                return None
            return Project.open(path, annotator=annotator, read_only=True)

    def change_annotator(self, name: str) -> bool:
        """Change the annotator, and with it the reading; the field stays."""
        project = self.project
        name = name.strip()
        if project is None or not name or name == project.annotator:
            return False
        if not self.open(project.path, annotator=name):
            return False
        self.preferences.annotator = name
        return True

    def create(self, path: Path, schema: str = "lld", *, annotator: str | None = None) -> bool:
        """Make an empty project and open it; False (and a notice) where it cannot be made."""
        return self._attach(lambda: Project.create(path, schema, annotator=annotator))

    def _attach(self, make: Callable[[], Project | None]) -> bool:
        if self.training.state.busy:
            self.notify("warning", tr("A training is running. Stop it before you open another project."))
            return False
        if self.unsaved.count:
            self.notify(
                "warning", tr("Your last change is not saved: bring the project's folder back first.")
            )
            return False
        project = self.attempt(make)
        if project is None:
            return False
        if not self._settle_reading(project):
            project.close()
            return False
        self.replacing = True
        try:
            self.close()
        finally:
            self.replacing = False
        self.project = project
        remembered = user_state.recall_project(project.path)
        user_state.remember_project(project.path)
        for signal, slot in (
            (project.events.schema_changed, self._on_schema_changed),
            (project.events.edited, self._on_edited),
            (project.events.fields_added, self._on_fields_added),
            (project.events.suggestions_changed, self._on_suggestions_changed),
            # a method: psygnal calls the `emit` of another signal already when it is connected
            (project.events.models_changed, self._on_models_changed),
            (project.events.ranking_changed, self._on_ranking_changed),
        ):
            self._listening.add(signal, slot)
        self.readings.read()
        self.fields.open(project, remembered.get("order"))
        self.marks.recall(remembered.get("threshold"), self.preferences.threshold)
        self.training.state.forget()
        self.training.rounds.on_project()
        self.instant_learning.on_project()
        self.project_changed.emit()
        last = remembered.get("field")
        self.fields.go_to(last if self.fields.has(last) else self.fields.first)
        return True

    def _settle_reading(self, project: Project) -> bool:
        """Have an annotator without a reading choose one; False if nobody answers."""
        if not project.readings.undecided or project.read_only or self.questions is None:
            return True
        choice = self.questions.choose_reading(project)
        return choice is not None and self.done(lambda: take_up(project, choice))

    def close(self) -> None:
        """Close the project, remembering where the user was."""
        project = self.project
        if project is None:
            return
        self.remember_place()
        self.leaving.emit()
        self.project = None
        self.unsaved.take()
        self.fields.close()
        self.history.forget()
        self._listening.close()
        project.close()
        self.fields.go_to(None)
        self.training.rounds.on_project()
        self.instant_learning.on_project()
        self.project_changed.emit()
        self.models.forget()
        self.label_errors.forget()
        self.references.forget()

    def remember_place(self) -> None:
        """Write down where the user is, for the next time."""
        if self.project is not None:
            user_state.remember_project(
                self.project.path,
                field=self.fields.current_id,
                order=str(self.fields.order),
                threshold=self.marks.threshold,
            )

    def resolve_conflicts(self, conflict_ids: Sequence[int], *, take: bool) -> None:
        """Close conflicts of imports: take what the file says of a cell, or keep what is here."""
        project = self.project
        for conflict_id in conflict_ids if project is not None else ():
            assert project is not None
            number = conflict_id
            if not self.done(lambda: project.conflicts.resolve(number, take=take)):  # noqa: B023 - called at once
                return

    # ------------------------------------------------------------------ the mouse

    @property
    def tool(self) -> Tool:
        """What the mouse does on the field."""
        return self._tool

    @tool.setter
    def tool(self, tool: Tool) -> None:
        if tool is not self._tool:
            self.selection.proposed_box = None
            self._tool = tool
            self.tool_changed.emit()

    def delete_current(self) -> None:
        """Delete the current cell, region or ignore area."""
        project, selection = self.project, self.selection.current
        if project is None or selection is None:
            return
        if selection.kind == "cell":
            self.done(lambda: project.cells.delete(selection.id))
        elif selection.kind == "region":
            self.done(lambda: project.regions.delete(selection.id))
        elif selection.kind == "ignore_area":
            self.done(lambda: project.ignore_areas.delete(selection.id))
        else:
            self.notify("hint", tr("Suggestions are rejected, not deleted."))

    # ------------------------------------------------------------------ other writers

    def refresh(self) -> None:
        """Take in what another process or thread wrote into the project."""
        project = self.project
        if project is None:
            return
        if self.unsaved.why:
            self.try_to_save()
            return
        try:
            project.check_present()
        except ProjectGoneError as error:
            self.unsaved.keep(str(error))
        else:
            self.done(project.refresh)

    def try_to_save(self) -> bool:
        """Reopen the project if its folder is back, and repeat the unsaved actions."""
        project = self.project
        if project is None or not self.unsaved.why:
            return False
        try:
            missing = project.reconnect()
        except LLDError as error:
            self.unsaved.keep(str(error))
            return False
        actions = self.unsaved.take()
        self._read_again()
        for number, action in enumerate(actions):
            if self.unsaved.why:  # gone again
                self.unsaved.keep(self.unsaved.why, *actions[number:])
                return False
            self.done(action)
        self.selection.proposed_box = None
        message = tr("The project is back.")
        if actions:
            message += " " + trn("{count} change was saved.", "{count} changes were saved.", len(actions))
        self.notify("info", message)
        if missing:
            self.notify(
                "warning",
                trn(
                    "An older state of the project has come back, without the last {count} "
                    "edit. Look for a newer copy before you continue.",
                    "An older state of the project has come back, without the last {count} "
                    "edits. Look for a newer copy before you continue.",
                    missing,
                ),
            )
        return True

    def _read_again(self) -> None:
        """Read everything again after the project was missing."""
        self.readings.read()
        self.fields.read_again()
        self.project_changed.emit()
        self.fields.listed_changed.emit()
        current_id = self.fields.current_id
        self.fields.go_to(current_id if self.fields.has(current_id) else self.fields.first)

    # ------------------------------------------------------------------ what happens

    def _on_schema_changed(self) -> None:
        """Show other words: another program changed the schema, and perhaps labels with it."""
        self._read_again()
        self.notify("info", tr("Another program changed the schema of the project."))

    def _on_edited(self, edit: Edit) -> None:
        self.readings.note_edit()
        self.label_errors.note_edit(edit)
        self.marks.on_edited(edit)
        self.fields.on_edited(edit)
        self.label_errors.notify_changed()
        self.instant_learning.on_edited(edit)

    def _on_models_changed(self) -> None:
        self.models.changed.emit()

    def _on_fields_added(self, ids: list[int]) -> None:
        self.fields.on_fields_added(ids)
        self.training.embed_slides_by_stain()

    def _on_suggestions_changed(self, field_ids: list[int]) -> None:
        self.suggestions.on_suggestions_changed()
        self.marks.on_suggestions_changed(field_ids)
        self.fields.on_suggestions_changed(field_ids)

    def _on_ranking_changed(self) -> None:
        self.fields.on_ranking_changed()
        self.label_errors.on_ranking_changed()

    def _on_worker_message(self, message: Any) -> None:
        if message.type in {"saved", "suggested", "done", "cancelled"}:
            self.refresh()
        if message.type in {"done", "cancelled", "failed"}:
            self.training.embed_slides_by_stain()
            if self.training.state.task in {"predict", "differential"}:  # a tile without a cell tells nobody
                self.fields.on_searched()
        if message.type == "done" and self.training.state.task == "train" and message.result.get("active"):
            self.training.state.add(self.training.why_search)
        sentence = self.training.state.message
        if message.type == "done":
            self.notify("info", sentence)
        elif message.type == "failed":
            fields = [summary.field for summary in self.fields.by_id.values()]
            self.notify("error", f"{sentence}{self.training.keep_details(message, fields)}")
