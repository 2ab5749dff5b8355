"""Regions, ignore areas and cells of the current reading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._db import row_mappers
from annotation_store._db.history import Change
from annotation_store._db.session import ProjectBase, only_differences
from annotation_store._db.tables import cells, ignore_areas, regions
from annotation_store.errors import EditError
from annotation_store.records import (
    KEEP,
    Box,
    Cell,
    IgnoreArea,
    Keep,
    Origin,
    Region,
    RegionState,
    Shape,
)

_FLAGS = ("bookmark", "second_opinion")


class Cells(ProjectBase):
    """The part of `Project` that a person draws."""

    # -- regions ---------------------------------------------------------------------------------

    def regions(self, field_id: int | None = None) -> list[Region]:
        """List the regions of one field, or of all fields, in the current reading."""
        return [row_mappers.region(row) for row in self._live(regions, field_id)]

    def add_region(self, field_id: int, shape: Shape, *, state: RegionState = RegionState.FINISHED) -> int:
        """Add a region, clipped to the field; give its id.

        A finished region promises that every white cell whose centre lies in it is boxed.
        """
        return self._add_region(field_id, shape, state, "Draw region")

    def mark_whole_field(self, field_id: int) -> int:
        """Add a finished region that covers the field: "I have looked everywhere"."""
        field = self.field(field_id)
        shape = Shape.rectangle(0, 0, field.width, field.height)
        return self._add_region(field_id, shape, RegionState.FINISHED, "Mark field as reviewed")

    def _add_region(self, field_id: int, shape: Shape, state: RegionState, command: str) -> int:
        row = self._mark_row(field_id, shape) | {"state": RegionState(state).value}
        return self._added(field_id, command, "region", row)

    def change_region(
        self, region_id: int, *, shape: Shape | None = None, state: RegionState | None = None
    ) -> None:
        """Give a region another shape, or finish it, or make it a draft again."""

        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            row = self._live_row(regions, region_id, connection)
            after: dict[str, Any] = {}
            if shape is not None:
                after["shape"] = list(validation.shape_in_field(self.field(row.field_id), shape).coords)
            if state is not None:
                after["state"] = RegionState(state).value
            old, new = only_differences({name: getattr(row, name) for name in after}, after)
            return row.field_id, [Change("region", region_id, old, new)] if new else []

        command = "Change region"
        if shape is None and state is not None:
            command = "Finish region" if state == RegionState.FINISHED else "Reopen region"
        self._edit(command, build)

    def delete_region(self, region_id: int) -> None:
        """Delete a region: what it covered is unknown area again."""
        self._deleted("Delete region", "region", regions, region_id)

    # -- ignore areas ----------------------------------------------------------------------------

    def ignore_areas(self, field_id: int | None = None) -> list[IgnoreArea]:
        """List the areas nobody can read, in the current reading."""
        return [row_mappers.ignore_area(row) for row in self._live(ignore_areas, field_id)]

    def add_ignore_area(self, field_id: int, shape: Shape) -> int:
        """Add an area that nobody can read; give its id."""
        return self._added(field_id, "Add ignore area", "ignore_area", self._mark_row(field_id, shape))

    def delete_ignore_area(self, ignore_area_id: int) -> None:
        """Delete an ignore area."""
        self._deleted("Delete ignore area", "ignore_area", ignore_areas, ignore_area_id)

    # -- cells -----------------------------------------------------------------------------------

    def cells(self, field_id: int | None = None) -> list[Cell]:
        """List the cells of one field, or of all fields, in the current reading (one statement)."""
        return [row_mappers.cell(row) for row in self._live(cells, field_id)]

    def cell(self, cell_id: int) -> Cell:
        """Give one cell.

        Raises
        ------
        EditError
            There is no such cell in the current reading, or it was deleted.
        """
        return row_mappers.cell(self._live_row(cells, cell_id))

    def add_cell(
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
        row = self._cell_row(
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
        return self._added(field_id, "Box cell", "cell", row)

    def change_cell(
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
        is no artefact. A change that changes nothing leaves no trace.

        Parameters
        ----------
        confirm
            What is given was weighed against a model's word: see `Project.confirm_label`.
        """
        given: dict[str, Any] = {}
        if not isinstance(cell_class, Keep):
            given["cell_class"] = validation.cell_class(self.schema, cell_class)
        if attributes:
            given["attributes"] = validation.attributes(self.schema, attributes)
        if not isinstance(cut, Keep):
            given["cut"] = bool(cut)
        if not isinstance(comment, Keep):
            given["comment"] = validation.text(comment, "comment")
        for name, flag in zip(_FLAGS, (bookmark, second_opinion), strict=True):
            if not isinstance(flag, Keep):
                given[name] = bool(flag)

        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            row = self._live_row(cells, cell_id, connection)
            place = {} if isinstance(box, Keep) else self._box_columns(row.field_id, box)
            own = dict(given)
            if not isinstance(kind, Keep):
                own["kind"] = validation.kind(self.schema, kind, given.get("cell_class", row.cell_class))
            if confirm:
                own["confirmed"] = _confirmed(row, {**place, **given})
            change = self._cell_change(row, {**place, **own})
            return row.field_id, [change] if change is not None else []

        labelled = attributes or not isinstance(cell_class, Keep) or not isinstance(kind, Keep)
        moved = not isinstance(box, Keep)
        self._edit("Label cell" if labelled else "Move cell" if moved else "Change cell", build)

    def delete_cell(self, cell_id: int) -> None:
        """Delete a cell; history keeps it, undo brings it back."""
        self._deleted("Delete cell", "cell", cells, cell_id)

    # -- shared ----------------------------------------------------------------------------------

    def _cell_row(
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
        checked = validation.cell_class(self.schema, cell_class)
        columns = self._box_columns(field_id, box)
        if cut is not None:
            columns["cut"] = bool(cut)
        return {
            "field_id": field_id,
            "reading_id": self.reading.id,
            "x": columns["x"],
            "y": columns["y"],
            "w": columns["w"],
            "h": columns["h"],
            "cell_class": checked,
            "attributes": self._in_order(validation.attributes(self.schema, attributes or {})),
            "kind": validation.kind(self.schema, kind, checked),
            "cut": columns.get("cut", False),
            "comment": validation.text(comment, "comment"),
            "bookmark": bool(bookmark),
            "second_opinion": bool(second_opinion),
            "suggestion_id": None,
            "origin": origin.value,
            "extra": extra,
            "confirmed": None,
        }

    def _cell_change(self, row: Any, given: Mapping[str, Any]) -> Change | None:
        """Give the change of a cell's row to checked columns; attributes are merged, a kind may go."""
        after = dict(given)
        if "attributes" in after:
            after["attributes"] = self._in_order({**row.attributes, **after["attributes"]})
        new_class = after.get("cell_class", row.cell_class)
        if "kind" not in after and row.kind is not None and new_class != row.cell_class:
            after["kind"] = None
        old, new = only_differences({name: getattr(row, name) for name in after}, after)
        return Change("cell", row.id, old, new) if new else None

    def _box_columns(self, field_id: int, box: Any) -> dict[str, Any]:
        (x, y, w, h), cut = validation.box_in_field(self.field(field_id), box)
        return {"x": x, "y": y, "w": w, "h": h, **({"cut": True} if cut else {})}

    def _in_order(self, values: Mapping[str, str | None]) -> dict[str, str]:
        """Put attributes into the schema's order, without the missing ones."""
        return {
            name: value for name in self.schema.attribute_names if (value := values.get(name)) is not None
        }

    def _mark_row(self, field_id: int, shape: Shape) -> dict[str, Any]:
        coords = validation.shape_in_field(self.field(field_id), shape).coords
        return {"field_id": field_id, "reading_id": self.reading.id, "shape": list(coords)}

    def _live(self, table: sa.Table, field_id: int | None) -> Sequence[Any]:
        query = (
            sa.select(table)
            .where(table.c.reading_id == self.reading.id, sa.not_(table.c.deleted))
            .order_by(table.c.id)
        )
        if field_id is not None:
            query = query.where(table.c.field_id == field_id)
        return self._rows(query)

    def _live_row(self, table: sa.Table, row_id: int, connection: sa.Connection | None = None) -> Any:
        query = sa.select(table).where(
            table.c.id == row_id, table.c.reading_id == self.reading.id, sa.not_(table.c.deleted)
        )
        row = connection.execute(query).first() if connection else next(iter(self._rows(query)), None)
        if row is None:
            what = table.name.rstrip("s").replace("_", " ")
            raise EditError(f"There is no {what} {row_id} in this reading: it may have been deleted.")
        return row

    def _added(self, field_id: int, command: str, entity: str, row: dict[str, Any]) -> int:
        edit = self._edit(command, lambda _: (field_id, [Change(entity, None, None, row)]))
        assert edit is not None
        return edit.touched[entity][0]

    def _deleted(self, command: str, entity: str, table: sa.Table, row_id: int) -> None:
        names = [c.name for c in table.columns if c.name not in ("id", "deleted")]

        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            row = self._live_row(table, row_id, connection)
            before = {name: getattr(row, name) for name in names}
            return row.field_id, [Change(entity, row_id, before, None)]

        self._edit(command, build)


def _confirmed(row: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """Add what was just given, of class, attributes and box, to what is confirmed of a cell."""
    known = dict(row.confirmed or {})
    if "cell_class" in given:
        known["cell_class"] = given["cell_class"]
    if "attributes" in given:
        known["attributes"] = {**known.get("attributes", {}), **given["attributes"]}
    if "x" in given:
        known["box"] = [given[name] for name in ("x", "y", "w", "h")]
    return known
