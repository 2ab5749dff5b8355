"""Who did what, for how long, and to whom the fields belong."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._db import row_mappers
from annotation_store._db.session import ProjectBase
from annotation_store._db.tables import active_time, cells, edits, fields, history, suggestions
from annotation_store.errors import EditError
from annotation_store.records import ActiveTime, Cell, CellHistory, Patient

_LONGEST = 7 * 24 * 3600.0
_RECENT = 1000


class WorkTime(ProjectBase):
    """The part of `Project` that answers questions about people."""

    def provenance(self, cell_id: int) -> CellHistory:
        """Tell who labelled a cell, when, from which suggestion, and what it said before; one statement.

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
        rows = self._rows(query)
        if not rows:
            raise EditError(f"There is no cell {cell_id} in the project {self.path}.")
        first = rows[0]
        return CellHistory(
            cell=row_mappers.cell(_Part(first, "cell")),
            deleted=bool(first.cell_deleted),
            suggestion=row_mappers.suggestion(_Part(first, "suggestion")) if first.suggestion_id else None,
            rows=[row_mappers.history(_Part(row, "history", "edit")) for row in rows],
        )

    def cells_since(self, when: datetime | None) -> list[Cell]:
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
                cells.c.reading_id == self.reading.id,
                sa.not_(cells.c.deleted),
            )
            .distinct()
            .order_by(cells.c.id.desc())
            .limit(_RECENT)
        )
        return [row_mappers.cell(row) for row in self._rows(query)]

    def patients(self) -> list[Patient]:
        """List the patients with their slides and fields, in the order in which they came; one statement."""
        query = sa.select(fields.c.id, fields.c.patient, fields.c.slide).where(fields.c.patient.is_not(None))
        found: dict[str, tuple[dict[str, None], list[int]]] = {}
        for row in self._rows(query.order_by(fields.c.id)):
            slides, ids = found.setdefault(row.patient, ({}, []))
            if row.slide is not None:
                slides.setdefault(row.slide)
            ids.append(row.id)
        return [Patient(name, tuple(slides), tuple(ids)) for name, (slides, ids) in found.items()]

    def add_active_seconds(self, field_id: int, seconds: float) -> None:
        """Add to the time that this annotator has worked on a field.

        Raises
        ------
        EditError
            It is not a number, negative, longer than a week, or there is no such field.
        """
        more = validation.number(seconds, "time")
        if not 0 <= more <= _LONGEST:
            raise EditError(f"{more:g} seconds of work at once cannot be right.")
        self.field(field_id)
        with self._writing() as connection:
            connection.exec_driver_sql(
                "INSERT INTO active_time (annotator, field_id, seconds) VALUES (?, ?, ?) "
                "ON CONFLICT (annotator, field_id) DO UPDATE SET seconds = seconds + excluded.seconds",
                (self.annotator, field_id, more),
            )

    def active_seconds(self, field_id: int | None = None) -> list[ActiveTime]:
        """List the seconds that each annotator has worked on each field, or on one; one statement."""
        query = sa.select(active_time).order_by(active_time.c.field_id, active_time.c.annotator)
        if field_id is not None:
            query = query.where(active_time.c.field_id == field_id)
        return [ActiveTime(row.annotator, row.field_id, row.seconds) for row in self._rows(query)]


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
