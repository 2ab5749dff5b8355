"""Conflicts that imports and other copies of a project left: kept, listed, resolved."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._collections.cells import Cells
from annotation_store._collections.marks import CellRows
from annotation_store._db import history, row_mappers
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession, only_differences
from annotation_store._db.tables import cells, conflicts, fields, regions
from annotation_store.errors import EditError
from annotation_store.records import Conflict, RegionState, Shape


class Conflicts:
    """`Project.conflicts`: values that differ between imported files, or copies, and the project."""

    def __init__(self, db: DatabaseSession, rows: CellRows, cells: Cells) -> None:
        self._db, self._rows, self._cells = db, rows, cells

    def all(self, field_id: int | None = None, *, states: Iterable[str] | None = ("open",)) -> list[Conflict]:
        """List the conflicts in the current reading, and of fields as a whole, oldest first.

        Parameters
        ----------
        states
            ``None`` lists all.
        """
        query = sa.select(conflicts).where(self._of_reading()).order_by(conflicts.c.id)
        if field_id is not None:
            query = query.where(conflicts.c.field_id == field_id)
        if states is not None:
            query = query.where(conflicts.c.state.in_(list(states)))
        return [row_mappers.conflict(row) for row in self._db.rows(query)]

    def resolve(self, conflict_id: int, *, take: bool) -> None:
        """Close a conflict: take the other's values or keep the project's; an undo opens it again.

        Raises
        ------
        EditError
            It is closed already, its cell or region was deleted, or the schema no longer has the value.
        """

        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            query = sa.select(conflicts).where(conflicts.c.id == conflict_id, self._of_reading())
            row = connection.execute(query).first()
            if row is None:
                raise EditError(f"There is no conflict {conflict_id} in this reading.")
            if row.state != "open":
                raise EditError(
                    f"The conflict {conflict_id} is already closed ({row.state}): undo that edit first."
                )
            closed = Change("conflict", row.id, {"state": "open"}, {"state": "taken" if take else "kept"})
            changes = [*self._changes_to_take(connection, row), closed] if take else [closed]
            return row.field_id, changes

        self._db.edit("Use the other value" if take else "Keep what is here", build)

    def _of_reading(self) -> sa.ColumnElement[bool]:
        return sa.or_(conflicts.c.reading_id == self._db.reading.id, conflicts.c.reading_id.is_(None))

    def _changes_to_take(self, connection: sa.Connection, row: Any) -> list[Change]:
        if row.cell_id is not None:
            return self._changes_of_cell(connection, row)
        if row.region_id is not None:
            return self._changes_of_region(connection, row)
        field = connection.execute(sa.select(fields).where(fields.c.id == row.field_id)).one()
        values = validation.field_changes(row.there)
        before, after = only_differences({name: getattr(field, name) for name in values}, values)
        return [Change("field", row.field_id, before, after)] if after else []

    def _changes_of_region(self, connection: sa.Connection, row: Any) -> list[Change]:
        query = sa.select(regions).where(regions.c.id == row.region_id, sa.not_(regions.c.deleted))
        region = connection.execute(query).first()
        if region is None:
            raise EditError(f"The region {row.region_id} was deleted: keep what is here.")
        if row.there.get("deleted"):
            names = ("field_id", "reading_id", "shape", "state")
            return [Change("region", region.id, {name: getattr(region, name) for name in names}, None)]
        after: dict[str, Any] = {}
        if "shape" in row.there:
            after["shape"] = self._rows.mark(row.field_id, Shape(tuple(row.there["shape"])))["shape"]
        if "state" in row.there:
            after["state"] = RegionState(row.there["state"]).value
        before, after = only_differences({name: getattr(region, name) for name in after}, after)
        return [Change("region", region.id, before, after)] if after else []

    def _changes_of_cell(self, connection: sa.Connection, row: Any) -> list[Change]:
        cell = self._cells.marks.row(row.cell_id, connection)
        if row.there.get("deleted"):
            columns = [c.name for c in cells.columns if c.name not in ("id", "deleted")]
            return [Change("cell", cell.id, {name: getattr(cell, name) for name in columns}, None)]
        after: dict[str, Any] = {}
        if "cell_class" in row.there:
            after["cell_class"] = validation.cell_class(self._db.schema, row.there["cell_class"])
            if cell.kind is not None and after["cell_class"] != cell.cell_class:
                after["kind"] = None
        if "kind" in row.there:
            of_class = after.get("cell_class", cell.cell_class)
            after["kind"] = validation.kind(self._db.schema, row.there["kind"], of_class)
        if row.there.get("attributes"):
            attributes = validation.attributes(self._db.schema, row.there["attributes"])
            after["attributes"] = self._rows.in_order({**cell.attributes, **attributes})
        if "box" in row.there:
            after |= self._rows.box(row.field_id, row.there["box"])
        if "comment" in row.there:
            after["comment"] = validation.text(row.there["comment"], "comment")
        for name in ("bookmark", "second_opinion"):
            if name in row.there:
                after[name] = bool(row.there[name])
        before, after = only_differences({name: getattr(cell, name) for name in after}, after)
        return [Change("cell", cell.id, before, after)] if after else []

    def keep(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
        """Store new conflicts, inside the transaction of the import that found them."""
        shared = {"at": history.now(), "annotator": self._db.annotator, "reading_id": self._db.reading.id}
        connection.execute(conflicts.insert().inline(), [{**shared, **row} for row in rows])
