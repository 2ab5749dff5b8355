"""Write imported rows, or those of another copy, in one transaction. For this package only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from annotation_store._collections.conflicts import Conflicts
from annotation_store._collections.ingest import Ingest
from annotation_store._collections.marks import CellRows
from annotation_store._collections.suggestion_rows import SuggestionRows
from annotation_store._db.history import Change, next_id
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import suggestions
from annotation_store.records import Edit


class EditWriter:
    """`Project.edit_writer`: what formats and `copies` write with, within a transaction that they hold.

    Attributes
    ----------
    session
        The connection and its transactions.
    ingest
        Takes images in, within the same transaction.
    cell_rows
        Checks new cells and areas, and makes their rows.
    """

    def __init__(
        self,
        db: DatabaseSession,
        ingest: Ingest,
        cell_rows: CellRows,
        suggestion_rows: SuggestionRows,
        conflicts: Conflicts,
    ) -> None:
        self._db = self.session = db
        self._suggestion_rows, self._conflicts = suggestion_rows, conflicts
        self.ingest, self.cell_rows = ingest, cell_rows

    def write(
        self, connection: sa.Connection, field_id: int, command: str, changes: Sequence[Change]
    ) -> Edit:
        """Write changes of a field as one edit, without emitting an event."""
        return self._db.write_edit(connection, field_id, command, changes)

    def add_suggestions(
        self, connection: sa.Connection, field_id: int, rows: Sequence[dict[str, Any]]
    ) -> list[int]:
        """Write suggestions of no model beside those that are pending; return their ids."""
        first = next_id(connection, suggestions)
        return self._suggestion_rows.insert(connection, field_id, rows, None, first)

    def keep_conflicts(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Write the conflicts between a file and existing cells."""
        self._conflicts.keep(connection, rows)

    def announce(self, edits: Sequence[Edit], suggestion_ids: Sequence[int], fields: Sequence[int]) -> None:
        """Emit what was written, after the transaction."""
        self._db.own["suggestions"].update(suggestion_ids)
        self._db.announce(edits)
        if fields:
            self._db.events.suggestions_changed.emit(list(fields))
