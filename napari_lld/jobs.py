"""One long action at a time in a thread beside the window, with its progress."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

from annotation_store.errors import LLDError
from napari_lld.background import Tell
from napari_lld.translate import tr

Work = Callable[[Tell], Any]


class Jobs(QObject):
    """Runs work in a thread; its ends are told in the window's thread."""

    changed = Signal()
    _told = Signal(int, int)
    _ended = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.title = ""
        self.done = 0
        self.total = 0
        self._thread: threading.Thread | None = None
        self._then: Callable[[Any], None] | None = None
        self._failed: Callable[[str], None] | None = None
        self._told.connect(self._on_told)
        self._ended.connect(self._on_ended)

    @property
    def busy(self) -> bool:
        """Whether something runs."""
        return self._thread is not None

    def start(
        self, title: str, work: Work, then: Callable[[Any], None], failed: Callable[[str], None]
    ) -> bool:
        """Start work; `then` gets its result, `failed` a sentence. False while other work runs."""
        if self.busy:
            failed(tr("{title} is still under way.", title=self.title))
            return False
        self.title, self.done, self.total = title, 0, 0
        self._then, self._failed = then, failed
        self._thread = threading.Thread(target=self._work, args=(work,), name=title, daemon=True)
        self._thread.start()
        self.changed.emit()
        return True

    def wait(self, seconds: float) -> None:
        """Wait for the work to end: the window is closing."""
        thread = self._thread
        self._then = self._failed = None
        if thread is not None:
            thread.join(seconds)

    def _work(self, work: Work) -> None:
        try:
            result, error = work(self._told.emit), None
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

    def _on_ended(self, result: Any, error: str | None) -> None:
        then, failed = self._then, self._failed
        self._thread = self._then = self._failed = None
        self.changed.emit()
        if error is not None and failed is not None:
            failed(error)
        elif error is None and then is not None:
            then(result)
