"""A project of an earlier version, with work in it, becomes one of today; a copy is made first."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa

from annotation_store import EditError, Project, ProjectError
from annotation_store._db import migrate
from tests.database import run_sql


def test_work_of_an_earlier_version_goes_on(old_project: Path) -> None:
    with Project.open(old_project, annotator="Ada") as project:
        (cell,) = project.cells.all()
        assert (cell.cell_class, cell.attributes) == ("Monocyte", {"cell_size": "small"})
        assert [row.command for row in project.history.rows()] == ["Box cell"]
        assert project.cells.provenance(cell.id).made_by == "Ada"
        assert project.schema_versions.current == 1
        with pytest.raises(EditError):
            project.cells.change(cell.id, cell_class="Nonsense")
        with pytest.raises(sa.exc.IntegrityError, match="schema"):
            run_sql(project, "UPDATE cells SET cell_class = 'Nonsense'")
        with pytest.raises(sa.exc.IntegrityError, match="append-only"):
            run_sql(project, "DELETE FROM history")
        project.undo(1)
        assert project.cells.all() == []
        project.redo(1)
        assert [p for p in project.check() if "pixels" not in p and "altered" not in p] == []
    (copy,) = (old_project / "backups").iterdir()
    with sqlite3.connect(copy) as before:
        assert before.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)
        assert before.execute("SELECT active_seconds FROM annotators").fetchone() == (5.0,)


def test_a_migration_that_is_cut_short_leaves_the_old_project(
    old_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import op

    def fail(statement: str) -> None:
        if "RENAME TO history" in statement:
            raise OSError(28, "No space left on device")
        op.get_bind().exec_driver_sql(statement)

    monkeypatch.setattr(op, "execute", fail)
    with pytest.raises((ProjectError, OSError)):
        Project.open(old_project, annotator="Ada")
    monkeypatch.undo()
    with sqlite3.connect(old_project / "project.db") as raw:
        assert raw.execute("SELECT version_num FROM alembic_version").fetchone() == ("0002",)
        assert raw.execute("SELECT count(*) FROM history").fetchone() == (1,)
    with Project.open(old_project, annotator="Ada") as project:
        assert len(project.cells.all()) == 1
    assert migrate.HEAD > "0002"
