"""Write edits, rows and history together; undo and redo. Nothing else writes edits.

An edit is a list of changes. `write` applies them and appends one ``edits`` row and one ``history`` row a
change, inside the caller's transaction. Nothing in those two tables is ever updated, so the undo stack of a
field, annotator and reading is a linked list in the ``edits`` rows; its state is read off the newest of them:

======  =====================  ======================  =========================================
kind    top of the undo stack  top of the redo stack   the row also keeps
======  =====================  ======================  =========================================
do      itself                 empty                   ``below``: what was the undo top before
undo    ``undo_top``           itself                  ``redo_below``: what was the redo top before
redo    ``undo_top``           ``redo_top``
======  =====================  ======================  =========================================
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from annotation_store._db.engine import to_json
from annotation_store._db.tables import ENTITIES, edits, history
from annotation_store.errors import EditError
from annotation_store.geometry import SAME_CELL
from annotation_store.records import Edit, SuggestionState

Columns = Mapping[str, Any]

_TOMBSTONED = frozenset({"cell", "region", "ignore_area"})


@dataclass(frozen=True, slots=True)
class Change:
    """One row's change: `before` is ``None`` if it is added, `after` where it is deleted.

    For an addition or deletion the columns are all of the row's (without ``id`` and ``deleted``), else only
    those that differ. An addition without id gets one.
    """

    entity: str
    id: int | None
    before: Columns | None
    after: Columns | None

    @property
    def action(self) -> str:
        """Word of the history for it."""
        if self.before is None:
            return "add"
        return "delete" if self.after is None else "change"


@dataclass(frozen=True, slots=True)
class Scope:
    """What an undo may reach: one annotator's edits of one field in one reading."""

    field_id: int
    annotator: str
    reading_id: int


def now() -> str:
    """Return the current time as the database stores it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def write(
    connection: sa.Connection,
    scope: Scope,
    *,
    command: str,
    changes: Sequence[Change],
    system: bool = False,
) -> Edit:
    """Apply changes and record them as one new edit; `system` ones are outside anyone's undo."""
    changes = _apply(connection, changes)
    below = None if system else _undo_top(scope)
    return _record(
        connection,
        changes,
        scope,
        command=command,
        kind="system" if system else "do",
        below=below,
    )


def write_each(
    connection: sa.Connection, changes: Mapping[Scope, Sequence[Change]], *, command: str, first: int
) -> list[Edit]:
    """Apply changes of rows that exist, one new ``system`` edit per scope, in as many statements as for one.

    Parameters
    ----------
    first
        The next free number of an edit, read in the same transaction.
    """
    if not changes:
        return []
    _apply(connection, [change for group in changes.values() for change in group])
    numbered = list(enumerate(changes.items(), first))
    rows = [{"id": edit_id, **_edit_row(scope, command, "system")} for edit_id, (scope, _) in numbered]
    insert_many(connection, edits, rows)
    of_edits = [row for edit_id, (_, group) in numbered for row in _history_rows(edit_id, group)]
    insert_many(connection, history, of_edits)
    return [_edit(edit_id, scope, command, group) for edit_id, (scope, group) in numbered]


def undo(connection: sa.Connection, scope: Scope) -> Edit | None:
    """Undo the annotator's latest edit on the field; ``None`` if there is none."""
    last = _last(scope)
    redo_before = sa.select(
        sa.case((last.c.kind == "undo", last.c.id), (last.c.kind == "redo", last.c.redo_top), else_=None)
    ).scalar_subquery()
    rows = _edit_rows(connection, _undo_top(scope), redo_before)
    if not rows:
        return None
    edit = rows[0]
    changes = [
        Change(r.entity, r.entity_id, before=r.after, after=_reopen(r))
        # backwards: what an edit added last may lean on what it added first
        for r in reversed(rows)
    ]
    _reapply(connection, changes)
    return _record(
        connection,
        changes,
        scope,
        command=f"Undo: {edit.command}",
        kind="undo",
        undoes=edit.id,
        undo_top=edit.below,
        redo_below=edit.extra,
    )


def redo(connection: sa.Connection, scope: Scope) -> Edit | None:
    """Redo what the annotator last undid on the field; ``None`` if there is nothing."""
    taken_back = edits.alias()
    target = sa.select(taken_back.c.undoes).where(taken_back.c.id == _redo_top(scope)).scalar_subquery()
    next_redo = (
        sa.select(taken_back.c.redo_below).where(taken_back.c.id == _redo_top(scope)).scalar_subquery()
    )
    rows = _edit_rows(connection, target, next_redo)
    if not rows:
        return None
    edit = rows[0]
    changes = [Change(r.entity, r.entity_id, before=r.before, after=r.after) for r in rows]
    _reapply(connection, changes)
    return _record(
        connection,
        changes,
        scope,
        command=f"Redo: {edit.command}",
        kind="redo",
        undoes=edit.id,
        undo_top=edit.id,
        redo_top=edit.extra,
    )


def undoable(connection: sa.Connection, scope: Scope) -> str | None:
    """Return the command that `undo` would take back."""
    query = sa.select(edits.c.command).where(edits.c.id == _undo_top(scope))
    return connection.execute(query).scalar()


