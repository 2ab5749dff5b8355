"""One training at a time on a project: a lock of the operating system, with a queue before it.

The operating system drops a lock with the process that held it, so one that was killed never blocks the
next. Prediction and evaluation take no turn: they may run beside a training.
"""

from __future__ import annotations

import contextlib
import errno
import getpass
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from annotation_store.errors import LLDError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

RUNS = "runs"
"""Folder of the project for what a run keeps while it lasts: the lock, the queue, the resumable state."""
_POLL_SECONDS = 0.3
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, getattr(errno, "EOPNOTSUPP", -1), getattr(errno, "ENOTSUP", -1)}
_LOCKED_BYTE = 1 << 30
"""Windows forbids to read what is locked: lock a byte far behind the words."""


class BusyError(LLDError):
    """Somebody trains on the project already."""

    cure = "Try again when it has ended, or queue behind it with --wait."


@contextlib.contextmanager
def turn(
    project: Path | str,
    *,
    who: str | None,
    wait: bool,
    on_wait: Callable[[str], None] = lambda _: None,
) -> Iterator[float]:
    """Hold the right to train on a project; yields the seconds spent waiting for it.

    Parameters
    ----------
    who
        The annotator, for the words that others read meanwhile.
    wait
        Whether to queue, first come first served; otherwise `BusyError` is raised where it is taken.
    on_wait
        Called with a sentence while waiting, several times a second; what it raises ends the wait.
    """
    begun = time.monotonic()
    folder = Path(project) / RUNS
    with contextlib.ExitStack() as held:
        with _ticket(folder / "queue") as ticket:
            lock = held.enter_context((folder / "train.lock").open("a+b"))
            while not (_first(ticket) and _try_lock(lock)):
                sentence = _holder(folder / "train.lock")
                if not wait:
                    raise BusyError(sentence)
                on_wait(sentence)
                time.sleep(_POLL_SECONDS)
        lock.truncate(0)
        about = {"who": who or _user(), "since": datetime.now().astimezone().isoformat(timespec="seconds")}
        lock.write(json.dumps({**about, "process": os.getpid(), "host": socket.gethostname()}).encode())
        lock.flush()
        try:
            yield time.monotonic() - begun
        finally:
            with contextlib.suppress(OSError):
                lock.truncate(0)  # the file stays: to remove a lock is to race with who has just opened it


@contextlib.contextmanager
def _ticket(queue: Path) -> Iterator[Path]:
    """Stand in the queue: a file named by the time of coming, locked as long as its process lives."""
    queue.mkdir(parents=True, exist_ok=True)
    path = queue / f"{time.time_ns():020d}-{os.getpid()}"
    try:
        with path.open("xb") as file:
            _try_lock(file)
            yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _first(ticket: Path) -> bool:
    """Whether nobody who lives came earlier; tickets of the dead are removed."""
    for other in sorted(ticket.parent.iterdir()):
        if other.name >= ticket.name:
            break
        with contextlib.suppress(OSError):
            with other.open("r+b") as file:
                if not _try_lock(file):
                    return False
            other.unlink(missing_ok=True)
    return True


def _holder(lock: Path) -> str:
    """Say who trains, and since when."""
    try:
        about = json.loads(lock.read_bytes())
        since = datetime.fromisoformat(about["since"])
        when = f"{since:%H:%M}" if since.date() == datetime.now().date() else f"{since:%Y-%m-%d %H:%M}"
        who, process, host = str(about["who"]), int(about["process"]), str(about["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return "Somebody has begun to train on this project just now."
    return f"{who} has been training on this project since {when} (process {process} on {host})."


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "Somebody"


def _try_lock(file: BinaryIO) -> bool:
    """Lock a file without waiting; ``True`` too where the file system knows no locks."""
    try:
        if sys.platform == "win32":
            file.seek(_LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            # not lockf: its locks go when *any* handle of the process on that file is closed
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno in _NO_LOCKS
    return True
