"""A project on another computer's disk: recognised, and opened without shared memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from annotation_store import Project
from annotation_store._db import engine
from annotation_store.files import network_share
from tests.database import run_sql

MOUNTS = """\
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 0:40 / /mnt/ward rw,relatime - cifs //server/ward rw,vers=3.0
41 27 0:41 / /mnt/lab\\040disk rw - nfs4 server:/lab rw
42 27 0:42 / /mnt/ward/local rw - xfs /dev/sdb1 rw
43 27 0:43 / /home/ada/far rw - fuse.sshfs ada@server: rw
44 27 0:44 / /mnt/c rw - 9p C:\\134 rw,aname=drvfs;path=C:
45 27 0:45 / /workspace rw - 9p hostshare rw
malformed line
"""


@pytest.mark.parametrize(
    ("folder", "kind", "shared"),
    [
        ("/home/ada/project", "ext4", False),
        ("/mnt/ward/project", "cifs", True),
        ("/mnt/ward", "cifs", True),
        ("/mnt/wardrobe/project", "ext4", False),
        ("/mnt/ward/local/project", "xfs", False),
        ("/mnt/lab disk/project", "nfs4", True),
        ("/home/ada/far/project", "fuse.sshfs", True),
        ("/mnt/c/project", "drvfs", True),
        ("/workspace/project", "9p", False),
    ],
)
def test_shares_are_told_by_the_mount_that_the_folder_lies_on(folder: str, kind: str, shared: bool) -> None:
    assert network_share._of_mounts(folder, MOUNTS) == kind
    assert (kind in network_share._SHARES) == shared


def test_this_disk_is_no_share_and_a_folder_that_is_not_there_is_none(tmp_path: Path) -> None:
    assert not network_share.is_network_share(tmp_path)
    assert not network_share.is_network_share(tmp_path / "nowhere")


@pytest.fixture
def on_share(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    def put(shared: bool) -> None:
        monkeypatch.setattr(engine, "is_network_share", lambda _: shared)

    return put


def mode(project: Project) -> tuple[str, int]:
    ask = partial(run_sql, project)
    return ask("PRAGMA journal_mode").scalar_one(), ask("PRAGMA synchronous").scalar_one()


def test_a_project_on_a_share_is_written_with_a_rollback_journal(
    folder: Path, on_share: Callable[[bool], None]
) -> None:
    with Project.open(folder, annotator="Ada") as project:
        assert mode(project) == ("wal", 2)
        project.cells.add(1, (1, 1, 20, 20))
    on_share(True)
    with Project.open(folder, annotator="Ada") as project:
        assert mode(project) == ("delete", 3)
        project.cells.add(1, (1, 1, 20, 20))
        assert not (folder / "project.db-wal").exists()
        assert not (folder / "project.db-shm").exists()
        with Project.open(folder, annotator="Ben", reading=1) as other:
            other.cells.add(1, (5, 5, 20, 20))
            assert project.refresh()
            assert len(project.cells.all(1)) == len(other.cells.all(1)) == 3
            with Project.open(folder, read_only=True) as reader:
                assert len(reader.cells.all(1)) == 3
    on_share(False)
    with Project.open(folder, annotator="Ada") as project:
        assert mode(project) == ("wal", 2)
        assert len(project.cells.all(1)) == 3
        assert project.check() == []


def test_what_a_crash_left_in_the_wal_is_not_lost_on_a_share(
    folder: Path, tmp_path: Path, on_share: Callable[[bool], None]
) -> None:
    import shutil

    copy = tmp_path / "copy"
    with Project.open(folder, annotator="Ada") as project:
        project.cells.add(1, (1, 1, 20, 20))
        shutil.copytree(folder, copy)  # as a killed process leaves it: the cell is in the WAL only
    (copy / "project.db-shm").unlink(missing_ok=True)
    assert (copy / "project.db-wal").stat().st_size > 0
    on_share(True)
    with Project.open(copy, annotator="Ada") as project:
        assert len(project.cells.all(1)) == 1
        assert project.check() == []


def test_a_new_project_on_a_share_never_enters_wal(tmp_path: Path, on_share: Callable[[bool], None]) -> None:
    on_share(True)
    with Project.create(tmp_path / "new", annotator="Ada") as project:
        assert mode(project) == ("delete", 3)
        assert project.check() == []
