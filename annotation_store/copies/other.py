"""Another project, read from a copy of its database: it is neither changed nor held up."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from annotation_store._db import migrate
from annotation_store._db.engine import (
    damaged,
    make_engine,
    open_for_reading,
    open_unchanging,
    plain_errors,
)
from annotation_store.errors import ProjectError
from annotation_store.files.disk import why_not_written
from annotation_store.files.layout import DATABASE, JOURNALS, refuse_links
from annotation_store.files.temporary import temporary_folder


@dataclass(frozen=True, slots=True)
class Other:
    """A project as it was when it was read: its folder, and a copy of its database in this version's form."""

    folder: Path
    database: Path
    connection: sa.Connection


@contextmanager
def read_project(folder: Path) -> Iterator[Other]:
    """Read a project that may be open elsewhere, read-only, or of an older version.

    Raises
    ------
    ProjectError
        It is not a project, damaged, of a newer version, cannot be read, or the temporary folder is full.
    """
    database = folder / DATABASE
    try:
        has_database = database.is_file() and database.stat().st_size > 0
    except OSError as error:
        raise ProjectError(
            f"The project {folder} cannot be reached ({error.strerror or error}): check the disk and the "
            "permissions."
        ) from error
    if not has_database:
        raise ProjectError(
            f"{folder} is not a napari-lld project (it contains no {DATABASE}): name a project's folder."
        )
    refuse_links(folder)
    with temporary_folder("copy") as place:
        copy = place / DATABASE
        _copy(database, copy, folder)
        engine = make_engine(copy)
        try:
            _bring_up_to_date(engine, folder)
            with plain_errors(folder), engine.connect() as connection:
                answer = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
                if answer != "ok" or connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    raise ProjectError(damaged(folder))
                yield Other(folder, copy, connection)
        finally:
            engine.dispose()


def _copy(database: Path, copy: Path, folder: Path) -> None:
    try:
        with plain_errors(folder), closing(sqlite3.connect(copy)) as target:
            before = _state(database)
            if not any(size for _, size in before[1:]):  # closed: then nothing is made beside it
                with closing(open_unchanging(database)) as source:
                    source.backup(target)
                if _state(database) == before:
                    return
            with closing(open_for_reading(database)) as source:
                source.backup(target)
    except OSError as error:
        raise ProjectError(why_not_written(f"A copy of {database}, needed to read it,", error)) from error


def _state(database: Path) -> list[tuple[int, int]]:
    """Return when the database and its journals were written, and how large they are."""
    states = []
    for name in (DATABASE, *JOURNALS):
        try:
            status = (database.parent / name).stat()
        except OSError:
            states.append((0, 0))
        else:
            states.append((status.st_mtime_ns, 0 if name.endswith("-shm") else status.st_size))
    return states


def _bring_up_to_date(engine: sa.Engine, folder: Path) -> None:
    with plain_errors(folder), engine.connect() as connection:
        version = migrate.revision(connection, folder)
    if version == migrate.HEAD:
        return
    if version is None:
        raise ProjectError(
            f"{folder} is not a napari-lld project: its project.db was not made by napari-lld."
        )
    if version not in migrate.known_revisions():
        raise ProjectError(
            f"The project {folder} was made by a newer version of napari-lld ({version}): update napari-lld."
        )
    migrate.upgrade(engine, folder)
