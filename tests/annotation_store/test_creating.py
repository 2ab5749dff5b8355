"""A new project is there whole or not at all, and of two programs that make it one succeeds."""

from __future__ import annotations

import errno
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from annotation_store import Project, ProjectError
from annotation_store.maintenance import create


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks")
def test_of_programs_that_make_the_same_project_exactly_one_succeeds(tmp_path: Path) -> None:
    Project.create(tmp_path / "first").close()  # all that is imported late, before the fork
    for attempt in range(4):
        folder = tmp_path / str(attempt) / "project"
        wait, go = os.pipe()
        children = []
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                code = 2
                try:
                    os.close(go)
                    os.read(wait, 1)  # ends for all when the parent closes its end
                    Project.create(folder).close()
                    code = 0
                except ProjectError:
                    code = 1
                finally:
                    os._exit(code)
            children.append(pid)
        os.close(wait)
        os.close(go)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        assert sorted(codes) == [0, 1]
        with Project.open(folder) as project:
            assert project.check() == []
        assert not list(folder.glob(".new*"))


def test_threads_of_one_program_make_projects_at_the_same_time(tmp_path: Path) -> None:
    folders = [tmp_path / f"{number}.lld" for number in range(4)]
    with ThreadPoolExecutor(len(folders)) as pool:
        for made in pool.map(Project.create, folders):
            made.close()
    for folder in folders:
        Project.open(folder).close()


def test_who_comes_second_touches_nothing_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    with create._alone(folder):
        (folder / "originals").mkdir()
        with pytest.raises(ProjectError, match="Another program"):
            Project.create(folder)
        assert (folder / "originals").is_dir()
    Project.create(folder).close()
    assert not (folder / ".new.lock").exists()


@pytest.mark.parametrize("deep", [False, True])
def test_a_disk_that_fills_is_named_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deep: bool
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(create, "create_root" if not deep else "move", full)
    with pytest.raises(ProjectError, match="the disk is full"):
        Project.create(tmp_path / "above/project")
    assert list(tmp_path.iterdir()) == []


def test_a_migration_on_a_full_disk_says_so_and_goes_on_once_there_is_space(
    old_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import command

    upgrade = command.upgrade

    def full(config: object, revision: str) -> None:
        connection = config.attributes["connection"]  # type: ignore[attr-defined]
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # as many as there are: no page more
        upgrade(config, revision)  # type: ignore[arg-type]

    monkeypatch.setattr(command, "upgrade", full)
    with pytest.raises(ProjectError, match="is full"):
        Project.open(old_project)
    monkeypatch.undo()
    with Project.open(old_project) as project:
        assert len(project.cells.all()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has limits of its own")
@pytest.mark.parametrize("part", ["x" * 50, "x" * 256])
def test_a_path_that_is_too_long_is_said_to_be(tmp_path: Path, part: str) -> None:
    folder = tmp_path
    while len(str(folder)) <= 490:
        folder = folder / part
    for attempt in (Project.create, Project.open):
        with pytest.raises(ProjectError, match="too long"):
            attempt(folder)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has limits of its own")
def test_a_path_that_is_just_short_enough_works(tmp_path: Path) -> None:
    folder = tmp_path
    while len(str(folder)) < 390:
        folder = folder / ("x" * 50)
    folder = folder / ("y" * (489 - len(str(folder))))
    with Project.create(folder) as project:
        project.readings.add("second")
