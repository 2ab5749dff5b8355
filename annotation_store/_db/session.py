"""The session of an open project: its connection, transactions and events, shared by its collections."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from psygnal import Signal, SignalGroup

from annotation_store._db import history, row_mappers
from annotation_store._db.engine import plain_errors, transaction
from annotation_store._db.history import Change, Scope
from annotation_store._db.tables import fields
from annotation_store._db.tables import project as project_table
from annotation_store.errors import EditError, ProjectError, ProjectGoneError
from annotation_store.files.layout import database_status
from annotation_store.records import Edit, Field, Reading, many_records
from annotation_store.schema import Schema

T = TypeVar("T")

_ROWS_AT_ONCE = 5_000
"""Rows that are read between two looks at whether somebody wants the reading to stop."""


class ProjectEvents(SignalGroup):
    """Signals of a project, each emitted after the change is on disk."""

    edited = Signal(Edit)
    fields_added = Signal(list)  # ids of the new fields
    suggestions_changed = Signal(list)  # ids of the fields whose suggestions differ
    models_changed = Signal()
    schema_changed = Signal()  # `project.schema` is the new one already
    ranking_changed = Signal()  # there is another order in which to look next


class DatabaseSession:
    """One open project's connection, transactions, reading and events, which its collections share.

    Parameters
    ----------
    folder
        The project's folder.
    database, identity
        The database file and what distinguishes it from another of the same name; see `identity_of`.
    engine
        An engine on that file; `close` disposes of it.
    annotator, named
        The annotator, and whether the name was given; otherwise it is that of the user account.
    """

    schema: Schema
    reading: Reading

    def __init__(
        self,
        folder: Path,
        database: Path,
        identity: tuple[int, int],
        engine: sa.Engine,
        *,
        annotator: str,
        named: bool,
        read_only: bool,
    ) -> None:
        self.path = folder
        self.annotator = annotator
        self.named = named
        self.read_only = read_only
        self.events = ProjectEvents()
        self.schema_version = 0
        self.ranking_seen = 0
        self.cached_fields: dict[int, Field] = {}
        self.own: dict[str, set[int]] = {"edits": set(), "suggestions": set(), "fields": set()}
        """Ids of what this session wrote since `refresh` last looked."""
        self.claim_reading: Callable[[sa.Connection], None] = lambda _: None
        """Called before marks are written; raises where the annotator may not mark in the reading."""
        self._check: Callable[[], None] = lambda: None
        self._database, self._identity = database.absolute(), identity
        self._thread = threading.get_ident()
        self._engine = engine
        self._open_connection: sa.Connection | None = None
        with plain_errors(folder):
            self._open_connection = engine.connect()
        _sessions.add(self)

    @property
    def is_open(self) -> bool:
        """Whether the connection is open."""
        return self._open_connection is not None

    def close(self) -> None:
        """Close the connection; a closed session can be closed again."""
        if self._open_connection is not None:
            self._open_connection.close()
            self._open_connection = None
            self._engine.dispose()

    def take_over(self, fresh: DatabaseSession) -> None:
        """Continue with the connection of another session on the same project, which is closed then."""
        self.close()
        self._database, self._identity = fresh._database, fresh._identity
        self._engine, self._open_connection = fresh._engine, fresh._open_connection
        fresh._open_connection = None
        self.cached_fields.clear()

    @property
    def connection(self) -> sa.Connection:
        if self._open_connection is None:
            raise ProjectError(f"The project {self.path} is closed: open it again.")
        if threading.get_ident() != self._thread:
            raise RuntimeError("A Project belongs to the thread that opened it: open another one here.")
        return self._open_connection

    def refuse_read_only(self) -> None:
        if self.read_only:
            raise ProjectError(f"The project {self.path} is open for reading only: open it for writing.")

    @contextmanager
    def writing(self, *, keep: bool = True) -> Iterator[sa.Connection]:
        """Hold a write transaction: all of it is kept, or nothing; without `keep`, nothing."""
        self.refuse_read_only()
        self.check_present()
        try:
            with transaction(self.connection, self.path, keep=keep) as connection:
                yield connection
                # as late as can be: what is acknowledged is in the file that others find
                self.check_present()
        except ProjectError:
            self.check_present()  # the better reason, if it is one
            raise

    def check_present(self) -> None:
        """Raise if the project is no longer the one that was opened; cheap, any thread may call it.

        SQLite continues to write into a database that was deleted or replaced, and the edits would be lost.

        Raises
        ------
        ProjectGoneError
            The folder or its database was deleted, moved or replaced, or cannot be reached.
        """
        if identity_of(database_status(self._database.parent)) != self._identity:
            raise ProjectGoneError(
                f"The database of the project {self.path} was replaced while it was open (by a program that "
                "synchronises folders, or by hand): nothing more is saved. Close it and open it again."
            )

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read as of one moment, over several statements."""
        with plain_errors(self.path):
            self.connection.exec_driver_sql("BEGIN")
        try:
            yield
        finally:
            if self._open_connection is not None:
                with plain_errors(self.path):
                    self.connection.exec_driver_sql("COMMIT")

    def rows(self, query: Any) -> Sequence[Any]:
        with plain_errors(self.path), many_records():
            return self.connection.execute(query).all()

    def records(self, query: Any, make: Callable[[Any], T]) -> list[T]:
        """Read rows and make a record of each, however many there are; see `checking`."""
        found: list[T] = []
        with (
            plain_errors(self.path),
            many_records(),
            self.connection.execute(query) as result,
        ):
            for rows in result.partitions(_ROWS_AT_ONCE):
                self._check()
                found.extend(map(make, rows))
        return found

    @contextmanager
    def checking(self, check: Callable[[], None]) -> Iterator[None]:
        """Call `check` again and again while `records` reads: what it raises ends the reading.

        The garbage collector pauses meanwhile: once through millions of records is seconds without a check.
        """
        before, self._check = self._check, check
        try:
            with many_records():
                yield
        finally:
            self._check = before

    @cached_property
    def secret(self) -> str:
        """The key of the hashed names; it never leaves the project."""
        return str(self.rows(sa.select(project_table.c.secret))[0].secret)

    def edit(
        self, command: str, build: Callable[[sa.Connection], tuple[int, Sequence[Change]]]
    ) -> Edit | None:
        """Write one edit in one transaction and emit its event; without changes nothing is written.

        `build` runs inside the transaction, so what it reads still holds when it is written.
        """
        with self.writing() as connection:
            field_id, changes = build(connection)
            if not changes:
                return None
            edit = self.write_edit(connection, field_id, command, changes)
        self.announce([edit])
        return edit

    def write_edit(
        self,
        connection: sa.Connection,
        field_id: int,
        command: str,
        changes: Sequence[Change],
        *,
        system: bool = False,
    ) -> Edit:
        # what is said of a field as a whole belongs to no reading
        if not system and any(change.entity != "field" for change in changes):
            self.claim_reading(connection)
        return history.write(
            connection,
            self.scope(field_id),
            command=command,
            changes=changes,
            system=system,
        )

    def scope(self, field_id: int) -> Scope:
        return Scope(field_id, self.annotator, self.reading.id)

    def announce(self, edits: Iterable[Edit]) -> None:
        """Emit edits that are on disk."""
        edits = list(edits)
        self.own["edits"].update(edit.id for edit in edits)
        # before the event is emitted: a listener may ask for a field
        for edit in edits:
            for field_id in edit.touched.get("field", ()):
                self.cached_fields.pop(field_id, None)
        for edit in edits:
            self.events.edited.emit(edit)
        touched = {e.field_id: None for e in edits if "suggestion" in e.touched and e.field_id is not None}
        if touched:
            self.events.suggestions_changed.emit(list(touched))

    def field_ids(self) -> list[int]:
        """List the ids of all fields in order, read as one text: as rows they take ten times as long."""
        joined = self.rows(sa.select(sa.func.group_concat(fields.c.id)))[0][0]
        return sorted(map(int, joined.split(","))) if joined else []

    def field(self, field_id: int) -> Field:
        """Return one field.

        Raises
        ------
        EditError
            There is no field of that id.
        """
        return self.fields_of([field_id])[field_id]

    def fields_of(self, field_ids: Collection[int]) -> dict[int, Field]:
        """Return some fields by id, in one statement at most; see `field`."""
        cached = self.cached_fields
        if unread := [field_id for field_id in field_ids if field_id not in cached]:
            query = sa.select(*row_mappers.FIELD).where(fields.c.id.in_(unread))
            cached.update({row.id: row_mappers.field(row) for row in self.rows(query)})
        for field_id in field_ids:
            if field_id not in cached:
                raise EditError(f"There is no field {field_id} in the project {self.path}.")
        return {field_id: cached[field_id] for field_id in field_ids}


_sessions: weakref.WeakSet[DatabaseSession] = weakref.WeakSet()


def open_here(database: Path) -> bool:
    """Return whether this process has a project open."""
    place = database.absolute()
    return any(session._database == place and session.is_open for session in list(_sessions))


def identity_of(status: os.stat_result) -> tuple[int, int]:
    """Return what distinguishes files of the same name (zeros where the system does not number its files)."""
    return (status.st_dev, status.st_ino) if status.st_ino else (0, 0)


def only_differences(
    before: Mapping[str, object], after: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    """Return the columns that differ between two states of a row."""
    names = [name for name, value in after.items() if before[name] != value]
    return {n: before[n] for n in names}, {n: after[n] for n in names}
