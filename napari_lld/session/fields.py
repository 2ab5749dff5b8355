"""The fields of the project: the filtered and ordered list, the chosen fields and the current one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
from psygnal import Signal

from annotation_store import Project
from annotation_store.errors import ProjectError
from annotation_store.records import Edit, Field, FieldSummary
from napari_lld.i18n.reasons import in_words
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.field_order import (
    NO_FILTER,
    FieldFilter,
    FieldOrder,
    FieldTexts,
    arrange,
    find_fields,
)
from napari_lld.session.field_summaries import FieldSummaries, SummaryReader
from napari_lld.session.open_project import OpenProject
from napari_lld.session.prefetch import PixelCache
from training.reasons import Reason

_PAGE = 64
"""Fields whose summaries are read together while a thread reads those of all."""


class Fields:
    """The list of fields and the one that is shown.

    Attributes
    ----------
    busy_sign
        Shows that the window waits, while the summaries of a large project are read in its own thread.
    skipped_last
        The field that was skipped last, as long as nothing was edited and no other field shown since.
    """

    summaries_changed = Signal()
    listed_changed = Signal()
    """The list of fields is another one, or in another order."""
    ranking_wanted = Signal()
    """The fields are to be sorted by what is to be learned, and nobody has worked that out yet."""
    leaving_current = Signal()
    """Another field is current, and nothing has been shown of it yet: forget what belongs to the last one."""
    current_changed = Signal()
    current_shown = Signal()
    """Everybody has heard of the new current field."""
    chosen_changed = Signal()

    def __init__(self, opened: OpenProject) -> None:
        self._opened = opened
        self._current_id: int | None = None
        self.busy_sign: Callable[[], AbstractContextManager[object]] = nullcontext
        self.skipped_last: int | None = None
        self._being_skipped: int | None = None
        self._summaries = FieldSummaries(opened)
        self._summaries.arrived.connect(self._on_summaries)
        self._texts = FieldTexts()
        self._listed: list[int] = []
        self._places: dict[int, int] = {}
        self._chosen: set[int] = set()
        self._why: dict[int, tuple[Reason, ...]] = {}
        self._filter = NO_FILTER
        self._order = FieldOrder.ADDED
        self._say_rank_later = False
        """Whether the order by rank was chosen while the summaries were being read."""
        self._ranked_again = False
        """Whether the order changed since the list was sorted, which was told once."""
        self._cache: PixelCache | None = None

    # ------------------------------------------------------------------ opened and closed

    def open(self, project: Project, order: object) -> None:
        """List the fields of a project that was just opened, in the order remembered of it."""
        self._cache = PixelCache(project)
        self._order = FieldOrder(str(order)) if order in list(FieldOrder) else FieldOrder.ADDED
        self._summaries.open(project)
        if not self.being_read:
            self._arrange()
        elif self._order is FieldOrder.ADDED:
            self._set_listed(list(self._summaries.awaited))

    def read_in(self, reader: SummaryReader) -> None:
        """Read the summaries of large projects in a thread."""
        self._summaries.reader = reader

    def close(self) -> None:
        """Forget the project; the signals follow with `go_to`."""
        self._current_id = None
        self._summaries.forget()
        self._texts = FieldTexts()
        self._listed, self._places, self._chosen = [], {}, set()
        self._filter, self._order = NO_FILTER, FieldOrder.ADDED
        self._say_rank_later = False
        if self._cache is not None:
            self._cache.close()
            self._cache = None

    def read_again(self) -> None:
        """Read all summaries anew: another reading, or a project that was gone."""
        self._summaries.forget()
        self._arrange()

    # ------------------------------------------------------------------ summaries, filter and order

    @property
    def being_read(self) -> bool:
        """Whether a thread is reading the summaries of a large project, which `listed_changed` follows.

        Until then all fields are listed in the order in which they were added, or none if another order was
        remembered. What can be shown later should not ask for all summaries now: who asks reads them at once.
        """
        return bool(self._summaries.awaited)

    @property
    def by_id(self) -> Mapping[int, FieldSummary]:
        """The summaries of all fields by their ids, in the order in which they were added."""
        return self._known.by_id

    @property
    def annotated(self) -> int:
        """How many fields have a finished region."""
        return self._known.annotated

    @property
    def pending(self) -> int:
        """How many fields have pending suggestions."""
        return self._known.pending

    @property
    def all_complete(self) -> bool:
        """Whether every field is reviewed or skipped."""
        return self._known.all_complete

    @property
    def has_annotated(self) -> bool:
        """Whether any reading has a finished region; the project is asked if the summaries show none."""
        if not self.being_read and self.annotated:
            return True
        project = self._opened.project
        return project is not None and project.regions.any_finished()

    @property
    def _known(self) -> FieldSummaries:
        """The summaries, for one who cannot wait for the thread."""
        if self.being_read:
            with self.busy_sign():
                _ = self._summaries.by_id
        return self._summaries

    def _on_summaries(self) -> None:
        """List the fields of a large project, whose current field is shown since it was opened."""
        self._arrange()
        self.listed_changed.emit()
        if self._say_rank_later and self._opened.project is not None:
            self._say_rank(self._opened.project)
        self.summaries_changed.emit()
        if self._current_id is None:
            self.go_to(self.first)
        else:
            self._fetch_neighbours()

    def summaries(self) -> list[FieldSummary]:
        """Summaries of all fields, in the order in which they were added."""
        return list(self.by_id.values())

    def summary(self, field_id: int) -> FieldSummary:
        """Return the summary of one field: also while those of all are being read.

        Raises
        ------
        LLDError
            The project cannot be read.
        """
        start = max(self.place_of(field_id), 0) // _PAGE * _PAGE
        return self._summaries.of(field_id, self._listed[start : start + _PAGE])

    def find(self, text: str) -> list[Field]:
        """Find the fields that match a number or words, the best first; list all without any."""
        if text.strip():
            return find_fields(self.by_id.values(), text, self._texts)
        summaries = self.by_id
        return [summaries[field_id].field for field_id in self._listed]

    @property
    def listed(self) -> Sequence[int]:
        """The fields that the list shows, in its order.

        It is taken when the project is opened and when the user filters or sorts: never under the hand.
        """
        return self._listed

    @property
    def first(self) -> int | None:
        """The first field of the list; while the summaries are being read, if it is known by then."""
        is_known = self.being_read and self._order is FieldOrder.ADDED
        return next(iter(self._summaries.awaited if is_known else self._listed), None)

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
            self.arrange()

    @property
    def order(self) -> FieldOrder:
        """How the list is sorted."""
        return self._order

    @order.setter
    def order(self, order: FieldOrder) -> None:
        self._order = order
        if self.being_read:  # they are listed in this order once they are read
            self._say_rank_later = order is FieldOrder.RANK
            return
        self.arrange()
        if order is FieldOrder.RANK and self._opened.project is not None:
            self._say_rank(self._opened.project)

    def _say_rank(self, project: Project) -> None:
        """Explain an order by rank that shows nothing: still to come, or nothing is left."""
        self._say_rank_later = False
        if project.rankings.latest_facts() is not None:
            if self.by_id and not self._why:
                self._opened.notify("hint", tr("Every field is annotated: nothing is left to do."))
        elif len(self.ranking_wanted) and not project.read_only and not project.reading.blind:
            self.ranking_wanted.emit()
        else:
            self._opened.notify("hint", tr("Nothing is ranked yet: this comes with the first training."))

    def take_ranking(self) -> None:
        """Use the ranking that was just computed on request."""
        if self._order is FieldOrder.RANK and self._opened.project is not None:
            self.arrange()
            self._opened.notify("hint", tr("Sorted by expected gain per minute."))

    def arrange(self) -> None:
        """Filter and sort the list again."""
        self._arrange()
        self.listed_changed.emit()
        self._fetch_neighbours()

    def _arrange(self) -> None:
        ranks, project = None, self._opened.project
        self._why, self._ranked_again = {}, False
        if self._order is FieldOrder.RANK and project is not None:
            from training.ranking import order

            ranked = self._opened.attempt(lambda: order(project, self.by_id.values())) or []
            ranks = {item.field_id: place for place, item in enumerate(ranked)}
            self._why = {item.field_id: item.reasons for item in ranked}
        self._set_listed(arrange(self.by_id.values(), self._filter, self._order, self._texts, ranks))

    def _set_listed(self, ids: list[int]) -> None:
        self._listed = ids
        self._places = {field_id: place for place, field_id in enumerate(ids)}

    # ------------------------------------------------------------------ which

    @property
    def chosen(self) -> Sequence[int]:
        """The fields chosen in the list, in its order; empty if only the current field counts."""
        return [field_id for field_id in self._listed if field_id in self._chosen] if self._chosen else []

    @property
    def targets(self) -> list[Field]:
        """The fields that a command applies to: the chosen ones, else the current one."""
        ids = self.chosen or ([] if self._current_id is None else [self._current_id])
        return [self.summary(field_id).field for field_id in ids]

    def choose(self, ids: Iterable[int]) -> None:
        """Choose fields of the list."""
        chosen = set(ids)
        if chosen != self._chosen:
            self._chosen = chosen
            self.chosen_changed.emit()

    def choose_current(self) -> None:
        """Select the current field too, or deselect it."""
        if self._current_id is not None:
            self.choose(self._chosen ^ {self._current_id})
            self._announce_chosen()

    def choose_all(self) -> None:
        """Choose all fields of the list; once more, none."""
        listed = set(self._listed)
        self.choose(set() if self._chosen >= listed else listed)
        self._announce_chosen()

    def _announce_chosen(self) -> None:
        count = len(self.chosen)
        if count:
            self._opened.notify(
                "hint", trn("{count} field is selected.", "{count} fields are selected.", count)
            )
        else:
            self._opened.notify("hint", tr("Only the current field is selected."))

    # ------------------------------------------------------------------ the field

    @property
    def current_id(self) -> int | None:
        """The id of the field that is shown."""
        return self._current_id

    @property
    def current(self) -> Field | None:
        """The field that is shown."""
        return (
            self._opened.project.fields.get(self._current_id)
            if self._opened.project and self._current_id is not None
            else None
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

    def show(self, field_id: int) -> None:
        """Show a field."""
        if self._opened.project and field_id != self._current_id:
            self.go_to(field_id)

    def has(self, field_id: object) -> bool:
        """Return whether the project has a field of that id."""
        return isinstance(field_id, int) and field_id in (self._summaries.awaited or self.by_id)

    def go_to(self, field_id: int | None) -> bool:
        """Make a field the current one, also the one that is; ``None`` = none.

        Returns
        -------
        bool
            False (and a notice) if the project has no such field: the current one stays.
        """
        self.skipped_last, self._being_skipped = self._being_skipped, None
        if field_id is not None and not self.has(field_id):
            self._opened.notify("warning", tr("There is no field {id} in this project.", id=field_id))
            return False
        self._current_id = field_id
        self.leaving_current.emit()
        self.current_changed.emit()
        self.current_shown.emit()
        self._fetch_neighbours()
        return True

    def _fetch_neighbours(self) -> None:
        cache, shown = self._cache, self._current_id
        if cache is not None and shown is not None and not self.being_read:
            neighbours = (self._neighbour(1), self._neighbour(-1))
            cache.keep(shown, [field_id for field_id in neighbours if field_id is not None])

    def next(self) -> None:
        """Show the next field of the list that is not skipped."""
        self._step_field(1)

    def previous(self) -> None:
        """Show the previous field of the list that is not skipped."""
        self._step_field(-1)

    def _step_field(self, step: int) -> None:
        if not self._opened.project:
            return
        if self.being_read and not self._listed:  # in another order than that of adding
            _ = self.by_id
        beside = self._neighbour(step)
        if beside is not None:
            self.go_to(beside)
        elif not self._listed and self.by_id:
            self._opened.notify("hint", tr("No field matches the filter of the list."))
        else:
            self._opened.notify(
                "hint", tr("This is the last field.") if step > 0 else tr("This is the first field.")
            )

    def _neighbour(self, step: int) -> int | None:
        """Return the next field in a direction; from an unlisted field it is the first of the list."""
        place = self.place_of(self._current_id)
        places = range(place + step, len(self._listed) if step > 0 else -1, step)
        if place < 0:
            places = range(len(self._listed))
        beside = (self._listed[i] for i in places)
        return next((field_id for field_id in beside if not self.summary(field_id).field.skipped), None)

    # ------------------------------------------------------------------ descriptions of fields

    def describe(self, field_id: int | None = None, **changes: Any) -> bool:
        """Change what is known of a field (see `Project.fields.update`), of the current one if omitted."""
        project = self._opened.project
        target = self._current_id if field_id is None else field_id
        if project is None or target is None:
            return False
        return self._opened.done(lambda: project.fields.update(target, **changes))

    def set_patient_rule(self, expression: str) -> bool:
        """Set how the patient is read from the names of new images."""
        project = self._opened.project
        return project is not None and self._opened.done(lambda: project.fields.set_patient_rule(expression))

    def skip(self) -> None:
        """Skip the current field and go to the next; on a skipped field, unskip it."""
        field = self.current
        if field is None or not self.describe(skipped=not field.skipped):
            return
        if field.skipped:
            self._opened.notify("hint", tr("{name} is no longer skipped.", name=field.name))
            return
        message = tr(
            ("{name} is skipped: next and previous pass over it, and no model predicts on it."),
            name=field.name,
        )
        if cell_count := self.summary(field.id).cells:
            message += " " + trn("Its {count} cell stays.", "Its {count} cells stay.", cell_count)
        self._opened.notify("hint", message)
        following = self._neighbour(1)
        if following is not None:
            self._being_skipped = field.id
            self.go_to(following)

    # ------------------------------------------------------------------ the project's events

    def on_edited(self, edit: Edit) -> None:
        """Read the summary of an edited field again when it is asked for."""
        self.skipped_last = None
        if edit.field_id is None:
            self._summaries.note_all_changed()
        else:
            self._summaries.note_changed([edit.field_id])
        self.summaries_changed.emit()

    def on_searched(self) -> None:
        """Take in how far the searches of slides are."""
        if slides := [i for i, summary in self.by_id.items() if summary.field.is_slide]:
            self.on_suggestions_changed(slides)

    def on_suggestions_changed(self, field_ids: list[int]) -> None:
        """Read the summaries of fields again when they are asked for."""
        self._summaries.note_changed(field_ids)
        self.summaries_changed.emit()

    def on_ranking_changed(self) -> None:
        """Show a hint that the list can be sorted again; it is not sorted under the hand."""
        if self._order is FieldOrder.RANK and not self._ranked_again:
            self._ranked_again = True
            self._opened.notify(
                "hint",
                tr("The fields have been ranked again; “Sort and filter again” applies the new order."),
            )

    def on_fields_added(self, ids: list[int]) -> None:
        """List new fields at the end."""
        self._summaries.note_changed(ids)
        summaries = self.by_id
        new = [
            i for i in ids if i not in self._places and self._filter.lets_through(summaries[i], self._texts)
        ]
        self._set_listed([*self._listed, *new])
        self.listed_changed.emit()
        self.summaries_changed.emit()
        if self._current_id is None:
            self._step_field(1)
        else:
            self._fetch_neighbours()
