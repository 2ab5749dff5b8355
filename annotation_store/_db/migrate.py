"""Migrate a project's database to the version of this package; Alembic is imported only for that."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from annotation_store._db.engine import plain_errors, roll_back
from annotation_store.errors import ProjectError
from annotation_store.files.disk import make_folder, move, refuse_long_path, sync
from annotation_store.files.temporary import locked_folder, sweep

HEAD = "0017"
"""The revision that this package reads and writes; a test holds it equal to Alembic's head."""

_one_at_a_time = threading.Lock()
"""Alembic keeps the migration that is running in variables of a module."""


def revision(connection: sa.Connection, path: Path) -> str | None:
    """Return the database's revision, ``None`` if it has no version table."""
    with plain_errors(path):
        if not connection.exec_driver_sql(
            "SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'"
        ).scalar():
            return None
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if version is None else str(version)


def upgrade(engine: sa.Engine, path: Path) -> None:
    """Run the migrations that are missing, all in one transaction: a failure changes nothing."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "annotation_store:_db/migrations")
    config.set_main_option("path_separator", "os")
    with _one_at_a_time, plain_errors(path), engine.connect() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            roll_back(connection)
            raise


def known_revisions() -> set[str]:
    """List the revisions this package can migrate from."""
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "annotation_store:_db/migrations")
    config.set_main_option("path_separator", "os")
    return {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}


def bring_up_to_date(engine: sa.Engine, folder: Path, database: Path, *, read_only: bool) -> None:
    """Check the version of an existing project; migrate an older one, after a backup copy.

    Raises
    ------
    ProjectError
        The database is not a project's, or a newer version made it, or it is older and read-only.
    """
    with plain_errors(folder), engine.connect() as connection:
        version = revision(connection, folder)
    if version == HEAD:
        return
    if version is None:
        raise ProjectError(
            f"{folder} is not a napari-lld project: its project.db was not made by napari-lld."
        )
    if version not in known_revisions():
        raise ProjectError(
            f"The project {folder} was made by a newer version of napari-lld ({version}): update napari-lld."
        )
    if read_only:
        raise ProjectError(
            f"The project {folder} was made by an older version and is opened read-only: "
            "open it once with write access, or copy it to a folder where you may write, so that it can be "
            "brought up to date."
        )
    back_up(database, folder / "backups", version)
    upgrade(engine, folder)


def back_up(database: Path, folder: Path, label: str) -> Path:
    """Copy the database as it is, with SQLite's own online backup (a plain copy would miss the WAL)."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    target = folder / f"project-{label}-{stamp}.db"
    refuse_long_path(target)
    try:
        make_folder(folder)
        with locked_folder(folder, ".") as place:  # one that was killed leaves no half copy under its name
            part = place / "new.db"
            with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(part)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # all in the one file
            sync(part)
            move(part, target)
    except (OSError, sqlite3.Error) as error:
        raise ProjectError(
            f"The project {database.parent} cannot be backed up before it is updated ({error}): "
            "free some space, then try again. Nothing was changed."
        ) from error
    sweep(folder, ".")
    return target
