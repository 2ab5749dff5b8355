"""Starts the worker and understands it, for the plugin (QProcess) and the command line; no torch.

The plugin uses `warm_worker_command`, `worker_environment`, `request_line` and `parse_message` around a
QProcess; the command line calls `run_worker`, which blocks, and starts a process for each request, or
`StayingWorker`, whose process stays for the next one.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping
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
    "StayingWorker",
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

WAITED_FOR = "waited for"
"""Value of ``NAPARI_LLD_WINDOW`` in a worker whose answer somebody in the window waits for."""
_GRACE_SECONDS = 15.0
"""How long a cancelled worker may take before it is killed."""
_WATCH_SECONDS = 0.5
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
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


def worker_environment(*, window: bool = False, waited_for: bool = False) -> dict[str, str]:
    """Return the worker's environment variables.

    Parameters
    ----------
    window
        Whether a window is open, for which the worker leaves one core free, and goes second.
    waited_for
        Whether somebody looks on until it answers: it does not go second then.
    """
    environment = dict(os.environ)
    environment.update(PYTHONUNBUFFERED="1", PYTHONUTF8="1", YOLO_OFFLINE="true", YOLO_AUTOINSTALL="false")
    # numpy and scipy bring an OpenBLAS each, whose threads spin while the other's and torch's work
    environment.setdefault("OPENBLAS_NUM_THREADS", "1")
    # torch's threads sleep until they are needed: where other programs work too, those that spin take four to
    # eight times as long (docs/performance.md)
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if window:
        environment["NAPARI_LLD_WINDOW"] = WAITED_FOR if waited_for else "1"
    return environment


def write_request(request: Request, folder: Path | str) -> Path:
    """Write a request into `folder` (made if it is missing) and give the file's path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"request-{uuid.uuid4().hex[:12]}.json"
    file.write_text(request.model_dump_json(indent=2), encoding="utf-8")
    return file


def run_worker(
    request: Request,
    *,
    on_message: Callable[[Message], None] | None = None,
    unwanted: Callable[[], bool] | None = None,
    threads: int | None = None,
) -> Done:
    """Run the worker to its end.

    Parameters
    ----------
    request
        What to do.
    on_message
        Called with each message as it comes, in this thread.
    unwanted
        Asked about once a second, in another thread; the worker is cancelled when it returns true, and killed
        if it does not end then.
    threads
        How many it computes with; ``None`` = as many as suit the computer.

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
        more = {} if threads is None else {name: str(threads) for name in _THREADS}
        process = _Process(worker_command(write_request(request, folder)), more)
        over = threading.Event()
        if unwanted is not None:
            threading.Thread(target=_watch, args=(process, unwanted, over), daemon=True).start()
        try:
            last = process.follow(on_message)
        finally:
            over.set()
            process.end()
    return process.outcome(last)


def _watch(process: _Process, unwanted: Callable[[], bool], over: threading.Event) -> None:
    """Cancel a worker when it is no longer wanted."""
    while not over.wait(_WATCH_SECONDS):
        if unwanted():
            process.write(CANCEL_LINE)
            if not over.wait(_GRACE_SECONDS):
                process.kill()
            return


class StayingWorker:
    """A worker that stays for several requests, so that only the first one waits for its imports.

    Use it in a ``with`` statement, at whose end the process ends.
    """

    def __init__(self) -> None:
        self._process: _Process | None = None

    def __enter__(self) -> StayingWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()

    def ask(self, request: Request, *, on_message: Callable[[Message], None] | None = None) -> Done:
        """Do a request, as `run_worker` does."""
        if self._process is None:
            self._process = _Process(warm_worker_command())
        process, last = self._process, None
        try:
            process.write(request_line(request))
            last = process.follow(on_message)
        finally:
            if not isinstance(last, Done):  # a failure may end it, too
                self.leave()
        return process.outcome(last)

    def leave(self) -> None:
        """End the process; the next request starts another one."""
        if self._process is not None:
            self._process.end()
            self._process = None


class _Process:
    """A worker process, and the last lines of its standard error."""

    def __init__(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**worker_environment(), **(environment or {})},
            encoding="utf-8",
            errors="replace",
            # a Ctrl+C in the terminal reaches the whole group: the worker hears of it by its closed input
            start_new_session=os.name != "nt",
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        self._in, self._out, self._errors = self._process.stdin, self._process.stdout, self._process.stderr
        self._log: deque[str] = deque(maxlen=200)
        self._reader = threading.Thread(target=_read_all, args=(self._errors, self._log.append), daemon=True)
        self._reader.start()

    def write(self, line: str) -> None:
        """Send a line; a process that has ended tells why by itself."""
        with contextlib.suppress(OSError, ValueError):
            self._in.write(line)
            self._in.flush()

    def follow(self, on_message: Callable[[Message], None] | None) -> Message | None:
        """Read messages to that which ends the task; ``None`` if the process ends without one."""
        for line in self._out:
            with contextlib.suppress(ProtocolError):  # a line of a later version: skip what is not understood
                message = parse_message(line)
                if on_message is not None:
                    on_message(message)
                if isinstance(message, Done | Failed | Cancelled):
                    return message
        return None

    def kill(self) -> None:
        """End it where it stands."""
        self._process.kill()

    def end(self) -> None:
        """Close the input, which cancels a task and ends the process, and kill it when it does not end."""
        with contextlib.suppress(OSError, ValueError):
            self._in.close()
        # a full pipe would hold the worker back from ending
        drain = threading.Thread(target=_read_all, args=(self._out, lambda _line: None), daemon=True)
        drain.start()
        try:
            self._process.wait(timeout=_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for thread, pipe in ((drain, self._out), (self._reader, self._errors)):
            thread.join(timeout=1)
            with contextlib.suppress(OSError):
                pipe.close()

    def outcome(self, last: Message | None) -> Done:
        """Return the last message, or raise what it says went wrong."""
        match last:
            case Done():
                return last
            case Failed(cause=cause, cure=cure, details=details):
                raise TrainingError(cause, cure, details)
            case Cancelled():
                raise TrainingCancelled("The task was cancelled.")
            case _:
                code = self._process.returncode
                how = "was killed by the system, often short of memory," if code in (-9, 137) else "ended"
                raise TrainingError(
                    f"The training process {how} without a result (exit code {code}).",
                    "Try again with a smaller --size; --debug shows what it printed.",
                    "".join(self._log),
                )


def _read_all(lines: Iterable[str], hear: Callable[[str], None]) -> None:
    with contextlib.suppress(ValueError, OSError):
        for line in lines:
            hear(line)