def undo_top(connection: sa.Connection, scope: Scope) -> int | None:
    """Return the number of the edit that `undo` would take back."""
    return connection.execute(sa.select(_undo_top(scope))).scalar()


def redoable(connection: sa.Connection, scope: Scope) -> str | None:
    """Return the command that `redo` would repeat."""
    taken_back = edits.alias()
    query = (
        sa.select(edits.c.command)
        .join(taken_back, taken_back.c.undoes == edits.c.id)
        .where(taken_back.c.id == _redo_top(scope))
    )
    return connection.execute(query).scalar()


def _last(scope: Scope) -> sa.Subquery:
    return (
        sa.select(edits)
        .where(
            edits.c.field_id == scope.field_id,
            edits.c.annotator == scope.annotator,
            edits.c.reading_id == scope.reading_id,
            edits.c.kind != "system",
        )
        .order_by(edits.c.id.desc())
        .limit(1)
        .subquery()
    )


def _undo_top(scope: Scope) -> sa.ScalarSelect[Any]:
    last = _last(scope)
    return sa.select(sa.case((last.c.kind == "do", last.c.id), else_=last.c.undo_top)).scalar_subquery()


def _redo_top(scope: Scope) -> sa.ScalarSelect[Any]:
    last = _last(scope)
    return sa.select(
        sa.case((last.c.kind == "undo", last.c.id), (last.c.kind == "redo", last.c.redo_top), else_=None)
    ).scalar_subquery()


def _edit_rows(connection: sa.Connection, edit_id: Any, extra: sa.ScalarSelect[Any]) -> Sequence[Any]:
    """Read an edit with its changes and one more number, in a single statement."""
    query = (
        sa.select(
            edits.c.id,
            edits.c.below,
            edits.c.command,
            extra.label("extra"),
            history.c.entity,
            history.c.entity_id,
            history.c.before,
            history.c.after,
            _replace().label("replaced"),
        )
        .join(history, history.c.edit_id == edits.c.id)
        .where(edits.c.id == edit_id)
        .order_by(history.c.id)
    )
    return connection.execute(query).all()


def _apply(connection: sa.Connection, changes: Sequence[Change]) -> list[Change]:
    """Write new changes to their tables; additions come back with their ids."""
    written: list[Change] = []
    for (entity, action), group in _group(changes):
        table = ENTITIES[entity]
        if action == "add":
            written += _insert(connection, table, group)
            continue
        # all of one edit's changes to one table set the same columns
        columns = sorted(group[0].after or ("deleted",))
        statement = (
            table.update()
            .where(table.c.id == sa.bindparam("row_id"))
            .values({c: sa.bindparam(f"new_{c}", type_=table.c[c].type) for c in columns})
        )
        parameters = [
            {"row_id": c.id, **{f"new_{k}": v for k, v in (c.after or {"deleted": True}).items()}}
            for c in group
        ]
        connection.execute(statement, parameters)
        written += group
    return written


def _insert(connection: sa.Connection, table: sa.Table, group: Sequence[Change]) -> list[Change]:
    if len(group) == 1 and group[0].id is None:
        result = connection.execute(table.insert().inline(), [dict(group[0].after or {})])
        return [Change(group[0].entity, int(result.lastrowid), None, group[0].after)]
    # rows are never removed, so the largest id is the last one given; the write lock keeps it so
    last = next_id(connection, table) - 1 if any(c.id is None for c in group) else 0
    numbered = []
    for change in group:
        if change.id is None:
            last += 1
        numbered.append(Change(change.entity, last if change.id is None else change.id, None, change.after))
    insert_many(connection, table, [{"id": c.id, **(c.after or {})} for c in numbered])
    return numbered


