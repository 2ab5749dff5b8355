"""Write the rows of another copy into this one, in one transaction, field by field."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa

from annotation_store._db import history as writer
from annotation_store._db.history import insert_many, next_id
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import (
    active_time,
    annotators,
    edits,
    fields,
    history,
    models,
    origins,
    readings,
    reserve,
)
from annotation_store.copies.conflicts import Disagreements
from annotation_store.copies.naming import named_apart
from annotation_store.copies.replica import (
    DESCRIBED,
    TABLES,
    Columns,
    EditRow,
    Entity,
    FieldLog,
    Operation,
    Replica,
    Uid,
    counts,
)
from annotation_store.copies.report import Brought
from annotation_store.copies.settle import Settled, settle
from annotation_store.schema import Schema

COMMAND = "Merge projects"
_POINTERS = ("undoes", "below", "undo_top", "redo_top", "redo_below")
_MARKS = ("cell", "region", "ignore_area")
_PENDING = {"state": "pending", "reason": None, "cell_id": None}


class Files(Protocol):
    """Puts files of new fields and models into their places."""

    def field(self, row: Mapping[str, Any], field_id: int) -> None:
        """Move the pixels and the original of a field, by its row there and its number here."""

    def model(self, uid: Uid, model_id: int) -> None:
        """Move the files of a model."""

    def done(self) -> None:
        """Write the names of what was moved to the disk."""


class Bring:
    """Bring one copy into another, within a transaction that the caller holds.

    Parameters
    ----------
    here, there
        The two copies; `there` is only read.
    schema
        What `here` has once both are together.
    report
        Is filled in.
    """

    files: Files | None = None

    def __init__(
        self,
        connection: sa.Connection,
        session: DatabaseSession,
        here: Replica,
        there: Replica,
        schema: Schema,
        report: Brought,
    ) -> None:
        self._connection, self._session, self._schema = connection, session, schema
        self.here, self.there, self.report = here, there, report
        self._fields = {content: field_id for field_id, content in here.fields.items()}
        self._models = {uid: model_id for model_id, uid in reversed(here.models.items())}
        self._readings = {uid: reading_id for reading_id, uid in here.readings.items()}
        self._redescribed: set[Uid] = set()
        self._people: set[str] = set()
        self._descriptions: dict[Uid, dict[Uid, Operation]] = {}
        self._disagreements = Disagreements(connection, session, here, report, self._local)

    def run(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Bring in models, fields, and what was done on each field."""
        self._bring_models()
        new = self._bring_fields()
        order = list(self.there.fields.items())
        for done, (there_id, content) in enumerate(order):
            self._bring_field(self._fields[content], there_id)
            if progress is not None:
                progress(done + 1, len(order))
        for there_id, content in order:
            self._describe(self._fields[content], there_id)
        if new:
            named_apart(self._connection, self.here)
        self._bring_times()
        if self.files is not None:
            self.files.done()

    # -- models, fields, readings -----------------------------------------------------------------

    def _bring_models(self) -> None:
        parents: dict[int, str] = {}
        query = sa.select(models).where(models.c.ready).order_by(models.c.id)
        for row in self._other(query):
            uid = self.there.models[row["id"]]
            if uid in self._models:
                continue
            new = {**row, "id": next_id(self._connection, models), "active": False}
            self._connection.execute(models.insert(), [new])
            if self.files is not None:
                self.files.model(uid, new["id"])
            self._models[uid] = new["id"]
            self.here.models[new["id"]] = uid
            parents[new["id"]] = row["parent"]
            self.report.models += 1
        for model_id, parent in parents.items():
            # by its number there; of starters and files it is a word
            parent_uid = self.there.models.get(int(parent)) if parent.isdigit() else None
            if parent_uid is not None:
                change = models.update().where(models.c.id == model_id)
                self._connection.execute(change.values(parent=str(self._models[parent_uid])))

    def _bring_fields(self) -> bool:
        used = {row.name for row in self._connection.execute(sa.select(fields.c.name))}
        first = next_id(self._connection, fields)
        for row in self._other(sa.select(fields).order_by(fields.c.id)):
            content = row["content_hash"]
            if content in self._fields:
                continue
            field_id, first = first, first + 1
            entity, roots, _ = self.there.describe(row["id"])
            name = _free(row["name"], used)
            used.add(name)
            new = {**row, "id": field_id, "name": name, "overlaps": None}
            insert_many(self._connection, fields, [new])
            if self.files is not None:
                self.files.field(row, field_id)
            self._fields[content] = field_id
            self.here.fields[field_id] = content
            about = {"roots": roots} | {k: v for k, v in entity.about.items() if k == "heads"}
            self._keep_origins([("field", field_id, content, entity.number, about)])
            self._redescribed.add(content)
            self.report.fields += 1
        return bool(self.report.fields)

    def _reading(self, uid: Uid | None) -> int | None:
        """Return the id of a reading here; add the reading if it is missing."""
        if uid is None or uid in self._readings:
            return self._readings.get(uid) if uid is not None else None
        there_id = next(i for i, known_uid in self.there.readings.items() if known_uid == uid)
        row = next(iter(self._other(sa.select(readings).where(readings.c.id == there_id))))
        used = {row.name for row in self._connection.execute(sa.select(readings.c.name))}
        name = row["name"]
        if name in used:
            name = _free(f"{name} ({row['annotator'] or 'no reader'})", used)
        reading_id = next_id(self._connection, readings)
        self._connection.execute(readings.insert(), [{**row, "id": reading_id, "name": name}])
        self._readings[uid] = reading_id
        self.here.readings[reading_id] = uid
        self._keep_origins([("reading", reading_id, uid, reading_id, None)])
        self._know(row["annotator"])
        self.report.readings.append(name)
        return reading_id

    def _know(self, annotator: str) -> None:
        if annotator and annotator not in self._people:
            self._people.add(annotator)
            self._connection.execute(annotators.insert().prefix_with("OR IGNORE"), [{"name": annotator}])

    # -- one field --------------------------------------------------------------------------------

    def _bring_field(self, field_id: int, there_id: int) -> None:
        theirs = self.there.log(there_id)
        if not theirs.edits and not theirs.entities:
            return
        ours = self.here.log(field_id)
        own_uids = {edit.uid for edit in ours.edits}
        new_edits = [edit for edit in theirs.edits if not edit.derived and edit.uid not in own_uids]
        operations = self.there.operations(theirs)
        new_entities = [
            e for e in theirs.entities.values() if e.uid not in ours.entities and _is_brought(e, operations)
        ]
        if not new_edits and not new_entities:
            return
        before = set(ours.entities)
        self._add_rows(field_id, theirs, ours, new_entities)
        touched = self._add_edits(field_id, theirs, ours, new_edits, operations)
        touched.update(entity.uid for entity in new_entities)
        if touched:
            self._settle(field_id, touched, theirs, before)

    def _add_rows(self, field_id: int, theirs: FieldLog, ours: FieldLog, entities: Sequence[Entity]) -> None:
        local = {(kind, uid): row_id for (kind, row_id), uid in ours.ids.items()}
        by_kind: dict[str, list[Entity]] = defaultdict(list)
        for entity in entities:
            by_kind[entity.kind].append(entity)
        for kind, group in by_kind.items():
            first = next_id(self._connection, TABLES[kind])
            local |= {(kind, entity.uid): first + n for n, entity in enumerate(group)}
        for kind in TABLES:  # what is referred to comes first
            rows, new_origins = [], []
            for entity in by_kind.get(kind, ()):
                row_id = local[kind, entity.uid]
                columns = self._local(self.there.portable(entity.row, theirs) or {}, local)
                columns |= {"id": row_id, "field_id": field_id}
                if kind == "suggestion" and columns["state"] == "pending":
                    columns["state"] = "superseded"
                rows.append(columns)
                about = {k: v for k, v in entity.about.items() if k in ("heads", "of", "pair")} or None
                new_origins.append((kind, row_id, entity.uid, entity.number, about))
                ours.ids[kind, row_id] = entity.uid
                if not columns.get("deleted"):
                    self.report.cells += kind == "cell"
                    self.report.regions += kind == "region"
                self.report.other += kind == "suggestion"
            if rows:
                insert_many(self._connection, TABLES[kind], rows)
                self._keep_origins(new_origins)

    def _add_edits(
        self,
        field_id: int,
        theirs: FieldLog,
        ours: FieldLog,
        new_edits: Sequence[EditRow],
        operations: Mapping[Uid, Sequence[Operation]],
    ) -> set[Uid]:
        """Append edits with their history; return the rows that they change."""
        local = {(kind, uid): row_id for (kind, row_id), uid in ours.ids.items()}
        uids = {edit.row["id"]: edit.uid for edit in theirs.edits}
        numbers = {edit.uid: edit.row["id"] for edit in ours.edits}
        knew = {(op.uid, uid): op for uid, ops in operations.items() for op in ops}
        first = next_id(self._connection, edits)
        rows: list[dict[str, Any]] = []
        changes: list[dict[str, Any]] = []
        new_origins, touched = [], set[Uid]()
        for edit in new_edits:
            edit_changes: list[dict[str, Any]] = []
            knew_of: dict[Uid, Any] = {}
            for change in edit.changes:
                uid, row_id, operation = self._target(edit, change, theirs, local, knew)
                if row_id is None or operation is None:
                    continue
                before, after = (
                    None if columns is None else self._local(columns, local)
                    for columns in (operation.before, operation.after)
                )
                if change.action == "change" and not after:
                    continue
                knew_of[uid] = [sorted(operation.parents), operation.depth]
                edit_changes.append(
                    {
                        "edit_id": first,
                        "entity": change.entity,
                        "entity_id": row_id,
                        "action": change.action,
                        "before": before,
                        "after": after,
                    }
                )
                if change.entity == "field":
                    self._redescribed.add(uid)
                else:
                    touched.add(uid)
            if not edit_changes:
                continue
            row = {name: edit.row[name] for name in ("at", "annotator", "command", "kind")}
            row |= {"id": first, "field_id": field_id}
            row["reading_id"] = self._reading(self.there.readings.get(edit.row["reading_id"]))
            for name in _POINTERS:
                row[name] = numbers.get(uids.get(edit.row[name], ""))
            self._know(row["annotator"])
            numbers[edit.uid] = first
            rows.append(row)
            changes += edit_changes
            new_origins.append(("edit", first, edit.uid, first, {"knew": knew_of}))
            first += 1
        if rows:
            insert_many(self._connection, edits, rows)
            insert_many(self._connection, history, changes)
            self._keep_origins(new_origins)
            self.report.edits += len(rows)
        return touched

    def _target(
        self,
        edit: EditRow,
        change: Any,
        theirs: FieldLog,
        local: Mapping[tuple[str, Uid], int],
        knew: Mapping[tuple[Uid, Uid], Operation],
    ) -> tuple[Uid, int | None, Operation | None]:
        """Return what a change is about, its number here, and the change as every copy knows it."""
        if not counts(edit, change):
            return "", None, None
        if change.entity == "field":
            content = self.there.fields.get(change.entity_id)
            if content is None:
                return "", None, None
            if content not in self._descriptions:
                self._descriptions[content] = {op.uid: op for op in self.there.describe(change.entity_id)[2]}
            return content, self._fields.get(content), self._descriptions[content].get(edit.uid)
        uid = theirs.ids.get((change.entity, change.entity_id), "")
        return uid, local.get((change.entity, uid)), knew.get((edit.uid, uid))

    def _local(self, columns: Columns, local: Mapping[tuple[str, Uid], int]) -> dict[str, Any]:
        """Put the numbers of this project in the place of uids."""
        result = dict(columns)
        for name, value in columns.items():
            if name in ("cell_id", "suggestion_id", "region_id"):
                result[name] = local.get((name.removesuffix("_id"), value))
            elif name == "field_id":
                result[name] = self._fields.get(value)
            elif name == "reading_id":
                result[name] = self._reading(value)
            elif name == "model_id":
                result[name] = self._models.get(value)
            elif name == "overlaps" and value is not None:
                result[name] = {
                    str(self._fields[k]): v for k, v in value.items() if k in self._fields
                } or None
        return result

    # -- merged rows ------------------------------------------------------------------------------

    def _settle(self, field_id: int, touched: Iterable[Uid], theirs: FieldLog, before: set[Uid]) -> None:
        ours = self.here.log(field_id)
        operations = self.here.operations(ours)
        local = {(kind, uid): row_id for (kind, row_id), uid in ours.ids.items()}
        changes: list[writer.Change] = []
        results: dict[Uid, tuple[Entity, Settled]] = {}
        for uid in sorted(touched):
            entity = ours.entities[uid]
            ops = operations.get(uid)
            if not ops:
                continue
            result = settle(entity.kind, ops)
            results[uid] = (entity, result)
            recorded, deleted = _recorded_state(ours, entity)
            columns = recorded | self._local(result.columns, local)
            if entity.kind == "cell" and columns.get("attributes"):
                columns["attributes"] = _in_order(columns["attributes"], self._schema)
            if entity.kind == "suggestion" and columns["state"] == "pending":
                waits = uid in before and recorded["state"] != "superseded"
                columns |= _PENDING | ({} if waits else {"state": "superseded"})
            self._write(entity, columns, deleted=result.deleted)
            if (change := _difference(entity, recorded, columns, deleted, result.deleted)) is not None:
                changes.append(change)
        changes += self._disagreements.of_field(field_id, ours, operations, results, theirs, before)
        self._record(field_id, changes)

    def _write(self, entity: Entity, columns: Columns, *, deleted: bool) -> None:
        new = {name: value for name, value in columns.items() if entity.row[name] != value}
        if entity.kind in _MARKS and bool(entity.row["deleted"]) != deleted:
            new["deleted"] = deleted
        new.pop("id", None)
        if new:
            table = fields if entity.kind == "field" else TABLES[entity.kind]
            self._connection.execute(table.update().where(table.c.id == entity.id).values(new))

    def _record(self, field_id: int, changes: Sequence[writer.Change]) -> None:
        """Append an edit without an author: differences that the order of the history does not explain."""
        if not changes:
            return
        edit_id = next_id(self._connection, edits)
        row = {
            "id": edit_id,
            "at": writer.now(),
            "annotator": self._session.annotator,
            "field_id": field_id,
            "reading_id": self._session.reading.id,
            "command": COMMAND,
            "kind": "system",
        }
        insert_many(self._connection, edits, [row])
        rows = [
            {
                "edit_id": edit_id,
                "entity": change.entity,
                "entity_id": change.id,
                "action": change.action,
                "before": change.before,
                "after": change.after,
            }
            for change in changes
        ]
        insert_many(self._connection, history, rows)
        self._keep_origins([("edit", edit_id, f"derived-{uuid.uuid4().hex}", edit_id, {"derived": True})])

    # -- fields as a whole ------------------------------------------------------------------------

    def _describe(self, field_id: int, there_id: int) -> None:
        content = self.here.fields[field_id]
        _, theirs, _ = self.there.describe(there_id)
        entity, ours, operations = self.here.describe(field_id)
        known_roots = {root["uid"] for root in ours}
        new = [root for root in theirs if root["uid"] not in known_roots]
        if content not in self._redescribed and not new:
            return
        roots = [*ours, *new]
        if new:
            self._freeze(field_id, content, operations)
            about = {**entity.about, "roots": roots, "heads": {root["uid"]: 0 for root in roots}}
            self._keep_origins([("field", field_id, content, entity.number, about)], replace=True)
            self.report.other += 1
        starts = [
            Operation(root["uid"], frozenset(), 0, {}, {k: v for k, v in root["values"].items() if v})
            for root in roots
        ]
        result = settle("field", [*starts, *operations])
        recorded = {name: entity.row[name] for name in (*DESCRIBED, "overlaps")}
        for row in self._connection.execute(
            sa.select(history.c.after)
            .where(history.c.entity == "field", history.c.entity_id == field_id)
            .order_by(history.c.id)
        ):
            recorded |= {name: value for name, value in (row.after or {}).items() if name in recorded}
        columns = recorded | self._local(result.columns, {})
        self._write(entity, columns, deleted=False)
        change = _difference(entity, recorded, columns, False, False)
        changes = [change] if change is not None else []
        changes += self._disagreements.of_description(field_id, entity, result, [*starts, *operations])
        self._record(field_id, changes)

    def _freeze(self, field_id: int, content: str, operations: Sequence[Operation]) -> None:
        """Store what each change of a field knew, before the field gets more roots."""
        operation_of = {op.uid: op for op in operations}
        for edit in self.here.edits_of(field_id):
            if edit.uid not in operation_of:
                continue
            op = operation_of[edit.uid]
            knew = {**edit.known.get("knew", {}), content: [sorted(op.parents), op.depth]}
            about = {**edit.known, "knew": knew}
            self._keep_origins([("edit", edit.row["id"], edit.uid, edit.row["id"], about)], replace=True)

    # -- the rest ---------------------------------------------------------------------------------

    def _bring_times(self) -> None:
        """Take the longer of two times at work, and the fields that were drawn at random on either side."""
        own_times = {
            (row.annotator, row.field_id): row for row in self._connection.execute(sa.select(active_time))
        }
        for row in self._other(sa.select(active_time).order_by(active_time.c.id)):
            field_id = self._fields[self.there.fields[row["field_id"]]]
            own_time = own_times.get((row["annotator"], field_id))
            if own_time is None:
                new = {**row, "id": next_id(self._connection, active_time), "field_id": field_id}
                self._connection.execute(active_time.insert(), [new])
            elif own_time.seconds < row["seconds"]:
                change = active_time.update().where(active_time.c.id == own_time.id)
                self._connection.execute(change.values(seconds=row["seconds"]))
            else:
                continue
            self.report.other += 1
        drawn = {row.field_id for row in self._connection.execute(sa.select(reserve))}
        for row in self._other(sa.select(reserve).order_by(reserve.c.field_id)):
            field_id = self._fields[self.there.fields[row["field_id"]]]
            if field_id not in drawn:
                self._connection.execute(reserve.insert(), [{**row, "field_id": field_id}])
                self.report.other += 1

    def _other(self, query: Any) -> list[dict[str, Any]]:
        return [dict(row._mapping) for row in self.there.rows(query)]

    def _keep_origins(self, rows: Sequence[tuple[str, int, Uid, int, Any]], *, replace: bool = False) -> None:
        if replace:
            for entity, row_id, *_ in rows:
                self._connection.execute(
                    origins.delete().where(origins.c.entity == entity, origins.c.row_id == row_id)
                )
        names = ("entity", "row_id", "uid", "number", "about")
        insert_many(self._connection, origins, [dict(zip(names, row, strict=True)) for row in rows])


