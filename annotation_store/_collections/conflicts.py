"""Conflicts that imports left: kept, listed, resolved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._collections.cells import Cells
from annotation_store._collections.marks import CellRows
from annotation_store._db import history, row_mappers
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import conflicts
from annotation_store.errors import EditError
from annotation_store.records import Conflict


class Conflicts:
    """`Project.conflicts`: values that differ between imported files and the project."""

    def __init__(self, db: DatabaseSession, rows: CellRows, cells: Cells) -> None:
        self._db, self._rows, self._cells = db, rows, cells

    def all(self, field_id: int | None = None, *, states: Iterable[str] | None = ("open",)) -> list[Conflict]:
        """List the conflicts in the current reading, oldest first; `states` ``None`` lists all."""
        query = (
            sa.select(conflicts).where(conflicts.c.reading_id == self._db.reading.id).order_by(conflicts.c.id)
        )
        if field_id is not None:
            query = query.where(conflicts.c.field_id == field_id)
        if states is not None:
            query = query.where(conflicts.c.state.in_(list(states)))
        return [row_mappers.conflict(row) for row in self._db.rows(query)]

    def resolve(self, conflict_id: int, *, take: bool) -> None:
        """Close a conflict: take the file's values or keep the project's; an undo opens it again.

        Raises
        ------
        EditError
            It is closed already, its cell was deleted, or the schema no longer has the file's value.
        """

        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            query = sa.select(conflicts).where(
                conflicts.c.id == conflict_id, conflicts.c.reading_id == self._db.reading.id
            )
            row = connection.execute(query).first()
            if row is None:
                raise EditError(f"There is no conflict {conflict_id} in this reading.")
            if row.state != "open":
                raise EditError(
                    f"The conflict {conflict_id} is already closed ({row.state}): undo that edit first."
                )
            closed = Change("conflict", row.id, {"state": "open"}, {"state": "taken" if take else "kept"})
            changes = [*self._taken(connection, row), closed] if take else [closed]
            return row.field_id, changes

        self._db.edit("Take the file's word" if take else "Keep what is here", build)

    def _taken(self, connection: sa.Connection, row: Any) -> list[Change]:
        cell = self._cells.marks.row(row.cell_id, connection)
        before: dict[str, Any] = {}
        after: dict[str, Any] = {}
        if "cell_class" in row.there:
            after["cell_class"] = validation.cell_class(self._db.schema, row.there["cell_class"])
            if cell.kind is not None and after["cell_class"] != cell.cell_class:
                after["kind"] = None
        if row.there.get("attributes"):
            given = validation.attributes(self._db.schema, row.there["attributes"])
            after["attributes"] = self._rows.in_order({**cell.attributes, **given})
        before = {name: getattr(cell, name) for name in after}
        return [Change("cell", cell.id, before, after)] if before != after else []

    def keep(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Store new conflicts, inside the transaction of the import that found them."""
        shared = {"at": history.now(), "annotator": self._db.annotator, "reading_id": self._db.reading.id}
        connection.execute(conflicts.insert().inline(), [{**shared, **row} for row in rows])
