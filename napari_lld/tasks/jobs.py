"""One long action at a time in a thread beside the window, with its progress."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QApplication

from napari_lld.i18n.translate import tr
from napari_lld.tasks.latest_task import LatestTask
from napari_lld.tasks.progress import OnProgress

Work = Callable[[OnProgress], Any]

_SHOWN_EVERY = 0.05
"""Seconds between two reports of progress that are shown: a hundred thousand would hold up the window."""


_AGAIN_MS = 200
"""Milliseconds after which it is looked again whether a dialog is still open."""


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """Raised where the work reports its progress, after a stop was requested."""


class Jobs(QObject):
    """Runs work in a thread; results are delivered in the window's thread."""

    changed = Signal()
    stopped = Signal(str)
    """What was stopped: its title."""
    _progressed = Signal(int, int)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.title = ""
        self.left = ""
        """What a stop leaves, in a sentence; nothing where what was done stays."""
        self.done = 0
        self.total = 0
        self._task = LatestTask("job", self)
        self._leads_on = False
        self._projects_left = 0
        """How many projects were closed: what was begun before is of another project."""
        self._stop = threading.Event()
        self._progressed.connect(self._on_progress)

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return self._task.busy

    def start(
        self,
        title: str,
        work: Work,
        on_result: Callable[[Any], None] | None,
        failed: Callable[[str], None],
        *,
        in_project: Callable[[Any], None] | None = None,
        left: str = "",
        leads_on: bool = False,
    ) -> bool:
        """Start work; call `on_result` with its result, or `failed`. False while other work runs.

        Parameters
        ----------
        on_result
            Called whatever is open by then.
        in_project
            Called with the result after that, if the project was not closed meanwhile, and once no dialog is
            open: a question would lie hidden behind it, and answer nothing.
        left
            Describes the state after a stop, if partial work is not kept.
        leads_on
            Whether the work only looks at the open project, for what comes next: `leave` ends it with that
            project.
        """
        if self.busy:
            failed(tr("{title} is still running.", title=self.title))
            return False
        self.title, self.left, self.done, self.total = title, left, 0, 0
        self._leads_on = leads_on
        self._stop = threading.Event()
        self._task.start(
            partial(self._work, work, self._stop),
            partial(self._on_done, on_result, partial(self._deliver, self._projects_left, in_project)),
            partial(self._on_failed, failed),
            name=title,
        )
        self.changed.emit()
        return True

    def stop(self) -> None:
        """Request the work to stop: it does at its next progress report, leaving nothing half done."""
        if self.busy:
            self._stop.set()
            self.changed.emit()

    def leave(self) -> None:
        """End work that leads on: its project is being closed, and nobody is asked any more.

        Work that writes goes on, and tells what it did.
        """
        self._projects_left += 1
        if self.busy and self._leads_on:
            self._stop.set()
            self._task.drop()
            self.changed.emit()

    @property
    def stopping(self) -> bool:
        """Whether the work was asked to stop, and has not yet."""
        return self.busy and self._stop.is_set()

    def wait(self, seconds: float) -> None:
        """Stop the work, and wait until it has: the window is closing."""
        self._stop.set()
        self._task.close(seconds)

    def _work(self, work: Work, stop: threading.Event) -> Any:
        shown = 0.0

        def on_progress(done: int, total: int) -> None:
            nonlocal shown
            if stop.is_set():
                raise Stopped
            now = time.monotonic()
            if done == total or now - shown >= _SHOWN_EVERY:
                shown = now
                self._progressed.emit(done, total)

        try:
            return work(on_progress)
        except Stopped as stopped:
            return stopped

    def _on_progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        self.changed.emit()

    def _on_done(
        self, on_result: Callable[[Any], None] | None, deliver: Callable[[Any], None], result: Any
    ) -> None:
        self.changed.emit()
        if isinstance(result, Stopped):
            self.stopped.emit(self.title)
            return
        if on_result is not None:
            on_result(result)
        deliver(result)

    def _deliver(self, projects_left: int, in_project: Callable[[Any], None] | None, result: Any) -> None:
        """Go on with a result in the project that it is of."""
        if in_project is None or projects_left != self._projects_left:
            return
        if QApplication.activeModalWidget() is None:
            in_project(result)
        else:
            again = partial(self._deliver, projects_left, in_project, result)
            QTimer.singleShot(_AGAIN_MS, again)

    def _on_failed(self, failed: Callable[[str], None], trouble: str) -> None:
        self.changed.emit()
        failed(trouble)
