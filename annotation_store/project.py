"""`Project`: the one door to a project folder."""

from __future__ import annotations

import getpass
import os
import threading
import uuid
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._collections.conflicts import Conflicts
from annotation_store._collections.label_reviews import LabelReviews
from annotation_store._collections.models import Learning
from annotation_store._collections.overlaps import Counting
from annotation_store._collections.ranking import Embeddings
from annotation_store._collections.readings import Readings
from annotation_store._collections.review_statistics import ReviewStatistics
from annotation_store._collections.schema_change import Growth
from annotation_store._collections.work_time import WorkTime
from annotation_store._db import history as _history
from annotation_store._db import migrate, row_mappers
from annotation_store._db.engine import damaged, keep_copy, make_engine, plain_errors, refuse_foreign_wal
from annotation_store._db.events import ProjectEvents
from annotation_store._db.session import database_identity, open_here, register
from annotation_store._db.tables import (
    annotators,
    edits,
    fields,
    history,
    models,
    suggestions,
)
from annotation_store._db.tables import project as project_table
from annotation_store.errors import NotWritableError, ProjectError, ProjectGoneError
from annotation_store.files.disk import refuse_long_path
from annotation_store.files.layout import BACKUPS, DATABASE, LOST, inside, refuse_links
from annotation_store.maintenance.check import Check
from annotation_store.maintenance.create import make_project
from annotation_store.maintenance.repair import Repair
from annotation_store.records import Edit, HistoryRow
from annotation_store.schema import Schema, load_schema