def _is_brought(entity: Entity, operations: Mapping[Uid, Sequence[Operation]]) -> bool:
    """Return whether a row is brought in: not a pending suggestion, nor a conflict that is found again."""
    if entity.kind == "suggestion":
        return entity.uid in operations
    if entity.kind == "conflict":
        return entity.uid in operations or ("of" not in entity.about and entity.row["state"] == "open")
    return True


def _recorded_state(log: FieldLog, entity: Entity) -> tuple[dict[str, Any], bool]:
    """Return the state of a row according to its history, and whether it is deleted."""
    columns = {name: value for name, value in entity.row.items() if name not in ("id", "deleted")}
    deleted = bool(entity.row.get("deleted", False))
    for edit in log.edits:
        for change in edit.changes:
            if change.entity == entity.kind and change.entity_id == entity.id:
                columns.update(change.after or {})
                deleted = change.action == "delete"
    return columns, deleted


def _difference(
    entity: Entity, recorded: Columns, columns: Columns, was_deleted: bool, deleted: bool
) -> writer.Change | None:
    """Return the change from the state in the history to the merged state."""
    if was_deleted and deleted:
        return None
    if was_deleted:
        return writer.Change(entity.kind, entity.id, None, dict(columns))
    if deleted:
        return writer.Change(entity.kind, entity.id, dict(recorded), None)
    names = [name for name in columns if columns[name] != recorded[name]]
    if not names:
        return None
    return writer.Change(
        entity.kind, entity.id, {n: recorded[n] for n in names}, {n: columns[n] for n in names}
    )


def _in_order(values: Mapping[str, Any], schema: Schema) -> dict[str, Any]:
    in_schema = [name for name in schema.attribute_names if name in values]
    return {name: values[name] for name in (*in_schema, *sorted(values.keys() - set(in_schema)))}


def _free(name: str, used: set[str]) -> str:
    number, free = 2, name
    while free in used:
        free = f"{name} ({number})"
        number += 1
    return free
