"""The gallery's state, without Qt: what is listed, in what order, and what is done to many.

The store is the truth: a reader in another thread lists it (`read_items`), what was edited is read again by
field, and all that is done to many is one transaction, taken back in one step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from psygnal import Signal

from annotation_store import Entry, Project
from annotation_store.errors import LLDError
from annotation_store.records import Box, Edit, RejectionReason, SuggestionState
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from napari_lld.i18n.schema_texts import shown
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.bulk_accept import Candidate, unchecked_refusal, unknown_refusal
from napari_lld.session.predictions import Disagreement, best, disagreement, doubt, label_probability
from napari_lld.session.session import Session
from napari_lld.session.subscriptions import Subscriptions

Key = tuple[str, int]
"""``"cell"`` or ``"suggestion"``, and its id."""


class Scope(StrEnum):
    """Whose cells are listed."""

    FIELD = "field"
    PATIENT = "patient"
    ALL = "all"


class Show(StrEnum):
    """What is listed of them."""

    EVERYTHING = "everything"
    CELLS = "cells"
    INCOMPLETE = "incomplete"
    WAITING = "waiting"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    BOOKMARKED = "bookmarked"
    SECOND_OPINION = "second_opinion"


class Order(StrEnum):
    """What comes first."""

    UNCERTAIN = "uncertain"
    SUREST = "surest"
    DISAGREEMENT = "disagreement"
    CLASS = "class"
    VALUE = "value"


MISSING = ""
"""Stands in the filters for a class or value that nobody gave."""


@dataclass(frozen=True, slots=True)
class Item:
    """One crop of the gallery.

    Attributes
    ----------
    word
        The cell's class, or the one that a suggestion states.
    doubt
        How much one would learn from it (`opinions.doubt`).
    probability
        Of what it states (`opinions.label_probability`).
    disagreement
        What the model predicts of a cell's label (`opinions.disagreement`).
    """

    entry: Entry
    word: str | None
    doubt: float | None
    probability: float | None
    disagreement: Disagreement | None

    @property
    def key(self) -> Key:
        """Kind and id."""
        return (self.entry.kind, self.entry.id)

    def value(self, attribute: str) -> str | None:
        """Return the value of an attribute: the cell's, or the most probable one of a suggestion."""
        if self.entry.kind == "cell":
            return self.entry.attributes.get(attribute)
        return best(self.entry.attribute_probabilities.get(attribute, {}))

    @property
    def unknown(self) -> bool:
        """Whether it is a suggestion of a cell unlike anything taught."""
        predicted = self.entry.proposal
        return self.entry.kind == "suggestion" and predicted is not None and predicted.is_unknown

    @property
    def unchecked(self) -> bool:
        """Whether it is a suggestion of a known cell on a film where nothing was checked."""
        return self.entry.kind == "suggestion" and self.entry.unchecked and not self.unknown

    @property
    def pending(self) -> bool:
        """Whether it is a suggestion that waits."""
        return self.entry.state is SuggestionState.PENDING


def read_items(project: Project, field_ids: Collection[int] | None) -> list[Item]:
    """List cells and suggestions with the numbers they are sorted by; for a thread beside the window."""
    schema = shown(project.schema)
    return [_item(entry, schema) for entry in project.bulk_edits.entries(field_ids)]


def _item(entry: Entry, schema: Schema) -> Item:
    predicted = entry.proposal
    stated = None if predicted is None else predicted.stated_class
    return Item(
        entry,
        entry.cell_class if entry.kind == "cell" else stated,
        None if predicted is None else doubt(predicted, schema),
        label_probability(entry, schema),
        disagreement(entry, schema),
    )


