"""`Project`: open a project folder, and reach its collections."""

from __future__ import annotations

import getpass
import os
import uuid
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._collections.bulk_edits import BulkEdits
from annotation_store._collections.cells import Cells
from annotation_store._collections.conflicts import Conflicts
from annotation_store._collections.edit_writer import EditWriter
from annotation_store._collections.features import Features
from annotation_store._collections.fields import Fields
from annotation_store._collections.history import History
from annotation_store._collections.ingest import Ingest
from annotation_store._collections.label_reviews import LabelReviews
from annotation_store._collections.marks import CellRows
from annotation_store._collections.models import Models, Runs
from annotation_store._collections.overlaps import Overlaps
from annotation_store._collections.pixels import FieldPixels
from annotation_store._collections.pseudonyms import Pseudonyms
from annotation_store._collections.ranking import Embeddings, RandomSample, Rankings
from annotation_store._collections.readings import Readings
from annotation_store._collections.regions import IgnoreAreas, Regions
from annotation_store._collections.review_statistics import ReviewStatistics
from annotation_store._collections.schema_change import SchemaVersions
from annotation_store._collections.searches import Searches
from annotation_store._collections.slides import Slides
from annotation_store._collections.suggestion_rows import SuggestionRows
from annotation_store._collections.suggestions import Suggestions
from annotation_store._collections.work_time import WorkTime
from annotation_store._db import history, migrate
from annotation_store._db.engine import (
    damaged,
    keep_copy,
    make_engine,
    plain_errors,
    refuse_foreign_wal,
    write_stamp,
)
from annotation_store._db.session import DatabaseSession, ProjectEvents, identity_of, open_here
from annotation_store._db.tables import (
    annotators,
    edits,
    fields,
    models,
    suggestions,
)
from annotation_store._db.tables import project as project_table
from annotation_store.errors import NotWritableError, ProjectError, ProjectGoneError
from annotation_store.files.disk import refuse_long_path
from annotation_store.files.layout import BACKUPS, DATABASE, LOST, inside, refuse_links
from annotation_store.maintenance.check import Check
from annotation_store.maintenance.create import make_project
from annotation_store.maintenance.repair import Repair, RepairReport
from annotation_store.records import Edit, Reading
from annotation_store.schema import Schema, load_schema


