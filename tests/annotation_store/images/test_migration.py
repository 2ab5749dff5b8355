"""A project from before whole slides is brought up to date, after a backup copy, with all it holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from annotation_store import FieldKind, Project
from annotation_store._db import migrate
from tests.database import run_sql


def made_older(folder: Path) -> None:
    """Put what the project says into a database of the first revision."""
    old = folder / "old.db"
    config = Config()
    config.set_main_option("script_location", "annotation_store:_db/migrations")
    config.set_main_option("path_separator", "os")
    engine = sa.create_engine(f"sqlite:///{old}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    with closing(sqlite3.connect(old)) as database:
        database.execute("ATTACH ? AS new", (str(folder / "project.db"),))

        def columns(table: str, where: str) -> list[str]:
            return [row[1] for row in database.execute(f"PRAGMA {where}.table_info({table})")]

        names = "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name <> 'alembic_version'"
        for (table,) in database.execute(names).fetchall():
            shared = ", ".join(f'"{c}"' for c in columns(table, "main") if c in columns(table, "new"))
            database.execute(f"INSERT INTO main.{table} ({shared}) SELECT {shared} FROM new.{table}")
        database.commit()
    for leftover in folder.glob("project.db*"):
        leftover.unlink()
    old.rename(folder / "project.db")


def test_an_older_project_opens_and_its_fields_are_images(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        project.cells.add(1, (1, 1, 20, 20))
        before = project.fields.all()
    made_older(folder)
    with Project.open(folder, annotator="Ada") as project:
        # what stands for the folders it came from is hashed again, since they stood there in clear
        assert [replace(field, source_path="") for field in project.fields.all()] == [
            replace(field, source_path="") for field in before
        ]
        assert {field.kind for field in project.fields.all()} == {FieldKind.IMAGE}
        assert len(project.cells.all()) == 1
        assert project.check() == []
        version = run_sql(project, "SELECT version_num FROM alembic_version").scalar()
        assert version == migrate.HEAD
    (backup,) = (folder / "backups").glob("project-0001-*.db")
    with closing(sqlite3.connect(backup)) as old:
        assert "kind" not in [row[1] for row in old.execute("PRAGMA table_info(fields)")]
