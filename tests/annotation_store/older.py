"""Databases as earlier versions made them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

_ADDED = {
    "0009": (("project", "patient_rule"),),
    "0011": (("suggestions", "novelty"),),
    "0012": (("suggestions", "unchecked"), ("suggestions", "sets")),
    "0013": (("cells", "origin"),),
    "0014": (("suggestions", "renewed"),),
    "0015": (("fields", "withheld"),),
}
"""Revision to the columns that it adds; a revision that adds any has a line here."""

_TABLES = {"0016": ("searched_tiles", "searches")}
"""Revision to the tables that it adds."""


def take_back(folder: Path, revision: str) -> None:
    """Make a project's database one of an earlier revision (0008 or later): later columns go."""
    with closing(sqlite3.connect(folder / "project.db")) as database, database:
        if revision < "0017":
            database.execute("DROP INDEX ix_fields_kind")
        for added, tables in _TABLES.items():
            for table in tables if added > revision else ():
                database.execute(f"DROP TABLE {table}")
        for added, columns in _ADDED.items():
            for table, column in columns if added > revision else ():
                database.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        if revision < "0015":
            database.execute("DROP TABLE origins")
        database.execute("UPDATE alembic_version SET version_num = ?", (revision,))
