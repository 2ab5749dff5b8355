"""Fields that overlap, whose common cells are counted once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import cells, fields
from annotation_store.errors import EditError

_NEAR = 0.5
"""Of the smaller box's side: centres nearer than that, with the fields laid over each other, are one cell."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two fields that show a common part of the film.

    Attributes
    ----------
    dx, dy
        Where the other field's top left corner lies in `field_id`, in pixels.
    """

    field_id: int
    other_id: int
    dx: float
    dy: float


class Overlaps:
    """`Project.overlaps`: fields that show a common part of the film."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    def all(self, field_id: int | None = None) -> list[Overlap]:
        """List the fields that overlap, each pair once; of one field seen from there; one statement."""
        condition = "field_id < other_id" if field_id is None else "field_id = :here"
        query = sa.text(f"SELECT * FROM ({_PAIRS}) WHERE {condition} ORDER BY field_id, other_id")
        if field_id is not None:
            query = query.bindparams(here=field_id)
        return [Overlap(row.field_id, row.other_id, row.dx, row.dy) for row in self._db.rows(query)]

    def add(self, field_id: int, other_id: int, dx: float, dy: float) -> None:
        """Record that two fields overlap: the other one's top left corner lies at (dx, dy) in the first.

        An edit of the first field, undone there. Calling it again for the same two fields replaces the
        offset.

        Raises
        ------
        EditError
            It is one and the same field, or so laid the two have nothing in common.
        """
        first, second = self._db.field(field_id), self._db.field(other_id)
        if field_id == other_id:
            raise EditError("A field does not overlap itself: choose another one.")
        x, y = validation.number(dx, "offset"), validation.number(dy, "offset")
        if not (-second.width < x < first.width and -second.height < y < first.height):
            raise EditError(f"At this offset, the fields {first.name} and {second.name} do not overlap.")
        self._change("Fields overlap", field_id, other_id, [x, y])

    def remove(self, field_id: int, other_id: int) -> None:
        """Record that two fields do not overlap; an edit of the first one."""
        self._change("Fields do not overlap", field_id, other_id, None)

    def _change(self, command: str, field_id: int, other_id: int, at: list[float] | None) -> None:
        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            query = sa.select(fields.c.id, fields.c.overlaps).where(fields.c.id.in_([field_id, other_id]))
            stored = {row.id: row.overlaps for row in connection.execute(query)}
            changes = []
            for first, second in ((field_id, other_id), (other_id, field_id)):
                before = stored.get(first)
                after = {k: v for k, v in (before or {}).items() if k != str(second)}
                if first == field_id and at is not None:
                    after[str(second)] = at
                if (after or None) != before:
                    changes.append(Change("field", first, {"overlaps": before}, {"overlaps": after or None}))
            return field_id, changes

        self._db.edit(command, build)


_PAIRS = """
    SELECT f.id AS field_id, CAST(o.key AS INTEGER) AS other_id,
        json_extract(o.value, '$[0]') AS dx, json_extract(o.value, '$[1]') AS dy
    FROM fields AS f, json_each(f.overlaps) AS o WHERE f.overlaps IS NOT NULL
    UNION ALL
    SELECT CAST(o.key AS INTEGER), f.id, -json_extract(o.value, '$[0]'), -json_extract(o.value, '$[1]')
    FROM fields AS f, json_each(f.overlaps) AS o WHERE f.overlaps IS NOT NULL
"""
"""Every pair of fields that overlap, seen from both."""

# In words of SQLite: CROSS JOIN keeps the order, from the few pairs to their cells by the index. Left alone
# it goes through all pairs of cells first, which takes minutes.
_COUNTED_ELSEWHERE = f"""
    WITH pairs AS MATERIALIZED ({_PAIRS})
    SELECT mine.id FROM pairs
    CROSS JOIN cells AS mine ON mine.field_id = pairs.field_id AND mine.reading_id = :reading
        AND mine.deleted = 0
    CROSS JOIN cells AS twin ON twin.field_id = pairs.other_id AND twin.reading_id = :reading
        AND twin.deleted = 0
    WHERE abs(mine.x + mine.w / 2 - pairs.dx - twin.x - twin.w / 2)
            < :near * min(mine.w, mine.h, twin.w, twin.h)
        AND abs(mine.y + mine.h / 2 - pairs.dy - twin.y - twin.h / 2)
            < :near * min(mine.w, mine.h, twin.w, twin.h)
        AND ((coalesce(twin.cell_class, 'unsure') != 'unsure'), mine.field_id)
            > ((coalesce(mine.cell_class, 'unsure') != 'unsure'), twin.field_id)
"""


def counted_elsewhere(reading_id: int, among: list[int] | None) -> sa.TextualSelect:
    """Return the cells that are the same as one of another field, which is counted in their stead."""
    parameters: dict[str, Any] = {"reading": reading_id, "near": _NEAR}
    if among is None:
        return sa.text(_COUNTED_ELSEWHERE).bindparams(**parameters).columns(cells.c.id)
    query = sa.text(f"{_COUNTED_ELSEWHERE} AND twin.field_id IN :among")
    return query.bindparams(sa.bindparam("among", among, expanding=True), **parameters).columns(cells.c.id)
