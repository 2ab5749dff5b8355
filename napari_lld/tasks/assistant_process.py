"""The assistant of a window: a second worker process for requests that are answered at once.

It is not blocked by a training. It does one request at a time; of those that wait, a newer one of a kind
takes the place of an older one. While it renews suggestions beyond the field that is shown, a newer request
goes first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QObject

from napari_lld.i18n.translate import tr
from napari_lld.tasks.training_process import not_started
from napari_lld.tasks.worker_process import WorkerProcess
from training.client import CANCEL_LINE, request_line
from training.protocol import Cancelled, Done, Failed, Ready, Renewed


@dataclass
class _Request:
    request: Any
    on_done: Callable[[Done | Failed], None]
    on_message: Callable[[Any], None] | None
    kind: str
    tried: bool = False
    dropped: bool = False


class AssistantProcess(QObject):
    """Answers the requests of a session (its `Answerer`), one at a time."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.worker = WorkerProcess(self._hear, self._on_ended, self._on_not_started, self, waited_for=True)
        self._current: _Request | None = None
        self._waiting: list[_Request] = []
        self._cancelled = self._shown = False
        """What is known of the current request: that it is to stop, that it has renewed what is shown."""

    def ask(
        self,
        request: Any,
        on_done: Callable[[Done | Failed], None],
        on_message: Callable[[Any], None] | None = None,
        *,
        kind: str = "",
    ) -> None:
        """Queue a request."""
        question = _Request(request, on_done, on_message, kind or request.task)
        self._waiting = [waiting for waiting in self._waiting if waiting.kind != question.kind]
        self._waiting.append(question)
        self._make_room()
        self._next()

    def forget(self) -> None:
        """Drop what was asked: another project."""
        self._waiting.clear()
        if self._current is not None:
            self._current.dropped = True
            self._stop()

    def warm_up(self) -> None:
        """Start a process if there is none."""
        if not self.worker.running:
            self.worker.launch()

    def cool_down(self) -> None:
        """End an idle process."""
        if self._current is None:
            self.worker.cool_down()

    def close(self) -> None:
        """End the process: the window is closing."""
        self._waiting.clear()
        self._current = None
        self.worker.close()

    def _next(self) -> None:
        if self._current is not None or not self._waiting:
            return
        self._current = self._waiting.pop(0)
        self._cancelled = self._shown = False
        if self.worker.running:
            self.worker.mark_log()
        else:
            self.worker.launch()
        self.worker.write(request_line(self._current.request))

    def _make_room(self) -> None:
        """Interrupt a renewal that has done what is on the screen."""
        if self._current is not None and self._shown and self._waiting:
            self._stop()

    def _stop(self) -> None:
        if not self._cancelled:
            self._cancelled = True
            self.worker.write(CANCEL_LINE)

    def _hear(self, message: Any) -> None:
        current = self._current
        if isinstance(message, Ready) or current is None:
            return
        if current.dropped:
            if isinstance(message, Done | Failed | Cancelled):
                self._current = None
                self._next()
            return
        if isinstance(message, Renewed):
            self._shown = True
            self._make_room()
        if not isinstance(message, Done | Failed | Cancelled):
            if current.on_message is not None:
                current.on_message(message)
            return
        self._current = None
        if isinstance(message, Done | Failed):
            current.on_done(message)
        elif current.request.task == "renew" and not any(
            waiting.kind == "renew" for waiting in self._waiting
        ):
            self._waiting.append(current)  # the fields beyond the screen are still to be renewed
        self._next()

    def _on_ended(self, code: int, last_words: str) -> None:
        current, self._current = self._current, None
        if current is not None and not (current.dropped or self._cancelled):
            if current.tried:
                cause = tr("The assistant ended without an answer (exit code {code}).", code=code)
                current.on_done(Failed(cause=cause, details=last_words))
            else:  # a process that was there before may just have gone after a while without a request
                current.tried = True
                self._waiting.insert(0, current)
        self._next()

    def _on_not_started(self, cause: str) -> None:
        lost = [question for question in (self._current, *self._waiting) if question is not None]
        self._current = None
        self._waiting.clear()
        for question in lost:
            question.on_done(not_started(cause))
