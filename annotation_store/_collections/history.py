"""The edits of a project, with annotator and time."""

from __future__ import annotations

import sqlalchemy as sa

from annotation_store._db import row_mappers
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import edits, history
from annotation_store.records import Edit, HistoryRow


class History:
    """`Project.history`: every change, with the row's values before and after."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    def rows(
        self, field_id: int | None = None, *, entity: str | None = None, entity_id: int | None = None
    ) -> list[HistoryRow]:
        """List all changes, oldest first: annotator, time, values before and after."""
        query = (
            sa.select(
                history, edits.c.at, edits.c.annotator, edits.c.field_id, edits.c.command, edits.c.undoes
            )
            .join(edits, edits.c.id == history.c.edit_id)
            .order_by(history.c.id)
        )
        if field_id is not None:
            query = query.where(edits.c.field_id == field_id)
        if entity is not None:
            query = query.where(history.c.entity == entity)
        if entity_id is not None:
            query = query.where(history.c.entity_id == entity_id)
        return [row_mappers.history(row) for row in self._db.rows(query)]

    def edits_after(self, edit_id: int, *, without: set[int]) -> list[Edit]:
        """List the edits that came after one, oldest first, some left out."""
        query = (
            sa.select(edits.c.id, edits.c.field_id, edits.c.command, history.c.entity, history.c.entity_id)
            .join(history, history.c.edit_id == edits.c.id)
            .where(edits.c.id > edit_id)
            .order_by(history.c.id)
        )
        by_edit: dict[int, tuple[int | None, str, dict[str, list[int]]]] = {}
        for row in self._db.rows(query):
            if row.id in without:
                continue
            touched = by_edit.setdefault(row.id, (row.field_id, row.command, {}))[2]
            touched.setdefault(row.entity, []).append(row.entity_id)
        return [
            Edit(edit_id, field_id, command, {entity: tuple(ids) for entity, ids in touched.items()})
            for edit_id, (field_id, command, touched) in by_edit.items()
        ]
