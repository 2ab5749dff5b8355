"""Split a project: a separate project of the same fields for each of several readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._collections.ingest import original_beside
from annotation_store._db import migrate
from annotation_store._db.engine import make_engine, plain_errors, transaction
from annotation_store._db.history import insert_many
from annotation_store._db.pseudonyms import domain_pseudonym, pseudonym
from annotation_store._db.tables import (
    annotators,
    cells,
    edits,
    fields,
    history,
    ignore_areas,
    models,
    old_schemas,
    origins,
    readings,
    regions,
    reserve,
    suggestions,
    words,
)
from annotation_store._db.tables import project as project_table
from annotation_store.copies.files import copy_field, copy_model
from annotation_store.copies.other import Other, read_project
from annotation_store.copies.replica import DESCRIBED, Replica
from annotation_store.errors import EditError, OutputError
from annotation_store.files.disk import folder_kept_if_filled, move, refuse_long_path, sync, why_not_written
from annotation_store.files.layout import DATABASE, LOGS, MODELS, ORIGINALS, PIXELS
from annotation_store.files.outputs import check_output, place_beside
from annotation_store.images.zarr_writer import create_root
from annotation_store.records import FieldKind


@dataclass(frozen=True, slots=True)
class Copy:
    """One reader's project."""

    reader: str
    path: Path
    fields: int


@dataclass(frozen=True, slots=True)
class _CopySettings:
    """What goes into a copy."""

    reader: str
    fields: frozenset[int]
    blind: bool
    names: bool


def split(
    folder: str | Path,
    readers: Sequence[str],
    out: str | Path,
    *,
    blind: bool = False,
    overlap: int | None = None,
    names: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Copy]:
    """Make a complete project for each reader: the fields, the schema, the models, and a reading.

    The project itself is not changed. `copies.merge.merge` brings what the readers did back.

    Parameters
    ----------
    readers
        Their names; each is the name of a folder in `out`, of the annotator and of the reading.
    blind
        Leave every label and suggestion behind; the readings are blind.
    overlap
        Deal the fields out, so that each is read once, except so many that everybody reads (for their
        agreement); ``None`` = everybody gets all.
    names
        Keep names of patients, slides, files and domains, notes, comments and the original files. Else
        hashed names stand for them, and what may name somebody stays behind.
    progress
        Called with (fields copied, fields to copy).

    Raises
    ------
    EditError
        Two readers have one name, a name cannot be a folder's, or there are fewer fields than asked for.
    OutputError
        A reader's folder exists already, or lies in a project.
    ProjectError
        The project or its files are damaged, or the disk is full. No folder is left behind then.
    """
    source, target = Path(folder), Path(out)
    people = [_check_reader(reader) for reader in readers]
    _refuse(people, target)
    with read_project(source) as other:
        by_content = sa.select(fields.c.id).order_by(fields.c.content_hash)
        ids = [row.id for row in other.connection.execute(by_content)]
        shares = _shares(ids, people, overlap)
        try:
            with folder_kept_if_filled(target.absolute()), place_beside(target / "readers") as hidden:
                ticker = _Ticker(progress, sum(map(len, shares.values())))
                for reader in people:
                    settings = _CopySettings(reader, frozenset(shares[reader]), blind, names)
                    _Copying(other, hidden / reader, settings).run(ticker)
                for reader in people:
                    move(hidden / reader, target / reader)
        except OSError as error:
            raise OutputError(why_not_written(f"The folder {target}", error)) from error
    return [Copy(reader, target / reader, len(shares[reader])) for reader in people]


def _check_reader(reader: str) -> str:
    name = validation.clean_name(validation.text(reader, "name"))
    if name != PurePath(name).name or name in (".", "..") or set(name) & set('<>:"/\\|?*') or name[0] == ".":
        raise EditError(f"The reader's name {name!r} cannot be the name of a folder: choose another one.")
    return name


def _refuse(people: Sequence[str], out: Path) -> None:
    if not people:
        raise EditError("Name the readers, such as --readers Anna,Bert.")
    folded = [name.casefold() for name in people]
    twice = sorted({name for name in people if folded.count(name.casefold()) > 1})
    if twice:
        raise EditError(f"Two readers are called {twice[0]!r}: give each a name of their own.")
    check_output(out, overwrite=True)
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file: name a folder for the readers' projects.")
    for name in people:
        refuse_long_path(out / name)
        if (out / name).exists():
            raise OutputError(f"{out / name} already exists: name another folder, or move it away.")


def _shares(ids: Sequence[int], people: Sequence[str], overlap: int | None) -> dict[str, list[int]]:
    if overlap is None:
        return {reader: sorted(ids) for reader in people}
    if not 0 <= overlap <= len(ids):
        raise EditError(f"The project has {len(ids)} fields: {overlap} cannot be given to everybody.")
    common, rest = ids[:overlap], ids[overlap:]
    return {reader: sorted([*common, *rest[number :: len(people)]]) for number, reader in enumerate(people)}


