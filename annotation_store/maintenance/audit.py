"""Checks of rows: types, JSON, and agreement with their history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from annotation_store._db.engine import plain_errors
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import ENTITIES, history

# what the application reads as JSON, and what it must be; anything can stand in a column of SQLite
_JSON = {
    "cells": {"attributes": "object"},
    "regions": {"shape": "array"},
    "ignore_areas": {"shape": "array"},
    "suggestions": {
        "class_probabilities": "object",
        "attribute_probabilities": "object",
        "sets": "object",
    },
    "models": {"card": "object"},
    "runs": {"config": "object"},
    "conflicts": {"here": "object", "there": "object"},
}
_NUMBERS = {
    "cells": ("x", "y", "w", "h"),
    "suggestions": ("x", "y", "w", "h", "confidence", "probability"),
    "fields": ("width", "height"),
}
_SHOWN = 20


class Audit:
    """Read rows as another program would: their types, and whether history agrees with them."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    def types(self) -> list[str]:
        """Find columns with unreadable content, with which a project opens and fails later."""
        problems: list[str] = []
        for table, columns in _JSON.items():
            for column, kind in columns.items():
                name = f'"{column}"'
                bad = f"CASE WHEN json_valid({name}) THEN json_type({name}) <> '{kind}' ELSE 1 END"
                problems += self._bad(table, column, bad)
        for table, numbers in _NUMBERS.items():
            for column in numbers:
                problems += self._bad(table, column, f"typeof({column}) NOT IN ('real', 'integer')")
        problems += self._bad("suggestions", "novelty", "typeof(novelty) NOT IN ('real', 'integer', 'null')")
        return problems

    def _bad(self, table: str, column: str, condition: str) -> list[str]:
        query = f"SELECT id FROM {table} WHERE {condition} LIMIT {_SHOWN}"
        with plain_errors(self._db.path):
            rows = self._db.connection.exec_driver_sql(query).all()
        return [f"Row {row[0]} of {table} is damaged: {column} cannot be read." for row in rows]

    def history(self) -> list[str]:
        """Compare every row with the values in its history."""
        recorded: dict[tuple[str, int], dict[str, Any]] = {}
        for entity, entity_id, action, after in self._db.rows(
            sa.select(history.c.entity, history.c.entity_id, history.c.action, history.c.after).order_by(
                history.c.id
            )
        ):
            columns = recorded.setdefault((entity, entity_id), {})
            columns.update(after or {})
            if "deleted" in ENTITIES[entity].c:
                columns["deleted"] = action == "delete"
        problems = list(self._contradictions(recorded))
        if len(problems) > _SHOWN:
            problems[_SHOWN:] = [f"… and {len(problems) - _SHOWN} more rows differ from their history."]
        return problems

    def _contradictions(self, recorded: dict[tuple[str, int], dict[str, Any]]) -> Iterator[str]:
        for entity, table in ENTITIES.items():
            rows = {row.id: row for row in self._db.rows(sa.select(table))}
            what = entity.replace("_", " ").capitalize()
            for (of_entity, entity_id), columns in recorded.items():
                if of_entity != entity:
                    continue
                row = rows.get(entity_id)
                if row is None:
                    yield f"{what} {entity_id} is in the history, but not in the project."
                    continue
                for name, value in columns.items():
                    if name in table.c and getattr(row, name) != value:
                        yield f"{what} {entity_id}: its {name} differs from its history."
                        break
            if entity in ("cell", "region", "ignore_area"):
                unrecorded = sorted(row_id for row_id in rows if (entity, row_id) not in recorded)
                yield from (
                    f"{what} {row_id} has no history: its annotator is unknown." for row_id in unrecorded
                )
