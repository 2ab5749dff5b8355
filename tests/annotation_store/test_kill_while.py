"""Killed while importing, or while migrating: all of it is there, or nothing of it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from annotation_store import Project, formats
from annotation_store._db import migrate
from annotation_store.restore import list_backups
from tests.database import run_sql

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="the tests fork")
INSTANTS = int(os.environ.get("LLD_INSTANTS", "8"))
"""At how many instants a process is killed; each run chooses others."""
CELLS = 400


def killed(work: Callable[[], object], after: float) -> None:
    """Run work in a process of its own and kill it after some seconds."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def how_long(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def test_an_import_is_whole_or_absent(folder: Path, tmp_path: Path) -> None:
    boxes = [[(i % 20) * 4, (i // 20) * 2, 15.5, 15.5] for i in range(CELLS)]
    document = {
        "images": [{"id": 1, "file_name": "a.png", "annotated_regions": [[0, 0, 50, 50]]}],
        "annotations": [{"id": i, "image_id": 1, "bbox": box} for i, box in enumerate(boxes)],
    }
    file = tmp_path / "given.json"
    file.write_text(json.dumps(document))

    def work(place: Path) -> None:
        with Project.open(place, annotator="Ada") as project:
            formats.read("coco", project, file)

    whole = how_long(lambda: work(Path(shutil.copytree(folder, tmp_path / "first"))))
    for instant in range(INSTANTS):
        copy = Path(shutil.copytree(folder, tmp_path / "copy"))
        killed(lambda place=copy: work(place), random.uniform(0, 1.2 * whole))  # type: ignore[misc]
        with Project.open(copy, annotator="Ada") as project:
            there = len(project.cells.all()), len(project.regions.all())
            assert there in ((0, 0), (CELLS, 1)), instant
            assert project.check() == []
        shutil.rmtree(copy)


def test_a_migration_is_whole_or_not_begun(old_project: Path, tmp_path: Path) -> None:
    def work(place: Path) -> None:
        Project.open(place, annotator="Ada").close()

    whole = how_long(lambda: work(Path(shutil.copytree(old_project, tmp_path / "first"))))
    for instant in range(INSTANTS):
        copy = Path(shutil.copytree(old_project, tmp_path / "copy"))
        killed(lambda place=copy: work(place), random.uniform(0, 1.2 * whole))  # type: ignore[misc]
        with Project.open(copy, annotator="Ada") as project:
            assert [cell.cell_class for cell in project.cells.all()] == ["Monocyte"], instant
            assert len(project.history.rows()) == 1
            version = run_sql(project, "SELECT version_num FROM alembic_version").scalar()
            assert version == migrate.HEAD
        # no half backup under its name, nor under another one
        assert all(b.problem is None for b in list_backups(copy)), instant
        shutil.rmtree(copy)


def test_a_backup_cut_short_has_not_its_name_and_is_swept_by_the_next(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work() -> None:
        monkeypatch.setattr(migrate, "move", lambda *_: os._exit(9))
        migrate.back_up(folder / "project.db", folder / "backups", "0007")

    killed(work, 1.0)
    (left,) = (folder / "backups").iterdir()
    assert left.name.startswith(".")
    migrate.back_up(folder / "project.db", folder / "backups", "0007")
    assert [backup.problem for backup in list_backups(folder)] == [None]
    assert not left.exists()
