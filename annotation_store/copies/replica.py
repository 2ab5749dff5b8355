"""A project as other copies see it: the global ids of its rows, and what each change knew.

A number (``cells.id``) means something in one database only. What a row is called in every copy of a
project, its *uid*, follows from what is never changed: an edit's from its own rows, a cell's from the edit
that added it, a suggestion's from its model, time and box, a field's from its pixels. Nothing has to be kept
for it when a cell is boxed, and two copies of a folder that were made by hand agree on it. What came from
another copy keeps the uid that it had there, in the table ``origins``.

What one change knew of another (its *parents*) follows from the order of the edits in the copy where it was
made; of what came from elsewhere it is kept in ``origins`` too. Times are never compared: clocks differ.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from annotation_store._db.tables import (
    cells,
    conflicts,
    edits,
    fields,
    history,
    ignore_areas,
    models,
    origins,
    readings,
    regions,
    suggestions,
)
from annotation_store._db.tables import project as project_table
from annotation_store.files.disk import hash_of
from annotation_store.files.layout import MODELS, inside
from annotation_store.records import RETIRED

Uid = str
Columns = Mapping[str, Any]

TABLES: dict[str, sa.Table] = {
    "suggestion": suggestions,
    "cell": cells,
    "region": regions,
    "ignore_area": ignore_areas,
    "conflict": conflicts,
}
"""What belongs to one field, by the word of the history; the first ones are what the later ones refer to."""

DESCRIBED = (
    "patient",
    "slide",
    "domain",
    "pixel_size_um",
    "microscope",
    "camera",
    "magnification",
    "stain",
    "quality",
    "note",
    "skipped",
)
"""What is said of a field as a whole, and differs from one copy to another."""

_ELSEWHERE = {"cell_id": "cell", "suggestion_id": "suggestion", "region_id": "region"}
_LOCAL = frozenset({"source_path"})
"""Where a slide lies is a matter of each computer."""


_OF_FIELD: sa.BindParameter[Any] = sa.bindparam("of_field")


def _join_field(entity: str, table: sa.Table, where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    return (
        sa.select(
            table,
            origins.c.uid.label("origin_uid"),
            origins.c.number.label("origin_number"),
            origins.c.about.label("origin_about"),
        )
        .outerjoin(origins, sa.and_(origins.c.entity == entity, origins.c.row_id == table.c.id))
        .where(where)
        .order_by(table.c.id)
    )


# made once: to make a statement takes longer than to run it


@lru_cache
def _rows_of(kind: str) -> sa.Select[Any]:
    if kind == "field":
        return _join_field(kind, fields, fields.c.id == _OF_FIELD)
    return _join_field(kind, TABLES[kind], TABLES[kind].c.field_id == _OF_FIELD)


def _edit_condition(selection: str) -> sa.ColumnElement[bool]:
    """Return the condition for edits *on* a field, or for those *describing* it as a whole."""
    if selection == "on":
        return edits.c.field_id == _OF_FIELD
    touching = sa.select(history.c.edit_id).where(
        history.c.entity == "field", history.c.entity_id == _OF_FIELD
    )
    return edits.c.id.in_(touching)


@lru_cache
def _edit_rows(selection: str) -> sa.Select[Any]:
    return _join_field("edit", edits, _edit_condition(selection))


@lru_cache
def _changes(selection: str) -> sa.Select[Any]:
    query = sa.select(history).join(edits, edits.c.id == history.c.edit_id)
    return query.where(_edit_condition(selection)).order_by(history.c.id)


def digest(*parts: Any) -> Uid:
    """Return a name for plain values, the same wherever it is computed."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of one row, as every copy knows it.

    Attributes
    ----------
    uid
        That of its edit; an edit changes a row once.
    parents, depth
        The latest changes of the row that it knew, and the length of the longest way back.
    before, after
        As the history has them, with uids in place of numbers.
    """

    uid: Uid
    parents: frozenset[Uid]
    depth: int
    before: Columns | None
    after: Columns | None
    annotator: str = ""
    command: str = ""


@dataclass(slots=True)
class Entity:
    """A row that people change: its name everywhere, its number here."""

    kind: str
    id: int
    uid: Uid
    number: int
    row: dict[str, Any]
    about: dict[str, Any]
    stored: bool


@dataclass(slots=True)
class EditRow:
    """An edit with its rows of history.

    Attributes
    ----------
    derived
        Whether it only settles what several copies said: no one's work, and of this copy alone.
    """

    uid: Uid
    derived: bool
    row: dict[str, Any]
    changes: list[Any]
    known: dict[str, Any]


@dataclass(slots=True)
class FieldLog:
    """All that was done on one field: its edits, oldest first, and its rows by their uid."""

    hash: str
    edits: list[EditRow] = field(default_factory=list)
    entities: dict[Uid, Entity] = field(default_factory=dict)
    ids: dict[tuple[str, int], Uid] = field(default_factory=dict)


class Replica:
    """One copy of a project, read through a connection.

    Parameters
    ----------
    folder
        The copy's folder, for the files of its models.
    """

    def __init__(self, connection: sa.Connection, folder: Path) -> None:
        self._connection = connection
        self.folder = folder
        project_row = connection.execute(sa.select(project_table.c.uid)).one()
        self.uid = str(project_row.uid)
        self.readings: dict[int, Uid] = {}
        self.models: dict[int, Uid] = {}
        self.fields: dict[int, str] = {}
        self.read_names()

    def read_names(self) -> None:
        """Read the names of readings, models and fields again."""
        stored = self._stored("reading")
        self.readings = {
            row.id: stored.get(row.id) or digest("reading", row.name, row.annotator)
            for row in self.rows(sa.select(readings))
        }
        self.models = {
            row.id: _model_uid(self.folder, row)
            for row in self.rows(sa.select(models).where(models.c.ready).order_by(models.c.id))
        }
        of_cards = self.rows(sa.select(models.c.id, models.c.card).where(models.c.ready))
        self.retired = {row.id for row in of_cards if isinstance(row.card, dict) and RETIRED in row.card}
        self.fields = {
            row.id: row.content_hash for row in self.rows(sa.select(fields.c.id, fields.c.content_hash))
        }

    def rows(self, query: Any) -> Iterable[Any]:
        """Read from this copy."""
        return self._connection.execute(query)

    def _stored(self, entity: str) -> dict[int, Uid]:
        query = sa.select(origins.c.row_id, origins.c.uid).where(origins.c.entity == entity)
        return {row.row_id: row.uid for row in self.rows(query)}

    # -- one field --------------------------------------------------------------------------------

    def log(self, field_id: int) -> FieldLog:
        """Read the edits and rows of a field; two statements, and one per kind of row."""
        log = FieldLog(self.fields[field_id])
        log.edits = self._edits("on", field_id)
        added: dict[tuple[str, int], Uid] = {}
        for edit in log.edits:
            for change in edit.changes:
                if change.action == "add":
                    added.setdefault((change.entity, change.entity_id), edit.uid)
        for kind in TABLES:
            seen: dict[Uid, int] = {}
            for row in self._with_origin(_rows_of(kind), field_id):
                uid = row["origin_uid"] or self._native(kind, row, added, log)
                seen[uid] = seen.get(uid, 0) + 1
                if seen[uid] > 1:
                    uid = digest(uid, seen[uid])
                self._keep(log, kind, row, uid)
        return log

    def edits_of(self, field_id: int) -> list[EditRow]:
        """Read the edits that changed the description of a field."""
        return self._edits("describing", field_id)

    def _edits(self, selection: str, field_id: int) -> list[EditRow]:
        changes_of: dict[int, list[Any]] = {}
        for change in self._connection.execute(_changes(selection), {"of_field": field_id}):
            changes_of.setdefault(change.edit_id, []).append(change)
        result = []
        for row in self._with_origin(_edit_rows(selection), field_id):
            changes = changes_of.get(row["id"], [])
            about = row["origin_about"] or {}
            uid = row["origin_uid"] or self._edit_uid(row, changes)
            result.append(EditRow(uid, bool(about.get("derived")), row, changes, about))
        return result

    def _with_origin(self, query: sa.Select[Any], field_id: int) -> Iterator[dict[str, Any]]:
        for row in self._connection.execute(query, {"of_field": field_id}):
            yield dict(row._mapping)

    def _keep(self, log: FieldLog, kind: str, row: dict[str, Any], uid: Uid) -> None:
        number, about = row.pop("origin_number"), row.pop("origin_about")
        stored = row.pop("origin_uid") is not None
        log.ids[kind, row["id"]] = uid
        log.entities[uid] = Entity(kind, row["id"], uid, number or row["id"], row, about or {}, stored)

    def _edit_uid(self, row: Columns, changes: Iterable[Any]) -> Uid:
        """Name an edit after its own content: it is never changed, and a copy made by hand has it too."""
        return digest(
            "edit",
            self.uid,
            *(row[name] for name in ("id", "at", "annotator", "field_id", "reading_id", "command", "kind")),
            [[c.entity, c.entity_id, c.action, c.before, c.after] for c in changes],
        )

    def _native(self, kind: str, row: Columns, added: Mapping[tuple[str, int], Uid], log: FieldLog) -> Uid:
        if kind == "suggestion":
            model = self.models.get(row["model_id"], "")
            return digest(kind, log.hash, model, row["created"], [row[n] for n in ("x", "y", "w", "h")])
        if kind == "conflict":
            cell = log.ids.get(("cell", row["cell_id"]), "")
            return digest(kind, cell, row["at"], row["place"], row["here"], row["there"])
        edit = added.get((kind, row["id"]))
        return digest(kind, self.uid if edit is None else edit, row["id"])

    # -- a field as a whole -----------------------------------------------------------------------

    def describe(self, field_id: int) -> tuple[Entity, list[dict[str, Any]], list[Operation]]:
        """Return a field's row, its *roots* (its description when it was added), and the changes since.

        Two copies to which the same picture was added each have a root of their own.
        """
        (row,) = self._with_origin(_rows_of("field"), field_id)
        about, number = row.pop("origin_about") or {}, row.pop("origin_number")
        stored = row.pop("origin_uid") is not None
        content = self.fields[field_id]
        entity = Entity("field", field_id, content, number or field_id, row, about, stored)
        own_edits = self.edits_of(field_id)
        roots = about.get("roots") or [self._root(row, own_edits, field_id)]
        start = about.get("heads") or {root["uid"]: 0 for root in roots}
        log = FieldLog(content, own_edits, {content: entity}, {("field", field_id): content})
        return entity, roots, self.operations(log, {content: start}).get(content, [])

    def _root(self, row: Columns, own: list[EditRow], field_id: int) -> dict[str, Any]:
        """Return the description of a field when it was added: the current one with every change reverted."""
        values = {name: row[name] for name in DESCRIBED}
        for edit in reversed(own):
            for change in edit.changes:
                if change.entity == "field" and change.entity_id == field_id:
                    values |= {n: v for n, v in (change.before or {}).items() if n in values}
        values["skipped"] = bool(values["skipped"])
        uid = digest("root", row["content_hash"], row["name"], values)
        return {"uid": uid, "name": row["name"], "values": values}

    # -- operations -------------------------------------------------------------------------------

    def operations(
        self, log: FieldLog, start: Mapping[Uid, Mapping[Uid, int]] | None = None
    ) -> dict[Uid, list[Operation]]:
        """Return the changes of each row, each after the changes that it knew.

        Parameters
        ----------
        start
            Row to the changes known before any that stands here, with their depths.
        """
        heads: dict[Uid, dict[Uid, int]] = {
            uid: dict(known_before) for uid, known_before in (start or {}).items()
        }
        result: dict[Uid, list[Operation]] = {}
        for edit in log.edits:
            if edit.derived:
                continue
            for change in edit.changes:
                uid = log.ids.get((change.entity, change.entity_id))
                if uid is None or not counts(edit, change):
                    continue
                if uid not in heads:
                    heads[uid] = dict(log.entities[uid].about.get("heads") or {})
                knew = edit.known.get("knew", {}).get(uid)
                parents = dict.fromkeys(knew[0], 0) if knew else heads[uid]
                depth = int(knew[1]) if knew else 1 + max(heads[uid].values(), default=0)
                result.setdefault(uid, []).append(
                    Operation(
                        edit.uid,
                        frozenset(parents),
                        depth,
                        self.portable(change.before, log),
                        self.portable(change.after, log),
                        edit.row["annotator"],
                        edit.row["command"],
                    )
                )
                heads[uid] = {u: d for u, d in heads[uid].items() if u not in parents} | {edit.uid: depth}
        return result

    def portable(self, columns: Columns | None, log: FieldLog) -> dict[str, Any] | None:
        """Put uids in the place of numbers."""
        if columns is None:
            return None
        result: dict[str, Any] = {}
        for name, value in columns.items():
            if name in _LOCAL:
                continue
            if name in _ELSEWHERE:
                value = None if value is None else log.ids.get((_ELSEWHERE[name], value))
            elif name == "field_id":
                value = self.fields.get(value)
            elif name == "reading_id":
                value = self.readings.get(value)
            elif name == "model_id":
                value = self.models.get(value)
            elif name == "overlaps" and value is not None:
                value = {self.fields[int(k)]: v for k, v in value.items() if int(k) in self.fields}
            result[name] = value
        return result


def counts(edit: EditRow, change: Any) -> bool:
    """Return whether a person made a change, and not a worker that replaced pending suggestions."""
    return not (change.entity == "suggestion" and edit.row["kind"] == "system")


def _model_uid(folder: Path, row: Any) -> Uid:
    """Name a model after the hash of its weights, else after its files."""
    card = dict(row.card) if isinstance(row.card, dict) else {}
    card.pop(RETIRED, None)
    if isinstance(card.get("sha256"), str):
        return digest("model", card["sha256"])
    place = inside(folder, MODELS, str(int(row.id)))
    files = sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else []
    return digest("model", [[path.relative_to(place).as_posix(), hash_of(path)] for path in files], card)