def insert_many(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows that all have the same columns, past SQLAlchemy's work on every single value.

    An import of 100,000 cells spends a third of its time there.
    """
    columns = list(rows[0])
    marks = ", ".join("?" * len(columns))
    listed = ", ".join(f'"{name}"' for name in columns)
    is_json = [isinstance(table.c[name].type, sa.JSON) for name in columns]
    values = [
        tuple(
            to_json(value) if json_ and value is not None else value
            for value, json_ in zip(map(row.__getitem__, columns), is_json, strict=True)
        )
        for row in rows
    ]
    connection.exec_driver_sql(f'INSERT INTO "{table.name}" ({listed}) VALUES ({marks})', values)


def next_id(connection: sa.Connection, table: sa.Table) -> int:
    """Return the next free id of a table; only inside a write transaction."""
    return 1 + int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0))).scalar_one())


def _group(changes: Iterable[Change]) -> list[tuple[tuple[str, str], list[Change]]]:
    groups: dict[tuple[str, str, tuple[str, ...]], list[Change]] = defaultdict(list)
    for change in changes:
        columns = tuple(sorted(change.after or ())) if change.action == "change" else ()
        groups[change.entity, change.action, columns].append(change)
    return [((entity, action), group) for (entity, action, _), group in groups.items()]


def _reapply(connection: sa.Connection, changes: Sequence[Change]) -> None:
    """Write changes of an undo or redo, provided that each row still has the expected values.

    Another annotator or program may have changed a row since; restoring the old value would
    silently throw that work away.
    """
    for (entity, action), group in _group(changes):
        table = ENTITIES[entity]
        after = group[0].after
        columns: dict[str, Any]
        if action == "change":
            assert after is not None
            columns = {c: sa.bindparam(f"new_{c}", type_=table.c[c].type) for c in sorted(after)}
            expected = sorted(group[0].before or ())
        else:
            columns = {"deleted": action == "delete"}
            expected = sorted(group[0].before or group[0].after or ())
        conditions = [table.c.id == sa.bindparam("row_id")]
        for name in expected:
            old = sa.bindparam(f"old_{name}", type_=table.c[name].type)
            if isinstance(table.c[name].type, sa.JSON):
                # compared as JSON, not as text: another version may have written other spaces
                same = sa.func.json(table.c[name]).is_not_distinct_from(sa.func.json(old))
            else:
                same = table.c[name].is_not_distinct_from(old)
            if entity == "suggestion" and name == "state":
                # a newer model may have superseded what was pending; a person's word still holds
                superseded = sa.and_(
                    old == SuggestionState.PENDING.value,
                    table.c.state == SuggestionState.SUPERSEDED.value,
                )
                same = sa.or_(same, superseded)
            conditions.append(same)
        if entity in _TOMBSTONED:
            conditions.append(table.c.deleted == (action == "add"))
        statement = table.update().where(*conditions).values(columns)
        parameters = []
        for change in group:
            row = {"row_id": change.id}
            if action == "change":
                row |= {f"new_{k}": v for k, v in (change.after or {}).items()}
            row |= {f"old_{k}": v for k, v in (change.before or change.after or {}).items()}
            parameters.append(row)
        if connection.execute(statement, parameters).rowcount != len(group):
            raise EditError(
                "This edit cannot be undone or redone: someone has changed "
                f"the same {entity.replace('_', ' ')} since. Change it by hand instead."
            )


def _reopen(row: Any) -> Columns | None:
    """Return the values of a row after an undo; see `_replace`."""
    before: Columns | None = row.before
    if row.replaced and before is not None and before.get("state") == SuggestionState.PENDING.value:
        return {**before, "state": SuggestionState.SUPERSEDED.value}
    return before


def _replace() -> sa.ColumnElement[bool]:
    """Return whether a newer model has meanwhile proposed the same cell as a history row's suggestion.

    Then an undo must not offer the old proposal beside the new one.
    """
    old, new = ENTITIES["suggestion"].alias("old"), ENTITIES["suggestion"].alias("new")
    width = sa.func.min(old.c.x + old.c.w, new.c.x + new.c.w) - sa.func.max(old.c.x, new.c.x)
    height = sa.func.min(old.c.y + old.c.h, new.c.y + new.c.h) - sa.func.max(old.c.y, new.c.y)
    union = old.c.w * old.c.h + new.c.w * new.c.h - width * height
    newer = (
        sa.select(new.c.id)
        .join_from(old, new, new.c.field_id == old.c.field_id)
        .where(
            old.c.id == history.c.entity_id,
            new.c.id > old.c.id,
            # of one batch, neither is newer
            new.c.created != old.c.created,
            new.c.state == "pending",
            width > 0,
            height > 0,
            width * height >= SAME_CELL * union,
        )
        .correlate(history)
    )
    return sa.and_(history.c.entity == "suggestion", newer.exists())


def _record(
    connection: sa.Connection,
    changes: Sequence[Change],
    scope: Scope,
    *,
    command: str,
    kind: str,
    **stack: Any,
) -> Edit:
    stack = {name: value for name, value in stack.items() if value is not None}
    row = _edit_row(scope, command, kind) | stack
    edit_id = int(connection.execute(edits.insert().inline().values(**row)).lastrowid)
    insert_many(connection, history, _history_rows(edit_id, changes))
    return _edit(edit_id, scope, command, changes)


def _edit_row(scope: Scope, command: str, kind: str) -> dict[str, Any]:
    return {
        "at": now(),
        "annotator": scope.annotator,
        "reading_id": scope.reading_id,
        "field_id": scope.field_id,
        "command": command,
        "kind": kind,
    }


def _history_rows(edit_id: int, changes: Sequence[Change]) -> list[dict[str, Any]]:
    return [
        {
            "edit_id": edit_id,
            "entity": change.entity,
            "entity_id": change.id,
            "action": change.action,
            "before": None if change.before is None else dict(change.before),
            "after": None if change.after is None else dict(change.after),
        }
        for change in changes
    ]


def _edit(edit_id: int, scope: Scope, command: str, changes: Sequence[Change]) -> Edit:
    touched: dict[str, list[int]] = defaultdict(list)
    for change in changes:
        assert change.id is not None
        touched[change.entity].append(change.id)
    return Edit(edit_id, scope.field_id, command, {entity: tuple(ids) for entity, ids in touched.items()})
