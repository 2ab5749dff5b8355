"""Regions and ignore areas of the current reading."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from annotation_store._collections.blind import Uncovered
from annotation_store._collections.marks import CellRows, MarkTable
from annotation_store._db import row_mappers
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession, only_differences
from annotation_store._db.tables import ignore_areas, regions
from annotation_store.records import IgnoreArea, Region, RegionState, Shape


class Regions:
    """`Project.regions`: areas in which every white cell is boxed, and drafts."""

    def __init__(self, db: DatabaseSession, rows: CellRows) -> None:
        self._db, self._rows = db, rows
        self._marks = MarkTable(db, "region", regions, row_mappers.region)

    def all(self, field_id: int | None = None) -> list[Region]:
        """List the regions of one field, or of all fields, in the current reading."""
        return self._marks.all(field_id)

    def any_finished(self) -> bool:
        """Return whether any reading has a finished region on any field; one statement."""
        r = regions.c
        query = sa.select(r.id).where(r.state == RegionState.FINISHED.value, sa.not_(r.deleted))
        return bool(self._db.rows(query.limit(1)))

    def add(self, field_id: int, shape: Shape, *, state: RegionState = RegionState.FINISHED) -> int:
        """Add a region, clipped to the field; give its id.

        A finished region promises that every white cell whose centre lies in it is boxed.
        """
        return self._add(field_id, shape, state, "Draw region")

    def add_whole_field(self, field_id: int) -> int:
        """Add a finished region that covers the field: "I have looked everywhere"."""
        field = self._db.field(field_id)
        shape = Shape.rectangle(0, 0, field.width, field.height)
        return self._add(field_id, shape, RegionState.FINISHED, "Mark field as reviewed")

    def _add(self, field_id: int, shape: Shape, state: RegionState, command: str) -> int:
        row = self._rows.mark(field_id, shape) | {"state": RegionState(state).value}
        return self._marks.add(field_id, command, row)

    def change(self, region_id: int, *, shape: Shape | None = None, state: RegionState | None = None) -> None:
        """Change a region's shape, finish it, or make it a draft again."""

        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            row = self._marks.row(region_id, connection)
            after: dict[str, Any] = {}
            if shape is not None:
                after["shape"] = self._rows.mark(row.field_id, shape)["shape"]
            if state is not None:
                after["state"] = RegionState(state).value
            old, new = only_differences({name: getattr(row, name) for name in after}, after)
            return row.field_id, [Change("region", region_id, old, new)] if new else []

        command = "Change region"
        if shape is None and state is not None:
            command = "Finish region" if state == RegionState.FINISHED else "Reopen region"
        self._db.edit(command, build)

    def delete(self, region_id: int) -> None:
        """Delete a region: what it covered is unknown area again."""
        self._marks.delete("Delete region", region_id)

    def uncovered(self, field_id: int | None = None) -> Uncovered:
        """Return the places where a blind reader may see what models predict, on one field or all."""
        return Uncovered(self.all(field_id))


class IgnoreAreas:
    """`Project.ignore_areas`: areas that cannot be read."""

    def __init__(self, db: DatabaseSession, rows: CellRows) -> None:
        self._rows = rows
        self._marks = MarkTable(db, "ignore_area", ignore_areas, row_mappers.ignore_area)

    def all(self, field_id: int | None = None) -> list[IgnoreArea]:
        """List the ignore areas of the current reading."""
        return self._marks.all(field_id)

    def add(self, field_id: int, shape: Shape) -> int:
        """Add an ignore area and return its id."""
        return self._marks.add(field_id, "Add ignore area", self._rows.mark(field_id, shape))

    def delete(self, ignore_area_id: int) -> None:
        """Delete an ignore area."""
        self._marks.delete("Delete ignore area", ignore_area_id)
