"""Suggestions of models, and the decisions on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._collections.marks import CellRows, pick_rows
from annotation_store._collections.regions import Regions
from annotation_store._collections.suggestion_rows import OPEN, SuggestionRows
from annotation_store._db import history, row_mappers
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import edits, suggestions
from annotation_store.errors import EditError
from annotation_store.records import (
    KEEP,
    UNKNOWN_BELOW,
    Box,
    Edit,
    Keep,
    Proposal,
    RejectionReason,
    Suggestion,
    SuggestionState,
)

_RENEWED_AT_ONCE = 250
"""Suggestions that are renewed in one transaction: some 20 ms, during which no one else can write."""


class Suggestions:
    """`Project.suggestions`: what a model proposes, and what a person makes of it."""

    def __init__(
        self, db: DatabaseSession, rows: CellRows, pending: SuggestionRows, regions: Regions
    ) -> None:
        self._db, self._rows, self._pending, self._regions = db, rows, pending, regions

    def replace(self, field_id: int, proposals: Sequence[Proposal], *, model_id: int | None) -> list[int]:
        """Store a model's proposals for a field as pending suggestions; return their ids.

        What was pending on the field before is superseded; what a person accepted, corrected or rejected
        stays. One transaction. An empty list only supersedes.

        Raises
        ------
        EditError
            A proposal's box lies outside the field, or names something the schema lacks.
        """
        return self.replace_many({field_id: proposals}, {field_id: model_id})[field_id]

    def replace_many(
        self, proposals: Mapping[int, Sequence[Proposal]], model_ids: Mapping[int, int | None]
    ) -> dict[int, list[int]]:
        """Store proposals for a batch of fields, as `replace` does for one; return their ids by field.

        One transaction, with as many statements as for one field.

        Parameters
        ----------
        model_ids
            Field id to the model that made its proposals.
        """
        fields = self._db.fields_of(proposals)
        rows = [
            {"field_id": field_id, "model_id": model_ids[field_id]}
            | validation.proposal(self._db.schema, fields[field_id], proposal)
            for field_id, of_field in proposals.items()
            for proposal in of_field
        ]
        with self._db.writing() as connection:
            # what waits on which field, and the last ids given of suggestions and edits, in one statement
            s = suggestions.c
            waiting = sa.select(s.id, s.field_id, sa.literal(True).label("waits")).where(
                s.field_id.in_(list(proposals)), s.state == SuggestionState.PENDING.value
            )
            last_edit = sa.select(sa.func.coalesce(sa.func.max(edits.c.id), 0)).scalar_subquery()
            last = sa.select(sa.func.coalesce(sa.func.max(s.id), 0), last_edit, sa.literal(False))
            pending: dict[int, list[int]] = defaultdict(list)
            for row in connection.execute(sa.union_all(waiting, last)):
                if row.waits:
                    pending[row.field_id].append(row.id)
                else:
                    first, first_edit = row.id + 1, row.field_id + 1
            after = {**OPEN, "state": SuggestionState.SUPERSEDED.value}
            changes = {
                self._db.scope(field_id): [Change("suggestion", i, OPEN, after) for i in sorted(old)]
                for field_id in proposals
                if (old := pending.get(field_id))
            }
            superseded = history.write_each(connection, changes, command="New suggestions", first=first_edit)
            new = iter(self._pending.insert_many(connection, rows, first))
        ids = {field_id: list(islice(new, len(of_field))) for field_id, of_field in proposals.items()}
        self._db.own["suggestions"].update(*ids.values())
        self._db.own["edits"].update(edit.id for edit in superseded)
        for edit in superseded:
            self._db.events.edited.emit(edit)
        if changed := [i for i in proposals if ids[i] or i in pending]:
            self._db.events.suggestions_changed.emit(changed)
        return ids

    def renew(self, predicted: Mapping[int, Proposal]) -> list[int]:
        """Replace class and values of pending suggestions by new predictions; box and confidence stay.

        Those that were settled or superseded meanwhile are left as they are. Short transactions, in the order
        given: whoever labels at the same time waits for one of them at most. No event is emitted: suggestions
        are renewed by another process than the window's.

        Parameters
        ----------
        predicted
            Suggestion id to what is predicted now.

        Returns
        -------
        list of int
            The suggestions that were renewed.

        Raises
        ------
        EditError
            The schema lacks a class or value. Those of earlier transactions are renewed.
        """
        ids, renewed = [int(suggestion_id) for suggestion_id in predicted], []
        for start in range(0, len(ids), _RENEWED_AT_ONCE):
            part = ids[start : start + _RENEWED_AT_ONCE]
            with self._db.writing() as connection:
                renewed += self._pending.renew(
                    connection, {suggestion_id: predicted[suggestion_id] for suggestion_id in part}
                )
        return renewed

    def withdraw_sets(self, field_ids: Iterable[int]) -> None:
        """Claim no sets (`Proposal.sets`) of what is pending on fields."""
        fields = [int(field_id) for field_id in field_ids]
        pending = suggestions.update().where(suggestions.c.state == SuggestionState.PENDING.value)
        with self._db.writing() as connection:
            for start in range(0, len(fields), 10_000):
                among = suggestions.c.field_id.in_(fields[start : start + 10_000])
                connection.execute(pending.where(among).values(sets={}))

    def find(
        self,
        field_id: int | None = None,
        *,
        states: Iterable[SuggestionState] = (SuggestionState.PENDING,),
        within: Box | None = None,
        most: int | None = None,
    ) -> list[Suggestion]:
        """List suggestions, those whose statement is most probable first (`Proposal.probability`).

        A blind reading sees only those centred in its finished regions.

        Parameters
        ----------
        within
            Only those whose box touches this area: of a whole slide not all are needed at once.
        most
            So many at most; ``None`` = all.
        """
        query = (
            sa.select(suggestions)
            .where(suggestions.c.state.in_([SuggestionState(s).value for s in states]))
            .order_by(suggestions.c.probability.desc(), suggestions.c.id)
        )
        if field_id is not None:
            query = query.where(suggestions.c.field_id == field_id)
        if within is not None:
            x, y, w, h = within
            s = suggestions.c
            query = query.where(s.x < x + w, s.x + s.w > x, s.y < y + h, s.y + s.h > y)
        if most is not None:
            query = query.limit(max(0, int(most)))
        result = self._db.records(query, row_mappers.suggestion)
        if self._db.reading.blind:
            uncovered = self._regions.uncovered(field_id)
            result = [
                suggestion for suggestion in result if uncovered.shows(suggestion.field_id, suggestion.box)
            ]
        return result

    def batches(self, field_id: int, size: int) -> Iterator[list[Suggestion]]:
        """Yield the pending suggestions of a field by id, a few at a time; none in a blind reading."""
        s, last = suggestions.c, 0
        pending = s.state == SuggestionState.PENDING.value
        query = sa.select(suggestions).where(s.field_id == int(field_id), pending).order_by(s.id).limit(size)
        while not self._db.reading.blind and (rows := self._db.rows(query.where(s.id > last))):
            last = rows[-1].id
            yield [row_mappers.suggestion(row) for row in rows]

    def boxes(self, field_id: int, *, least: float = 0.0) -> list[Box]:
        """List the boxes of pending suggestions of at least a probability; none in a blind reading."""
        if self._db.reading.blind:
            return []
        s = suggestions.c
        query = sa.select(s.x, s.y, s.w, s.h).where(
            s.field_id == int(field_id),
            s.state == SuggestionState.PENDING.value,
            s.probability >= float(least),
        )
        return [(row.x, row.y, row.w, row.h) for row in self._db.rows(query)]

    def pick(self, field_id: int, holds: Callable[[Box], bool], *, least: float = 0.0) -> list[Suggestion]:
        """List the pending suggestions of a field whose box passes a test: of a slide not all are read whole.

        A blind reading sees only those centred in its finished regions.

        Parameters
        ----------
        least
            Only those with at least this confidence.
        """
        s = suggestions.c
        query = sa.select(suggestions).where(
            s.state == SuggestionState.PENDING.value, s.confidence >= float(least)
        )
        rows = pick_rows(self._db, query.order_by(s.id), suggestions, field_id, holds)
        result = [row_mappers.suggestion(row) for row in rows]
        if self._db.reading.blind:
            uncovered = self._regions.uncovered(field_id)
            result = [
                suggestion for suggestion in result if uncovered.shows(suggestion.field_id, suggestion.box)
            ]
        return result

    def get(self, suggestion_id: int) -> Suggestion:
        """Return one suggestion, in any state."""
        rows = self._db.rows(sa.select(suggestions).where(suggestions.c.id == suggestion_id))
        if not rows:
            raise EditError(f"There is no suggestion {suggestion_id}.")
        return row_mappers.suggestion(rows[0])

    def count(self, field_id: int) -> int:
        """Count the pending suggestions of a field."""
        query = sa.select(sa.func.count()).where(
            suggestions.c.field_id == int(field_id), suggestions.c.state == SuggestionState.PENDING.value
        )
        return int(self._db.rows(query)[0][0])

    def rejected_boxes(self) -> dict[int, list[Box]]:
        """Return each field's boxes that a person rejected as not a cell: certain background."""
        s = suggestions.c
        query = (
            sa.select(s.field_id, s.x, s.y, s.w, s.h)
            .where(s.reason == RejectionReason.NOT_A_CELL.value)
            .order_by(s.id)
        )
        by_field: dict[int, list[Box]] = {}
        for row in self._db.rows(query):
            by_field.setdefault(row.field_id, []).append((row.x, row.y, row.w, row.h))
        return by_field

    def accept(self, suggestion_id: int, *, seen: Proposal | None = None) -> int:
        """Create a cell from an unchanged suggestion; return the cell's id.

        Class and attributes are the most probable values; an artefact gets no attributes, and an unknown cell
        no class (`Proposal.stated_class`).

        Parameters
        ----------
        seen
            The prediction as the person saw it: it is that which is accepted, although another may stand here
            by now (`renew`).
        """
        return self.correct(suggestion_id, seen=seen)

    def correct(
        self,
        suggestion_id: int,
        *,
        box: Box | Keep = KEEP,
        cell_class: str | Keep | None = KEEP,
        attributes: Mapping[str, str | None] | None = None,
        seen: Proposal | None = None,
    ) -> int:
        """Create a cell from a suggestion with changes; return the cell's id.

        Without any difference the suggestion counts as accepted, else as corrected.

        Parameters
        ----------
        seen
            As `accept` takes it.
        """
        columns = self._rows.columns(cell_class, attributes)

        def cell_of(suggestion: Suggestion) -> tuple[SuggestionState, dict[str, Any]]:
            place = {} if isinstance(box, Keep) else self._rows.box(suggestion.field_id, box)
            return self._pending.correct(_with_prediction(suggestion, seen), {**place, **columns})

        return self._decide([suggestion_id], cell_of)[0]

    def accept_many(self, ids: Iterable[int], *, seen: Mapping[int, Proposal] | None = None) -> list[int]:
        """Accept several suggestions at once; return the ids of the cells, in the same order.

        One transaction; on each field it is one edit, undone together.

        Parameters
        ----------
        seen
            By a suggestion's id what `accept` takes.

        Raises
        ------
        EditError
            One of them is unknown (`Proposal.is_unknown`) or of a film where nothing was checked
            (`Proposal.unchecked`): these must be accepted individually. Nothing was accepted.
        """

        def cell_of(suggestion: Suggestion) -> tuple[SuggestionState, dict[str, Any]]:
            suggestion = _with_prediction(suggestion, (seen or {}).get(suggestion.id))
            if suggestion.is_unknown:
                raise EditError(
                    f"The suggestion {suggestion.id} is an unknown cell, unlike those that the model was "
                    "trained on: "
                    "accept it individually, or choose its class. Nothing was accepted."
                )
            if suggestion.proposal.unchecked:
                raise EditError(
                    f"The suggestion {suggestion.id} is from a film that its model was not trained on: "
                    "accept it individually. Nothing was accepted."
                )
            return SuggestionState.ACCEPTED, self._pending.cell_of(suggestion)

        return self._decide(list(dict.fromkeys(ids)), cell_of)

    def reject(self, suggestion_id: int, reason: RejectionReason = RejectionReason.NOT_A_CELL) -> None:
        """Reject a suggestion; only *not a cell* teaches the next model."""
        self.reject_many([suggestion_id], reason)

    def reject_many(self, ids: Iterable[int], reason: RejectionReason = RejectionReason.NOT_A_CELL) -> None:
        """Reject several suggestions at once, for one reason; on each field one edit."""
        why = RejectionReason(reason).value
        self._decide(list(dict.fromkeys(ids)), None, why)

    def fields(self, min_probability: float = 0.0) -> list[int]:
        """List the fields with pending suggestions at least that probable, in order; one statement.

        A blind reading has none: where suggestions may be seen depends on its regions.
        """
        if self._db.reading.blind:
            return []
        query = (
            sa.select(suggestions.c.field_id)
            .where(
                suggestions.c.state == SuggestionState.PENDING.value,
                suggestions.c.probability >= min_probability,
            )
            .distinct()
            .order_by(suggestions.c.field_id)
        )
        return [row.field_id for row in self._db.rows(query)]

    def count_unknown(self, field_ids: Collection[int] | None = None) -> int:
        """Count the pending suggestions of unknown cells (`Proposal.is_unknown`); one statement.

        A blind reading has none.
        """
        if self._db.reading.blind:
            return 0
        query = sa.select(sa.func.count()).where(
            suggestions.c.state == SuggestionState.PENDING.value, suggestions.c.novelty < UNKNOWN_BELOW
        )
        if field_ids is not None:
            query = query.where(suggestions.c.field_id.in_([int(i) for i in field_ids]))
        return int(self._db.rows(query)[0][0])

    def _decide(
        self,
        ids: Sequence[int],
        cell_of: Callable[[Suggestion], tuple[SuggestionState, dict[str, Any]]] | None,
        reason: str | None = None,
    ) -> list[int]:
        """Close pending suggestions, with a cell each or with a reason; return the cells' ids."""
        if not ids:
            return []
        edits: list[Edit] = []
        cell_ids: dict[int, int] = {}
        with self._db.writing() as connection:
            for field_id, changes in self._pending.settle(connection, ids, cell_of, reason).items():
                closed = [c for c in changes if c.entity == "suggestion"]
                cell_ids.update({c.id: c.after["cell_id"] for c in closed if c.id and c.after})
                verb = "Accept" if cell_of else "Reject"
                if closed[0].after and closed[0].after["state"] == SuggestionState.CORRECTED.value:
                    verb = "Correct"
                what = "suggestion" if len(closed) == 1 else f"{len(closed)} suggestions"
                edits.append(self._db.write_edit(connection, field_id, f"{verb} {what}", changes))
        self._db.announce(edits)
        return [cell_ids[i] for i in ids] if cell_of else []


def _with_prediction(suggestion: Suggestion, seen: Proposal | None) -> Suggestion:
    """Return a suggestion with the class and values of `seen`; box and confidence stay."""
    if seen is None:
        return suggestion
    proposal = suggestion.proposal
    return replace(suggestion, proposal=replace(seen, box=proposal.box, confidence=proposal.confidence))