class Project(
    Readings,
    Repair,
    Check,
    Growth,
    WorkTime,
    Conflicts,
    Counting,
    LabelReviews,
    ReviewStatistics,
    Learning,
    Embeddings,
):
    """A project folder, open.

    The methods belong to the thread that opened the project (`pixels` and `thumbnail` excepted); another
    thread, and another process, opens its own. Writers wait for each other, readers wait for nobody.

    Every edit is one transaction that writes the rows and their history. A method that raises has changed
    nothing; `EditError` says which rule was broken.
    """

    def __init__(self) -> None:
        raise TypeError("Use Project.create or Project.open.")

    # -- opening and closing ---------------------------------------------------------------------

    @classmethod
    def create(
        cls, path: str | Path, schema: str | Path | Schema = "lld", *, annotator: str | None = None
    ) -> Project:
        """Make a project in a new or empty folder, and open it.

        Parameters
        ----------
        path
            The folder; refused where it holds anything.
        schema
            A preset's name, a schema or COCO file, or a `Schema`.
        annotator
            Who edits; the account's name where not given.
        """
        folder = Path(path)
        chosen = schema if isinstance(schema, Schema) else load_schema(schema)
        make_project(folder, chosen, _name_of(annotator))
        return cls.open(folder, annotator=annotator)

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        annotator: str | None = None,
        reading: int | None = None,
        read_only: bool = False,
        to_mend: bool = False,
    ) -> Project:
        """Open a project; an older one is brought up to date first, after a backup copy.

        Parameters
        ----------
        annotator
            Who edits; the account's name where not given. `reading` is this annotator's own, else the one
            that they chose to continue; see `reading_undecided` for who has neither.
        reading
            The number of the reading to work in, instead.
        read_only
            Whether nothing is to be written.
        to_mend
            Whether to open a database that is damaged since a crash, for `check` and `repair`.

        Raises
        ------
        ProjectError
            The folder is not a project, is damaged, cannot be written, or was made by a newer version.
        """
        folder = Path(path)
        database = folder / DATABASE
        refuse_long_path(folder)
        try:
            there, whole = folder.exists(), database.is_file()
        except OSError as error:  # a disk that does not answer, a folder that may not be entered
            raise ProjectError(
                f"The project {folder} cannot be reached ({error.strerror or error}): check the disk and the "
                "permissions."
            ) from error
        if not there:
            raise ProjectError(f"There is no folder {folder}: make the project first (napari-lld new).")
        if not whole:
            if any((folder / BACKUPS).glob("*.db")):
                raise ProjectError(
                    f"The project {folder} has lost its {DATABASE}: restore a backup with "
                    f"'napari-lld restore {folder}'."
                )
            raise ProjectError(
                f"{folder} is no napari-lld project (it holds no {DATABASE}): "
                "choose another folder, or make one with napari-lld new."
            )
        refuse_links(folder)
        _refuse_unreadable(database, folder)
        if not open_here(database):
            try:
                refuse_foreign_wal(database, folder)
            except ProjectError:
                if not to_mend:
                    raise
                if not read_only:  # to close it plays the one into the other: keep them as they are
                    keep_copy(database, inside(folder, LOST, f"database-{uuid.uuid4().hex}"))
        if not read_only and not _writable(folder, database):
            raise NotWritableError(
                f"The project {folder} cannot be written: open it for reading only, "
                "or copy it to a folder where you may write."
            )
        identity = database_identity(database)
        engine = make_engine(database, read_only=read_only)
        migrate.bring_up_to_date(engine, folder, database, read_only=read_only)
        self = cls.__new__(cls)
        self.path = folder
        self._database, self._identity = database.absolute(), identity
        self.read_only = read_only
        self.annotator = _name_of(annotator)
        self._named = bool(annotator and annotator.strip())
        self.events = ProjectEvents()
        self._thread = threading.get_ident()
        self._fields = {}
        self._slides = {}
        self._schema_version = 0
        self._own = {"edits": set(), "suggestions": set(), "fields": set()}
        self._engine = engine
        self._open_connection = None
        with plain_errors(folder):
            self._open_connection = engine.connect()
        register(self)
        try:
            self.check_present()  # not replaced between the two
            self._load()
            if reading is not None:
                self.use_reading(reading)
        except BaseException:
            self.close()
            raise
        return self

    def _load(self) -> None:
        self._load_schema()
        self._uid = str(self._rows(sa.select(project_table.c.uid))[0].uid)
        if not self.read_only:
            known = self._rows(sa.select(annotators.c.id).where(annotators.c.name == self.annotator))
            if not known:
                with self._writing() as connection:
                    connection.execute(
                        annotators.insert().prefix_with("OR IGNORE"), [{"name": self.annotator}]
                    )
            # another program may hold the lock for long; what is left over can wait
            with suppress(ProjectError, OSError):
                self._sweep()
        self._choose_reading()
        self._mark_seen()

    def reconnect(self) -> int:
        """Open the project anew where it lay: it was gone, or was replaced, and is back.

        The reading stays, and so do the listeners; ask again for everything else.

        Returns
        -------
        int
            How many of the latest edits that were seen here are missing in it: an older state came back.

        Raises
        ------
        ProjectError
            It is not back yet, cannot be opened, or another project lies there now. It can be tried again.
        """
        named = self.annotator if self._named else None
        fresh = Project.open(self.path, annotator=named, reading=self.reading.id, read_only=self.read_only)
        if fresh._uid != self._uid:
            fresh.close()
            raise ProjectGoneError(
                f"Another project lies in {self.path} now: bring back the one that was there, "
                "or open this one."
            )
        last = max({self._seen["edits"], *self._own["edits"]})
        self.close()
        self._database, self._identity = fresh._database, fresh._identity
        self._engine, self._open_connection = fresh._engine, fresh._open_connection
        fresh._open_connection = None
        self._fields.clear()
        self._load_schema()
        self.use_reading(self.reading.id)
        self._mark_seen()
        return max(0, last - self._seen["edits"])

    def close(self) -> None:
        """Close the connection; a closed project can be closed again."""
        self._close_slides()
        if self._open_connection is not None:
            self._open_connection.close()
            self._open_connection = None
            self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Project {self.path}>"

    # -- history ---------------------------------------------------------------------------------

    @property
    def uid(self) -> str:
        """What tells this project from all others, copies of it aside."""
        return self._uid

    def undo(self, field_id: int) -> Edit | None:
        """Take back this annotator's latest edit on a field; ``None`` where there is none.

        Raises
        ------
        EditError
            Somebody has changed the same thing since.
        """
        with self._writing() as connection:
            edit = _history.undo(connection, self._scope(field_id))
        self._tell([edit] if edit else [])
        return edit

    def redo(self, field_id: int) -> Edit | None:
        """Bring back what this annotator last took back on a field; ``None`` where there is nothing."""
        with self._writing() as connection:
            edit = _history.redo(connection, self._scope(field_id))
        self._tell([edit] if edit else [])
        return edit

    def undoable(self, field_id: int) -> str | None:
        """Give the command that `undo` would take back, for the menu."""
        with plain_errors(self.path):
            return _history.undoable(self._connection, self._scope(field_id))

    def redoable(self, field_id: int) -> str | None:
        """Give the command that `redo` would bring back, for the menu."""
        with plain_errors(self.path):
            return _history.redoable(self._connection, self._scope(field_id))

    def history(
        self, field_id: int | None = None, *, entity: str | None = None, entity_id: int | None = None
    ) -> list[HistoryRow]:
        """List what was changed, oldest first: who, when, what it said before and after."""
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
        return [row_mappers.history(row) for row in self._rows(query)]

    # -- other processes -------------------------------------------------------------------------

    def _mark_seen(self) -> None:
        """Remember how far the database has grown; `refresh` tells of what comes after."""
        self._version = self._data_version()
        self._seen = {
            table.name: int(self._rows(sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0)))[0][0])
            for table in (edits, suggestions, fields)
        }
        self._models_seen = self._models_state()
        self._ranking_seen = self._ranking_id()
        for own in self._own.values():
            own.clear()

    def _data_version(self) -> int:
        with plain_errors(self.path):
            return int(self._connection.exec_driver_sql("PRAGMA data_version").scalar_one())

    def _models_state(self) -> tuple[Any, ...]:
        query = sa.select(models.c.id, models.c.active).where(models.c.ready).order_by(models.c.id)
        return tuple((row.id, row.active) for row in self._rows(query))

    def refresh(self) -> bool:
        """Look whether another process wrote, and tell the listeners what changed.

        Returns
        -------
        bool
            Whether anything changed. Cheap where nothing did: call it from a timer.
        """
        if self._data_version() == self._version:
            return False
        seen, own = dict(self._seen), {name: set(ids) for name, ids in self._own.items()}
        models_before = self._models_seen
        ranking_before = self._ranking_seen
        new_fields = self._newer(fields.c.id, fields, seen["fields"], own["fields"])
        new_suggestions = self._newer(
            suggestions.c.field_id, suggestions, seen["suggestions"], own["suggestions"]
        )
        new_edits = self._edits_after(seen["edits"], own["edits"])
        self._mark_seen()
        self._fields.clear()
        grown = self._load_schema()
        if grown:
            self.events.schema_changed.emit()
        if new_fields:
            self.events.fields_added.emit(list(new_fields))
        for edit in new_edits:
            self.events.edited.emit(edit)
        reviewed = (e.field_id for e in new_edits if "suggestion" in e.touched and e.field_id is not None)
        if changed := list(dict.fromkeys([*new_suggestions, *reviewed])):
            self.events.suggestions_changed.emit(changed)
        if self._models_seen != models_before:
            self.events.models_changed.emit()
        if self._ranking_seen != ranking_before:
            self.events.ranking_changed.emit()
        return bool(
            grown
            or new_fields
            or new_edits
            or changed
            or self._models_seen != models_before
            or self._ranking_seen != ranking_before
        )

    def _newer(self, column: sa.Column[int], table: sa.Table, after: int, own: set[int]) -> list[int]:
        query = sa.select(table.c.id, column.label("value")).where(table.c.id > after).order_by(table.c.id)
        return list(dict.fromkeys(row.value for row in self._rows(query) if row.id not in own))

    def _edits_after(self, after: int, own: set[int]) -> list[Edit]:
        query = (
            sa.select(edits.c.id, edits.c.field_id, edits.c.command, history.c.entity, history.c.entity_id)
            .join(history, history.c.edit_id == edits.c.id)
            .where(edits.c.id > after)
            .order_by(history.c.id)
        )
        found: dict[int, tuple[int | None, str, dict[str, list[int]]]] = {}
        for row in self._rows(query):
            if row.id in own:
                continue
            touched = found.setdefault(row.id, (row.field_id, row.command, {}))[2]
            touched.setdefault(row.entity, []).append(row.entity_id)
        return [
            Edit(edit_id, field_id, command, {entity: tuple(ids) for entity, ids in touched.items()})
            for edit_id, (field_id, command, touched) in found.items()
        ]


def _name_of(annotator: str | None) -> str:
    if annotator is not None and annotator.strip():
        return validation.clean_name(annotator)
    try:
        return validation.clean_name(getpass.getuser())
    except (OSError, KeyError, ImportError):  # an account without a name, as in some containers
        return "annotator"


def _refuse_unreadable(database: Path, folder: Path) -> None:
    """Refuse a database that cannot be read, or is empty: SQLite would begin a new one in it.

    It is not opened here. To close a file gives up all locks that this process holds on it (POSIX), those
    of another open `Project` too: the next program to leave would then delete the WAL that it writes to.
    """
    if not os.access(database, os.R_OK):
        raise ProjectError(f"The database {database} cannot be read: check its permissions.")
    if database.stat().st_size == 0:
        raise ProjectError(damaged(folder))


def _writable(folder: Path, database: Path) -> bool:
    effective = os.access in os.supports_effective_ids  # as whom files are opened
    return all(os.access(place, os.W_OK, effective_ids=effective) for place in (folder, database))
