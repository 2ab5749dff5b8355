"""Decisions on predictions that contradict a label, or that show a cell in a finished region."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._collections.cells import Cells
from annotation_store._collections.marks import CellRows
from annotation_store._collections.suggestion_rows import SuggestionRows
from annotation_store._db import history
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import cells, suggestions
from annotation_store.records import (
    KEEP,
    Box,
    Keep,
    Proposal,
    RejectionReason,
    Suggestion,
    SuggestionState,
)

# It is never shown as a suggestion, neither before it is settled nor after an undo.
_UNSEEN: Mapping[str, Any] = {"state": SuggestionState.SUPERSEDED.value, "reason": None, "cell_id": None}


class LabelReviews:
    """`Project.label_reviews`: labels that a model contradicts, and cells that it predicts in known area."""

    def __init__(self, db: DatabaseSession, rows: CellRows, pending: SuggestionRows, cells: Cells) -> None:
        self._db, self._rows, self._pending, self._cells = db, rows, pending, cells

    def confirm(self, cell_id: int) -> None:
        """Confirm a cell's labels although a model predicts otherwise.

        They are not listed again, for this model or a later one, while the cell has these values.
        """

        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            row = self._cells.marks.row(cell_id, connection)
            says = {
                "cell_class": row.cell_class,
                "attributes": row.attributes,
                "box": [row.x, row.y, row.w, row.h],
            }
            change = self._rows.change(row, {"confirmed": says})
            return row.field_id, [change] if change is not None else []

        self._db.edit("Keep label", build)

    def accept(
        self,
        field_id: int,
        proposal: Proposal,
        *,
        model_id: int | None,
        box: Box | Keep = KEEP,
        cell_class: str | Keep | None = KEEP,
        attributes: Mapping[str, str | None] | None = None,
    ) -> int:
        """Create a cell from a prediction that was no suggestion, with changes as in `Project.suggestions`.

        Nothing is suggested in finished regions; predictions there are stored in `Project.embeddings`.
        """
        columns = self._rows.columns(cell_class, attributes)
        place = {} if isinstance(box, Keep) else self._rows.box(field_id, box)

        def settle(connection: sa.Connection, suggestion: Suggestion) -> list[Change]:
            state, row = self._pending.correct(suggestion, {**place, **columns})
            number = history.next_id(connection, cells)
            after = {"state": state.value, "reason": None, "cell_id": number}
            return [Change("cell", number, None, row), Change("suggestion", suggestion.id, _UNSEEN, after)]

        return self._settle("Box missed cell", field_id, proposal, model_id, settle)["cell"][0]

    def reject(self, field_id: int, proposal: Proposal, *, model_id: int | None) -> None:
        """Record that a prediction that was not a suggestion is not a cell: known background from now on."""

        def settle(_connection: sa.Connection, suggestion: Suggestion) -> list[Change]:
            why = RejectionReason.NOT_A_CELL.value
            after = {"state": SuggestionState.REJECTED.value, "reason": why, "cell_id": None}
            return [Change("suggestion", suggestion.id, _UNSEEN, after)]

        self._settle("Not a cell", field_id, proposal, model_id, settle)

    def _settle(
        self,
        command: str,
        field_id: int,
        proposal: Proposal,
        model_id: int | None,
        settle: Callable[[sa.Connection, Suggestion], list[Change]],
    ) -> Mapping[str, tuple[int, ...]]:
        """Store a prediction as a hidden suggestion, settle it at once, and return what was touched."""
        row = validation.proposal(self._db.schema, self._db.field(field_id), self._as_known(proposal))
        placed = replace(proposal, box=(row["x"], row["y"], row["w"], row["h"]))

        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            number = history.next_id(connection, suggestions)
            self._pending.insert(connection, field_id, [{**row, **_UNSEEN}], model_id, number)
            return field_id, settle(
                connection, Suggestion(number, field_id, model_id, placed, SuggestionState.SUPERSEDED)
            )

        edit = self._db.edit(command, build)
        assert edit is not None
        self._db.own["suggestions"].update(edit.touched["suggestion"])
        return edit.touched

    def _as_known(self, proposal: Proposal) -> Proposal:
        """Leave out what the schema no longer has: a prediction may be older than it."""
        schema, classes = self._db.schema, proposal.class_probabilities
        values = {a.name: set(a.value_names) for a in schema.attributes}
        return replace(
            proposal,
            class_probabilities=classes if all(map(schema.is_class, classes)) else {},
            attribute_probabilities={
                name: shares
                for name, shares in proposal.attribute_probabilities.items()
                if set(shares) <= values.get(name, set())
            },
        )
