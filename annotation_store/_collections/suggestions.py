"""Suggestions: what a model proposes, and what a person makes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._collections.cells import Cells
from annotation_store._db import history, row_mappers
from annotation_store._db.history import Change
from annotation_store._db.session import only_differences
from annotation_store._db.tables import cells, suggestions
from annotation_store.errors import EditError
from annotation_store.records import (
    KEEP,
    Box,
    Edit,
    Keep,
    Origin,
    Proposal,
    RejectionReason,
    Suggestion,
    SuggestionState,
)

_OPEN = {"state": SuggestionState.PENDING.value, "reason": None, "cell_id": None}


class Review(Cells):
    """The part of `Project` that handles suggestions."""

    def suggest(self, field_id: int, proposals: Sequence[Proposal], *, model_id: int | None) -> list[int]:
        """Keep a model's proposals for a field as pending suggestions; give their ids.

        What was pending on the field before is superseded; what a person accepted, corrected or rejected
        stays. One transaction. An empty list only supersedes.

        Raises
        ------
        EditError
            A proposal's box lies outside the field, or names something the schema lacks.
        """
        field = self.field(field_id)
        rows = [validation.proposal(self.schema, field, proposal) for proposal in proposals]
        with self._writing() as connection:
            # what waits, and the last id given, in one statement
            waiting = sa.select(suggestions.c.id, sa.literal(True).label("waits")).where(
                suggestions.c.field_id == field_id, suggestions.c.state == "pending"
            )
            last = sa.select(sa.func.coalesce(sa.func.max(suggestions.c.id), 0), sa.literal(False))
            found = connection.execute(sa.union_all(waiting, last)).all()
            old = sorted(row.id for row in found if row.waits)
            first = 1 + next(row.id for row in found if not row.waits)
            after = {**_OPEN, "state": SuggestionState.SUPERSEDED.value}
            edit = None
            if old:
                changes = [Change("suggestion", i, _OPEN, after) for i in old]
                edit = self._write_edit(connection, field_id, "New suggestions", changes, system=True)
            ids = self._insert_suggestions(connection, field_id, rows, model_id, first)
        self._own["suggestions"].update(ids)
        if edit is not None:
            self._own["edits"].add(edit.id)
            self.events.edited.emit(edit)
        if edit is not None or ids:
            self.events.suggestions_changed.emit([field_id])
        return ids

    def withdraw_sets(self, field_ids: Iterable[int]) -> None:
        """Claim no sets (`Proposal.sets`) of what is pending on fields."""
        fields = [int(one) for one in field_ids]
        pending = suggestions.update().where(suggestions.c.state == SuggestionState.PENDING.value)
        with self._writing() as connection:
            for start in range(0, len(fields), 10_000):
                among = suggestions.c.field_id.in_(fields[start : start + 10_000])
                connection.execute(pending.where(among).values(sets={}))

    def _insert_suggestions(
        self,
        connection: sa.Connection,
        field_id: int,
        rows: Sequence[dict[str, Any]],
        model_id: int | None,
        first: int,
    ) -> list[int]:
        if not rows:
            return []
        shared = {"field_id": field_id, "model_id": model_id, "created": history.now(), **_OPEN}
        numbered = [{"id": first + i, **shared, **row} for i, row in enumerate(rows)]
        connection.execute(suggestions.insert(), numbered)
        return [row["id"] for row in numbered]

    def suggestions(
        self,
        field_id: int | None = None,
        *,
        states: Iterable[SuggestionState] = (SuggestionState.PENDING,),
    ) -> list[Suggestion]:
        """List suggestions, those whose statement is most probable first (`Proposal.probability`).

        A blind reading sees only those centred in its finished regions.
        """
        query = (
            sa.select(suggestions)
            .where(suggestions.c.state.in_([SuggestionState(s).value for s in states]))
            .order_by(suggestions.c.probability.desc(), suggestions.c.id)
        )
        if field_id is not None:
            query = query.where(suggestions.c.field_id == field_id)
        found = [row_mappers.suggestion(row) for row in self._rows(query)]
        if self.reading.blind:
            finished: dict[int, list[Any]] = {}
            for region in self.regions(field_id):
                if region.finished:
                    finished.setdefault(region.field_id, []).append(region.shape)
            found = [s for s in found if any(r.contains_centre(s.box) for r in finished.get(s.field_id, ()))]
        return found

    def suggestion(self, suggestion_id: int) -> Suggestion:
        """Give one suggestion, whatever became of it."""
        rows = self._rows(sa.select(suggestions).where(suggestions.c.id == suggestion_id))
        if not rows:
            raise EditError(f"There is no suggestion {suggestion_id}.")
        return row_mappers.suggestion(rows[0])

    def rejections(self) -> dict[int, list[Box]]:
        """Give each field's boxes that a person rejected as no cell: background, known for certain."""
        s = suggestions.c
        query = (
            sa.select(s.field_id, s.x, s.y, s.w, s.h)
            .where(s.reason == RejectionReason.NOT_A_CELL.value)
            .order_by(s.id)
        )
        found: dict[int, list[Box]] = {}
        for row in self._rows(query):
            found.setdefault(row.field_id, []).append((row.x, row.y, row.w, row.h))
        return found

    def accept(self, suggestion_id: int) -> int:
        """Make a cell of a suggestion as it stands; give the cell's id.

        Class and attributes are the most probable values; an artefact gets no attributes, and an unknown cell
        no class (`Proposal.stated_class`).
        """
        return self.correct(suggestion_id)

    def correct(
        self,
        suggestion_id: int,
        *,
        box: Box | Keep = KEEP,
        cell_class: str | Keep | None = KEEP,
        attributes: Mapping[str, str | None] | None = None,
    ) -> int:
        """Make a cell of a suggestion with changes; give the cell's id.

        Where nothing differs from the suggestion it counts as accepted, else as corrected.
        """
        given: dict[str, Any] = {}
        if not isinstance(cell_class, Keep):
            given["cell_class"] = validation.cell_class(self.schema, cell_class)
        if attributes:
            given["attributes"] = validation.attributes(self.schema, attributes)

        def cell_of(suggestion: Suggestion) -> tuple[SuggestionState, dict[str, Any]]:
            place = {} if isinstance(box, Keep) else self._box_columns(suggestion.field_id, box)
            return self._corrected(suggestion, {**place, **given})

        return self._decide([suggestion_id], cell_of)[0]

    def accept_many(self, ids: Iterable[int]) -> list[int]:
        """Accept several suggestions at once; give the ids of the cells, in the same order.

        One transaction; on each field it is one edit, undone together.

        Raises
        ------
        EditError
            One of them is unknown (`Proposal.is_unknown`) or of a film where nothing was checked
            (`Proposal.unchecked`): nobody accepts that without a look. Nothing was accepted.
        """

        def cell_of(suggestion: Suggestion) -> tuple[SuggestionState, dict[str, Any]]:
            if suggestion.is_unknown:
                raise EditError(
                    f"The suggestion {suggestion.id} is of an unknown cell, unlike anything that was taught: "
                    "look at it and accept it alone, or give it a class. Nothing was accepted."
                )
            if suggestion.proposal.unchecked:
                raise EditError(
                    f"The suggestion {suggestion.id} is of a film that its model has not learnt from: look "
                    "at it and accept it alone. Nothing was accepted."
                )
            return SuggestionState.ACCEPTED, self._cell_of(suggestion)

        return self._decide(list(dict.fromkeys(ids)), cell_of)

    def reject(self, suggestion_id: int, reason: RejectionReason = RejectionReason.NOT_A_CELL) -> None:
        """Reject a suggestion; only *not a cell* teaches the next model."""
        self.reject_many([suggestion_id], reason)

    def reject_many(self, ids: Iterable[int], reason: RejectionReason = RejectionReason.NOT_A_CELL) -> None:
        """Reject several suggestions at once, for one reason; on each field one edit."""
        why = RejectionReason(reason).value
        self._decide(list(dict.fromkeys(ids)), None, why)

    def _corrected(
        self, suggestion: Suggestion, given: Mapping[str, Any]
    ) -> tuple[SuggestionState, dict[str, Any]]:
        """Give the cell of a suggestion with checked changes, and whether these changed anything."""
        row = self._cell_of(suggestion)
        after = dict(given)
        if "attributes" in after:
            after["attributes"] = self._in_order({**row["attributes"], **after["attributes"]})
        elif self._is_artefact(after.get("cell_class")):
            after["attributes"] = {}
        _, new = only_differences(row, after)
        return SuggestionState.CORRECTED if new else SuggestionState.ACCEPTED, row | new

    def _cell_of(self, suggestion: Suggestion) -> dict[str, Any]:
        proposal = suggestion.proposal
        # it may be older than the schema: only what the schema still says can be accepted
        chances = {n: p for n, p in proposal.class_probabilities.items() if self.schema.is_class(n)}
        best = None if proposal.is_unknown else max(chances, key=chances.__getitem__, default=None)
        x, y, w, h = proposal.box
        return {
            "field_id": suggestion.field_id,
            "reading_id": self.reading.id,
            "x": x,
            "y": y,
            "w": w,
            "h": h,
            "cell_class": best,
            "attributes": {} if self._is_artefact(best) else self._known_values(proposal),
            "kind": None,
            "cut": False,
            "comment": "",
            "bookmark": False,
            "second_opinion": False,
            "suggestion_id": suggestion.id,
            "origin": Origin.SUGGESTED.value,
            "extra": None,
            "confirmed": None,
        }

    def _is_artefact(self, cell_class: str | None) -> bool:
        return (
            cell_class is not None
            and self.schema.is_class(cell_class)
            and self.schema.class_named(cell_class).artefact
        )

    def _known_values(self, proposal: Proposal) -> dict[str, str]:
        known = {
            attribute.name: {v: p for v, p in shares.items() if v in attribute.value_names}
            for attribute in self.schema.attributes
            if (shares := proposal.attribute_probabilities.get(attribute.name))
        }
        return {name: max(shares, key=shares.__getitem__) for name, shares in known.items() if shares}

    def _decide(
        self,
        ids: Sequence[int],
        cell_of: Callable[[Suggestion], tuple[SuggestionState, dict[str, Any]]] | None,
        reason: str | None = None,
    ) -> list[int]:
        """Close pending suggestions, with a cell each or with a reason; give the cells' ids."""
        if not ids:
            return []
        edits: list[Edit] = []
        made: dict[int, int] = {}
        with self._writing() as connection:
            for field_id, changes in self._settle(connection, ids, cell_of, reason).items():
                closed = [c for c in changes if c.entity == "suggestion"]
                made.update({c.id: c.after["cell_id"] for c in closed if c.id and c.after})
                verb = "Accept" if cell_of else "Reject"
                if closed[0].after and closed[0].after["state"] == SuggestionState.CORRECTED.value:
                    verb = "Correct"
                what = "suggestion" if len(closed) == 1 else f"{len(closed)} suggestions"
                edits.append(self._write_edit(connection, field_id, f"{verb} {what}", changes))
        self._tell(edits)
        return [made[i] for i in ids] if cell_of else []

    def _settle(
        self,
        connection: sa.Connection,
        ids: Sequence[int],
        cell_of: Callable[[Suggestion], tuple[SuggestionState, dict[str, Any]]] | None,
        reason: str | None = None,
    ) -> dict[int, list[Change]]:
        """Give the changes by field that close pending suggestions: their cells first, then themselves."""
        found, next_cell = self._pending(connection, ids)
        added: dict[int, list[Change]] = {}
        closed: dict[int, list[Change]] = {}
        for suggestion in found.values():
            own = closed.setdefault(suggestion.field_id, [])
            if cell_of is None:
                after: dict[str, Any] = {
                    "state": SuggestionState.REJECTED.value,
                    "reason": reason,
                    "cell_id": None,
                }
            else:
                state, row = cell_of(suggestion)
                added.setdefault(suggestion.field_id, []).append(Change("cell", next_cell, None, row))
                after = {"state": state.value, "reason": None, "cell_id": next_cell}
                next_cell += 1
            own.append(Change("suggestion", suggestion.id, _OPEN, after))
        return {field_id: [*added.get(field_id, ()), *changes] for field_id, changes in closed.items()}

    def _pending(self, connection: sa.Connection, ids: Sequence[int]) -> tuple[dict[int, Suggestion], int]:
        """Read pending suggestions in the order asked for, and the next cell id, in one statement."""
        # rows of cells are never removed, so the largest id is the last one given
        last = sa.select(sa.func.coalesce(sa.func.max(cells.c.id), 0)).scalar_subquery()
        rows = {}
        for start in range(0, len(ids), 10_000):
            part = ids[start : start + 10_000]
            query = sa.select(suggestions, last.label("last_cell")).where(suggestions.c.id.in_(part))
            rows.update({row.id: row for row in connection.execute(query)})
        found = {}
        for suggestion_id in ids:
            if suggestion_id not in rows:
                raise EditError(f"There is no suggestion {suggestion_id}.")
            suggestion = row_mappers.suggestion(rows[suggestion_id])
            if suggestion.state != SuggestionState.PENDING:
                raise EditError(
                    f"The suggestion {suggestion_id} is already {suggestion.state}: "
                    "undo that first, or choose another."
                )
            found[suggestion_id] = suggestion
        return found, int(rows[ids[0]].last_cell) + 1
