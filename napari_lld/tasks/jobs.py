"""One long action at a time in a thread beside the window, with its progress."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from annotation_store.errors import LLDError
from napari_lld.i18n.translate import tr
from napari_lld.tasks.progress import Tell

Work = Callable[[Tell], Any]


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """Raised in the work, where it tells how far it is, once somebody asked to stop."""


class Jobs(QObject):
    """Runs work in a thread; its ends are told in the window's thread."""

    changed = Signal()
    stopped = Signal(str)
    """What was stopped: its title."""
    _told = Signal(int, int)
    _ended = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.title = ""
        self.left = ""
        """What a stop leaves, in a sentence; nothing where what was done stays."""
        self.done = 0
        self.total = 0
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._then: Callable[[Any], None] | None = None
        self._failed: Callable[[str], None] | None = None
        self._told.connect(self._on_told)
        self._ended.connect(self._on_ended)

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return self._thread is not None

    def start(
        self,
        title: str,
        work: Work,
        then: Callable[[Any], None],
        failed: Callable[[str], None],
        *,
        left: str = "",
    ) -> bool:
        """Start work; `then` gets its result, `failed` a sentence. False while other work runs.

        `left` says what a stop leaves of it, if that is not all that was done before.
        """
        if self.busy:
            failed(tr("{title} is still under way.", title=self.title))
            return False
        self.title, self.left, self.done, self.total = title, left, 0, 0
        self._then, self._failed = then, failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(work,), name=title, daemon=True)
        self._thread.start()
        self.changed.emit()
        return True

    def stop(self) -> None:
        """Ask the work to stop; it does where it next tells how far it is, and leaves nothing half done."""
        if self.busy:
            self._stop.set()
            self.changed.emit()

    @property
    def stopping(self) -> bool:
        """Whether the work was asked to stop, and has not yet."""
        return self.busy and self._stop.is_set()

    def wait(self, seconds: float) -> None:
        """Stop the work, and wait until it has: the window is closing."""
        self._stop.set()
        thread = self._thread
        self._then = self._failed = None
        if thread is not None:
            thread.join(seconds)

    def _work(self, work: Work) -> None:
        stop = self._stop

        def tell(done: int, total: int) -> None:
            if stop.is_set():
                raise Stopped
            self._told.emit(done, total)

        error: str | Stopped | None
        try:
            result, error = work(tell), None
        except Stopped as stopped:
            result, error = None, stopped
        except LLDError as trouble:
            result, error = None, str(trouble)
        except Exception as trouble:
            result, error = None, tr("Unexpected: {trouble}", trouble=f"{type(trouble).__name__}: {trouble}")
        try:
            self._ended.emit(result, error)
        except RuntimeError:
            return  # the window is gone

    def _on_told(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        self.changed.emit()

    def _on_ended(self, result: Any, error: str | Stopped | None) -> None:
        then, failed = self._then, self._failed
        self._thread = self._then = self._failed = None
        self.changed.emit()
        if isinstance(error, Stopped):
            self.stopped.emit(self.title)
        elif error is not None and failed is not None:
            failed(error)
        elif error is None and then is not None:
            then(result)
