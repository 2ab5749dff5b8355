"""A project that is deleted, moved or replaced while it is open acknowledges nothing more."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from annotation_store import OutputError, Project, ProjectGoneError
from annotation_store._collections.features import BoxFeatures
from annotation_store.files.layout import FEATURES, RUNS, STAGING, THUMBNAILS
from annotation_store.files.outputs import write_file
from annotation_store.files.temporary import locked_folder
from tests.database import writing

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows lets nobody replace an open file")


def deleted(folder: Path) -> None:
    shutil.rmtree(folder)


def moved(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))


def replaced(folder: Path) -> None:
    shutil.copy(folder / "project.db", folder / ".incoming")
    (folder / ".incoming").replace(folder / "project.db")


@pytest.mark.parametrize("what", [deleted, moved, replaced])
def test_an_edit_of_a_project_that_is_gone_is_refused_in_a_sentence(
    folder: Path, image_folder: Path, what: Callable[[Path], None]
) -> None:
    with Project.open(folder, annotator="Ada") as project:
        cell = project.cells.add(1, (1, 1, 20, 20))
        what(folder)
        for attempt in (
            lambda: project.cells.add(1, (5, 5, 20, 20)),
            lambda: project.undo(1),
            lambda: project.fields.add([image_folder / "c.jpg"]),
            lambda: project.models.reserve_id(),
            project.check_present,
        ):
            with pytest.raises(ProjectGoneError, match="nothing more is saved"):
                attempt()
        assert [c.id for c in project.cells.all()] == [cell]


def test_nothing_that_is_kept_beside_the_database_makes_a_deleted_project_anew(folder: Path) -> None:
    one = BoxFeatures(np.ones((1, 4), np.float32), np.ones((1, 8), np.float32))
    with Project.open(folder, annotator="Ada") as project:
        project.features.save("trunk", {1: one})
        shutil.rmtree(folder / FEATURES)
        project.features.save("trunk", {1: one})
        assert not (folder / FEATURES).exists(), "its deletion has begun"
        deleted(folder)
        with pytest.raises(ProjectGoneError):
            project.features.save("trunk", {1: one})
        for place in (THUMBNAILS, RUNS):
            with pytest.raises(OutputError):
                write_file(folder / place / "file", b"", parents=False)
        with pytest.raises(FileNotFoundError), locked_folder(folder / STAGING):
            pass
    assert not folder.exists()


def test_an_edit_during_which_the_database_is_replaced_is_not_acknowledged(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        with pytest.raises(ProjectGoneError), writing(project):
            replaced(folder)
        assert project.cells.all() == []


def test_a_project_opened_twice_in_one_program_loses_nothing_when_another_program_leaves(
    folder: Path,
) -> None:
    # to close any file of the database gives up this process's locks on it; the other program would then
    # take itself for the last one, and delete the WAL that the first goes on writing to
    with Project.open(folder, annotator="Ada") as project:
        project.cells.add(1, (1, 1, 20, 20))
        Project.open(folder, read_only=True).close()
        Project.open(folder, annotator="Ada").close()
        other = (
            "from annotation_store import Project\n"
            f"with Project.open({str(folder)!r}) as p: p.cells.add(1, (5, 5, 20, 20)); "
            "print(len(p.cells.all()))"
        )
        said = subprocess.run([sys.executable, "-c", other], check=True, capture_output=True, text=True)
        assert said.stdout.split() == ["2"]
        assert (folder / "project.db-wal").exists()
        project.cells.add(1, (9, 9, 20, 20))
        assert len(project.cells.all()) == 3
    with Project.open(folder, annotator="Ada") as project:
        assert len(project.cells.all()) == 3
