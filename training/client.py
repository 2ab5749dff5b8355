"""Starts the worker and understands it, for the plugin (QProcess) and the command line; no torch.

The plugin uses `warm_worker_command`, `worker_environment`, `request_line` and `parse_message` around a
QProcess; the command line calls `run_worker`, which blocks, and starts a process for each request.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable
from pathlib import Path

from annotation_store.errors import LLDError
from annotation_store.files.temporary import temporary_folder
from training.protocol import (
    CANCEL_LINE,
    Cancelled,
    Done,
    Failed,
    Message,
    ProtocolError,
    Request,
    parse_message,
    request_line,
)

__all__ = [
    "CANCEL_LINE",
    "TrainingCancelled",
    "TrainingError",
    "parse_message",
    "request_line",
    "run_worker",
    "warm_worker_command",
    "worker_command",
    "worker_environment",
    "write_request",
]

_GRACE_SECONDS = 15.0
"""How long a cancelled worker may take before it is killed."""
IDLE_SECONDS = 600.0
"""How long a worker that stays waits for a request before it ends by itself."""


class TrainingError(LLDError):
    """The worker failed: what happened, what to do about it, and the traceback for ``--debug``."""

    def __init__(self, cause: str, cure: str = "", details: str = "") -> None:
        super().__init__(f"{cause} {cure}".strip())
        self.cause = cause
        self.cure = cure
        self.details = details


class TrainingCancelled(TrainingError):  # noqa: N818 - it is no fault
    """The worker was stopped as asked."""


def worker_command(request_file: Path | str) -> list[str]:
    """Return the command that runs the worker on a request.

    ``-P`` keeps the working folder off the import path: a file ``torch.py`` lying there must not be run.
    """
    return [sys.executable, "-P", "-m", "training.worker", str(request_file)]


def warm_worker_command(idle: float = IDLE_SECONDS) -> list[str]:
    """Return the command that runs a worker which stays for one request after the other.

    Parameters
    ----------
    idle
        Seconds without a request after which it ends by itself.
    """
    return [*worker_command("--stay"), str(idle)]


def worker_environment(*, window: bool = False) -> dict[str, str]:
    """Return the worker's environment variables.

    Parameters
    ----------
    window
        Whether a window is open, for which the worker leaves one core free.
    """
    environment = dict(os.environ)
    environment.update(PYTHONUNBUFFERED="1", PYTHONUTF8="1", YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
    if window:
        environment["NAPARI_LLD_WINDOW"] = "1"
    return environment


def write_request(request: Request, folder: Path | str) -> Path:
    """Write a request into `folder` (made where it is missing) and give the file's path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"request-{uuid.uuid4().hex[:12]}.json"
    file.write_text(request.model_dump_json(indent=2), encoding="utf-8")
    return file


def run_worker(request: Request, *, on_message: Callable[[Message], None] | None = None) -> Done:
    """Run the worker to its end.

    Parameters
    ----------
    request
        What to do.
    on_message
        Called with each message as it comes, in this thread.

    Returns
    -------
    Done
        The last message.

    Raises
    ------
    TrainingError
        If the worker failed; `TrainingCancelled` if it was cancelled otherwise than by Ctrl+C.
    KeyboardInterrupt
        After the worker, asked to stop by Ctrl+C, has gone.
    """
    with temporary_folder("request") as folder:
        file = write_request(request, folder)
        process = subprocess.Popen(
            worker_command(file),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=worker_environment(),
            encoding="utf-8",
            errors="replace",
            # a Ctrl+C in the terminal reaches the whole group: the worker is told by line instead
            start_new_session=os.name != "nt",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        log: deque[str] = deque(maxlen=200)
        reader = threading.Thread(target=_keep_tail, args=(process, log), daemon=True)
        reader.start()
        try:
            last = _follow(process, on_message)
        except BaseException:
            _stop(process)
            raise
        finally:
            reader.join(timeout=1)
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    with contextlib.suppress(OSError):
                        pipe.close()
    match last:
        case Done():
            return last
        case Failed(cause=cause, cure=cure, details=details):
            raise TrainingError(cause, cure, details)
        case Cancelled():
            raise TrainingCancelled("The task was cancelled.")
        case _:
            code = process.returncode
            how = "was killed by the system, often short of memory," if code in (-9, 137) else "ended"
            raise TrainingError(
                f"The training process {how} without a result (exit code {code}).",
                "Try again with a smaller --size; --debug shows what it printed.",
                "".join(log),
            )


def _follow(process: subprocess.Popen[str], on_message: Callable[[Message], None] | None) -> Message | None:
    """Read messages until the worker ends; return the last one."""
    last: Message | None = None
    assert process.stdout is not None
    for line in process.stdout:
        with contextlib.suppress(ProtocolError):  # a line of a later version: skip what is not understood
            last = parse_message(line)
            if on_message is not None:
                on_message(last)
    process.wait()
    return last


def _keep_tail(process: subprocess.Popen[str], log: deque[str]) -> None:
    assert process.stderr is not None
    with contextlib.suppress(ValueError, OSError):
        for line in process.stderr:
            log.append(line)


def _stop(process: subprocess.Popen[str]) -> None:
    """Ask the worker to stop, and end it when it does not."""
    with contextlib.suppress(OSError, ValueError):
        if process.stdin is not None:
            process.stdin.write(CANCEL_LINE)
            process.stdin.flush()
    drain = threading.Thread(target=lambda: process.stdout and process.stdout.read(), daemon=True)
    drain.start()  # a full pipe would hold the worker back from ending
    try:
        process.wait(timeout=_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    drain.join(timeout=1)
