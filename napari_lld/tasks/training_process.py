"""The worker process behind a QProcess: the window starts it, hears it, and never waits for it.

One process stays while the window is open and does what is asked of it, one request after the other: only the
first waits for imports, or none where the process was there before it (`TrainingProcess.warm_up`).
It may end at any time: by itself when nothing was asked for a while, or because the system killed it. A
request that it dies of is then done by a new one; only one that a new process dies of fails.
"""

from __future__ import annotations

from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QProcess, QProcessEnvironment, QTimer

from annotation_store.files.temporary import temporary_folder
from napari_lld.i18n.translate import tr
from napari_lld.session.session import Session
from training.client import CANCEL_LINE, parse_message, request_line, warm_worker_command, worker_environment
from training.protocol import Failed, PredictRequest, ProtocolError, Ready, Saved, TrainRequest

_FAREWELL_MS = 3000
"""How long a closing window waits for a worker before it kills it."""
_CANCEL_MS = 15_000
"""How long a cancelled worker may take while the window stays open."""


class TrainingProcess(QObject):
    """Runs one worker for a session (the session's `Trainer`), a request at a time."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._process: QProcess | None = None
        self._folder = ExitStack()
        self._log: Path | None = None
        self._log_from = 0
        self._rest = b""
        self._request: Any = None
        """What the worker does now; nothing while it waits."""
        self._new = False
        """Whether the process was started for that very request."""
        self._heard = self._saved = self._cancelled = False
        """What is known of that request: any answer, a model, that it is to stop."""
        self._closed = False
        self._deadline = QTimer(self)
        self._deadline.setSingleShot(True)
        self._deadline.timeout.connect(self._kill)

    @property
    def running(self) -> bool:
        """Whether a worker is alive, at work or not."""
        return self._process is not None and self._process.state() != QProcess.ProcessState.NotRunning

    def warm_up(self) -> None:
        """Start a worker if there is none: it imports what it needs and waits."""
        if not self.running:
            self._launch()

    def cool_down(self) -> None:
        """End an idle worker."""
        if self._process is not None and self._request is None:
            self._process.closeWriteChannel()

    def start(self, request: Any) -> None:
        """Send a request to the worker; start one if there is none."""
        self._request, self._new = request, not self.running
        self._heard = self._saved = self._cancelled = False
        if self._new:
            self._launch()
        else:
            self._log_from = self._log_size()
        if self._process is not None:
            self._process.write(request_line(request).encode())

    def cancel(self) -> None:
        """Ask the worker to stop what it does; kill it where it does not."""
        if self._request is not None and self._process is not None:
            self._cancelled = True
            self._process.write(CANCEL_LINE.encode())
            self._deadline.start(_CANCEL_MS)

    def close(self) -> None:
        """Stop the worker and wait for it, a few seconds at most: the window is closing."""
        self._closed = True
        process = self._process
        if process is None:
            return
        self.cancel()
        process.closeWriteChannel()
        if self.running and not process.waitForFinished(_FAREWELL_MS):
            process.kill()
            process.waitForFinished(1000)
        self._tidy()

    def _launch(self) -> None:
        """Start a process; it imports what it needs, and reads what is written to it then."""
        self._tidy()
        if self._closed:
            return
        folder = self._folder.enter_context(temporary_folder("worker"))
        self._log, self._log_from, self._rest = folder / "worker.log", 0, b""
        program, *arguments = warm_worker_command()
        environment = QProcessEnvironment()
        for name, value in worker_environment(window=True).items():
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

    # ------------------------------------------------------------------ what the process says

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

    def _hear(self, message: Any) -> None:
        if isinstance(message, Ready):
            self._session.training.state.worker_waits(message.memory)
            return
        if self._request is None:  # it has said its last word
            return
        self._heard = True
        self._saved = self._saved or isinstance(message, Saved)
        if message.type in {"done", "failed", "cancelled"}:
            self._request = None
            self._deadline.stop()
        if isinstance(message, Failed):
            words = f"{message.details}\n\n{self._last_words()}".strip()
            message = message.model_copy(update={"details": words})
        self._session.training.state.receive(message)

    def _on_finished(self, code: int, _status: Any) -> None:
        process = self._process
        self._read()
        if self._process is not process:
            return
        request, self._request = self._request, None
        last_words = self._last_words()
        self._tidy()
        if request is None:
            return
        if self._cancelled:
            self._session.training.state.end(tr("Stopped."))
        elif self._new:
            self._session.training.state.receive(_death(code, last_words))
        else:
            self._do_again(request, told=code != 0 or self._heard)

    def _do_again(self, request: Any, *, told: bool) -> None:
        """Let a new process do what one that was there before has died of; what it has saved is kept.

        Where it has just gone by itself, as after a while without a request, that is not worth a word.
        """
        if told:
            self._session.tell(
                "warning",
                tr("The training process ended unexpectedly. Nothing is lost: another one has taken over."),
            )
        self._session.training.state.begin(request.task)
        self.start(_what_is_left(request) if self._saved else request)

    def _on_error(self, error: Any) -> None:
        if error != QProcess.ProcessError.FailedToStart:
            return
        cause = self._process.errorString() if self._process is not None else ""
        request, self._request = self._request, None
        self._tidy()
        if request is not None:
            self._session.training.state.receive(
                Failed(
                    cause=tr("The training process could not be started: {cause}.", cause=cause),
                    cure=tr("Reinstall napari-lld in the Python that runs napari."),
                )
            )

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _log_size(self) -> int:
        with suppress(OSError):
            if self._log is not None:
                return self._log.stat().st_size
        return 0

    def _last_words(self) -> str:
        """Return the end of what the process has printed since the request."""
        with suppress(OSError):
            if self._log is not None:
                words = self._log.read_bytes()[self._log_from :]
                return words.decode("utf-8", "replace")[-4000:]
        return ""

    def _tidy(self) -> None:
        process, self._process = self._process, None
        self._deadline.stop()
        self._session.training.state.worker_waits(None)
        if process is not None:
            process.deleteLater()
        self._folder.close()
        self._log = None


def _what_is_left(request: Any) -> Any:
    """Return what is left of a training whose model is saved: its suggestions."""
    if not isinstance(request, TrainRequest):
        return request
    same = ("project", "annotator", "reading", "device", "min_confidence")
    return PredictRequest(**{name: getattr(request, name) for name in same})


def _death(code: int, last_words: str) -> Failed:
    """Explain why a worker ended without a message."""
    line = next((line.strip() for line in reversed(last_words.splitlines()) if line.strip()), "")
    if code in (9, -9, 137):
        return Failed(
            cause=tr("The training process was killed by the system, most likely because memory ran out."),
            cure=tr("Close other programs, or train on smaller images."),
            details=last_words,
        )
    return Failed(
        cause=tr("The training process ended without an answer (exit code {code}).", code=code)
        + (f" {line}" if line else ""),
        cure=tr("Your annotations are safe; try again."),
        details=last_words,
    )
