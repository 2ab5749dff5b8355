"""Open the database: pragmas that survive a power cut, and errors turned into sentences."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import NullPool

from annotation_store.errors import EditError, ProjectError
from annotation_store.files.disk import make_folder, sync_tree, why_not_written
from annotation_store.files.network_share import is_network_share
from annotation_store.files.temporary import temporary_folder

to_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_read_json = json.JSONDecoder().raw_decode


def from_json(text: str) -> Any:
    """Read a JSON column as `to_json` writes it; without blanks, it takes a quarter of `json.loads`' time."""
    return _read_json(text)[0]


"""Format of JSON in the database."""

BUSY_TIMEOUT_MS = 10_000
"""How long a writer waits for another process's transaction."""
_TRIES = 3
_QUICKLY_CHECKED = 32_000_000
"""Bytes of a database that are read through in a moment."""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT)
_NOT_AS_IT_WAS_MADE = ("no such table", "no such column", "malformed json", "unsupported file format")
"""Messages of SQLite about a damaged database that share the code of other errors."""


def make_engine(file: Path, *, read_only: bool = False, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> sa.Engine:
    """Make an engine on a database file that exists, or is to be made where `read_only` is false."""
    # asked once: a project does not move while it is open
    shared = is_network_share(file.parent)

    def connect() -> sqlite3.Connection:
        if read_only:
            return open_for_reading(file, busy_timeout_ms=busy_timeout_ms)
        connection = _connect(file.absolute().as_uri() + "?mode=rwc", busy_timeout_ms)
        if shared:
            return _on_share(connection, busy_timeout_ms)
        return _prepare(connection, False, busy_timeout_ms)

    return sa.create_engine(
        "sqlite://",
        creator=connect,
        poolclass=NullPool,
        json_serializer=to_json,
        json_deserializer=from_json,
        # reads take no lock beyond their statement; `transaction` begins writes itself
        isolation_level="AUTOCOMMIT",
    )


def open_for_reading(file: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> sqlite3.Connection:
    """Open a database that is not to be written, on a medium that may not be writable either."""
    uri = file.absolute().as_uri() + "?mode=ro"
    try:
        return _prepare(_connect(uri, busy_timeout_ms), True, busy_timeout_ms)
    except sqlite3.OperationalError:
        # WAL needs a shared-memory file beside the database, which a read-only medium cannot give
        return open_unchanging(file, busy_timeout_ms=busy_timeout_ms)


def open_unchanging(file: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> sqlite3.Connection:
    """Open a database that no process writes, without creating a file beside it."""
    # `immutable` passes the journals over: where they hold something, a copy is read that takes it in
    if any(_size(place) for place in _journals(file)):
        return _of_copy(file, busy_timeout_ms)
    uri = file.absolute().as_uri() + "?mode=ro&immutable=1"
    return _prepare(_connect(uri, busy_timeout_ms), True, busy_timeout_ms)


def refuse_foreign_wal(file: Path, path: Path) -> None:
    """Reject a database whose WAL seems to belong to another database; neither is written.

    SQLite plays a WAL into whatever database lies beside it, and keeps the result when the project is
    closed. A WAL lies there after a crash, and while others have the project open.

    Raises
    ------
    ProjectError
        The two together are damaged.
    """
    if not _size(_journals(file)[0]) or _size(file) > _QUICKLY_CHECKED:
        return
    with plain_errors(path), closing(open_for_reading(file)) as opened:
        (answer,) = opened.execute("PRAGMA integrity_check(1)").fetchone()
    if answer != "ok":
        raise ProjectError(
            f"The database of the project {path} and its {file.name}-wal do not belong together, or are "
            f"damaged. Was a backup copied there by hand? Then restore it with 'napari-lld restore {path}'; "
            f"else try 'napari-lld check {path} --repair'."
        )


class _Connection(sqlite3.Connection):
    """A connection that releases its resources when it is closed."""

    held: ExitStack | None = None

    def close(self) -> None:
        super().close()
        if self.held is not None:
            self.held.close()


def _connect(uri: str, busy_timeout_ms: int) -> _Connection:
    # the project checks the thread itself: an abandoned one may be collected, and so closed, in any
    return sqlite3.connect(
        uri,
        uri=True,
        timeout=busy_timeout_ms / 1000,
        isolation_level=None,
        check_same_thread=False,
        factory=_Connection,
    )


def _journals(file: Path) -> list[Path]:
    """List the files that hold a part of a database: edits not yet in it, or what is to be taken back."""
    return [file.with_name(f"{file.name}{end}") for end in ("-wal", "-journal")]


_SETTLED_NS = 200_000_000
"""How old a write must be before the next one is sure to have another time."""


def write_stamp(file: Path) -> tuple[tuple[int, int, int], ...] | None:
    """Return what differs after the next write to a database; ``None`` just after a write.

    Two writes within one tick of the disk's clock may leave the same time and size.
    """
    stamps = []
    for path in (file, *_journals(file)):
        try:
            status = path.stat()
        except OSError:
            continue
        if status.st_size == 0:  # a journal that an opening made
            continue
        if time.time_ns() - status.st_mtime_ns < _SETTLED_NS:
            return None
        stamps.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(stamps)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def _of_copy(file: Path, busy_timeout_ms: int) -> sqlite3.Connection:
    """Read a database and its journals from a private copy, which is removed with the connection."""
    with ExitStack() as held:
        try:
            folder = held.enter_context(temporary_folder("database"))
            _copy_unchanged([file, *(place for place in _journals(file) if _size(place))], folder)
        except OSError as error:
            raise ProjectError(why_not_written(f"A copy of {file}, needed to read it,", error)) from error
        connection = _connect((folder / file.name).absolute().as_uri(), busy_timeout_ms)
        connection.held = held.pop_all()
    connection.execute("PRAGMA journal_mode")  # takes in what the journals hold
    connection.execute("PRAGMA query_only = ON")
    return _prepare(connection, True, busy_timeout_ms)


def keep_copy(file: Path, folder: Path) -> None:
    """Copy a database and its journals into a new folder, as they are."""
    try:
        make_folder(folder)
        _copy_unchanged([file, *(place for place in _journals(file) if _size(place))], folder)
        sync_tree(folder)
    except OSError as error:
        raise ProjectError(why_not_written(f"A copy of {file}, to be kept,", error)) from error


def _copy_unchanged(files: list[Path], folder: Path) -> None:
    """Copy files as of one moment: repeat it if one of them was written meanwhile."""
    for _ in range(_TRIES):
        before = [(file.stat().st_mtime_ns, file.stat().st_size) for file in files]
        for file in files:
            shutil.copyfile(file, folder / file.name)
        if before == [(file.stat().st_mtime_ns, file.stat().st_size) for file in files]:
            return
    raise _busy()


def _prepare(connection: sqlite3.Connection, read_only: bool, busy_timeout_ms: int) -> sqlite3.Connection:
    try:
        connection.execute(f"PRAGMA busy_timeout = {busy_timeout_ms:d}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA trusted_schema = OFF")  # the schema may be untrusted
        if not read_only:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            # a system without shared memory stays with a rollback journal, whose deletion is the commit
            connection.execute(f"PRAGMA synchronous = {'FULL' if mode == 'wal' else 'EXTRA'}")
        connection.execute("SELECT count(*) FROM sqlite_master")
    except BaseException:
        connection.close()
        raise
    return connection


def _on_share(connection: sqlite3.Connection, busy_timeout_ms: int) -> sqlite3.Connection:
    """Use a rollback journal, safe where processes share no memory; readers then wait for a commit."""
    try:
        connection.execute(f"PRAGMA busy_timeout = {busy_timeout_ms:d}")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA trusted_schema = OFF")  # the schema may be untrusted
        # where it comes from a local disk: with the file locked, its WAL is read without shared memory
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        if mode != "delete":
            raise _busy()
        connection.execute("PRAGMA locking_mode = NORMAL")
        # EXTRA: the folder is synced too, once the journal is gone
        connection.execute("PRAGMA synchronous = EXTRA")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def plain_errors(path: Path) -> Iterator[None]:
    """Turn the database's own errors into `ProjectError` and `EditError` with a sentence."""
    try:
        yield
    except IntegrityError as error:
        raise EditError(
            f"The edit breaks a rule of the project ({error.orig}): nothing was changed."
        ) from error
    except DatabaseError as error:
        raise ProjectError(_sentence(path, error.orig)) from error
    except sqlite3.DatabaseError as error:
        raise ProjectError(_sentence(path, error)) from error
    except (json.JSONDecodeError, RecursionError) as error:  # a column written by another program
        raise ProjectError(damaged(path)) from error


def damaged(path: Path) -> str:
    """Return the error for a damaged database, with the cure."""
    return (
        f"The database of the project {path} is damaged: restore a backup with "
        f"'napari-lld restore {path}' (do not copy one by hand, its journal would destroy it)."
    )


def _busy() -> sqlite3.OperationalError:
    """Make the error that SQLite raises where another program writes."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def _sentence(path: Path, error: BaseException | None) -> str:
    """Describe an error of SQLite by its code, whose lowest byte is the kind of error."""
    kind = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if kind in _BUSY:
        return (
            f"The project {path} is being written by another program: wait for it to finish, then try again."
        )
    if kind == sqlite3.SQLITE_READONLY:
        return f"The project {path} cannot be written: copy it to a folder where you may write."
    if kind in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        return f"The disk of the project {path} is full or failing: free some space, then try again."
    reason = str(error)
    changed = any(words in reason.lower() for words in _NOT_AS_IT_WAS_MADE)
    if kind in _DAMAGED or (kind == sqlite3.SQLITE_ERROR and changed):
        return damaged(path)
    if kind in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return f"The database of the project {path} cannot be opened: check the folder and its permissions."
    return f"The database of the project {path} reports: {reason}."


@contextmanager
def transaction(connection: sa.Connection, path: Path, *, keep: bool = True) -> Iterator[sa.Connection]:
    """Run one write transaction: all of it reaches the disk, or nothing does.

    ``BEGIN IMMEDIATE`` takes the write lock before anything is read, so what an edit reads is still
    true when it writes.

    Parameters
    ----------
    keep
        Whether to keep what was written; otherwise all of it is taken back in the end.
    """
    with plain_errors(path):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
            if keep:
                _driver(connection).commit()
            else:
                roll_back(connection)
        except BaseException:
            roll_back(connection)
            raise


def _driver(connection: sa.Connection) -> Any:
    return connection.connection.dbapi_connection


def roll_back(connection: sa.Connection) -> None:
    """Undo a transaction, if one is open."""
    # a full disk makes SQLite roll back by itself; a second ROLLBACK would hide the first error
    driver = _driver(connection)
    if driver is not None and driver.in_transaction:
        with suppress(sqlite3.Error):
            driver.rollback()
