"""White cells of the current reading."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._collections.marks import CellRows, MarkTable
from annotation_store._collections.overlaps import counted_elsewhere
from annotation_store._db import row_mappers
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import cells, edits, history, suggestions
from annotation_store.errors import EditError
from annotation_store.records import KEEP, Box, Cell, CellHistory, Keep

_FLAGS = ("bookmark", "second_opinion")
_RECENT = 1000


@dataclass(frozen=True, slots=True)
class ClassCount:
    """Number of cells with the same class (``None`` = missing) and kind of artefact."""

    cell_class: str | None
    kind: str | None
    count: int


class Cells:
    """`Project.cells`: the boxed white cells, their classes and attributes."""

    def __init__(self, db: DatabaseSession, rows: CellRows) -> None:
        self._db, self._rows = db, rows
        self.marks = MarkTable(db, "cell", cells, row_mappers.cell)

    def all(
        self, field_id: int | None = None, *, within: Box | None = None, most: int | None = None
    ) -> list[Cell]:
        """List the cells of one field, or of all fields, in the current reading (one statement).

        Parameters
        ----------
        within
            Only those whose box touches this area: of a whole slide not all are needed at once.
        most
            So many at most, the newest; ``None`` = all.
        """
        return self.marks.all(field_id, within=within, most=most)

    def boxes(self, field_id: int) -> list[Box]:
        """List the boxes of a field's cells, without the rest of them."""
        c = cells.c
        query = sa.select(c.x, c.y, c.w, c.h).where(
            c.field_id == int(field_id), c.reading_id == self._db.reading.id, sa.not_(c.deleted)
        )
        return [(row.x, row.y, row.w, row.h) for row in self._db.rows(query)]

    def first_incomplete(
        self, field_id: int, *, attributes: int, artefacts: Collection[str] = ()
    ) -> Cell | None:
        """Return the topmost cell of a field without class or with missing values; ``None`` if there is none.

        Parameters
        ----------
        attributes
            How many values a complete cell has.
        artefacts
            Classes that have no values.
        """
        c = cells.c
        stored_values = sa.func.json_each(c.attributes).table_valued("key", name="given")
        values = sa.select(sa.func.count()).select_from(stored_values).correlate(cells).scalar_subquery()
        lacks = sa.or_(
            c.cell_class.is_(None), sa.and_(c.cell_class.not_in(list(artefacts)), values < attributes)
        )
        query = (
            sa.select(cells)
            .where(c.field_id == int(field_id), c.reading_id == self._db.reading.id, sa.not_(c.deleted))
            .where(lacks)
        )
        rows = self._db.rows(query.order_by(c.y, c.x).limit(1))
        return row_mappers.cell(rows[0]) if rows else None

    def pick(self, field_id: int, holds: Callable[[Box], bool]) -> list[Cell]:
        """List the cells of a field whose box passes a test: of a slide not all are read whole."""
        return self.marks.pick(field_id, holds)

    def get(self, cell_id: int) -> Cell:
        """Return one cell.

        Raises
        ------
        EditError
            There is no such cell in the current reading, or it was deleted.
        """
        return self.marks.get(cell_id)

    def add(
        self,
        field_id: int,
        box: Box,
        *,
        cell_class: str | None = None,
        attributes: Mapping[str, str | None] | None = None,
        kind: str | None = None,
        cut: bool | None = None,
        comment: str = "",
        bookmark: bool = False,
        second_opinion: bool = False,
    ) -> int:
        """Box a white cell; give its id.

        Parameters
        ----------
        box
            ``(x, y, width, height)``; clipped where it passes the field's edge (then the cell is cut).
        cell_class
            ``None`` = missing, ``"unsure"``, a class or a group.
        attributes
            Attribute name to value, ``"unsure"``, or ``None`` = missing.

        Raises
        ------
        EditError
            The box is empty or outside, or the schema lacks a value.
        """
        row = self._rows.new(
            field_id,
            box,
            cell_class=cell_class,
            attributes=attributes or {},
            kind=kind,
            cut=cut,
            comment=comment,
            bookmark=bookmark,
            second_opinion=second_opinion,
        )
        return self.marks.add(field_id, "Box cell", row)

    def change(
        self,
        cell_id: int,
        *,
        box: Box | Keep = KEEP,
        cell_class: str | Keep | None = KEEP,
        attributes: Mapping[str, str | None] | None = None,
        kind: str | Keep | None = KEEP,
        cut: bool | Keep = KEEP,
        comment: str | Keep = KEEP,
        bookmark: bool | Keep = KEEP,
        second_opinion: bool | Keep = KEEP,
        confirm: bool = False,
    ) -> None:
        """Change a cell; what is not given (`KEEP`) stays.

        `attributes` are merged into the cell's; ``None`` makes one missing. A kind goes when the new class
        is not an artefact. A change that changes nothing leaves no trace.

        Parameters
        ----------
        confirm
            The values were compared with a model's prediction: see `Project.label_reviews`.
        """
        columns = self._rows.columns(cell_class, attributes)
        if not isinstance(cut, Keep):
            columns["cut"] = bool(cut)
        if not isinstance(comment, Keep):
            columns["comment"] = validation.text(comment, "comment")
        for name, flag in zip(_FLAGS, (bookmark, second_opinion), strict=True):
            if not isinstance(flag, Keep):
                columns[name] = bool(flag)

        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            row = self.marks.row(cell_id, connection)
            place = {} if isinstance(box, Keep) else self._rows.box(row.field_id, box)
            after = dict(columns)
            if not isinstance(kind, Keep):
                after["kind"] = validation.kind(
                    self._db.schema, kind, columns.get("cell_class", row.cell_class)
                )
            if confirm:
                after["confirmed"] = _update_confirmed(row, {**place, **columns})
            change = self._rows.change(row, {**place, **after})
            return row.field_id, [change] if change is not None else []

        labelled = attributes or not isinstance(cell_class, Keep) or not isinstance(kind, Keep)
        moved = not isinstance(box, Keep)
        self._db.edit("Label cell" if labelled else "Move cell" if moved else "Change cell", build)

    def delete(self, cell_id: int) -> None:
        """Delete a cell; the history keeps it, and undo restores it."""
        self.marks.delete("Delete cell", cell_id)

    # -- asking -----------------------------------------------------------------------------------

    def classes(self) -> list[str | None]:
        """Return the classes that cells of the current reading have, each once; one statement."""
        query = sa.select(cells.c.cell_class).where(
            cells.c.reading_id == self._db.reading.id, sa.not_(cells.c.deleted)
        )
        return [row.cell_class for row in self._db.rows(query.distinct())]

    def newest(
        self, most: int, *, cell_class: str | None = None, value: tuple[str, str] | None = None
    ) -> list[Cell]:
        """List the newest cells of the current reading with a class, a value or both; one statement.

        Parameters
        ----------
        value
            An attribute and the value of it.
        """
        query = sa.select(cells).where(cells.c.reading_id == self._db.reading.id, sa.not_(cells.c.deleted))
        if cell_class is not None:
            query = query.where(cells.c.cell_class == cell_class)
        if value is not None:
            stored_values = sa.func.json_each(cells.c.attributes).table_valued("key", "value", name="given")
            named = sa.select(sa.literal(1)).where(
                stored_values.c.key == value[0], stored_values.c.value == value[1]
            )
            query = query.where(named.correlate(cells).exists())
        return [row_mappers.cell(row) for row in self._db.rows(query.order_by(cells.c.id.desc()).limit(most))]

    def batches(
        self, size: int, *, order: Sequence[int] | None = None
    ) -> Iterator[list[tuple[Cell, dict[str, Any] | None]]]:
        """Yield the cells of the current reading, a few at a time, each with the extra values of its file.

        Parameters
        ----------
        order
            Ids of cells in the order to follow, also those of other readings; ``None`` = by id.
        """
        last = 0
        query = sa.select(cells).where(cells.c.reading_id == self._db.reading.id, sa.not_(cells.c.deleted))
        if order is not None:
            for start in range(0, len(order), size):
                part = order[start : start + size]
                rows_by_id = {row.id: row for row in self._db.rows(query.where(cells.c.id.in_(part)))}
                if rows_by_id:
                    yield [
                        (row_mappers.cell(rows_by_id[i]), rows_by_id[i].extra)
                        for i in part
                        if i in rows_by_id
                    ]
            return
        query = query.order_by(cells.c.id).limit(size)
        while rows := self._db.rows(query.where(cells.c.id > last)):
            last = rows[-1].id
            yield [(row_mappers.cell(row), row.extra) for row in rows]

    def count(self) -> int:
        """Return the number of cells of the current reading; one statement."""
        query = sa.select(sa.func.count()).where(
            cells.c.reading_id == self._db.reading.id, sa.not_(cells.c.deleted)
        )
        return int(self._db.rows(query)[0][0])

    def count_by_class(self, field_ids: Collection[int] | None = None) -> list[ClassCount]:
        """Count the cells of the current reading by class and kind; one statement.

        A cell in two overlapping fields (`Project.overlaps`) counts once: the one with a class,
        else the one of the field that came first.

        Parameters
        ----------
        field_ids
            Of these fields only.
        """
        query = (
            sa.select(cells.c.cell_class, cells.c.kind, sa.func.count().label("n"))
            .where(cells.c.reading_id == self._db.reading.id, sa.not_(cells.c.deleted))
            .group_by(cells.c.cell_class, cells.c.kind)
        )
        among = None if field_ids is None else [int(i) for i in field_ids]
        if among is not None:
            query = query.where(cells.c.field_id.in_(among))
        query = query.where(cells.c.id.not_in(counted_elsewhere(self._db.reading.id, among)))
        return [ClassCount(row.cell_class, row.kind, row.n) for row in self._db.rows(query)]

    def provenance(self, cell_id: int) -> CellHistory:
        """Return who labelled a cell, when, from which suggestion, and its earlier labels, in one query.

        A deleted cell has its story too, and a cell of another reading.

        Raises
        ------
        EditError
            There never was such a cell.
        """

        def named(table: sa.Table, prefix: str) -> list[sa.ColumnElement[object]]:
            return [column.label(f"{prefix}_{column.name}") for column in table.columns]

        query = (
            sa.select(
                *named(cells, "cell"),
                *named(suggestions, "suggestion"),
                *named(history, "history"),
                *named(edits, "edit"),
            )
            .join_from(cells, history, sa.and_(history.c.entity == "cell", history.c.entity_id == cells.c.id))
            .join(edits, edits.c.id == history.c.edit_id)
            .outerjoin(suggestions, suggestions.c.id == cells.c.suggestion_id)
            .where(cells.c.id == cell_id)
            .order_by(history.c.id)
        )
        rows = self._db.rows(query)
        if not rows:
            raise EditError(f"There is no cell {cell_id} in the project {self._db.path}.")
        first = rows[0]
        return CellHistory(
            cell=row_mappers.cell(_Part(first, "cell")),
            deleted=bool(first.cell_deleted),
            suggestion=row_mappers.suggestion(_Part(first, "suggestion")) if first.suggestion_id else None,
            rows=[row_mappers.history(_Part(row, "history", "edit")) for row in rows],
        )

    def since(self, when: datetime | None) -> list[Cell]:
        """List the cells of the current reading that were added after a time, of the last `_RECENT`.

        Cells that came by accepting suggestions or by importing count; ``None`` = from the beginning.
        """
        at = "" if when is None else when.astimezone(UTC).isoformat(timespec="microseconds")
        # edits are numbered in time: backwards from the newest, only those since then are looked at
        last = sa.select(edits.c.id).where(edits.c.at <= at).order_by(edits.c.id.desc()).limit(1)
        query = (
            sa.select(cells)
            .join(history, sa.and_(history.c.entity == "cell", history.c.entity_id == cells.c.id))
            .where(
                history.c.action == "add",
                history.c.edit_id > sa.func.coalesce(last.scalar_subquery(), 0),
                cells.c.reading_id == self._db.reading.id,
                sa.not_(cells.c.deleted),
            )
            .distinct()
            .order_by(cells.c.id.desc())
            .limit(_RECENT)
        )
        return [row_mappers.cell(row) for row in self._db.rows(query)]


def _update_confirmed(row: Any, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Add the given class, attributes and box to the confirmed values of a cell."""
    confirmed = dict(row.confirmed or {})
    if "cell_class" in columns:
        confirmed["cell_class"] = columns["cell_class"]
    if "attributes" in columns:
        confirmed["attributes"] = {**confirmed.get("attributes", {}), **columns["attributes"]}
    if "x" in columns:
        confirmed["box"] = [columns[name] for name in ("x", "y", "w", "h")]
    return confirmed


class _Part:
    """One table's columns of a row of several, under their own names; the first prefix that has one wins."""

    def __init__(self, row: object, *prefixes: str) -> None:
        self._row = row
        self._prefixes = prefixes

    def __getattr__(self, name: str) -> object:
        for prefix in self._prefixes:
            if hasattr(self._row, f"{prefix}_{name}"):
                return getattr(self._row, f"{prefix}_{name}")
        raise AttributeError(name)
