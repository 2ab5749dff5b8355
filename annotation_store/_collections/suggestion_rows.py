"""Rows of suggestions, and the changes that settle them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._collections.marks import CellRows
from annotation_store._db import history, row_mappers
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession, only_differences
from annotation_store._db.tables import cells, suggestions
from annotation_store.errors import EditError
from annotation_store.records import Origin, Proposal, Suggestion, SuggestionState

_AS_FOUND = ("x", "y", "w", "h", "confidence")
"""What the detector said of a suggestion; heads say nothing of it."""

OPEN: Mapping[str, Any] = {"state": SuggestionState.PENDING.value, "reason": None, "cell_id": None}


class SuggestionRows:
    """Write suggestions, and make the cells and changes that settle them."""

    def __init__(self, db: DatabaseSession, rows: CellRows) -> None:
        self._db, self._rows = db, rows

    def insert(
        self,
        connection: sa.Connection,
        field_id: int,
        rows: Sequence[dict[str, Any]],
        model_id: int | None,
        first: int,
    ) -> list[int]:
        """Write pending suggestions of a field, numbered from `first` on; return their ids."""
        place = {"field_id": field_id, "model_id": model_id}
        return self.insert_many(connection, [place | row for row in rows], first)

    def insert_many(self, connection: sa.Connection, rows: Sequence[dict[str, Any]], first: int) -> list[int]:
        """Write pending suggestions of several fields, whose rows name field and model, as `insert` does."""
        if not rows:
            return []
        shared = {"created": history.now(), **OPEN}
        numbered = [{"id": first + i, **shared, **row} for i, row in enumerate(rows)]
        history.insert_many(connection, suggestions, numbered)
        return [row["id"] for row in numbered]

    def renew(self, connection: sa.Connection, predicted: Mapping[int, Proposal]) -> list[int]:
        """Write class, values and novelty of those that are still pending; return their ids."""
        s = suggestions.c
        query = sa.select(s.id, s.field_id, s.x, s.y, s.w, s.h, s.confidence).where(
            s.id.in_(list(predicted)), s.state == SuggestionState.PENDING.value
        )
        rows = []
        for row in connection.execute(query):
            box = (row.x, row.y, row.w, row.h)
            proposal = replace(predicted[row.id], box=box, confidence=row.confidence)
            checked = validation.proposal(self._db.schema, self._db.field(row.field_id), proposal)
            changed = {name: value for name, value in checked.items() if name not in _AS_FOUND}
            rows.append({"renewed_id": row.id, **changed, "renewed": True})
        if rows:
            update = suggestions.update().where(s.id == sa.bindparam("renewed_id"))
            connection.execute(update, rows)
        return [row["renewed_id"] for row in rows]

    def correct(
        self, suggestion: Suggestion, changes: Mapping[str, Any]
    ) -> tuple[SuggestionState, dict[str, Any]]:
        """Return the cell of a suggestion with checked changes, and whether these changed anything."""
        row = self.cell_of(suggestion)
        after = dict(changes)
        if "attributes" in after:
            after["attributes"] = self._rows.in_order({**row["attributes"], **after["attributes"]})
        elif self._is_artefact(after.get("cell_class")):
            after["attributes"] = {}
        _, new = only_differences(row, after)
        return SuggestionState.CORRECTED if new else SuggestionState.ACCEPTED, row | new

    def cell_of(self, suggestion: Suggestion) -> dict[str, Any]:
        proposal = suggestion.proposal
        # it may be older than the schema: only what the schema still has can be accepted
        chances = {n: p for n, p in proposal.class_probabilities.items() if self._db.schema.is_class(n)}
        best = None if proposal.is_unknown else max(chances, key=chances.__getitem__, default=None)
        x, y, w, h = proposal.box
        return {
            "field_id": suggestion.field_id,
            "reading_id": self._db.reading.id,
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
            and self._db.schema.is_class(cell_class)
            and self._db.schema.class_named(cell_class).artefact
        )

    def _known_values(self, proposal: Proposal) -> dict[str, str]:
        shares_by_attribute = {
            attribute.name: {v: p for v, p in shares.items() if v in attribute.value_names}
            for attribute in self._db.schema.attributes
            if (shares := proposal.attribute_probabilities.get(attribute.name))
        }
        return {
            name: max(shares, key=shares.__getitem__)
            for name, shares in shares_by_attribute.items()
            if shares
        }

    def settle(
        self,
        connection: sa.Connection,
        ids: Sequence[int],
        cell_of: Callable[[Suggestion], tuple[SuggestionState, dict[str, Any]]] | None,
        reason: str | None = None,
    ) -> dict[int, list[Change]]:
        """Return the changes by field that close pending suggestions: their cells first, then themselves."""
        pending, next_cell = self._pending(connection, ids)
        added: dict[int, list[Change]] = {}
        closed: dict[int, list[Change]] = {}
        for suggestion in pending.values():
            field_changes = closed.setdefault(suggestion.field_id, [])
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
            field_changes.append(Change("suggestion", suggestion.id, OPEN, after))
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
        pending = {}
        for suggestion_id in ids:
            if suggestion_id not in rows:
                raise EditError(f"There is no suggestion {suggestion_id}.")
            suggestion = row_mappers.suggestion(rows[suggestion_id])
            if suggestion.state != SuggestionState.PENDING:
                raise EditError(
                    f"The suggestion {suggestion_id} is already {suggestion.state}: "
                    "undo that first, or choose another."
                )
            pending[suggestion_id] = suggestion
        return pending, int(rows[ids[0]].last_cell) + 1
