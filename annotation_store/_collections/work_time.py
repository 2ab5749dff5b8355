"""The time that people worked on fields."""

from __future__ import annotations

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import active_time
from annotation_store.errors import EditError
from annotation_store.records import ActiveTime

_LONGEST = 7 * 24 * 3600.0


class WorkTime:
    """`Project.work_time`: the seconds that each annotator has worked on each field."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    def add(self, field_id: int, seconds: float) -> None:
        """Add to the time that this annotator has worked on a field.

        Raises
        ------
        EditError
            It is not a number, negative, longer than a week, or there is no such field.
        """
        more = validation.number(seconds, "time")
        if not 0 <= more <= _LONGEST:
            raise EditError(f"A working time of {more:g} seconds is out of range.")
        self._db.field(field_id)
        with self._db.writing() as connection:
            connection.exec_driver_sql(
                "INSERT INTO active_time (annotator, field_id, seconds) VALUES (?, ?, ?) "
                "ON CONFLICT (annotator, field_id) DO UPDATE SET seconds = seconds + excluded.seconds",
                (self._db.annotator, field_id, more),
            )

    def all(self, field_id: int | None = None) -> list[ActiveTime]:
        """List the seconds that each annotator has worked on each field, or on one; one statement."""
        query = sa.select(active_time).order_by(active_time.c.field_id, active_time.c.annotator)
        if field_id is not None:
            query = query.where(active_time.c.field_id == field_id)
        return [ActiveTime(row.annotator, row.field_id, row.seconds) for row in self._db.rows(query)]
