"""Client of the worker process, for the plugin (QProcess) and the command line; no torch.

The plugin uses `warm_worker_command`, `worker_environment`, `request_line` and `parse_message` around a
QProcess; the command line calls `run_worker`, which blocks and starts a process for each request, or
`PersistentWorker`, whose process is reused for the next one.
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
    "PersistentWorker",
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
"""Value of ``NAPARI_LLD_WINDOW`` in a worker whose answer a user waits for."""
_GRACE_SECONDS = 15.0
"""Time after which a cancelled worker is killed."""
_WATCH_SECONDS = 0.5
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
IDLE_SECONDS = 600.0
"""Idle time after which a persistent worker exits."""


class TrainingError(LLDError):
    """The worker failed: cause, cure, and the traceback for ``--debug``."""

    def __init__(self, cause: str, cure: str = "", details: str = "") -> None:
        super().__init__(f"{cause} {cure}".strip())
        self.cause = cause
        self.cure = cure
        self.details = details


class TrainingCancelled(TrainingError):  # noqa: N818 - it is no fault
    """The worker was cancelled."""


def worker_command(request_file: Path | str) -> list[str]:
    """Return the command that runs the worker on a request.

    ``-P`` keeps the working folder off the import path: a file ``torch.py`` lying there must not be run.
    """
    return [sys.executable, "-P", "-m", "training.worker", str(request_file)]


def warm_worker_command(idle: float = IDLE_SECONDS) -> list[str]:
    """Return the command that runs a persistent worker, for one request after the other.

    Parameters
    ----------
    idle
        Seconds without a request after which it exits.
    """
    return [*worker_command("--stay"), str(idle)]


def worker_environment(*, window: bool = False, waited_for: bool = False) -> dict[str, str]:
    """Return the worker's environment variables.

    Parameters
    ----------
    window
        Whether a window is open: the worker then leaves one core free and has a lower priority.
    waited_for
        Whether a user waits for the answer: it then has normal priority.
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
    """Write a request to a file in `folder`, which is created if missing; return the file's path."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"request-{uuid.uuid4().hex[:12]}.json"
    file.write_text(request.model_dump_json(indent=2), encoding="utf-8")
    return file


def run_worker(
    request: Request,
    *,
    on_message: Callable[[Message], None] | None = None,
    should_cancel: Callable[[], bool] | None = None,
    threads: int | None = None,
) -> Done:
    """Run the worker to its end.

    Parameters
    ----------
    request
        The request.
    on_message
        Called with each message, in this thread.
    should_cancel
        Called about twice a second, in another thread; if it returns true, the worker is cancelled, and
        killed if it does not exit.
    threads
        Number of threads of the worker; ``None`` = as many as suit the computer.

    Returns
    -------
    Done
        The last message.

    Raises
    ------
    TrainingError
        If the worker failed; `TrainingCancelled` if it was cancelled other than by Ctrl+C.
    KeyboardInterrupt
        On Ctrl+C, after the worker has exited.
    """
    with temporary_folder("request") as folder:
        thread_variables = {} if threads is None else {name: str(threads) for name in _THREADS}
        process = _Process(worker_command(write_request(request, folder)), thread_variables)
        finished = threading.Event()
        if should_cancel is not None:
            threading.Thread(target=_watch, args=(process, should_cancel, finished), daemon=True).start()
        try:
            last = process.follow(on_message)
        finally:
            finished.set()
            process.end()
    return process.outcome(last)


def _watch(process: _Process, should_cancel: Callable[[], bool], finished: threading.Event) -> None:
    """Cancel the worker as soon as `should_cancel` returns true."""
    while not finished.wait(_WATCH_SECONDS):
        if should_cancel():
            process.write(CANCEL_LINE)
            if not finished.wait(_GRACE_SECONDS):
                process.kill()
            return


class PersistentWorker:
    """A worker that is reused for several requests, so that only the first one waits for its imports.

    Use it as a context manager, which ends the process on exit.
    """

    def __init__(self) -> None:
        self._process: _Process | None = None

    def __enter__(self) -> PersistentWorker:
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
            # Ctrl+C signals the whole process group: the worker is cancelled by its closed input instead
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
        """Send a line; a process that has exited reports why by itself."""
        with contextlib.suppress(OSError, ValueError):
            self._in.write(line)
            self._in.flush()

    def follow(self, on_message: Callable[[Message], None] | None) -> Message | None:
        """Read messages up to the last one of the task; ``None`` if the process exits without it."""
        for line in self._out:
            with contextlib.suppress(ProtocolError):  # a line of a later version: skip what is not understood
                message = parse_message(line)
                if on_message is not None:
                    on_message(message)
                if isinstance(message, Done | Failed | Cancelled):
                    return message
        return None

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()

    def end(self) -> None:
        """Close the input, which cancels a task and ends the process; kill it if it does not exit."""
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
        """Return the last message, or raise the error it reports."""
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
                    f"The worker process {how} without a result (exit code {code}).",
                    "Nothing saved is lost. Close other programs and try again, a training with a smaller "
                    "--size; --debug shows what it printed.",
                    "".join(self._log),
                )


def _read_all(lines: Iterable[str], on_line: Callable[[str], None]) -> None:
    with contextlib.suppress(ValueError, OSError):
        for line in lines:
            on_line(line)
