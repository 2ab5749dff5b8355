"""Folders of work in progress, with a lock that shows whether their process is alive.

The operating system drops a lock with the process that held it. So a folder whose lock can be taken was
left by a program that was killed, whatever the clock shows, and is removed when the next one is made.
"""

from __future__ import annotations

import atexit
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from annotation_store.files.locks import open_to_lock, try_lock
from annotation_store.files.network_share import is_network_share

_LOCK = ".lock"
_PREFIX = "napari-lld-"
_held = ExitStack()
_process = os.getpid()


@contextmanager
def locked_folder(parent: Path, prefix: str = "", *, parents: bool = False) -> Iterator[Path]:
    """Create a folder that no other process removes while this one lives; it is removed at the end.

    Parameters
    ----------
    parents
        Whether to make the folders above `parent` too: not in a project, which may be gone.
    """
    parent.mkdir(parents=parents, exist_ok=True)
    folder, lock = _new(parent, prefix)
    try:
        yield folder
    finally:
        _remove(folder, lock)


@contextmanager
def temporary_folder(purpose: str = "work") -> Iterator[Path]:
    """Make a folder in the system's temporary one, and remove those that killed programs left there."""
    parent = Path(tempfile.gettempdir())
    sweep(parent, _PREFIX)
    with locked_folder(parent, f"{_PREFIX}{purpose}-") as folder:
        yield folder


def keep_until_exit(purpose: str) -> Path:
    """Make a temporary folder that lasts as long as the process; see `clean_up`."""
    return _held.enter_context(temporary_folder(purpose))


@atexit.register
def clean_up() -> None:
    """Remove what `keep_until_exit` made; for a process that ends by `os._exit`, which skips `atexit`."""
    if os.getpid() == _process:  # a forked child has no business with it
        _held.close()


def sweep(parent: Path, prefix: str = "") -> None:
    """Remove the folders of programs that have ended; never follows a link.

    On a network share nothing is removed: a lock there may say nothing of another computer's programs.
    Nor is a folder without a lock, which no program of this version made.
    """
    try:
        left = [p for p in parent.iterdir() if p.name.startswith(prefix) and _has_lock(p)]
    except OSError:
        return
    if not left or is_network_share(parent):
        return
    for folder in left:
        with suppress(OSError), open_to_lock(folder / _LOCK) as lock:
            if try_lock(lock):
                _remove(folder, lock)


def _has_lock(path: Path) -> bool:
    """Return whether a folder of this account's own has a lock."""
    try:
        status, lock = path.lstat(), (path / _LOCK).lstat()
    except OSError:
        return False
    is_own = os.name == "nt" or status.st_uid == os.geteuid()
    return is_own and stat.S_ISDIR(status.st_mode) and stat.S_ISREG(lock.st_mode)


def _new(parent: Path, prefix: str) -> tuple[Path, BinaryIO]:
    while True:
        folder = parent / f"{prefix}{uuid.uuid4().hex}"
        folder.mkdir(mode=0o700)
        try:
            lock = open_to_lock(folder / _LOCK, new=True)
        except BaseException:
            with suppress(OSError):
                folder.rmdir()
            raise
        # without file locks (`None`) no process can take the lock, so none removes the folder
        if try_lock(lock) is not False and (folder / _LOCK).exists():
            return folder, lock
        lock.close()  # removed by another process before it was locked: try another one


def _remove(folder: Path, lock: BinaryIO) -> None:
    """Remove a locked folder, its lock last: whatever stops it, what is left can still be swept."""
    with suppress(OSError):
        for path in folder.iterdir():
            if path.name == _LOCK:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if os.name == "nt":  # which removes no file that is open
            lock.close()
        (folder / _LOCK).unlink(missing_ok=True)
        folder.rmdir()
    lock.close()
