"""A project from before whole slides is brought up to date, after a backup copy, with all it holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from annotation_store import FieldKind, Project
from annotation_store._db import migrate


def made_older(folder: Path) -> None:
    """Undo the second migration by hand."""
    with closing(sqlite3.connect(folder / "project.db")) as database:
        for column in ("kind", "source_bytes"):
            database.execute(f"ALTER TABLE fields DROP COLUMN {column}")
        database.execute("UPDATE alembic_version SET version_num = '0001'")
        database.commit()


def test_an_older_project_opens_and_its_fields_are_images(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        project.add_cell(1, (1, 1, 20, 20))
        before = project.fields()
    made_older(folder)
    with Project.open(folder, annotator="Ada") as project:
        assert project.fields() == before
        assert {field.kind for field in project.fields()} == {FieldKind.IMAGE}
        assert len(project.cells()) == 1
        assert project.check() == []
        version = project._connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        assert version == migrate.HEAD
    (backup,) = (folder / "backups").glob("project-0001-*.db")
    with closing(sqlite3.connect(backup)) as old:
        assert "kind" not in [row[1] for row in old.execute("PRAGMA table_info(fields)")]
