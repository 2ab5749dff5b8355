"""The worker process behind a QProcess: the window starts it, hears it, and never waits for it."""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QProcess, QProcessEnvironment, QTimer

from annotation_store.temporary import temporary_folder
from napari_lld.session import Session
from napari_lld.translate import tr
from training.client import CANCEL_LINE, parse_message, worker_command, worker_environment, write_request
from training.protocol import Failed, ProtocolError

_FAREWELL_MS = 3000
"""How long a closing window waits for a cancelled worker before it kills it."""
_CANCEL_MS = 15_000
"""How long a cancelled worker may take while the window stays open."""


class TrainingProcess(QObject):
    """Runs one worker at a time for a session (the session's `Trainer`)."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._process: QProcess | None = None
        self._leaving: list[QProcess] = []
        self._folder: ExitStack | None = None
        self._log: Path | None = None
        self._rest = b""
        self._ended = False
        self._cancelled = False
        self._deadline = QTimer(self)
        self._deadline.setSingleShot(True)
        self._deadline.timeout.connect(self._kill)

    @property
    def running(self) -> bool:
        """Whether a worker is alive."""
        return self._process is not None and self._process.state() != QProcess.ProcessState.NotRunning

    def start(self, request: Any) -> None:
        """Start a worker on a request; one that is still saying farewell is left to it."""
        self._let_go()
        self._folder = ExitStack()
        folder = self._folder.enter_context(temporary_folder("worker"))
        self._log = folder / "worker.log"
        self._rest, self._ended, self._cancelled = b"", False, False
        program, *arguments = worker_command(write_request(request, folder))
        environment = QProcessEnvironment()
        for name, value in worker_environment(window=True).items():
            environment.insert(name, value)
        process = QProcess(self)
        process.setProcessEnvironment(environment)
        # What libraries print goes to a file: a pipe that nobody empties would stop the worker.
        process.setStandardErrorFile(str(self._log))
        process.readyReadStandardOutput.connect(self._read)
        process.finished.connect(self._on_finished)
        process.errorOccurred.connect(self._on_error)
        self._process = process
        process.start(program, arguments)

    def cancel(self) -> None:
        """Ask the worker to stop; kill it where it does not."""
        if self.running and self._process is not None:
            self._cancelled = True
            self._process.write(CANCEL_LINE.encode())
            self._deadline.start(_CANCEL_MS)

    def _let_go(self) -> None:
        """Hear no more of a worker that has said all, and tidy up when its process is gone."""
        process, folder = self._process, self._folder
        self._process = self._folder = None
        self._deadline.stop()
        if process is None:
            return
        for signal in (process.readyReadStandardOutput, process.finished, process.errorOccurred):
            signal.disconnect()
        self._leaving.append(process)

        def gone(*_args: object) -> None:
            if process in self._leaving:
                self._leaving.remove(process)
                process.deleteLater()
            if folder is not None:
                folder.close()

        process.finished.connect(gone)
        if process.state() == QProcess.ProcessState.NotRunning:
            gone()

    def close(self) -> None:
        """Stop the worker and wait for it, a few seconds at most: the window is closing."""
        for left in list(self._leaving):
            if not left.waitForFinished(_FAREWELL_MS):
                left.kill()
                left.waitForFinished(1000)
        process = self._process
        if process is None:
            return
        if self.running:
            self.cancel()
            if not process.waitForFinished(_FAREWELL_MS):
                process.kill()
                process.waitForFinished(1000)
        self._deadline.stop()
        self._tidy()

    # ------------------------------------------------------------------ what the process says

    def _read(self) -> None:
        process = self._process
        if process is None:
            return
        *lines, self._rest = (self._rest + bytes(process.readAllStandardOutput().data())).split(b"\n")
        for line in lines:
            with suppress(ProtocolError):  # a line of a later version is passed over
                message = parse_message(line.decode("utf-8", "replace"))
                self._ended = self._ended or message.type in {"done", "failed", "cancelled"}
                if isinstance(message, Failed):
                    words = f"{message.details}\n\n{self._last_words()}".strip()
                    message = message.model_copy(update={"details": words})
                self._session.training.receive(message)

    def _on_finished(self, code: int, _status: Any) -> None:
        self._deadline.stop()
        self._read()
        if not self._ended:
            self._ended = True
            if self._cancelled:
                self._session.training.end(tr("Stopped."))
            else:
                self._session.training.receive(_death(code, self._last_words()))
        self._tidy()

    def _on_error(self, error: Any) -> None:
        if error == QProcess.ProcessError.FailedToStart and not self._ended:
            self._ended = True
            cause = self._process.errorString() if self._process is not None else ""
            self._session.training.receive(
                Failed(
                    cause=tr("The training process could not be started: {cause}.", cause=cause),
                    cure=tr("Reinstall napari-lld in the Python that runs napari."),
                )
            )
            self._tidy()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _last_words(self) -> str:
        with suppress(OSError):
            if self._log is not None:
                return self._log.read_text(encoding="utf-8", errors="replace")[-4000:]
        return ""

    def _tidy(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.deleteLater()
        if self._folder is not None:
            self._folder.close()
            self._folder = None


def _death(code: int, last_words: str) -> Failed:
    """Say why a worker died without a word."""
    line = next((line.strip() for line in reversed(last_words.splitlines()) if line.strip()), "")
    if code in (9, -9, 137):
        return Failed(
            cause=tr("The training process was killed by the system, most likely for want of memory."),
            cure=tr("Close other programs, or train on smaller images."),
            details=last_words,
        )
    return Failed(
        cause=tr("The training process ended without an answer (exit code {code}).", code=code)
        + (f" {line}" if line else ""),
        cure=tr("Your annotations are safe; try again."),
        details=last_words,
    )
