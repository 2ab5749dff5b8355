"""Cells, regions and ignore areas of the current reading: validated rows, and access to one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession, only_differences
from annotation_store.errors import EditError
from annotation_store.records import Box, Keep, Origin, Shape

Mark = TypeVar("Mark")

_AT_ONCE = 10_000


class MarkTable(Generic[Mark]):
    """One table of marks (regions, ignore areas or cells) as the current reading sees it.

    Parameters
    ----------
    db
        The project's session.
    entity
        The name of a row in the history, such as ``"cell"``.
    table
        The table.
    read
        Makes a record of a row.
    """

    def __init__(
        self, db: DatabaseSession, entity: str, table: sa.Table, read: Callable[[Any], Mark]
    ) -> None:
        self._db, self._entity, self._table, self._read = db, entity, table, read
        self._title = entity.replace("_", " ")

    def all(
        self, field_id: int | None = None, *, within: Box | None = None, most: int | None = None
    ) -> list[Mark]:
        """Return the marks of one field, or of all fields, in the order in which they were made.

        Parameters
        ----------
        within
            Only those whose box touches this area.
        most
            So many at most, the newest; ``None`` = all.
        """
        c, query = self._table.c, self._live()
        if field_id is not None:
            query = query.where(c.field_id == field_id)
        if within is not None:
            x, y, w, h = within
            query = query.where(c.x < x + w, c.x + c.w > x, c.y < y + h, c.y + c.h > y)
        if most is None:
            return self._db.records(query.order_by(c.id), self._read)
        newest = self._db.rows(query.order_by(c.id.desc()).limit(max(0, int(most))))
        return [self._read(row) for row in reversed(newest)]

    def pick(self, field_id: int, holds: Callable[[Box], bool]) -> list[Mark]:
        """Return the marks of a field whose box passes a test, in the order in which they were made.

        Of a slide with tens of thousands only those are read whole.
        """
        query = self._live().order_by(self._table.c.id)
        return [self._read(row) for row in pick_rows(self._db, query, self._table, field_id, holds)]

    def get(self, mark_id: int) -> Mark:
        """Return one mark; see `row` for what it raises."""
        return self._read(self.row(mark_id))

    def row(self, mark_id: int, connection: sa.Connection | None = None) -> Any:
        """Return the row of one mark, read in a transaction if one is given.

        Raises
        ------
        EditError
            There is no such mark in the current reading, or it was deleted.
        """
        query = self._live().where(self._table.c.id == mark_id)
        row = connection.execute(query).first() if connection else next(iter(self._db.rows(query)), None)
        if row is None:
            raise EditError(f"There is no {self._title} {mark_id} in this reading: it may have been deleted.")
        return row

    def rows(self, mark_ids: Sequence[int], connection: sa.Connection) -> list[Any]:
        """Return the rows of several marks, in the order of their ids.

        Raises
        ------
        EditError
            One of them is not in the current reading, or was deleted.
        """
        rows_by_id: dict[int, Any] = {}
        for start in range(0, len(mark_ids), _AT_ONCE):
            query = self._live().where(self._table.c.id.in_(mark_ids[start : start + _AT_ONCE]))
            rows_by_id.update({row.id: row for row in connection.execute(query)})
        for mark_id in mark_ids:
            if mark_id not in rows_by_id:
                raise EditError(
                    f"There is no {self._title} {mark_id} in this reading: it may have been deleted. "
                    "Nothing was changed."
                )
        return [rows_by_id[mark_id] for mark_id in mark_ids]

    def add(self, field_id: int, command: str, row: dict[str, Any]) -> int:
        """Write a new mark as one edit; return its id."""
        edit = self._db.edit(command, lambda _: (field_id, [Change(self._entity, None, None, row)]))
        assert edit is not None
        return edit.touched[self._entity][0]

    def delete(self, command: str, mark_id: int) -> None:
        """Delete a mark as one edit; history keeps it."""
        names = [c.name for c in self._table.columns if c.name not in ("id", "deleted")]

        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            row = self.row(mark_id, connection)
            before = {name: getattr(row, name) for name in names}
            return row.field_id, [Change(self._entity, mark_id, before, None)]

        self._db.edit(command, build)

    def _live(self) -> sa.Select[Any]:
        return sa.select(self._table).where(
            self._table.c.reading_id == self._db.reading.id, sa.not_(self._table.c.deleted)
        )


def pick_rows(
    db: DatabaseSession,
    query: sa.Select[Any],
    table: sa.Table,
    field_id: int,
    holds: Callable[[Box], bool],
) -> list[Any]:
    """Return the rows of a query on a table with boxes that are on a field and whose box passes a test."""
    c = table.c
    on_field = query.where(c.field_id == int(field_id))
    boxes = db.rows(on_field.with_only_columns(c.id, c.x, c.y, c.w, c.h))
    ids = [row.id for row in boxes if holds((row.x, row.y, row.w, row.h))]
    rows: list[Any] = []
    for start in range(0, len(ids), _AT_ONCE):
        rows += db.rows(on_field.where(c.id.in_(ids[start : start + _AT_ONCE])))
    return rows


class CellRows:
    """Build the columns of new and changed cells, and of regions and ignore areas."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    def new(
        self,
        field_id: int,
        box: Any,
        *,
        cell_class: Any = None,
        attributes: Mapping[str, Any] | None = None,
        kind: Any = None,
        cut: bool | None = None,
        comment: Any = "",
        bookmark: bool = False,
        second_opinion: bool = False,
        origin: Origin = Origin.BY_HAND,
        extra: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Check everything about a new cell and give its columns."""
        checked = validation.cell_class(self._db.schema, cell_class)
        columns = self.box(field_id, box)
        if cut is not None:
            columns["cut"] = bool(cut)
        return {
            "field_id": field_id,
            "reading_id": self._db.reading.id,
            "x": columns["x"],
            "y": columns["y"],
            "w": columns["w"],
            "h": columns["h"],
            "cell_class": checked,
            "attributes": self.in_order(validation.attributes(self._db.schema, attributes or {})),
            "kind": validation.kind(self._db.schema, kind, checked),
            "cut": columns.get("cut", False),
            "comment": validation.text(comment, "comment"),
            "bookmark": bool(bookmark),
            "second_opinion": bool(second_opinion),
            "suggestion_id": None,
            "origin": origin.value,
            "extra": extra,
            "confirmed": None,
        }

    def change(self, row: Any, columns: Mapping[str, Any]) -> Change | None:
        """Return the change of a cell's row to checked columns; attributes are merged, a kind may go."""
        after = dict(columns)
        if "attributes" in after:
            after["attributes"] = self.in_order({**row.attributes, **after["attributes"]})
        new_class = after.get("cell_class", row.cell_class)
        if "kind" not in after and row.kind is not None and new_class != row.cell_class:
            after["kind"] = None
        old, new = only_differences({name: getattr(row, name) for name in after}, after)
        return Change("cell", row.id, old, new) if new else None

    def columns(
        self, cell_class: str | Keep | None, attributes: Mapping[str, str | None] | None
    ) -> dict[str, Any]:
        """Check a class and attributes that change; return the columns of those that are given.

        Raises
        ------
        EditError
            The schema lacks one of them.
        """
        columns: dict[str, Any] = {}
        if not isinstance(cell_class, Keep):
            columns["cell_class"] = validation.cell_class(self._db.schema, cell_class)
        if attributes:
            columns["attributes"] = validation.attributes(self._db.schema, attributes)
        return columns

    def box(self, field_id: int, box: Any) -> dict[str, Any]:
        """Return the columns of a box, clipped to its field (then the cell is cut)."""
        (x, y, w, h), cut = validation.box_in_field(self._db.field(field_id), box)
        return {"x": x, "y": y, "w": w, "h": h, **({"cut": True} if cut else {})}

    def in_order(self, values: Mapping[str, str | None]) -> dict[str, str]:
        """Put attributes into the schema's order, without the missing ones."""
        return {
            name: value for name in self._db.schema.attribute_names if (value := values.get(name)) is not None
        }

    def mark(self, field_id: int, shape: Shape) -> dict[str, Any]:
        """Return the columns of a region or an ignore area, clipped to its field."""
        coords = validation.shape_in_field(self._db.field(field_id), shape).coords
        return {"field_id": field_id, "reading_id": self._db.reading.id, "shape": list(coords)}
