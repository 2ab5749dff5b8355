"""Counting cells by class, and fields that overlap, whose common cells are counted once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._db.history import Change
from annotation_store._db.session import ProjectBase
from annotation_store._db.tables import cells, fields, suggestions
from annotation_store.errors import EditError
from annotation_store.records import UNKNOWN_BELOW, SuggestionState

_NEAR = 0.5
"""Of the smaller box's side: centres nearer than that, with the fields laid over each other, are one cell."""


@dataclass(frozen=True, slots=True)
class ClassCount:
    """How many cells say the same: class (``None`` = missing) and kind of artefact."""

    cell_class: str | None
    kind: str | None
    count: int


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


class Counting(ProjectBase):
    """The part of `Project` that counts."""

    def class_counts(self, field_ids: Collection[int] | None = None) -> list[ClassCount]:
        """Count the cells of the current reading by class and kind; one statement.

        A cell that stands in two fields which overlap (`add_overlap`) counts once: the one with a class,
        else the one of the field that came first.

        Parameters
        ----------
        field_ids
            Of these fields only.
        """
        query = (
            sa.select(cells.c.cell_class, cells.c.kind, sa.func.count().label("n"))
            .where(cells.c.reading_id == self.reading.id, sa.not_(cells.c.deleted))
            .group_by(cells.c.cell_class, cells.c.kind)
        )
        among = None if field_ids is None else [int(i) for i in field_ids]
        if among is not None:
            query = query.where(cells.c.field_id.in_(among))
        query = query.where(cells.c.id.not_in(_counted_elsewhere(self.reading.id, among)))
        return [ClassCount(row.cell_class, row.kind, row.n) for row in self._rows(query)]

    def fields_beside(self, field_id: int, *, slide: bool = False) -> list[int]:
        """List the fields of a field's patient, or of its slide; one statement.

        Where the patient (or slide) is not known a field stands for itself.
        """
        field = self.field(field_id)
        known = [fields.c.patient == field.patient] if field.patient else []
        if slide and field.slide:
            known.append(fields.c.slide == field.slide)
        if not (field.slide if slide else field.patient):
            return [field_id]
        query = sa.select(fields.c.id).where(*known).order_by(fields.c.id)
        return [row.id for row in self._rows(query)]

    def fields_waiting(self, min_probability: float = 0.0) -> list[int]:
        """List the fields with pending suggestions at least that probable, in order; one statement.

        A blind reading has none: where suggestions may be seen depends on its regions.
        """
        if self.reading.blind:
            return []
        query = (
            sa.select(suggestions.c.field_id)
            .where(
                suggestions.c.state == SuggestionState.PENDING.value,
                suggestions.c.probability >= min_probability,
            )
            .distinct()
            .order_by(suggestions.c.field_id)
        )
        return [row.field_id for row in self._rows(query)]

    def count_unknown(self, field_ids: Collection[int] | None = None) -> int:
        """Count the pending suggestions of unknown cells (`Proposal.is_unknown`); one statement.

        A blind reading has none.
        """
        if self.reading.blind:
            return 0
        query = sa.select(sa.func.count()).where(
            suggestions.c.state == SuggestionState.PENDING.value, suggestions.c.novelty < UNKNOWN_BELOW
        )
        if field_ids is not None:
            query = query.where(suggestions.c.field_id.in_([int(i) for i in field_ids]))
        return int(self._rows(query)[0][0])

    # -- overlaps --------------------------------------------------------------------------------

    def overlaps(self, field_id: int | None = None) -> list[Overlap]:
        """List the fields that overlap, each pair once; of one field seen from there; one statement."""
        which = "field_id < other_id" if field_id is None else "field_id = :here"
        query = sa.text(f"SELECT * FROM ({_PAIRS}) WHERE {which} ORDER BY field_id, other_id")
        if field_id is not None:
            query = query.bindparams(here=field_id)
        return [Overlap(row.field_id, row.other_id, row.dx, row.dy) for row in self._rows(query)]

    def add_overlap(self, field_id: int, other_id: int, dx: float, dy: float) -> None:
        """Say that two fields overlap: the other one's top left corner lies at (dx, dy) in the first.

        An edit of the first field, undone there. Said again of the same two fields it replaces what was said.

        Raises
        ------
        EditError
            It is one and the same field, or so laid the two have nothing in common.
        """
        one, other = self.field(field_id), self.field(other_id)
        if field_id == other_id:
            raise EditError("A field does not overlap itself: choose another one.")
        x, y = validation.number(dx, "offset"), validation.number(dy, "offset")
        if not (-other.width < x < one.width and -other.height < y < one.height):
            raise EditError(f"Laid so, the fields {one.name} and {other.name} have no part in common.")
        self._change_overlap("Fields overlap", field_id, other_id, [x, y])

    def remove_overlap(self, field_id: int, other_id: int) -> None:
        """Say that two fields do not overlap; an edit of the first one."""
        self._change_overlap("Fields do not overlap", field_id, other_id, None)

    def _change_overlap(self, command: str, field_id: int, other_id: int, at: list[float] | None) -> None:
        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            query = sa.select(fields.c.id, fields.c.overlaps).where(fields.c.id.in_([field_id, other_id]))
            said = {row.id: row.overlaps for row in connection.execute(query)}
            changes = []
            for here, there in ((field_id, other_id), (other_id, field_id)):
                before = said.get(here)
                after = {k: v for k, v in (before or {}).items() if k != str(there)}
                if here == field_id and at is not None:
                    after[str(there)] = at
                if (after or None) != before:
                    changes.append(Change("field", here, {"overlaps": before}, {"overlaps": after or None}))
            return field_id, changes

        self._edit(command, build)


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


def _counted_elsewhere(reading_id: int, among: list[int] | None) -> sa.TextualSelect:
    """Give the cells that are the same as one of another field, which is counted in their stead."""
    given: dict[str, Any] = {"reading": reading_id, "near": _NEAR}
    if among is None:
        return sa.text(_COUNTED_ELSEWHERE).bindparams(**given).columns(cells.c.id)
    query = sa.text(f"{_COUNTED_ELSEWHERE} AND twin.field_id IN :among")
    return query.bindparams(sa.bindparam("among", among, expanding=True), **given).columns(cells.c.id)
