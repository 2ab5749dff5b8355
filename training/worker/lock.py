"""One training at a time per project: an operating system lock, with a queue in front of it.

The operating system releases the lock of a process that exits, so a killed process never blocks the next.
Prediction and evaluation do not take the lock: they may run during a training.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import re
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from annotation_store.errors import LLDError
from annotation_store.files.layout import RUNS, inside, refuse_links_below
from annotation_store.files.locks import open_to_lock, try_lock
from annotation_store.files.outputs import write_file
from training.reasons import Reason

_POLL_SECONDS = 0.3
_TICKET = re.compile(r"\d{20}-\d+")


class BusyError(LLDError):
    """Another training runs on the project."""

    cure = "Try again when it has ended, or queue behind it with --wait."


@contextlib.contextmanager
def training_lock(
    project: Path | str,
    *,
    who: str | None,
    wait: bool,
    on_wait: Callable[[Reason], None] = lambda _: None,
) -> Iterator[float]:
    """Hold the training lock on a project; yields the seconds spent waiting for it.

    Parameters
    ----------
    who
        The annotator, whom the messages to waiting processes name.
    wait
        Whether to queue, first come first served; otherwise raise `BusyError` if it is held.
    on_wait
        Called with who trains while waiting, several times a second; what it raises ends the wait.
    """
    begun = time.monotonic()
    folder = inside(Path(project), RUNS)
    refuse_links_below(folder)
    lock_file, holder, queue = folder / "train.lock", folder / "train.json", folder / "queue"
    with contextlib.ExitStack() as stack:
        with _ticket(queue) as ticket:
            lock = stack.enter_context(open_to_lock(lock_file, make=True))
            while not _first(ticket) or try_lock(lock) is False:
                others = _holder(holder)
                if not wait:
                    raise BusyError(f"{others}.")
                on_wait(others)
                time.sleep(_POLL_SECONDS)
        holder_info = {
            "who": who or _user(),
            "since": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        told = {**holder_info, "process": os.getpid(), "host": socket.gethostname()}
        write_file(holder, json.dumps(told), parents=False)
        try:
            yield time.monotonic() - begun
        finally:
            # the lock stays: to remove it is to race with who has just opened it
            with contextlib.suppress(OSError):
                holder.unlink(missing_ok=True)


@contextlib.contextmanager
def _ticket(queue: Path) -> Iterator[Path]:
    """Join the queue: a file named by the time of arrival, locked while its process lives."""
    for folder in (queue.parent, queue):  # not those above them: the project may be gone
        folder.mkdir(exist_ok=True)
    path = queue / f"{time.time_ns():020d}-{os.getpid()}"
    try:
        with open_to_lock(path, new=True) as file:
            try_lock(file)
            yield path
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def _first(ticket: Path) -> bool:
    """Return whether no living process came earlier; remove tickets of dead ones, if locks work here."""
    for other in sorted(ticket.parent.iterdir()):
        if other.name >= ticket.name:
            break
        if not _TICKET.fullmatch(other.name):
            continue
        dead = None
        with contextlib.suppress(OSError), open_to_lock(other) as file:
            dead = try_lock(file)
        if dead is False:
            return False
        if dead:
            with contextlib.suppress(OSError):
                other.unlink(missing_ok=True)
    return True


def _holder(file: Path) -> Reason:
    """Return who trains, and since when: read from beside the lock, which others may not read."""
    try:
        content = json.loads(file.read_bytes())
        since = datetime.fromisoformat(content["since"])
        when = f"{since:%H:%M}" if since.date() == datetime.now().date() else f"{since:%Y-%m-%d %H:%M}"
        who, process, host = str(content["who"]), int(content["process"]), str(content["host"])
    except (OSError, ValueError, KeyError, TypeError):
        return Reason("Another training of this project has just started")
    return Reason(
        "{who} has been training on this project since {when} (process {process} on {host})",
        who=who,
        when=when,
        process=process,
        host=host,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "Someone"
