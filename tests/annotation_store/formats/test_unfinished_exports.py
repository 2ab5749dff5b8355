"""An export that is stopped or killed leaves nothing for good, and none sweeps what another still fills."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from annotation_store import Project, formats
from annotation_store.errors import OutputError
from annotation_store.files.outputs import write_file
from annotation_store.formats._exchange import export
from annotation_store.formats._exchange.export import new_folder

EXPORTS = [
    ("yolo", ""),
    ("voc", ""),
    ("crops", ""),
    ("lld", ""),
    ("geojson", ""),
    ("csv", ".csv"),
    ("coco", ".json"),
]

KILLED = """
import os, sys
from pathlib import Path
from annotation_store.formats._exchange.export import new_folder
from annotation_store.files.outputs import write_file
def lines():
    yield "half"
    print("filling", flush=True)
    sys.stdin.read()
with new_folder(Path(sys.argv[1])) as folder:
    (folder / "a.txt").write_text("half")
    write_file(Path(sys.argv[2]), lines())
"""


@pytest.fixture
def annotated(project: Project) -> Project:
    for field in project.fields.all():
        project.regions.add_whole_field(field.id)
        project.cells.add(field.id, (5, 5, 9, 9), cell_class="Monocyte")
    return project


@pytest.mark.parametrize(("name", "suffix"), EXPORTS)
@pytest.mark.parametrize("stopped_by", [KeyboardInterrupt, RuntimeError])
def test_a_stopped_export_leaves_nothing(
    annotated: Project, tmp_path: Path, name: str, suffix: str, stopped_by: type[BaseException]
) -> None:
    home = tmp_path / "exports"
    home.mkdir()

    def stop(done: int, _of: int) -> None:
        if done:
            raise stopped_by

    with pytest.raises(stopped_by):
        formats.write(name, annotated, home / f"out{suffix}", progress=stop)
    assert list(home.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_the_next_export_removes_what_a_killed_one_left_and_nothing_else(tmp_path: Path) -> None:
    home = tmp_path / "exports"
    home.mkdir()
    folder, file = home / "set", home / "cells.csv"
    (home / ".set.mine").mkdir()
    words = [sys.executable, "-c", KILLED, str(folder), str(file)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        living = set(home.iterdir())
        assert len(living) == 3
        with new_folder(folder) as filled:
            (filled / "b.txt").write_text("whole")
        write_file(file, "whole")
        assert set(home.iterdir()) == living | {folder, file}, "what a living program fills stays"
        os.kill(process.pid, signal.SIGKILL)
    assert set(home.iterdir()) == living | {folder, file}
    (folder / "b.txt").unlink()
    with new_folder(folder) as filled:
        (filled / "c.txt").write_text("whole")
    write_file(file, "anew")
    assert {path.name for path in home.iterdir()} == {".set.mine", "set", "cells.csv"}
    assert [path.name for path in folder.iterdir()] == ["c.txt"]


def test_names_as_long_as_a_file_system_takes_are_written(tmp_path: Path) -> None:
    write_file(tmp_path / ("é" * 120 + ".txt"), "whole")
    with new_folder(tmp_path / ("x" * 250)) as filled:
        (filled / "a.txt").write_text("whole")
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["yolo", "voc", "crops", "lld"])
def test_a_full_disk_is_called_full(
    name: str, annotated: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(Path, "write_text", full)
    monkeypatch.setattr(export.shutil, "copyfile", full)
    with pytest.raises(OutputError, match="the disk is full"):
        formats.write(name, annotated, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "out", "full"), [("labelstudio", "out.json", "out.json"), ("voc", "out", "README.md")]
)
def test_of_several_files_of_an_export_none_stays_where_one_does_not_fit(
    name: str, out: str, full: str, annotated: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "exports"
    home.mkdir()
    write = Path.replace

    def replace(path: Path, target: Path) -> Path:
        if Path(target).name == full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OutputError, match="the disk is full"):
        formats.write(name, annotated, home / out)
    assert list(home.iterdir()) == []
