"""The training process of a window: one request at a time, and never waited for.

One process stays while the window is open and does what is asked of it, one request after the other: only the
first waits for imports, or none where the process was there before it (`TrainingProcess.warm_up`).
It may end at any time: by itself when nothing was asked for a while, or because the system killed it. A
request that it dies of is then done by a new one; only one that a new process dies of fails.
"""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, QTimer

from napari_lld.i18n.translate import tr
from napari_lld.session.session import Session
from napari_lld.tasks.worker_process import WorkerProcess
from training.client import CANCEL_LINE, request_line
from training.protocol import Failed, PredictRequest, Ready, Saved, TrainRequest

_CANCEL_MS = 15_000
"""How long a cancelled worker may take while the window stays open."""


class TrainingProcess(QObject):
    """Runs one worker for a session (the session's `Trainer`), a request at a time."""

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.worker = WorkerProcess(self._hear, self._on_ended, self._on_not_started, self)
        self._request: Any = None
        """What the worker does now; nothing while it waits."""
        self._new = False
        """Whether the process was started for that very request."""
        self._answered = self._saved = self._cancelled = False
        """What is known of that request: any answer, a model, that it is to stop."""
        self._deadline = QTimer(self)
        self._deadline.setSingleShot(True)
        self._deadline.timeout.connect(self.worker.kill)

    def warm_up(self) -> None:
        """Start a worker if there is none: it imports what it needs and waits."""
        if not self.worker.running:
            self._launch()

    def cool_down(self) -> None:
        """End an idle worker."""
        if self._request is None:
            self.worker.cool_down()

    def start(self, request: Any) -> None:
        """Send a request to the worker; start one if there is none."""
        self._request, self._new = request, not self.worker.running
        self._answered = self._saved = self._cancelled = False
        if self._new:
            self._launch()
        else:
            self.worker.mark_log()
        self.worker.write(request_line(request))

    def cancel(self) -> None:
        """Ask the worker to stop what it does; kill it where it does not."""
        if self._request is not None and self.worker.running:
            self._cancelled = True
            self.worker.write(CANCEL_LINE)
            self._deadline.start(_CANCEL_MS)

    def close(self) -> None:
        """Stop the worker and wait for it, a few seconds at most: the window is closing."""
        self.cancel()
        self.worker.close()
        self._idle()

    def _launch(self) -> None:
        self._idle()
        self.worker.launch()

    def _idle(self) -> None:
        self._deadline.stop()
        self._session.training.state.worker_waits(None)

    # ------------------------------------------------------------------ what the process says

    def _hear(self, message: Any) -> None:
        if isinstance(message, Ready):
            self._session.training.state.worker_waits(message.memory)
            return
        if self._request is None:  # it has said its last word
            return
        self._answered = True
        self._saved = self._saved or isinstance(message, Saved)
        if message.type in {"done", "failed", "cancelled"}:
            self._request = None
            self._deadline.stop()
        if isinstance(message, Failed):
            words = f"{message.details}\n\n{self.worker.last_words()}".strip()
            message = message.model_copy(update={"details": words})
        self._session.training.state.receive(message)

    def _on_ended(self, code: int, last_words: str) -> None:
        request, self._request = self._request, None
        self._idle()
        if request is None:
            return
        if self._cancelled:
            self._session.training.state.end(tr("Stopped."))
        elif self._new:
            self._session.training.state.receive(_death(code, last_words))
        else:
            self._do_again(request, notify=code != 0 or self._answered)

    def _do_again(self, request: Any, *, notify: bool) -> None:
        """Repeat the request in a new process after a crash; saved models are kept.

        Where it has just gone by itself, as after a while without a request, that is not worth a word.
        """
        if notify:
            self._session.notify(
                "warning",
                tr("The training process ended unexpectedly. Nothing is lost: another one has taken over."),
            )
        state = self._session.training.state
        state.begin(request.task, state.where)
        self.start(_what_is_left(request) if self._saved else request)

    def _on_not_started(self, cause: str) -> None:
        request, self._request = self._request, None
        self._idle()
        if request is not None:
            self._session.training.state.receive(not_started(cause))


def _what_is_left(request: Any) -> Any:
    """Return what is left of a training whose model is saved: its suggestions."""
    if not isinstance(request, TrainRequest):
        return request
    same = ("project", "annotator", "reading", "device", "min_confidence", "scheduler", "workers")
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


def not_started(cause: str) -> Failed:
    """Explain that a process could not be started."""
    return Failed(
        cause=tr("The training process could not be started: {cause}.", cause=cause),
        cure=tr("Reinstall napari-lld in the Python that runs napari."),
    )
