"""Locks of the operating system, through `filelock`."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock, Timeout

from annotation_store.files.locks import open_to_lock, try_lock

HOLDS = """
import sys
from pathlib import Path
from annotation_store.files.locks import open_to_lock, try_lock
with open_to_lock(Path(sys.argv[1]), make=True) as file:
    print(try_lock(file), flush=True)
    sys.stdin.read()
"""


def test_a_lock_goes_with_a_process_that_is_killed(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, place], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"True\n"
        with open_to_lock(place) as file:
            assert try_lock(file) is False
            process.kill()
            process.wait()
            assert try_lock(file) is True


def test_a_lock_keeps_out_whoever_locks_by_the_library(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    with open_to_lock(place, make=True) as file:
        assert try_lock(file) is True
        with pytest.raises(Timeout):
            FileLock(place).acquire(blocking=False)
    with FileLock(place), open_to_lock(place) as file:
        assert try_lock(file) is False


@pytest.mark.parametrize(("refusal", "answer"), [("ENOLCK", None), ("EOPNOTSUPP", None), ("EIO", False)])
def test_a_file_system_without_locks_is_told_from_a_lock_that_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: str, answer: bool | None
) -> None:
    def refused(*_: object, **__: object) -> bool:
        raise OSError(getattr(errno, refusal), refusal)

    monkeypatch.setattr("annotation_store.files.locks.lock_descriptor", refused)
    with open_to_lock(tmp_path / "lock", make=True) as file:
        assert try_lock(file) is answer
