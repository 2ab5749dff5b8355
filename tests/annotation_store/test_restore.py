"""A backup comes back whole, whatever lies beside the damaged database; nothing is deleted."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from annotation_store import Project, ProjectError
from annotation_store._db import migrate
from annotation_store.restore import list_backups, restore
from tests.database import run_sql


@pytest.fixture
def crashed(folder: Path, image_folder: Path) -> Path:
    """A project with a backup of one cell, and a crash after sixty more and another field."""
    with Project.open(folder, annotator="Ada") as project:
        project.cells.add(1, (1, 1, 20, 20), comment="kept")
    migrate.back_up(folder / "project.db", folder / "backups", "before-repair")
    program = (
        "import os; from annotation_store import Project\n"
        f"project = Project.open({str(folder)!r})\n"
        f"project.fields.add([{str(image_folder / 'c.jpg')!r}])\n"
        "for i in range(60): project.cells.add(1, (i, 5, 20, 20), comment='x' * 500)\n"
        "os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    assert (folder / "project.db-wal").stat().st_size > 0
    return folder


def spoil(folder: Path) -> bytes:
    data = bytearray((folder / "project.db").read_bytes())
    data[30:4000] = os.urandom(3970)
    (folder / "project.db").write_bytes(data)
    return bytes(data)


def test_a_backup_is_restored_and_the_stale_wal_of_a_crash_does_not_touch_it(crashed: Path) -> None:
    wal = (crashed / "project.db-wal").read_bytes()
    damaged = spoil(crashed)
    report = restore(crashed)
    assert report.problems == []
    assert (report.kept_in / "project.db").read_bytes() == damaged
    assert (report.kept_in / "project.db-wal").read_bytes() == wal
    with Project.open(crashed, annotator="Ada") as project:
        assert [cell.comment for cell in project.cells.all()] == ["kept"]
        assert project.check() == []
    assert [p.name for p in (crashed / "backups").iterdir()] == [report.backup.path.name]


def test_what_the_backup_does_not_know_is_kept_and_can_be_added_again(
    crashed: Path, image_folder: Path
) -> None:
    report = restore(crashed)
    originals = report.kept_in.with_name(f"{report.kept_in.name}-originals")
    assert len(report.unknown) == 2
    assert [p.read_bytes() for p in originals.iterdir()] == [(image_folder / "c.jpg").read_bytes()]
    with Project.open(crashed, annotator="Ada") as project:
        assert project.fields.add([originals]).added == [3]
        assert project.check() == []


def test_the_newest_sound_backup_is_taken_and_the_lost_database_is_no_hindrance(crashed: Path) -> None:
    (older,) = (crashed / "backups").iterdir()
    (crashed / "backups/project-0007-29990101T000000000000.db").write_bytes(b"SQLite format 3\0 and no more")
    shutil.copy(older, crashed / "backups/project-0007-20000101T000000000000.db")
    assert [backup.problem is None for backup in list_backups(crashed)] == [False, True, True]
    (crashed / "project.db").unlink()
    with pytest.raises(ProjectError, match="napari-lld restore"):
        Project.open(crashed)
    assert restore(crashed).backup.path == older


def test_damage_advises_to_restore(folder: Path) -> None:
    for path in folder.glob("project.db-*"):
        path.unlink()
    spoil(folder)
    with pytest.raises(ProjectError, match=r"napari-lld restore .*not copy one by hand"):
        Project.open(folder)


def test_a_backup_copied_by_hand_beside_a_stale_wal_is_refused_before_it_is_destroyed(crashed: Path) -> None:
    (backup,) = (crashed / "backups").iterdir()
    Project.open(crashed, annotator="Ada").close()  # the edits of the crash reach the database,
    with Project.open(crashed, annotator="Ada") as project:
        for i in range(60):
            project.cells.add(1, (i, 30, 20, 20), comment="y" * 500)
        wal = (crashed / "project.db-wal").read_bytes()  # and those of another one do not
    shutil.copy(backup, crashed / "project.db")
    (crashed / "project.db-wal").write_bytes(wal)
    for read_only in (True, False):
        with pytest.raises(ProjectError, match=r"together|damaged"):
            Project.open(crashed, read_only=read_only)
    assert (crashed / "project.db").read_bytes() == backup.read_bytes()
    Project.open(crashed, read_only=True, to_mend=True).close()
    assert (crashed / "project.db").read_bytes() == backup.read_bytes()
    with suppress(ProjectError):
        Project.open(crashed, to_mend=True).close()
    (kept,) = (crashed / "lost+found").glob("database-*")
    assert (kept / "project.db").read_bytes() == backup.read_bytes()
    assert (kept / "project.db-wal").read_bytes() == wal
    assert restore(crashed).problems == []


@pytest.mark.parametrize("here", [True, False])
def test_a_project_that_is_open_is_not_restored(crashed: Path, here: bool) -> None:
    if here:
        with Project.open(crashed, annotator="Ada"), pytest.raises(ProjectError, match="open in another"):
            restore(crashed)
        return
    program = (
        "import sys; from annotation_store import Project\n"
        f"with Project.open({str(crashed)!r}): print('open', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "open\n"
    before = (crashed / "project.db").read_bytes()
    with pytest.raises(ProjectError, match="open in another program"):
        restore(crashed)
    assert (crashed / "project.db").read_bytes() == before
    other.communicate("")
    restore(crashed)


def test_no_backup_one_of_another_project_and_one_of_a_newer_version_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    before = (folder / "project.db").read_bytes()
    with pytest.raises(ProjectError, match="has no backup"):
        restore(folder)
    with Project.create(tmp_path / "other") as other:
        other.readings.add("second")
    with pytest.raises(ProjectError, match="another project"):
        restore(folder, tmp_path / "other/project.db")
    with Project.open(tmp_path / "other") as other:
        run_sql(other, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ProjectError, match="newer version"):
        restore(folder, tmp_path / "other/project.db")
    with pytest.raises(ProjectError, match="There is no backup"):
        restore(folder, tmp_path / "nowhere.db")
    assert (folder / "project.db").read_bytes() == before
    assert not (folder / "lost+found").exists()


def test_a_copy_of_ones_own_is_restored_with_the_wal_beside_it(crashed: Path, tmp_path: Path) -> None:
    for end in ("", "-wal"):
        shutil.copy(crashed / f"project.db{end}", tmp_path / f"mine.db{end}")
    restore(crashed)
    assert restore(crashed, tmp_path / "mine.db").unknown == []
    with Project.open(crashed, annotator="Ada") as project:
        assert len(project.cells.all()) == 61