class Gallery:
    """What the gallery shows and does; a view binds to `shown_changed`."""

    shown_changed = Signal()
    wanted = Signal(object)
    """Fields to be read by whoever reads: a list of ids, or ``None`` for all."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._listening = Subscriptions()
        self.scope = Scope.ALL
        self.show = Show.EVERYTHING
        self.order = Order.UNCERTAIN
        self.only_class: str | None = None
        self.attribute: str | None = None
        self.only_value: str | None = None
        self.shown: list[Item] = []
        self.reading = False
        self._items: dict[int, list[Item]] = {}
        self._field_ids: list[int] | None = None
        self._batches: list[tuple[list[int], int]] = []
        self._project: Project | None = None

    # ------------------------------------------------------------------ reading

    def attach(self) -> None:
        """Listen to the project that is open, and list it."""
        self.detach()
        self._project = project = self.session.project
        if project is not None:
            self._listening.add(project.events.edited, self._on_edited)
            self._listening.add(project.events.suggestions_changed, self._on_fields)
            self._listening.add(project.events.fields_added, self._on_fields)
            attributes = project.schema.attribute_names
            self.attribute = attributes[0] if attributes else None
        self.read_all()

    def detach(self) -> None:
        """Disconnect from the project."""
        self._project = None
        self._listening.close()
        self._items, self._batches, self.only_class, self.only_value = {}, [], None, None

    def read_all(self) -> None:
        """Start reading the whole list of the scope."""
        project, field = self._project, self.session.fields.current
        self._items = {}
        self._field_ids = None
        if project is not None and self.scope is not Scope.ALL:
            self._field_ids = [field.id] if field is not None else []
            if self.scope is Scope.PATIENT and field is not None and field.patient:
                self._field_ids = [f.id for f in project.fields.all() if f.patient == field.patient]
        self.arrange()
        if project is not None:
            self.reading = True
            self.wanted.emit(self._field_ids)

    def _on_edited(self, edit: Edit) -> None:
        if edit.field_id is not None and {"cell", "suggestion", "region"} & set(edit.touched):
            self._on_fields([edit.field_id])

    def _on_fields(self, field_ids: list[int]) -> None:
        among = self._field_ids
        inside = [i for i in field_ids if among is None or i in among]
        if inside:
            self.wanted.emit(inside)

    def take(self, field_ids: Sequence[int] | None, items: Sequence[Item]) -> None:
        """Take what was read of some fields, or of all that are listed."""
        among = None if self._field_ids is None else set(self._field_ids)
        if field_ids is None or (self.reading and among is not None and among <= set(field_ids)):
            self._items, self.reading = {}, False
        for field_id in field_ids or ():
            self._items.pop(field_id, None)
        for item in items:
            # what was asked for before the scope was changed may come yet
            if among is None or item.entry.field_id in among:
                self._items.setdefault(item.entry.field_id, []).append(item)
        self.arrange()

    # ------------------------------------------------------------------ filter and order

    def arrange(self) -> None:
        """Filter and sort anew."""
        found = [item for field_id in sorted(self._items) for item in self._items[field_id]]
        self.shown = sorted((item for item in found if self._passes(item)), key=self._sort_key())
        self.shown_changed.emit()

    def _passes(self, item: Item) -> bool:
        entry, show = item.entry, self.show
        cell = entry.kind == "cell"
        if self.only_class is not None and (item.word or MISSING) != self.only_class:
            return False
        if (
            self.only_value is not None
            and self.attribute is not None
            and (item.value(self.attribute) or MISSING) != self.only_value
        ):
            return False
        match show:
            case Show.EVERYTHING:
                return cell or item.pending
            case Show.CELLS:
                return cell
            case Show.INCOMPLETE:
                return cell and self._incomplete(entry)
            case Show.WAITING:
                return item.pending
            case Show.REJECTED:
                return entry.state is SuggestionState.REJECTED
            case Show.UNKNOWN:
                return item.pending and item.unknown
            case Show.BOOKMARKED:
                return entry.bookmark
        return entry.second_opinion

    def _incomplete(self, entry: Entry) -> bool:
        if entry.cell_class is None:
            return True
        if self.session.is_artefact(entry.cell_class):
            return False
        return any(a.name not in entry.attributes for a in self.session.attributes)

    def _sort_key(self) -> Callable[[Item], Any]:
        def falling(number: float | None) -> tuple[bool, float]:
            return (number is None, -(number or 0.0))

        if self.order is Order.UNCERTAIN:
            return lambda item: (not item.unknown, falling(item.doubt))
        if self.order is Order.SUREST:
            return lambda item: (item.unknown, falling(item.probability))
        if self.order is Order.DISAGREEMENT:
            return _by_disagreement
        schema, attribute = self.session.schema, self.attribute
        places: dict[str | None, int] = {}
        if schema is not None and self.order is Order.CLASS:
            names = [*schema.class_names, *(group.name for group in schema.groups), UNSURE]
            places = {name: place for place, name in enumerate(names)}
            return lambda item: (places.get(item.word, len(places)), falling(item.probability))
        if schema is not None and attribute is not None:
            values = [*schema.attribute_named(attribute).value_names, UNSURE]
            places = {name: place for place, name in enumerate(values)}
            return lambda item: (places.get(item.value(attribute), len(places)), falling(item.doubt))
        return lambda item: item.entry.id

    # ------------------------------------------------------------------ what is done to many

    def set_class(self, items: Sequence[Item], name: str | None) -> None:
        """Set the same class on all; suggestions become cells with it."""
        self._label(items, cell_class=name)

    def set_value(self, items: Sequence[Item], attribute: str, value: str | None) -> None:
        """Set the same value of an attribute on all; suggestions become cells with it."""
        self._label(items, attributes={attribute: value})

    def _label(self, items: Sequence[Item], **changes: Any) -> None:
        cells = [i.entry.id for i in items if i.entry.kind == "cell"]
        waiting = [i.entry.id for i in items if i.pending]
        if not cells and not waiting:
            self._nothing(items)
            return
        if self._done(
            len(cells) + len(waiting), lambda project: project.bulk_edits.label(cells, waiting, **changes)
        ):
            count = len(cells) + len(waiting)
            self.session.tell("hint", trn("{count} cell labelled.", "{count} cells labelled.", count))

    def accept(self, items: Sequence[Item], seen: Collection[Key]) -> None:
        """Make suggestions cells as they stand: those that were on the screen, others only where earned.

        Unknown cells are left, on the screen or not: they want a class. So are those of films that the model
        has not learnt from.

        Parameters
        ----------
        seen
            What was on the screen, crop and all.
        """
        waiting = [item for item in items if item.pending]
        unknown = sum(item.unknown for item in waiting)
        unchecked = sum(item.unchecked for item in waiting)
        others = [item for item in waiting if not (item.unknown or item.unchecked)]
        looked_at = [item for item in others if item.key in seen]
        unseen = [item for item in others if item.key not in seen]
        earned, why = self.session.bulk_accept.earned(
            Candidate(i.entry.id, i.entry.model_id, i.word, i.probability or 0.0) for i in unseen
        )
        ids = [i.entry.id for i in looked_at] + earned
        if not waiting:
            self._nothing(items)
        elif not ids or self._done(len(ids), lambda project: project.suggestions.accept_many(ids)):
            messages = []
            if ids or not (unknown or unchecked):
                messages.append(
                    trn("{count} suggestion accepted.", "{count} suggestions accepted.", len(ids))
                )
            if left := len(unseen) - len(earned):
                why_left = trn(
                    "{count} that was not on the screen is left: {why}",
                    "{count} that were not on the screen are left: {why}",
                    left,
                    why=" ".join(why),
                )
                messages.append(why_left)
            if unchecked:
                messages.append(unchecked_refusal(unchecked))
            if unknown:
                messages.append(unknown_refusal(unknown))
            self.session.tell("info" if left or unknown or unchecked else "hint", " ".join(messages))

    def reject(self, items: Sequence[Item], reason: RejectionReason) -> None:
        """Reject suggestions, all for one reason."""
        waiting = [item.entry.id for item in items if item.pending]
        if not waiting:
            self._nothing(items)
        elif self._done(len(waiting), lambda project: project.suggestions.reject_many(waiting, reason)):
            message = trn("{count} suggestion rejected.", "{count} suggestions rejected.", len(waiting))
            self.session.tell("hint", message)

    def _nothing(self, items: Sequence[Item]) -> None:
        self.session.tell(
            "hint",
            tr("None of the selected crops is a waiting suggestion.")
            if items
            else tr("Select crops first: click one, drag a frame around several, or press Ctrl+A for all."),
        )

    def _done(self, count: int, action: Callable[[Project], Any]) -> bool:
        """Do something to so many in one transaction, and note its edits so that one step takes them back."""
        project = self._project
        if project is None:
            return False
        edits: list[int] = []

        def note(edit: Edit) -> None:
            edits.append(edit.id)

        project.events.edited.connect(note)
        try:
            action(project)
        except LLDError as error:
            self.session.refused(error, lambda: action(project))
            return False
        finally:
            project.events.edited.disconnect(note)
        if edits:
            self._batches.append((edits, count))
        return True

    @property
    def undoable(self) -> bool:
        """Whether there is something done here to take back."""
        return bool(self._batches)

    def undo(self) -> None:
        """Undo what was last done to many, on all its fields at once."""
        project = self._project
        if project is None or not self._batches:
            self.session.tell("hint", tr("There is nothing to undo here."))
            return
        batch, count = self._batches[-1]
        try:
            project.bulk_edits.undo(batch)
        except LLDError as error:
            self.session.refused(error, lambda: project.bulk_edits.undo(batch))
            return
        self._batches.pop()
        self.session.tell("hint", trn("Undone for {count} crop.", "Undone for {count} crops.", count))

    def go_to(self, item: Item) -> None:
        """Show the cell or suggestion in its field."""
        session, entry = self.session, item.entry
        session.fields.show(entry.field_id)
        if entry.kind == "suggestion" and not item.pending:
            return
        if entry.kind == "suggestion" and (item.probability or 0.0) < session.marks.threshold:
            session.marks.threshold = math.floor(100 * (item.probability or 0.0)) / 100
        session.selection.select(entry.kind, entry.id)
        session.selection.went_on.emit()


def _by_disagreement(item: Item) -> tuple[bool, bool, float]:
    """Sort contradicted labels first, then by how improbable a label is; last what cannot be compared."""
    difference = item.disagreement
    return (
        difference is None,
        not (difference and difference.instead),
        -difference.improbable if difference else 0.0,
    )


def crop_window(box: Box, width: int, height: int) -> tuple[Box, tuple[int, int, int, int]]:
    """Return the part of a field that shows a cell with its surroundings, and where it lies in the crop.

    Returns
    -------
    tuple
        The part as a box inside the field, and left, top, right, bottom margins in pixels where a square
        about the cell passes the field's edge.
    """
    x, y, w, h = box
    side = max(round(1.4 * max(w, h)), 8)
    left, top = round(x + w / 2 - side / 2), round(y + h / 2 - side / 2)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    margins = (x0 - left, y0 - top, left + side - x1, top + side - y1)
    return (float(x0), float(y0), float(x1 - x0), float(y1 - y0)), margins
