"""Which project is open, which of its fields are listed and which one is shown: the floor of the `Session`.

Summaries are kept and re-read for the fields that an event names only, so that a project of ten thousand
fields costs a label no more than one of ten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from annotation_store import Project
from annotation_store.errors import LLDError, NotWritableError, ProjectError, ProjectGoneError
from annotation_store.records import Edit, Field, FieldSummary, Reading
from annotation_store.schema import Attribute, Schema
from napari_lld.i18n.reasons import in_words
from napari_lld.i18n.schema_texts import shown
from napari_lld.i18n.translate import tr, trn
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.session import user_state
from napari_lld.session.field_order import NO_FILTER, FieldFilter, Order, arrange
from napari_lld.session.preferences import Preferences
from napari_lld.session.prefetch import PixelCache
from napari_lld.session.readings import NewReading, Questions, ReadingChoice, take_up
from napari_lld.session.training_state import Trainer, TrainingState
from napari_lld.session.unsaved import Action, Unsaved
from training.reasons import Reason

T = TypeVar("T")
Level = Literal["hint", "info", "warning", "error"]


class SessionFields:
    """The project, its fields and their order.

    An `LLDError` raised on the way (a rule of the store, a locked project) becomes a `notice`;
    nothing is changed then.
    """

    project_changed = Signal()
    leaving = Signal()
    """The project is about to be closed, and can still be written."""
    reading_changed = Signal()
    summaries_changed = Signal()
    listed_changed = Signal()
    """The list of fields is another one, or in another order."""
    ranking_wanted = Signal()
    """The fields are to be sorted by what is to be learned, and nobody has worked that out yet."""
    field_changed = Signal()
    models_changed = Signal()
    notice = Signal(str, str)
    """A level (hint, info, warning, error) and a sentence."""

    def __init__(self) -> None:
        self._shown_schema: tuple[Schema, Schema] | None = None
        self.project: Project | None = None
        self.preferences = Preferences()
        self.training = TrainingState()
        self.trainer: Trainer | None = None
        self.questions: Questions | None = None
        self.unsaved = Unsaved()
        self.readings: list[Reading] = []
        self._field_id: int | None = None
        self._summaries: dict[int, FieldSummary] | None = None
        self._outdated: set[int] = set()  # whose summary is to be read again
        self._listed: list[int] = []
        self._places: dict[int, int] = {}
        self._why: dict[int, tuple[Reason, ...]] = {}
        self._filter = NO_FILTER
        self._order = Order.ADDED
        self._cache: PixelCache | None = None

    # ------------------------------------------------------------------ project

    def open(self, path: Path, *, annotator: str | None = None) -> bool:
        """Open a project, where it was left; False (and a notice) where it cannot be opened.

        Without an annotator it is the one who named themselves last, else the account's name. Who has no
        reading in the project is asked for one before anything is shown.
        """
        annotator = annotator or self.preferences.annotator or None
        return self._attach(lambda: self._opened(path, annotator))

    def _opened(self, path: Path, annotator: str | None) -> Project | None:
        """Open a project, for reading only where it cannot be written and that will do."""
        try:
            return Project.open(path, annotator=annotator)
        except NotWritableError as error:
            if self.questions is None:
                raise
            if not self.questions.open_for_reading(str(error)):
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
        if self.training.busy:
            self.tell("warning", tr("A training is running. Stop it before you open another project."))
            return False
        if self.unsaved.count:
            self.tell("warning", tr("What you did last is not saved: bring the project's folder back first."))
            return False
        project = self._try(make)
        if project is None:
            return False
        if not self._settle_reading(project):
            project.close()
            return False
        self.close()
        self.project = project
        self.readings = project.readings.all()
        self._cache = PixelCache(project)
        project.events.edited.connect(self._on_edited)
        project.events.fields_added.connect(self._on_fields_added)
        project.events.suggestions_changed.connect(self._on_suggestions_changed)
        project.events.models_changed.connect(self.models_changed.emit)
        project.events.ranking_changed.connect(self._on_ranking_changed)
        remembered = user_state.recall_project(project.path)
        user_state.remember_project(project.path)
        self._recall(remembered)
        self.training.forget()
        self._arrange()
        self.project_changed.emit()
        last = remembered.get("field")
        known = isinstance(last, int) and last in self.all_summaries
        shown = last if known else next(iter(self._listed), None)
        self._show(shown)
        return True

    def _settle_reading(self, project: Project) -> bool:
        """Have an annotator without a reading choose one; False if nobody answers."""
        if not project.readings.undecided or project.read_only or self.questions is None:
            return True
        choice = self.questions.choose_reading(project)
        return choice is not None and self._done(lambda: take_up(project, choice))

    def close(self) -> None:
        """Close the project, remembering where the user was."""
        project = self.project
        if project is None:
            return
        self.remember_place()
        self.leaving.emit()
        self.project = None
        self.unsaved.take()
        self._field_id = self._summaries = None
        self._outdated, self._listed, self._places = set(), [], {}
        self._filter, self._order = NO_FILTER, Order.ADDED
        if self._cache is not None:
            self._cache.close()
            self._cache = None
        self._leave_field()
        for signal in (
            project.events.edited,
            project.events.fields_added,
            project.events.suggestions_changed,
            project.events.models_changed,
            project.events.ranking_changed,
        ):
            signal.disconnect()
        project.close()
        self.field_changed.emit()
        self._after_field()
        self.project_changed.emit()

    def _take_anew(self) -> None:
        """Read everything of the open project again: it was gone, and is back."""
        assert self.project is not None
        self._summaries = None
        self._outdated.clear()
        self.readings = self.project.readings.all()
        self._arrange()
        self.project_changed.emit()
        self.listed_changed.emit()
        self._show(self._field_id if self._field_id in self.all_summaries else next(iter(self._listed), None))

    def remember_place(self) -> None:
        """Write down where the user is, for the next time."""
        if self.project is not None:
            user_state.remember_project(self.project.path, **self._place())

    def _place(self) -> dict[str, Any]:
        """Return what is worth remembering of where the user is."""
        return {"field": self._field_id, "order": str(self._order)}

    def _recall(self, remembered: Mapping[str, Any]) -> None:
        """Take up what `_place` gave the last time."""
        order = remembered.get("order")
        self._order = Order(order) if order in list(Order) else Order.ADDED

    def _leave_field(self) -> None:
        """Forget all that belongs to the field that was shown."""

    def _after_field(self) -> None:
        """Emit what else changed with the field."""

    @property
    def schema(self) -> Schema | None:
        """The schema of the open project, its titles in the user's language."""
        if self.project is None:
            return None
        own = self.project.schema
        if self._shown_schema is None or self._shown_schema[0] is not own:
            self._shown_schema = (own, shown(own))
        return self._shown_schema[1]

    @property
    def attributes(self) -> Sequence[Attribute]:
        """The schema's attributes, in order: the rows of the caret."""
        return self.schema.attributes if self.schema else ()

    # ------------------------------------------------------------------ telling

    def tell(self, level: Level, sentence: str) -> None:
        """Emit a notice: the first line says what happened, what follows are details."""
        self.notice.emit(level, in_the_window(sentence))

    def _try(self, action: Callable[[], T]) -> T | None:
        try:
            return action()
        except LLDError as error:
            self.refused(error, action)
            return None

    def _done(self, action: Callable[[], Any]) -> bool:
        """Do something that has no result; False (and a notice) where it was refused."""
        try:
            action()
        except LLDError as error:
            self.refused(error, action)
            return False
        return True

    def refused(self, error: LLDError, action: Action) -> None:
        """Show why an action failed; where the project is gone, keep it until that is back."""
        if isinstance(error, ProjectGoneError):
            self.unsaved.keep(str(error), action)
        elif self.project is not None and self.project.read_only:
            self.tell("hint", self.why_no_edits)
        else:
            self.tell("error", str(error))

    @property
    def why_no_edits(self) -> str:
        """Why nothing can be changed in the open project; empty if it can."""
        if self.unsaved.why:
            return tr("Nothing is being saved: the project's folder is gone. Work goes on once it is back.")
        if self.project is not None and self.project.read_only:
            return tr("The project is open for reading only: nothing can be changed.")
        return ""

    # ------------------------------------------------------------------ readings

    def use_reading(self, reading_id: int) -> None:
        """Work in another reading: its regions, cells and values are shown, and no other's."""
        project = self.project
        if project is None or project.reading.id == reading_id:
            return
        if self._done(lambda: project.readings.use(reading_id, remember=True)):
            self._summaries = None
            self.readings = project.readings.all()
            self._arrange()
            self.reading_changed.emit()
            self.summaries_changed.emit()
            self._show(self._field_id)

    def add_reading(self, name: str, *, blind: bool, annotator: str | None = None) -> Reading | None:
        """Start a reading and work in it; one for somebody else is opened when they annotate."""
        project = self.project
        if project is None:
            return None
        reading = self._try(lambda: project.readings.add(name, blind=blind, annotator=annotator))
        if reading is None:
            return None
        if reading.annotator == project.annotator:
            self.use_reading(reading.id)
            self.tell("info", tr("The reading {name} begins empty.", name=reading.name))
        else:
            self.readings = project.readings.all()
            self.reading_changed.emit()
            self.tell(
                "info",
                tr(
                    "The reading {name} is ready: it is opened when {reader} annotates.",
                    name=reading.name,
                    reader=reading.annotator,
                ),
            )
        return reading

    def go_to_reading(self, choice: ReadingChoice) -> None:
        """Work in a reading that was chosen, or begin it."""
        if isinstance(choice, NewReading):
            self.add_reading(choice.name, blind=choice.blind, annotator=choice.annotator)
        else:
            self.use_reading(choice)

    def resolve_conflicts(self, conflict_ids: Sequence[int], *, take: bool) -> None:
        """Close conflicts of imports: take what the file says of a cell, or keep what is here."""
        project = self.project
        for conflict_id in conflict_ids if project is not None else ():
            assert project is not None
            number = conflict_id
            if not self._done(lambda: project.conflicts.resolve(number, take=take)):  # noqa: B023 - called at once
                return

    # ------------------------------------------------------------------ summaries, filter and order

    @property
    def all_summaries(self) -> Mapping[int, FieldSummary]:
        """The summaries of all fields by their ids, in the order in which they were added."""
        project = self.project
        if project is None:
            return {}
        if self._summaries is None:
            self._summaries = {summary.field.id: summary for summary in project.fields.summaries()}
        elif self._outdated:
            self._summaries |= {
                summary.field.id: summary for summary in project.fields.summaries(self._outdated)
            }
        self._outdated.clear()
        return self._summaries

    def summaries(self) -> list[FieldSummary]:
        """Summaries of all fields, in the order in which they were added."""
        return list(self.all_summaries.values())

    @property
    def listed(self) -> Sequence[int]:
        """The fields that the list shows, in its order.

        It is taken when the project is opened and when the user filters or sorts: never under the hand.
        """
        return self._listed

    def place_of(self, field_id: int | None) -> int:
        """Return a field's place in the list, or -1."""
        return self._places.get(field_id, -1) if field_id is not None else -1

    def why_look(self, field_id: int) -> str:
        """Explain why a field stands where it does, where the list is sorted by what is to be learned."""
        return "; ".join(in_words(self._why.get(field_id, ())))

    @property
    def filter(self) -> FieldFilter:
        """What a field must be like to be listed."""
        return self._filter

    @filter.setter
    def filter(self, new: FieldFilter) -> None:
        if new != self._filter:
            self._filter = new
            self.arrange_fields()

    @property
    def order(self) -> Order:
        """How the list is sorted."""
        return self._order

    @order.setter
    def order(self, order: Order) -> None:
        self._order = order
        self.arrange_fields()
        if order is Order.RANK and self.project is not None:
            self._say_rank(self.project)

    def _say_rank(self, project: Project) -> None:
        """Explain an order by rank that shows nothing: still to come, or nothing is left."""
        if project.rankings.latest_facts() is not None:
            if self.all_summaries and not self._why:
                self.tell("hint", tr("Every field is annotated: nothing is left to do."))
        elif len(self.ranking_wanted) and not project.read_only and not project.reading.blind:
            self.ranking_wanted.emit()
        else:
            self.tell("hint", tr("Nothing was worked out yet: that comes with the first training."))

    def take_ranking(self) -> None:
        """Take up the order that was just worked out because somebody asked for it."""
        if self._order is Order.RANK and self.project is not None:
            self.arrange_fields()
            self.tell("hint", tr("Sorted by expected gain per minute."))

    def arrange_fields(self) -> None:
        """Filter and sort the list by how things stand now."""
        self._arrange()
        self.listed_changed.emit()
        self._fetch_neighbours()

    def _arrange(self) -> None:
        ranks, project = None, self.project
        self._why = {}
        if self._order is Order.RANK and project is not None:
            from training.ranking import order

            ranked = self._try(lambda: order(project)) or []
            ranks = {one.field_id: place for place, one in enumerate(ranked)}
            self._why = {one.field_id: one.reasons for one in ranked}
        self._set_listed(arrange(self.all_summaries.values(), self._filter, self._order, ranks))

    def _set_listed(self, ids: list[int]) -> None:
        self._listed = ids
        self._places = {field_id: place for place, field_id in enumerate(ids)}

    # ------------------------------------------------------------------ the field

    @property
    def field_id(self) -> int | None:
        """The id of the field that is shown."""
        return self._field_id

    @property
    def field(self) -> Field | None:
        """The field that is shown."""
        return (
            self.project.fields.get(self._field_id) if self.project and self._field_id is not None else None
        )

    def pixels(self, field_id: int) -> npt.NDArray[np.uint8]:
        """Return the pixels of a field; those of the shown one and its neighbours are most often cached.

        Raises
        ------
        LLDError
            They cannot be read.
        """
        if self._cache is None:
            raise ProjectError("No project is open.")
        return self._cache.get(field_id)

    def show_field(self, field_id: int) -> None:
        """Show a field."""
        if self.project and field_id != self._field_id:
            self._show(field_id)

    def _show(self, field_id: int | None) -> None:
        self._field_id = field_id
        self._leave_field()
        self.field_changed.emit()
        self._after_field()
        self._fetch_neighbours()

    def _fetch_neighbours(self) -> None:
        cache, shown = self._cache, self._field_id
        if cache is not None and shown is not None:
            found = (self._beside(1), self._beside(-1))
            cache.keep(shown, [field_id for field_id in found if field_id is not None])

    def next_field(self) -> None:
        """Show the next field of the list that is not skipped."""
        self._step_field(1)

    def previous_field(self) -> None:
        """Show the previous field of the list that is not skipped."""
        self._step_field(-1)

    def _step_field(self, step: int) -> None:
        if not self.project:
            return
        beside = self._beside(step)
        if beside is not None:
            self._show(beside)
        elif not self._listed and self.all_summaries:
            self.tell("hint", tr("No field passes the filter of the list."))
        else:
            self.tell("hint", tr("This is the last field.") if step > 0 else tr("This is the first field."))

    def _beside(self, step: int) -> int | None:
        """Return the next field in a direction; from an unlisted field it is the first of the list."""
        summaries = self.all_summaries
        place = self.place_of(self._field_id)
        places = range(place + step, len(self._listed) if step > 0 else -1, step)
        if place < 0:
            places = range(len(self._listed))
        return next((self._listed[i] for i in places if not summaries[self._listed[i]].field.skipped), None)

    # ------------------------------------------------------------------ what is said of a field

    def describe_field(self, field_id: int | None = None, **changes: Any) -> bool:
        """Change what is known of a field (see `Project.fields.update`), of the current one if omitted."""
        project = self.project
        target = self._field_id if field_id is None else field_id
        if project is None or target is None:
            return False
        return self._done(lambda: project.fields.update(target, **changes))

    def set_patient_rule(self, expression: str) -> bool:
        """Set how the patient is read from the names of new images."""
        project = self.project
        return project is not None and self._done(lambda: project.fields.set_patient_rule(expression))

    def skip_field(self) -> None:
        """Pass over the field that is shown and go to the next; on a skipped one, take that back."""
        field = self.field
        if field is None or not self.describe_field(skipped=not field.skipped):
            return
        if field.skipped:
            self.tell("hint", tr("{name} is no longer skipped.", name=field.name))
            return
        message = tr("{name} is skipped: passed over, and nothing is suggested on it.", name=field.name)
        if kept := self.all_summaries[field.id].cells:
            message += " " + trn("Its {count} cell stays.", "Its {count} cells stay.", kept)
        self.tell("hint", message)
        following = self._beside(1)
        if following is not None:
            self._show(following)

    # ------------------------------------------------------------------ the project's events

    def _on_edited(self, edit: Edit) -> None:
        if edit.field_id is None:
            self._summaries = None
        else:
            self._outdated.add(edit.field_id)
        self.summaries_changed.emit()

    def _on_suggestions_changed(self, field_ids: list[int]) -> None:
        self._outdated.update(field_ids)
        self.summaries_changed.emit()

    def _on_ranking_changed(self) -> None:
        if self._order is Order.RANK:
            self.tell(
                "hint",
                tr("The fields have been ranked again; “Sort and filter again” applies the new order."),
            )

    def _on_fields_added(self, ids: list[int]) -> None:
        self._outdated.update(ids)
        summaries = self.all_summaries
        new = [i for i in ids if i not in self._places and self._filter.lets_through(summaries[i])]
        self._set_listed([*self._listed, *new])
        self.listed_changed.emit()
        self.summaries_changed.emit()
        if self._field_id is None:
            self._step_field(1)
        else:
            self._fetch_neighbours()
