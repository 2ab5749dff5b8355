"""What SQLite says becomes a sentence, by the code of its error and not by the words of its message."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from annotation_store._db.engine import make_engine, plain_errors
from annotation_store.errors import EditError, ProjectError


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (sqlite3.SQLITE_BUSY, "written by another program"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "written by another program"),
        (sqlite3.SQLITE_LOCKED_SHAREDCACHE, "written by another program"),
        (sqlite3.SQLITE_READONLY_DBMOVED, "cannot be written"),
        (sqlite3.SQLITE_FULL, "full or failing"),
        (sqlite3.SQLITE_IOERR_FSYNC, "full or failing"),
        (sqlite3.SQLITE_CORRUPT_VTAB, "is damaged"),
        (sqlite3.SQLITE_NOTADB, "is damaged"),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, "cannot be opened"),
        (sqlite3.SQLITE_TOOBIG, "reports: database is locked"),
    ],
)
def test_the_code_decides_whatever_the_message(code: int, says: str) -> None:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = code
    with pytest.raises(ProjectError, match=says), plain_errors(Path("film.lld")):
        raise error


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("SELECT * FROM locked_fields", "is damaged"),  # and not locked
        ("SELECT readonly FROM kept", "is damaged"),
        ("SELECT json_extract(words, '$.a') FROM kept", "is damaged"),
        ("SELEC", "reports: near"),
    ],
)
def test_a_database_that_is_not_as_it_was_made_is_damaged(tmp_path: Path, statement: str, says: str) -> None:
    engine = make_engine(tmp_path / "project.db")
    with engine.connect() as connection:
        connection.execute(sa.text("CREATE TABLE kept (words TEXT UNIQUE)"))
        connection.execute(sa.text("INSERT INTO kept VALUES ('{')"))
        with pytest.raises(ProjectError, match=says), plain_errors(tmp_path):
            connection.execute(sa.text(statement)).all()
        with pytest.raises(EditError, match="nothing was changed"), plain_errors(tmp_path):
            connection.execute(sa.text("INSERT INTO kept VALUES ('{')"))
    engine.dispose()
