"""A worker process behind a QProcess: start, write, read, end; the owner decides on the requests."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QProcess, QProcessEnvironment

from annotation_store.files.temporary import temporary_folder
from training.client import parse_message, warm_worker_command, worker_environment
from training.protocol import ProtocolError

_FAREWELL_MS = 3000
"""How long a closing window waits for a worker before it kills it."""


class WorkerProcess(QObject):
    """One process that stays for one request after the other; a new one is started by `launch`.

    Parameters
    ----------
    hear
        Called with each message of the process.
    ended
        Called with exit code and last words when the process that was current has ended.
    not_started
        Called with the cause when it could not be started.
    waited_for
        Whether somebody looks on until it answers: it has the same priority as the window then.
    """

    def __init__(
        self,
        hear: Callable[[Any], None],
        ended: Callable[[int, str], None],
        not_started: Callable[[str], None],
        parent: QObject | None = None,
        *,
        waited_for: bool = False,
    ) -> None:
        super().__init__(parent)
        self._waited_for = waited_for
        self._hear, self._ended, self._not_started = hear, ended, not_started
        self._process: QProcess | None = None
        self._folder = ExitStack()
        self._log: Path | None = None
        self._log_from = 0
        self._rest = b""
        self._closed = False

    @property
    def running(self) -> bool:
        """Whether a process is alive, at work or not."""
        return self._process is not None and self._process.state() != QProcess.ProcessState.NotRunning

    @property
    def number(self) -> int:
        """The system's number of the process; 0 without one."""
        return int(self._process.processId()) if self._process is not None else 0

    def launch(self) -> None:
        """Start a process; it imports what it needs, and reads what is written to it then."""
        self.forget()
        if self._closed:
            return
        folder = self._folder.enter_context(temporary_folder("worker"))
        self._log, self._log_from, self._rest = folder / "worker.log", 0, b""
        program, *arguments = warm_worker_command()
        environment = QProcessEnvironment()
        for name, value in worker_environment(window=True, waited_for=self._waited_for).items():
            environment.insert(name, value)
        process = QProcess(self)
        process.setProcessEnvironment(environment)
        # What libraries print goes to a file: a full pipe would stop the worker.
        process.setStandardErrorFile(str(self._log))
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        self._process = process
        process.start(program, arguments)

    def write(self, line: str) -> None:
        """Send a line, if there is a process."""
        if self._process is not None:
            self._process.write(line.encode())

    def cool_down(self) -> None:
        """Let the process end when it has done what it was asked."""
        if self._process is not None:
            self._process.closeWriteChannel()

    def kill(self) -> None:
        """End the process where it stands."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End the process and wait for it, a few seconds at most; none is started any more."""
        self._closed = True
        process = self._process
        if process is None:
            return
        process.closeWriteChannel()
        if self.running and not process.waitForFinished(_FAREWELL_MS):
            process.kill()
            process.waitForFinished(1000)
        self.forget()

    def forget(self) -> None:
        """Drop the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()
        self._folder.close()
        self._log = None

    def mark_log(self) -> None:
        """Begin the last words anew: what was printed before belongs to another request."""
        self._log_from = 0
        with suppress(OSError):
            if self._log is not None:
                self._log_from = self._log.stat().st_size

    def last_words(self) -> str:
        """Return the end of what the process has printed since `mark_log`."""
        with suppress(OSError):
            if self._log is not None:
                output = self._log.read_bytes()[self._log_from :]
                return output.decode("utf-8", "replace")[-4000:]
        return ""

    def _read(self) -> None:
        process = self._process
        if process is None:
            return
        *lines, self._rest = (self._rest + bytes(process.readAllStandardOutput().data())).split(b"\n")
        for line in lines:
            if self._process is not process:  # what it said began something new, with another process
                return
            with suppress(ProtocolError):  # a line of a later version is passed over
                self._hear(parse_message(line.decode("utf-8", "replace")))

    def _on_finished(self, code: int, _status: Any) -> None:
        process = self._process
        self._read()
        if self._process is not process:
            return
        last_words = self.last_words()
        self.forget()
        self._ended(code, last_words)

    def _on_error(self, error: Any) -> None:
        if error != QProcess.ProcessError.FailedToStart:
            return
        cause = self._process.errorString() if self._process is not None else ""
        self.forget()
        self._not_started(cause)
