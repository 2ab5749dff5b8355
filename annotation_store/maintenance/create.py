"""Create a project completely or not at all, even if two programs try at once."""

from __future__ import annotations

import json
import os
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from annotation_store._collections.schema_change import words_of
from annotation_store._db import history, migrate
from annotation_store._db.engine import make_engine, plain_errors, transaction
from annotation_store._db.tables import annotators, readings, words
from annotation_store._db.tables import project as project_table
from annotation_store.errors import ProjectError
from annotation_store.files.disk import move, refuse_long_path, sync, why_not_written
from annotation_store.files.layout import DATABASE, LOGS, MODELS, ORIGINALS, PIXELS, refuse_links
from annotation_store.files.locks import open_to_lock, try_lock
from annotation_store.files.outputs import check_output
from annotation_store.images.zarr_writer import create_root
from annotation_store.schema import Schema

UNFINISHED = ".new.db"
_LOCK = ".new.lock"
_SKELETON = (ORIGINALS, MODELS, LOGS, PIXELS)


def make_project(folder: Path, schema: Schema, annotator: str) -> None:
    """Make an empty project in a new or empty folder.

    Raises
    ------
    ProjectError
        The folder holds something, cannot be written, or another program makes a project there.
    """
    refuse_long_path(folder)
    _refuse_occupied(folder)
    check_output(folder, overwrite=True)  # no project inside a project
    created: list[Path] = []
    try:
        _make_folders(folder, created)
        with _alone(folder):
            _refuse_occupied(folder)  # another program may just have finished
            try:
                _fill(folder, schema, annotator)
            except BaseException:
                _empty(folder)
                raise
        for path in created:
            sync(path.parent)
    except BaseException as error:
        for path in reversed(created):
            with suppress(OSError):
                path.rmdir()  # fails where another program has put something
        if isinstance(error, OSError):
            raise ProjectError(why_not_written(f"The folder {folder}", error)) from error
        raise


def _refuse_occupied(folder: Path) -> None:
    try:
        if folder.exists() and not folder.is_dir():
            raise ProjectError(f"{folder} is a file: choose a folder for the project.")
        inside = {p.name for p in folder.iterdir()} if folder.exists() else set()
    except OSError as error:
        raise ProjectError(
            f"The folder {folder} cannot be read ({error.strerror}): choose a folder where you may write."
        ) from error
    if DATABASE in inside:
        raise ProjectError(f"{folder} is already a project: open it, or choose another folder.")
    refuse_links(folder)
    # leftovers of an interrupted creation are accepted; any other content may be a person's work
    blank = {n for n in inside & set(_SKELETON) if not _files_in(folder / n)}
    ours = (UNFINISHED, _LOCK, f"{DATABASE}.")
    if others := sorted(n for n in inside - blank if not n.startswith(ours)):
        raise ProjectError(
            f"The folder {folder} is not empty (it holds {others[0]}): choose a new or empty folder."
        )


def _files_in(folder: Path) -> bool:
    return any(p.is_file() and p.relative_to(folder).as_posix() != "zarr.json" for p in folder.rglob("*"))


def _make_folders(folder: Path, created: list[Path]) -> None:
    """Create a folder and its parents; `made` gets those created."""
    if folder.is_dir():
        return
    _make_folders(folder.absolute().parent, created)
    with suppress(FileExistsError):
        folder.mkdir()
        created.append(folder.absolute())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the right to make a project in a folder; the lock goes with the process that holds it."""
    place = folder / _LOCK
    with open_to_lock(place, make=True) as lock:
        # one that was removed meanwhile is of a program that has just finished
        if try_lock(lock) is False or not _is_at(lock, place):
            raise ProjectError(f"Another program is creating a project in {folder}: wait, then open it.")
        try:
            yield
        finally:
            if os.name != "nt":
                place.unlink(missing_ok=True)
    if os.name == "nt":  # which removes no file that is open
        with suppress(OSError):
            place.unlink(missing_ok=True)


def _is_at(lock: BinaryIO, place: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(lock.fileno()), place.lstat())
    except OSError:
        return False


def _fill(folder: Path, schema: Schema, annotator: str) -> None:
    unfinished = folder / UNFINISHED
    _forget(unfinished)
    for name in (ORIGINALS, MODELS, LOGS):
        (folder / name).mkdir(exist_ok=True)
    if not (folder / PIXELS / "zarr.json").exists():
        create_root(folder / PIXELS)
    _write_database(unfinished, folder, schema, annotator)
    # the database comes last and in one step: a folder with project.db is a whole project
    sync(unfinished)
    move(unfinished, folder / DATABASE)


def _write_database(database: Path, folder: Path, schema: Schema, annotator: str) -> None:
    engine = make_engine(database)
    try:
        migrate.upgrade(engine, folder)
        with plain_errors(folder), engine.connect() as connection:
            with transaction(connection, folder):
                row = {
                    "id": 1,
                    "uid": uuid.uuid4().hex,
                    "created": history.now(),
                    "secret": secrets.token_hex(32),
                    "schema": json.loads(schema.model_dump_json()),
                }
                connection.execute(project_table.insert(), [row])
                connection.execute(words.insert(), words_of(schema))
                connection.execute(annotators.insert(), [{"name": annotator}])
                connection.execute(readings.insert(), [{"name": "Reading 1", "annotator": annotator}])
            # everything into the one file, which is then renamed
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
    finally:
        engine.dispose()


def _empty(folder: Path) -> None:
    """Remove what an unfinished creation made, and nothing else."""
    _forget(folder / UNFINISHED)
    (folder / PIXELS / "zarr.json").unlink(missing_ok=True)
    for name in _SKELETON:
        with suppress(OSError):
            (folder / name).rmdir()


def _forget(database: Path) -> None:
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink(missing_ok=True)
