"""What all parts of `Project` lean on: the connection, transactions, events."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from annotation_store._db import history, row_mappers
from annotation_store._db.engine import plain_errors, transaction
from annotation_store._db.events import ProjectEvents
from annotation_store._db.history import Change, Scope
from annotation_store._db.pseudonyms import domain_pseudonym, folder_pseudonym, pseudonym
from annotation_store._db.tables import fields
from annotation_store._db.tables import project as project_table
from annotation_store.errors import EditError, ProjectError, ProjectGoneError
from annotation_store.records import Edit, Field, Reading
from annotation_store.schema import Schema


class ProjectBase:
    """The connection of one open project; see `annotation_store.Project`."""

    path: Path
    schema: Schema
    annotator: str
    reading: Reading
    read_only: bool
    events: ProjectEvents
    _engine: sa.Engine
    _open_connection: sa.Connection | None
    _thread: int
    _database: Path
    _identity: tuple[int, int]
    _fields: dict[int, Field]
    _seen: dict[str, int]
    _own: dict[str, set[int]]

    @property
    def _connection(self) -> sa.Connection:
        if self._open_connection is None:
            raise ProjectError(f"The project {self.path} is closed: open it again.")
        if threading.get_ident() != self._thread:
            raise RuntimeError("A Project belongs to the thread that opened it: open another one here.")
        return self._open_connection

    def _refuse_read_only(self) -> None:
        if self.read_only:
            raise ProjectError(f"The project {self.path} is open for reading only: open it for writing.")

    @contextmanager
    def _writing(self, *, keep: bool = True) -> Iterator[sa.Connection]:
        """Hold a write transaction: all of it is kept, or nothing; without `keep`, nothing."""
        self._refuse_read_only()
        self.check_present()
        try:
            with transaction(self._connection, self.path, keep=keep) as connection:
                yield connection
                # as late as can be: what is acknowledged is in the file that others find
                self.check_present()
        except ProjectError:
            self.check_present()  # the better reason, if it is one
            raise

    def check_present(self) -> None:
        """Raise where the project is no longer the one that was opened; cheap, any thread may call it.

        SQLite goes on writing into a database that was deleted or replaced, and nobody would ever read it.

        Raises
        ------
        ProjectGoneError
            The folder or its database was deleted, moved or replaced, or cannot be reached.
        """
        try:
            found = database_identity(self._database)
        except OSError as error:
            raise ProjectGoneError(
                f"The project {self.path} is no longer there ({error.strerror or error}): nothing more is "
                "saved. Bring the folder back, then open it again."
            ) from error
        if found != self._identity:
            raise ProjectGoneError(
                f"The database of the project {self.path} was replaced while it was open (by a program that "
                "synchronises folders, or by hand): nothing more is saved. Close it and open it again."
            )

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """Read as of one moment, over several statements."""
        with plain_errors(self.path):
            self._connection.exec_driver_sql("BEGIN")
        try:
            yield
        finally:
            if self._open_connection is not None:
                with plain_errors(self.path):
                    self._connection.exec_driver_sql("COMMIT")

    def _rows(self, query: Any) -> Sequence[Any]:
        with plain_errors(self.path):
            return self._connection.execute(query).all()

    @cached_property
    def _secret(self) -> str:
        """The key of the hashes that stand for names; it never leaves the project."""
        return str(self._rows(sa.select(project_table.c.secret))[0].secret)

    def pseudonym(self, text: str) -> str:
        """Return the keyed hash that stands for a name in what leaves the project."""
        return pseudonym(self._secret, text)

    def folder_pseudonym(self, folder: str) -> str:
        """Return the keyed hash by which the project knows a folder that images came from."""
        return folder_pseudonym(self._secret, folder)

    def domain_pseudonym(self, domain: str) -> str:
        """Return what stands for a domain there; one that names nobody (``H_100x_C1``) stays as it is."""
        return domain_pseudonym(self._secret, domain)

    def _edit(
        self, command: str, build: Callable[[sa.Connection], tuple[int, Sequence[Change]]]
    ) -> Edit | None:
        """Write one edit in one transaction and tell the listeners; no changes, no edit.

        `build` runs inside the transaction, so what it reads still holds when it is written.
        """
        with self._writing() as connection:
            field_id, found = build(connection)
            if not found:
                return None
            edit = self._write_edit(connection, field_id, command, found)
        self._tell([edit])
        return edit

    def _write_edit(
        self,
        connection: sa.Connection,
        field_id: int,
        command: str,
        changes: Sequence[Change],
        *,
        system: bool = False,
    ) -> Edit:
        return history.write(
            connection,
            self._scope(field_id),
            command=command,
            changes=changes,
            system=system,
        )

    def _scope(self, field_id: int) -> Scope:
        return Scope(field_id, self.annotator, self.reading.id)

    def _tell(self, edits: Iterable[Edit]) -> None:
        """Emit edits that are on disk."""
        edits = list(edits)
        self._own["edits"].update(edit.id for edit in edits)
        # before anyone is told: a listener may ask for a field
        for edit in edits:
            for field_id in edit.touched.get("field", ()):
                self._fields.pop(field_id, None)
        for edit in edits:
            self.events.edited.emit(edit)
        touched = {e.field_id: None for e in edits if "suggestion" in e.touched and e.field_id is not None}
        if touched:
            self.events.suggestions_changed.emit(list(touched))

    def field(self, field_id: int) -> Field:
        """Give one field.

        Raises
        ------
        EditError
            There is no field of that id.
        """
        if field_id not in self._fields:
            with plain_errors(self.path):
                row = self._connection.execute(sa.select(fields).where(fields.c.id == field_id)).first()
            if row is None:
                raise EditError(f"There is no field {field_id} in the project {self.path}.")
            self._fields[field_id] = row_mappers.field(row)
        return self._fields[field_id]


_projects: weakref.WeakSet[ProjectBase] = weakref.WeakSet()


def register(project: ProjectBase) -> None:
    """Remember an open project, for `open_here`."""
    _projects.add(project)


def open_here(database: Path) -> bool:
    """Whether this process has a project open."""
    place = database.absolute()
    return any(p._database == place and p._open_connection is not None for p in list(_projects))


def database_identity(database: Path) -> tuple[int, int]:
    """Tell one file from another of the same name (zeros where the system does not number its files)."""
    status = os.lstat(database)
    return (status.st_dev, status.st_ino) if status.st_ino else (0, 0)


def only_differences(
    before: Mapping[str, object], after: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    """Keep the columns that differ between two states of a row."""
    names = [name for name, value in after.items() if before[name] != value]
    return {n: before[n] for n in names}, {n: after[n] for n in names}