class Project:
    """A project folder, open.

    What the project holds is reached by its collections; `Project` itself opens and closes, undoes, checks,
    and notices what other programs wrote. The methods belong to the thread that opened the project
    (`pixels.read` and `pixels.thumbnail` excepted); another thread, and another process, opens its own.
    Writers wait for each other, readers do not wait.

    Every edit is one transaction that writes the rows and their history. A method that raises has changed
    nothing; `EditError` names the rule that was broken.

    Attributes
    ----------
    fields, pixels, slides
        The images: what is known of them, their pixels, and the whole slides among them.
    regions, ignore_areas, cells, bulk_edits
        What a person marks in the current reading.
    suggestions, searches, label_reviews, review_statistics
        What models propose, how far they have searched whole slides, and what became of it.
    conflicts, overlaps, work_time, readings, history
        Contradicting imports, fields of one place, time at work, who reads what, every change.
    models, runs, embeddings, features, rankings, random_sample
        What was learnt, what models see of fields and of cells, and where to look next.
    schema_versions, pseudonyms
        Schemas of before, and what stands for names outside.
    edit_writer
        For the formats of this package only.
    """

    _db: DatabaseSession

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
        loaded = schema if isinstance(schema, Schema) else load_schema(schema)
        make_project(folder, loaded, _name_of(annotator))
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
            that they chose to continue; see `Readings.undecided` for who has neither.
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
            exists, has_database = folder.exists(), database.is_file()
        except OSError as error:  # a disk that does not answer, a folder that may not be entered
            raise ProjectError(
                f"The project {folder} cannot be reached ({error.strerror or error}): check the disk and the "
                "permissions."
            ) from error
        if not exists:
            raise ProjectError(f"There is no folder {folder}: create a project first (napari-lld new).")
        if not has_database:
            if any((folder / BACKUPS).glob("*.db")):
                raise ProjectError(
                    f"The project {folder} has no {DATABASE} any more: restore a backup with "
                    f"'napari-lld restore {folder}'."
                )
            raise ProjectError(
                f"{folder} is not a napari-lld project (it contains no {DATABASE}): "
                "choose another folder, or create one with napari-lld new."
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
        identity = identity_of(database.lstat())
        engine = make_engine(database, read_only=read_only)
        migrate.bring_up_to_date(engine, folder, database, read_only=read_only)
        self = cls.__new__(cls)
        self._db = DatabaseSession(
            folder,
            database,
            identity,
            engine,
            annotator=_name_of(annotator),
            named=bool(annotator and annotator.strip()),
            read_only=read_only,
        )
        self._compose()
        try:
            self._db.check_present()  # not replaced between the two
            self._load()
            if reading is not None:
                self.readings.use(reading)
        except BaseException:
            self.close()
            raise
        return self

    def _compose(self) -> None:
        db = self._db
        rows = CellRows(db)
        suggestion_rows = SuggestionRows(db, rows)
        ingest = Ingest(db)
        self.slides = Slides(db)
        self.pixels = FieldPixels(db, self.slides)
        self.fields = Fields(db, ingest, self.pixels)
        self.regions = Regions(db, rows)
        self.ignore_areas = IgnoreAreas(db, rows)
        self.cells = Cells(db, rows)
        self.suggestions = Suggestions(db, rows, suggestion_rows, self.regions)
        self.searches = Searches(db, suggestion_rows)
        self.bulk_edits = BulkEdits(db, rows, suggestion_rows, self.regions, self.cells)
        self.label_reviews = LabelReviews(db, rows, suggestion_rows, self.cells)
        self.review_statistics = ReviewStatistics(db, suggestion_rows)
        self.conflicts = Conflicts(db, rows, self.cells)
        self.overlaps = Overlaps(db)
        self.work_time = WorkTime(db)
        self.readings = Readings(db)
        self.history = History(db)
        self.models = Models(db)
        self.runs = Runs(db)
        self.embeddings = Embeddings(db)
        self.features = Features(db)
        self.rankings = Rankings(db)
        self.random_sample = RandomSample(db)
        self.schema_versions = SchemaVersions(db)
        self.pseudonyms = Pseudonyms(db)
        self.edit_writer = EditWriter(db, ingest, rows, suggestion_rows, self.conflicts)
        self._ingest = ingest

    def _load(self) -> None:
        self.schema_versions.load()
        self._uid = str(self._db.rows(sa.select(project_table.c.uid))[0].uid)
        if not self.read_only:
            annotator_rows = self._db.rows(
                sa.select(annotators.c.id).where(annotators.c.name == self.annotator)
            )
            if not annotator_rows:
                with self._db.writing() as connection:
                    connection.execute(
                        annotators.insert().prefix_with("OR IGNORE"), [{"name": self.annotator}]
                    )
            # another program may hold the lock for long; what is left over can wait
            with suppress(ProjectError, OSError):
                self._ingest.sweep()
        self.readings.choose()
        self._mark_seen()

    # -- what is open ----------------------------------------------------------------------------

    @property
    def path(self) -> Path:
        """The project's folder."""
        return self._db.path

    @property
    def uid(self) -> str:
        """Identity of the project, shared only with its copies."""
        return self._uid

    @property
    def annotator(self) -> str:
        """Who edits."""
        return self._db.annotator

    @property
    def read_only(self) -> bool:
        """Whether nothing can be written."""
        return self._db.read_only

    @property
    def schema(self) -> Schema:
        """The classes and attributes that cells may have; `schema_versions` changes it."""
        return self._db.schema

    @property
    def reading(self) -> Reading:
        """The reading in use; `readings` changes it."""
        return self._db.reading

    @property
    def events(self) -> ProjectEvents:
        """Signals, each emitted after the change is on disk."""
        return self._db.events

    def check_present(self) -> None:
        """Raise if the project is no longer the one that was opened; cheap, any thread may call it.

        Raises
        ------
        ProjectGoneError
            The folder or its database was deleted, moved or replaced, or cannot be reached.
        """
        self._db.check_present()

    def snapshot(self) -> AbstractContextManager[None]:
        """Read as of one moment, over several statements, within a ``with`` block."""
        return self._db.snapshot()

    def reconnect(self) -> int:
        """Reopen the project at its path, after it was missing or replaced.

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
        named = self.annotator if self._db.named else None
        fresh = Project.open(self.path, annotator=named, reading=self.reading.id, read_only=self.read_only)
        if fresh._uid != self._uid:
            fresh.close()
            raise ProjectGoneError(
                f"The folder {self.path} now contains another project: move the previous one back, "
                "or open this one."
            )
        last = max({self._seen["edits"], *self._db.own["edits"]})
        self.close()
        self._db.take_over(fresh._db)
        self.schema_versions.load()
        self.readings.use(self.reading.id)
        self._mark_seen()
        return max(0, last - self._seen["edits"])

    def close(self) -> None:
        """Close the connection; a closed project can be closed again."""
        self.slides.close()
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Project {self.path}>"

    # -- history ---------------------------------------------------------------------------------

    def undo(self, field_id: int) -> Edit | None:
        """Undo this annotator's latest edit on a field; ``None`` if there is none.

        Raises
        ------
        EditError
            The same thing was changed since.
        """
        with self._db.writing() as connection:
            edit = history.undo(connection, self._db.scope(field_id))
        self._db.announce([edit] if edit else [])
        return edit

    def redo(self, field_id: int) -> Edit | None:
        """Redo what this annotator last undid on a field; ``None`` if there is nothing."""
        with self._db.writing() as connection:
            edit = history.redo(connection, self._db.scope(field_id))
        self._db.announce([edit] if edit else [])
        return edit

    def undoable(self, field_id: int) -> str | None:
        """Return the command that `undo` would take back, for the menu."""
        with plain_errors(self.path):
            return history.undoable(self._db.connection, self._db.scope(field_id))

    def redoable(self, field_id: int) -> str | None:
        """Return the command that `redo` would repeat, for the menu."""
        with plain_errors(self.path):
            return history.redoable(self._db.connection, self._db.scope(field_id))

    def undo_step(self, field_id: int) -> int | None:
        """Return the number of the edit that `undo` would take back."""
        return history.undo_top(self._db.connection, self._db.scope(field_id))

    # -- damage ----------------------------------------------------------------------------------

    def check(self, *, quick: bool = False, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Check the whole project: every row, pixel, original, slide and weight is read.

        Parameters
        ----------
        quick
            Of pixels, originals, slides and weights look only whether they are there.
        progress
            Called with (fields checked, fields to check).

        Returns
        -------
        list of str
            A sentence for each problem; empty if the project is sound.
        """
        return Check(self._db).run(quick=quick, progress=progress)

    def repair(self, *, originals: Path | None = None) -> RepairReport:
        """Repair what `check` finds, as far as it can be mended; see `Repair.run`.

        Parameters
        ----------
        originals
            Where to look for originals that the project has lost: a folder, its subfolders included.
        """
        return Repair(self._db, self._ingest).run(originals=originals)

    # -- other processes -------------------------------------------------------------------------

    def _mark_seen(self) -> None:
        """Store how far the database has grown; `refresh` reports later changes."""
        self._version = self._data_version()
        self._seen = {
            table.name: int(self._db.rows(sa.select(sa.func.coalesce(sa.func.max(table.c.id), 0)))[0][0])
            for table in (edits, suggestions, fields)
        }
        self._models_seen = self._models_state()
        self._db.ranking_seen = self.rankings.latest_id()
        for own in self._db.own.values():
            own.clear()

    def _data_version(self) -> int:
        with plain_errors(self.path):
            return int(self._db.connection.exec_driver_sql("PRAGMA data_version").scalar_one())

    def _models_state(self) -> tuple[Any, ...]:
        query = sa.select(models.c.id, models.c.active).where(models.c.ready).order_by(models.c.id)
        return tuple((row.id, row.active) for row in self._db.rows(query))

    @property
    def write_stamp(self) -> Hashable | None:
        """What two openings of an unchanged project have in common; ``None`` just after somebody wrote."""
        return write_stamp(self.path / DATABASE)

    def refresh(self) -> bool:
        """Check whether another process wrote, and emit events for what changed.

        Returns
        -------
        bool
            Whether anything changed. Cheap where nothing did: call it from a timer.
        """
        if self._data_version() == self._version:
            return False
        seen, own = dict(self._seen), {name: set(ids) for name, ids in self._db.own.items()}
        models_before = self._models_seen
        ranking_before = self._db.ranking_seen
        new_fields = self._newer(fields.c.id, fields, seen["fields"], own["fields"])
        new_suggestions = self._newer(
            suggestions.c.field_id, suggestions, seen["suggestions"], own["suggestions"]
        )
        new_edits = self.history.edits_after(seen["edits"], without=own["edits"])
        self._mark_seen()
        self._db.cached_fields.clear()
        grown = self.schema_versions.load()
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
        if self._db.ranking_seen != ranking_before:
            self.events.ranking_changed.emit()
        return bool(
            grown
            or new_fields
            or new_edits
            or changed
            or self._models_seen != models_before
            or self._db.ranking_seen != ranking_before
        )

    def _newer(self, column: sa.Column[int], table: sa.Table, after: int, own: set[int]) -> list[int]:
        query = sa.select(table.c.id, column.label("value")).where(table.c.id > after).order_by(table.c.id)
        return list(dict.fromkeys(row.value for row in self._db.rows(query) if row.id not in own))


def _name_of(annotator: str | None) -> str:
    if annotator is not None and annotator.strip():
        return validation.clean_name(annotator)
    try:
        return validation.clean_name(getpass.getuser())
    except (OSError, KeyError, ImportError):  # an account without a name, as in some containers
        return "annotator"


def _refuse_unreadable(database: Path, folder: Path) -> None:
    """Reject a database that cannot be read, or is empty: SQLite would begin a new one in it.

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
