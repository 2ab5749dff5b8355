"""Rows of cells, checked against the field and the schema before they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation_store import validation
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession, only_differences
from annotation_store.records import Origin, Shape


class CellRows:
    """Make the columns of new and changed cells, and of what lies on a field beside them."""

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

    def change(self, row: Any, given: Mapping[str, Any]) -> Change | None:
        """Return the change of a cell's row to checked columns; attributes are merged, a kind may go."""
        after = dict(given)
        if "attributes" in after:
            after["attributes"] = self.in_order({**row.attributes, **after["attributes"]})
        new_class = after.get("cell_class", row.cell_class)
        if "kind" not in after and row.kind is not None and new_class != row.cell_class:
            after["kind"] = None
        old, new = only_differences({name: getattr(row, name) for name in after}, after)
        return Change("cell", row.id, old, new) if new else None

    def box(self, field_id: int, box: Any) -> dict[str, Any]:
        (x, y, w, h), cut = validation.box_in_field(self._db.field(field_id), box)
        return {"x": x, "y": y, "w": w, "h": h, **({"cut": True} if cut else {})}

    def in_order(self, values: Mapping[str, str | None]) -> dict[str, str]:
        """Put attributes into the schema's order, without the missing ones."""
        return {
            name: value for name in self._db.schema.attribute_names if (value := values.get(name)) is not None
        }

    def mark(self, field_id: int, shape: Shape) -> dict[str, Any]:
        coords = validation.shape_in_field(self._db.field(field_id), shape).coords
        return {"field_id": field_id, "reading_id": self._db.reading.id, "shape": list(coords)}
