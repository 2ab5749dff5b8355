"""The gallery's state, without Qt: filters, order, and edits of many items.

The store is the truth: a reader in another thread lists it (`read_items`), what was edited is read again by
field, and all that is done to many is one transaction, taken back in one step.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from psygnal import Signal

from annotation_store import Project
from annotation_store.errors import LLDError
from annotation_store.records import Edit, RejectionReason
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.bulk_accept import Candidate, unchecked_refusal, unknown_refusal
from napari_lld.session.gallery_items import Item, Key
from napari_lld.session.gallery_likeness import ClusterRow, Likeness, Ranking, cluster_rows
from napari_lld.session.gallery_order import (
    GalleryOrder,
    Places,
    Scope,
    Show,
    SortKey,
    Test,
    is_sorted,
    sort_key,
)
from napari_lld.session.search import EVERYTHING, Query
from napari_lld.session.session import Session
from napari_lld.session.slide_differential import Counted
from napari_lld.session.subscriptions import Subscriptions

MISSING = ""
"""Stands in the filters for a class or value that nobody gave."""


class Gallery:
    """What the gallery shows and does; a view binds to `shown_changed`."""

    shown_changed = Signal()
    read_requested = Signal(object)
    """Fields to be read by whoever reads: a list of ids, or ``None`` for all."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._listening = Subscriptions()
        self.scope = Scope.ALL
        self.show = Show.EVERYTHING
        self.order = GalleryOrder.UNCERTAIN
        self.only_class: str | None = None
        self.attribute: str | None = None
        self.only_value: str | None = None
        self.query = EVERYTHING
        self.counted: Counted | None = None
        """What a differential on a slide has counted, while that alone is listed."""
        self.shown: list[Item] = []
        self.counts: Counter[str] = Counter()
        """How many there are of each class, whichever class is listed alone."""
        self.outdated = False
        """Whether the order is no longer what sorting would give."""
        self.successors: Mapping[Key, Key] = {}
        """What took the place of what by the last change."""
        self.reading = False
        self.likeness = Likeness(session)
        self.ranking: Ranking | None = None
        """What the assistant answered, while the order is one by likeness."""
        self.only_cluster: int | None = None
        self.clusters: list[ClusterRow] = []
        self._order_before = self.order
        self._handed_on: list[tuple[Key, Key]] = []
        """What took the place of what since the assistant was asked."""
        self.likeness.answered.connect(self._on_answer)
        self._items: dict[int, list[Item]] = {}
        self._places = Places()
        self._strays = False
        """Whether anything is listed only because a model alone has changed it."""
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
        self.counted = None
        self._leave_likeness()

    def read_all(self) -> None:
        """Start reading the whole list of the scope; what is known of it stays listed meanwhile."""
        self._field_ids = self._scope_fields()
        if self._field_ids is not None:
            self._items = {i: self._items[i] for i in self._field_ids if i in self._items}
        self.arrange()
        if self._project is not None:
            self.reading = True
            self.read_requested.emit(self._field_ids)
        if self.ranking is not None:
            self.sort_again()  # of other fields

    def follow(self) -> None:
        """Read another list where the scope has moved with the field that is shown."""
        if self._scope_fields() != self._field_ids:
            self.read_all()

    def _scope_fields(self) -> list[int] | None:
        """Return the ids of the fields of the scope, or ``None`` for all."""
        project, field = self._project, self.session.fields.current
        if self.counted is not None:
            return [self.counted.field_id]
        if project is None or self.scope is Scope.ALL:
            return None
        if field is None:
            return []
        if self.scope is Scope.PATIENT and field.patient:
            return [f.id for f in project.fields.all() if f.patient == field.patient]
        return [field.id]

    def _on_edited(self, edit: Edit) -> None:
        if edit.field_id is not None and {"cell", "suggestion", "region"} & set(edit.touched):
            self._on_fields([edit.field_id])

    def _on_fields(self, field_ids: list[int]) -> None:
        among = self._field_ids
        inside = [i for i in field_ids if among is None or i in among]
        if inside:
            self.read_requested.emit(inside)

    def take(
        self,
        field_ids: Sequence[int] | None,
        items: Sequence[Item],
        successors: Mapping[Key, Key] | None = None,
    ) -> None:
        """Take what was read of some fields, or of all that are listed.

        Parameters
        ----------
        became
            What stands now where something else stood (`gallery_items.successors`): it takes its place.
        """
        among = None if self._field_ids is None else set(self._field_ids)
        whole = field_ids is None or (self.reading and among is not None and among <= set(field_ids))
        if whole:
            self._items, self.reading = {}, False
        for field_id in field_ids or ():
            self._items.pop(field_id, None)
        for item in items:
            # what was asked for before the scope was changed may come yet
            if among is None or item.entry.field_id in among:
                self._items.setdefault(item.entry.field_id, []).append(item)
        for old, new in (successors or {}).items():
            self._places.hand_on(old, new)
            self._handed_on.append((old, new))
            if self.ranking is not None:
                self.ranking.hand_on(old, new)
        if whole:
            self.arrange()
        else:
            self._renew(successors or {})

    # ------------------------------------------------------------------ filter and order

    def _all(self) -> Iterator[Item]:
        for field_id in sorted(self._items):
            yield from self._items[field_id]

    def arrange(self) -> None:
        """Filter and sort anew."""
        self.successors = {}
        self._show(self._places.sort(self._all(), self._sort_key()), {})
        self.outdated = False
        self.shown_changed.emit()

    def _renew(self, successors: Mapping[Key, Key]) -> None:
        """Show what was edited or predicted anew where it stands: what is under the hand does not move."""
        listed = {item.key: item for item in self.shown}
        for old, new in successors.items():
            if old in listed:
                listed[new] = listed[old]
        self.successors = successors
        self._show(self._places.keep(self._all()), listed)
        self.outdated = (
            self._strays
            or not is_sorted(self.shown, self._sort_key())
            or (self.ranking is not None and self._places.added)
        )
        self.shown_changed.emit()

    def _show(self, ordered: Sequence[Item], listed: Mapping[Key, Item]) -> None:
        """List the items that pass the filters, and those that only a model has changed since."""
        passes, of_class, ranking = self._test(), self._test_of_class(), self.ranking

        def stays(item: Item) -> bool:
            before = listed.get(item.key)
            return before is not None and not item.done_by_hand(before)

        visible = [item for item in ordered if passes(item) or stays(item)]
        if ranking is not None:
            visible = ranking.whole_pairs(visible)
            self.clusters = cluster_rows(ranking, visible)
            if self.only_cluster is not None:
                visible = [item for item in visible if ranking.cluster_of.get(item.key) == self.only_cluster]
            if ranking.partners and of_class is not None:
                by_class, visible_by_key = of_class, {item.key: item for item in visible}

                def of_class(item: Item) -> bool:  # a pair is not torn apart
                    return by_class(item) or by_class(visible_by_key[ranking.partners[item.key]])

        self.counts = Counter(item.word or MISSING for item in visible)
        if of_class is None:
            self.shown = visible
        else:
            self.shown = [item for item in visible if of_class(item) or stays(item)]
        self._strays = bool(listed) and not all(
            passes(item) and (of_class is None or of_class(item)) for item in self.shown
        )

    def _test_of_class(self) -> Test | None:
        """Return what says whether an item has the class that is listed alone; ``None`` if all are."""
        only = self.only_class
        return None if only is None else lambda item: (item.word or MISSING) == only

    def _test(self) -> Test:
        """Return what says whether an item passes all filters but that of classes."""
        tests: list[Test] = [self.show.test(self._incomplete)]
        if self.ranking is not None:
            places = self.ranking.places
            tests.append(lambda item: item.key in places)
        attribute, only = self.attribute, self.only_value
        if attribute is not None and only is not None:
            tests.append(lambda item: (item.value(attribute) or MISSING) == only)
        if self.counted is not None:
            tests.append(self.counted.holds)
        if self.query.terms:
            tests.append(self._is_found)
        return tests[0] if len(tests) == 1 else lambda item: all(test(item) for test in tests)

    def _is_found(self, item: Item) -> bool:
        """Return whether the query lets an item through."""
        if not self.query.terms:
            return True
        summary = self.session.fields.by_id.get(item.entry.field_id)
        return self.query.matches(item, None if summary is None else summary.field)

    def search(self, query: Query) -> None:
        """List what a query lets through, of what the filters do."""
        if query != self.query:
            self.query = query
            self.arrange()

    def show_counted(self, counted: Counted | None) -> None:
        """List what a differential has counted alone, what waits for review, class by class; or all again."""
        self.counted = counted
        if counted is not None:
            self._leave_likeness()
            self.show, self.order = Show.WAITING, GalleryOrder.CLASS
            self.only_class = self.only_value = None
            self.query = EVERYTHING
        self.read_all()

    def _incomplete(self, item: Item) -> bool:
        entry = item.entry
        if entry.cell_class is None:
            return True
        if self.session.is_artefact(entry.cell_class):
            return False
        return any(a.name not in entry.attributes for a in self.session.attributes)

    def _sort_key(self) -> SortKey:
        if self.ranking is not None:
            places = self.ranking.places
            return lambda item: places.get(item.key, len(places))
        return sort_key(self.order, self.session.schema, self.attribute)

    def find(self, key: Key) -> Item | None:
        """Return an item of the scope, listed or not."""
        return next((item for item in self._all() if item.key == key), None)

    # ------------------------------------------------------------------ orders by likeness

    def sort_by(self, order: GalleryOrder, of: Key | None = None) -> None:
        """Change the order; an order by likeness follows when the assistant has answered.

        Parameters
        ----------
        of
            The crop that others are compared with, for `GalleryOrder.SIMILAR`.
        """
        if order.by_likeness:
            self._handed_on = []
            self.likeness.ask(order, of, self._field_ids)
            self.shown_changed.emit()
            return
        self._leave_likeness()
        self.order = order
        self.arrange()

    def sort_again(self) -> None:
        """Bring up to date what comes first."""
        if self.ranking is not None:
            self.sort_by(self.ranking.order, self.ranking.of)
        else:
            self.arrange()

    @property
    def in_likeness(self) -> bool:
        """Whether an order by likeness is shown, computed, or could not be."""
        likeness = self.likeness
        return self.ranking is not None or likeness.waiting is not None or bool(likeness.trouble)

    def leave_likeness(self) -> None:
        """Return to the order before."""
        self.sort_by(self._order_before if self.order.by_likeness else self.order)

    def _leave_likeness(self) -> None:
        self.likeness.drop()
        if self.order.by_likeness:
            self.order = self._order_before
        self.ranking, self.only_cluster, self.clusters = None, None, []

    def _on_answer(self, ranking: Ranking | None) -> None:
        if ranking is None:
            self.shown_changed.emit()
            return
        for old, new in self._handed_on:
            ranking.hand_on(old, new)
        if not self.order.by_likeness:
            self._order_before = self.order
        self.order, self.ranking, self.only_cluster, self.clusters = ranking.order, ranking, None, []
        self.arrange()

    def forget_trouble(self) -> None:
        """Let go of why the newest order could not be computed."""
        self.likeness.trouble = ""
        self.shown_changed.emit()

    def show_cluster(self, number: int | None) -> None:
        """List one cluster alone, or all."""
        self.only_cluster, self.likeness.trouble = number, ""
        self.arrange()

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
        if self._change_many(
            len(cells) + len(waiting), lambda project: project.bulk_edits.label(cells, waiting, **changes)
        ):
            count = len(cells) + len(waiting)
            self.session.notify("hint", trn("{count} cell labelled.", "{count} cells labelled.", count))

    def accept(self, items: Sequence[Item], seen: Collection[Key]) -> None:
        """Accept suggestions unchanged: those that were visible, others only if `BulkAccept` allows it.

        Unknown cells are left, on the screen or not: they want a class. So are those of films that the model
        has not learnt from.

        Parameters
        ----------
        seen
            Items that were visible with their crop.
        """
        waiting = [item for item in items if item.pending]
        unknown = sum(item.unknown for item in waiting)
        unchecked = sum(item.unchecked for item in waiting)
        others = [item for item in waiting if not (item.unknown or item.unchecked)]
        looked_at = [item for item in others if item.key in seen]
        unseen = [item for item in others if item.key not in seen]
        earned, why = self.session.bulk_accept.earned(
            Candidate(i.entry.id, i.entry.model_id, i.word, i.probability or 0.0, renewed=i.entry.renewed)
            for i in unseen
        )
        ids = [i.entry.id for i in looked_at] + earned
        proposals = {i.entry.id: i.entry.proposal for i in waiting if i.entry.proposal is not None}
        if not waiting:
            self._nothing(items)
        elif not ids or self._change_many(
            len(ids), lambda project: project.suggestions.accept_many(ids, seen=proposals)
        ):
            messages = []
            if ids or not (unknown or unchecked):
                messages.append(
                    trn("{count} suggestion accepted.", "{count} suggestions accepted.", len(ids))
                )
            if remaining := len(unseen) - len(earned):
                reason = trn(
                    "{count} that was not on the screen is skipped: {why}",
                    "{count} that were not on the screen are skipped: {why}",
                    remaining,
                    why=" ".join(why),
                )
                messages.append(reason)
            if unchecked:
                messages.append(unchecked_refusal(unchecked))
            if unknown:
                messages.append(unknown_refusal(unknown))
            self.session.notify("info" if remaining or unknown or unchecked else "hint", " ".join(messages))

    def reject(self, items: Sequence[Item], reason: RejectionReason) -> None:
        """Reject suggestions, all for one reason."""
        waiting = [item.entry.id for item in items if item.pending]
        if not waiting:
            self._nothing(items)
        elif self._change_many(
            len(waiting), lambda project: project.suggestions.reject_many(waiting, reason)
        ):
            message = trn("{count} suggestion rejected.", "{count} suggestions rejected.", len(waiting))
            self.session.notify("hint", message)

    def _nothing(self, items: Sequence[Item]) -> None:
        self.session.notify(
            "hint",
            tr("None of the selected crops is a pending suggestion.")
            if items
            else tr("Select crops first: click one, drag a frame around several, or press Ctrl+A for all."),
        )

    def _change_many(self, count: int, action: Callable[[Project], Any]) -> bool:
        """Edit several items in one transaction, and record the edits so that one undo reverts them."""
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
            self.session.notify("hint", tr("There is nothing to undo here."))
            return
        batch, count = self._batches[-1]
        try:
            project.bulk_edits.undo(batch)
        except LLDError as error:
            self.session.refused(error, lambda: project.bulk_edits.undo(batch))
            return
        self._batches.pop()
        self.session.notify("hint", trn("Undone for {count} crop.", "Undone for {count} crops.", count))

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
