"""The database under a project: the only place where tests reach below its public face."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import sqlalchemy as sa

from annotation_store import Project


def engine(project: Project) -> sa.Engine:
    """Return what each statement goes through, to listen to it."""
    return project._db._engine


def connection(project: Project) -> sa.Connection:
    """Return the connection that an open project holds."""
    return project._db.connection


def writing(project: Project) -> AbstractContextManager[sa.Connection]:
    """Begin a transaction, as an edit does."""
    return project._db.writing()


def run_sql(project: Project, statement: str, *parameters: Any) -> sa.CursorResult[Any]:
    """Run SQL beside the store, to damage a project or to look below."""
    return connection(project).exec_driver_sql(statement, *parameters)
