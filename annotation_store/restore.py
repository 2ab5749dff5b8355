"""Restore a project's database from a backup; replaced and unknown files are kept in ``lost+found``.

A backup must not be copied over ``project.db`` by hand: edits that a crash left in ``project.db-wal`` would
be played into it, page by page, and destroy it. Here the journals go with the database they belong to.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from annotation_store._db import migrate
from annotation_store._db.engine import open_unchanging
from annotation_store._db.session import open_here
from annotation_store.errors import ProjectError
from annotation_store.files.disk import move, refuse_long_path, sync, why_not_written
from annotation_store.files.layout import (
    BACKUPS,
    DATABASE,
    JOURNALS,
    LOST,
    MODELS,
    ORIGINALS,
    PIXELS,
    inside,
    is_link,
    refuse_links,
    set_aside,
)
from annotation_store.maintenance.create import UNFINISHED
from annotation_store.project import Project

_STAMP = re.compile(r"(\d{8}T\d{6})\d{6}\.db$")
_SQLITE_LOCKS = (0x40000000, 512)
"""The bytes of a database that SQLite locks while it is open."""


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of a project's database: where, when it was made, and why it cannot be used, if so."""

    path: Path
    made: datetime
    problem: str | None


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """What was restored, where the damaged database is, what the backup lacks, what `check` finds."""

    backup: Backup
    kept_in: Path
    unknown: list[str]
    problems: list[str]


def list_backups(folder: str | Path) -> list[Backup]:
    """List the copies of a project's database, newest first."""
    place = inside(Path(folder), BACKUPS)
    return sorted((_examine(p) for p in place.glob("*.db")), key=lambda b: b.made, reverse=True)


def restore(folder: str | Path, backup: str | Path | None = None) -> RestoreReport:
    """Replace a project's database by a backup.

    The damaged database with its journals moves to ``lost+found``, and so do pixels, originals and models
    of which the backup does not know.

    Parameters
    ----------
    backup
        A copy of this project's database; the newest that is sound, where not given.

    Raises
    ------
    ProjectError
        There is no sound backup, it is of another project, or the project is open elsewhere. Nothing was
        changed then.
    """
    project = Path(folder)
    refuse_long_path(project)
    if not project.is_dir():
        raise ProjectError(f"There is no folder {project}: check the path.")
    refuse_links(project)
    source = _choose_backup(project, None if backup is None else Path(backup))
    # before the lock is held: to close a file gives up this process's locks on it
    project_uid, backup_uid = _uid_of(project / DATABASE), _uid_of(source.path)
    if project_uid is not None and project_uid != backup_uid:
        raise ProjectError(f"The backup {source.path} belongs to another project: choose one of {project}.")
    try:
        with _closed_elsewhere(project / DATABASE):
            new = _copy(source.path, project)
            kept_in = _set_aside_all(project)
            move(new, project / DATABASE)
            unknown = _set_unknown_aside(project, kept_in.name)
    except OSError as error:
        raise ProjectError(why_not_written(f"The project {project}", error)) from error
    with Project.open(project) as opened:
        return RestoreReport(source, kept_in, unknown, opened.check())


def _choose_backup(project: Path, path: Path | None) -> Backup:
    if path is not None:
        if not path.is_file():
            raise ProjectError(f"There is no backup {path}: check the path.")
        backup = _examine(path)
        if backup.problem:
            raise ProjectError(f"The backup {path} cannot be used ({backup.problem}): choose another one.")
        return backup
    backups = list_backups(project)
    for backup in backups:
        if backup.problem is None:
            return backup
    how_many = f"the {len(backups)} there cannot be used" if backups else "there is none"
    raise ProjectError(
        f"The project {project} has no backup to restore ({how_many} in {project / BACKUPS}): "
        "if you have a copy of its project.db elsewhere, give it with --from."
    )


def _examine(path: Path) -> Backup:
    made_at = datetime.fromtimestamp(path.lstat().st_mtime, UTC)
    if stamp := _STAMP.search(path.name):
        with suppress(ValueError):
            made_at = datetime.strptime(stamp[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return Backup(path, made_at, _problem_of(path))


def _problem_of(path: Path) -> str | None:
    """Explain why a file is not a database that can be restored."""
    if is_link(path) or not path.is_file() or not path.stat().st_size:
        return "it is empty, or not a file"
    try:
        with closing(open_unchanging(path)) as opened:
            (answer,) = opened.execute("PRAGMA integrity_check(1)").fetchone()
            (revision,) = opened.execute("SELECT version_num FROM alembic_version").fetchone()
            opened.execute("SELECT uid FROM project").fetchone()
    except (sqlite3.Error, TypeError, ProjectError) as error:
        return f"it is damaged: {error}"
    if answer != "ok":
        return "it is damaged"
    if revision not in migrate.known_revisions():
        return f"a newer version of napari-lld made it ({revision})"
    return None


@contextmanager
def _closed_elsewhere(database: Path) -> Iterator[None]:
    """Reject a project that is open elsewhere, and keep it from being opened meanwhile.

    On Windows an open database cannot be moved away, which says the same.
    """
    refused = ProjectError(
        f"The project {database.parent} is open in another program: close it there, then restore again."
    )
    if open_here(database):
        raise refused
    if os.name == "nt" or not database.is_file():
        try:
            yield
        except PermissionError as error:
            raise refused from error
        return
    import fcntl

    with database.open("r+b") as file:
        first, length = _SQLITE_LOCKS
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, first)
        except (BlockingIOError, PermissionError) as error:
            raise refused from error
        yield


def _copy(backup: Path, project: Path) -> Path:
    """Copy a backup into the project's folder, under a temporary name."""
    new = project / UNFINISHED
    try:
        new.unlink(missing_ok=True)
        with closing(open_unchanging(backup)) as source, closing(sqlite3.connect(new)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")
        sync(new)
    except sqlite3.Error as error:
        new.unlink(missing_ok=True)
        raise ProjectError(
            f"The backup {backup} cannot be copied to {project} ({error}): free some space, then try again."
        ) from error
    return new


def _uid_of(database: Path) -> str | None:
    """Read the number of the project that a database is of, if it can still be read."""
    with suppress(sqlite3.Error, ProjectError, TypeError), closing(open_unchanging(database)) as opened:
        (uid,) = opened.execute("SELECT uid FROM project").fetchone()
        return str(uid)
    return None


def _set_aside_all(project: Path) -> Path:
    """Move the database to ``lost+found``; its journals first, so that none is left beside another one."""
    name = f"database-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    for file in (*JOURNALS, DATABASE):
        if (project / file).exists():
            set_aside(project, project / file, under=name)
    return project / LOST / name


def _set_unknown_aside(project: Path, under: str) -> list[str]:
    """Move files that the restored database does not know aside, so that new ids do not meet them."""
    with closing(sqlite3.connect(project / DATABASE)) as opened:
        fields = opened.execute("SELECT id, content_hash, suffix FROM fields").fetchall()
        models = opened.execute("SELECT id FROM models").fetchall()
    known_names = {
        PIXELS: {"zarr.json", *(str(row[0]) for row in fields)},
        ORIGINALS: {f"{row[1]}{row[2]}" for row in fields},
        MODELS: {str(row[0]) for row in models},
    }
    unknown = [
        path
        for place, names in known_names.items()
        for path in sorted(inside(project, place).glob("*"))
        if path.name not in names and (place == ORIGINALS or path.name.isdigit())
    ]
    for path in unknown:
        set_aside(project, path, under=f"{under}-{path.parent.name}")
    return [f"{path.parent.name}/{path.name}" for path in unknown]