class _Ticker:
    """Count what is done, for all readers."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


class _Copying:
    """Writes the project of one reader into a hidden folder."""

    def __init__(self, other: Other, target: Path, settings: _CopySettings) -> None:
        self._other, self._target, self._settings = other, target, settings
        self._there = Replica(other.connection, other.folder)
        (row,) = other.connection.execute(sa.select(project_table))
        self._project = dict(row._mapping)
        self._renamed: dict[int, dict[str, Any]] = {}

    def run(self, tick: Callable[[], None]) -> None:
        """Write all of it."""
        for name in (ORIGINALS, MODELS, LOGS):
            (self._target / name).mkdir(parents=True)
        create_root(self._target / PIXELS)
        all_rows = self._read(sa.select(fields).order_by(fields.c.id))
        rows = [row for row in all_rows if row["id"] in self._settings.fields]
        for row in rows:
            self._copy_files(row)
            tick()
        for model_id in self._there.models:
            retired = model_id in self._there.retired
            target = self._target / MODELS / str(model_id)
            copy_model(self._other.folder, model_id, target, retired=retired)
        database = self._target / DATABASE
        engine = make_engine(database)
        try:
            migrate.upgrade(engine, self._target)
            with plain_errors(self._target), engine.connect() as connection:
                with transaction(connection, self._target):
                    self._fill(connection, rows)
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
        finally:
            engine.dispose()
        for place in (self._target / PIXELS, self._target / ORIGINALS, self._target / MODELS, database):
            sync(place)
        sync(self._target)

    def _read(self, query: Any) -> list[dict[str, Any]]:
        return [dict(row._mapping) for row in self._other.connection.execute(query)]

    def _copy_files(self, row: Mapping[str, Any]) -> None:
        name = None if self._settings.names else self._hashed_file(row["name"])
        staged = self._target / PIXELS / str(row["id"])
        copy_field(self._other.folder, row, staged, name=name)
        if original_beside(staged).exists():
            move(original_beside(staged), self._target / ORIGINALS / f"{row['content_hash']}{row['suffix']}")

    # -- rows -------------------------------------------------------------------------------------

    def _fill(self, connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
        import secrets

        keep = self._settings.names
        new = {**self._project, "schema": self._project["schema"]}
        new |= {} if keep else {"secret": secrets.token_hex(32), "patient_rule": None}
        connection.execute(project_table.insert(), [new])
        for table in (words, old_schemas):
            self._insert(connection, table, self._read(sa.select(table)))
        self._insert(
            connection,
            models,
            [row for row in self._read(sa.select(models)) if row["id"] in self._there.models],
        )
        self._add_readings(connection)
        field_rows = [self._field_row(row) for row in rows]
        self._insert(connection, fields, field_rows)
        drawn = [row for row in self._read(sa.select(reserve)) if row["field_id"] in self._settings.fields]
        self._insert(connection, reserve, drawn)
        for row in rows:
            self._fill_field(connection, row)

    def _add_readings(self, connection: sa.Connection) -> None:
        reader = self._settings.reader
        reading_rows = self._read(sa.select(readings).order_by(readings.c.id))
        used = {row["name"] for row in reading_rows}
        own_reading = next(
            (row for row in reading_rows if row["annotator"] == reader and not self._settings.blind), None
        )
        copied = [] if self._settings.blind else reading_rows
        people = {reader, *(row["annotator"] for row in copied if row["annotator"])}
        if own_reading is None:
            name, number = reader, 2
            while name in used:
                name = f"{reader} ({number})"
                number += 1
            own_reading = {
                "id": max((row["id"] for row in reading_rows), default=0) + 1,
                "name": name,
                "annotator": reader,
                "blind": self._settings.blind,
            }
            copied = [*copied, own_reading]
        self._insert(connection, readings, copied)
        if not self._settings.blind:
            people |= {row["name"] for row in self._read(sa.select(annotators.c.name))}
        self._insert(
            connection,
            annotators,
            [
                {"name": name, "reading_id": own_reading["id"] if name == reader else None}
                for name in sorted(people)
            ],
        )
        self._insert(
            connection,
            origins,
            [
                _origin("reading", row["id"], self._there.readings[row["id"]], row["id"])
                for row in copied
                if row["id"] in self._there.readings
            ],
        )

    def _field_row(self, row: dict[str, Any]) -> dict[str, Any]:
        overlaps = {
            k: v for k, v in (row["overlaps"] or {}).items() if int(k) in self._settings.fields
        } or None
        new = {**row, "overlaps": overlaps}
        if self._settings.names:
            return new
        new |= self._nameless(row)
        new["name"] = self._hashed_file(row["name"])
        new["source_path"] = new["name"]
        new["withheld"] = row["kind"] == FieldKind.IMAGE
        return new

    def _hashed_file(self, name: str) -> str:
        suffix = PurePath(name).suffix.lower()
        short = suffix if suffix.isascii() and len(suffix) <= 5 else ""
        return pseudonym(self._project["secret"], name) + short

    def _nameless(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Replace values that may identify a person by hashes."""
        secret, new = self._project["secret"], dict(values)
        for name in ("patient", "slide"):
            if new.get(name):
                new[name] = pseudonym(secret, new[name])
        if new.get("domain"):
            new["domain"] = domain_pseudonym(secret, new["domain"])
        if "note" in new:
            new["note"] = ""
        return new

    def _fill_field(self, connection: sa.Connection, row: Mapping[str, Any]) -> None:
        field_id, names, blind = row["id"], self._settings.names, self._settings.blind
        entity, roots, operations = self._there.describe(field_id)
        depths = {op.uid: op.depth for op in operations}
        heads = {root["uid"]: 0 for root in roots} if "heads" not in entity.about else entity.about["heads"]
        for op in operations:
            heads = {uid: depth for uid, depth in heads.items() if uid not in op.parents}
            heads[op.uid] = depths[op.uid]
        # what was said of the field as a whole stays behind where it may name somebody: only the sum is there
        with_history = names and not blind
        about: dict[str, Any] = {"roots": roots}
        if not with_history:
            values = {name: row[name] for name in DESCRIBED} | {"skipped": bool(row["skipped"])}
            values = values if names else self._nameless(values)
            root_names = [root["name"] if names else self._hashed_file(root["name"]) for root in roots]
            named_roots = zip(roots, root_names, strict=True)
            about["roots"] = [
                {"uid": root["uid"], "name": name, "values": values} for root, name in named_roots
            ]
            about["heads"] = heads
        self._insert(connection, origins, [_origin("field", field_id, entity.uid, entity.number, about)])
        if blind:
            return
        log = self._there.log(field_id)
        known_operations = self._there.operations(log)
        knew: dict[str, dict[str, Any]] = {}
        for uid, ops in known_operations.items():
            for op in ops:
                knew.setdefault(op.uid, {})[uid] = [sorted(op.parents), op.depth]
        for op in operations:
            knew.setdefault(op.uid, {})[entity.uid] = [sorted(op.parents), op.depth]
        for kind, table in (
            ("suggestion", suggestions),
            ("region", regions),
            ("ignore_area", ignore_areas),
            ("cell", cells),
        ):
            marks = [mark for mark in log.entities.values() if mark.kind == kind]
            self._insert(connection, table, [self._mark_row(mark.row) for mark in marks])
            known_of = {
                mark.uid: {k: v for k, v in mark.about.items() if k == "heads"} or None for mark in marks
            }
            names_of = [_origin(kind, mark.id, mark.uid, mark.number, known_of[mark.uid]) for mark in marks]
            self._insert(connection, origins, names_of)
        edit_rows, changes, named = [], [], []
        for edit in log.edits:
            rows = [c for c in edit.changes if self._goes_along(c, with_history)]
            if not rows:
                continue
            edit_rows.append({c.name: edit.row[c.name] for c in edits.columns})
            changes += [self._history_row(c) for c in rows]
            more = {"derived": True} if edit.derived else {"knew": knew.get(edit.uid, {})}
            named.append(_origin("edit", edit.row["id"], edit.uid, edit.row["id"], more))
        present = {row["id"] for row in edit_rows}
        for edit_row in edit_rows:
            for pointer in ("undoes", "below", "undo_top", "redo_top", "redo_below"):
                if edit_row[pointer] not in present:
                    edit_row[pointer] = None
        self._insert(connection, edits, edit_rows)
        self._insert(connection, history, changes)
        self._insert(connection, origins, named)

    def _goes_along(self, change: Any, with_history: bool) -> bool:
        if change.entity == "conflict":
            return False
        return change.entity != "field" or (with_history and change.entity_id in self._settings.fields)

    def _mark_row(self, row: dict[str, Any]) -> dict[str, Any]:
        if self._settings.names:
            return row
        nothing = {"comment": "", "extra": None}
        return row | {name: value for name, value in nothing.items() if name in row}

    def _history_row(self, change: Any) -> dict[str, Any]:
        row = {c.name: getattr(change, c.name) for c in history.columns}
        for side in ("before", "after"):
            if row[side] is not None:
                row[side] = self._mark_row(dict(row[side]))
        return row

    @staticmethod
    def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        if rows:
            insert_many(connection, table, rows)


def _origin(entity: str, row_id: int, uid: str, number: int, about: Any = None) -> dict[str, Any]:
    return {"entity": entity, "row_id": row_id, "uid": uid, "number": number, "about": about}
