"""Short background work in a thread; only the result of the latest request is delivered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from annotation_store.errors import LLDError
from napari_lld.i18n.translate import tr
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.tasks.progress import PATIENCE

_PAINTED_MS = 50
"""Milliseconds of the window's loop in which it begins to paint; what is due meanwhile follows."""


class LatestTask(QObject):
    """Runs work in a thread; a new start makes whatever still runs untold."""

    _ended = Signal(int, object, object)

    def __init__(self, name: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self._number = 0
        self._then: Callable[[Any], None] | None = None
        self._failed: Callable[[str], None] | None = None
        self._threads: list[threading.Thread] = []
        self._ended.connect(self._on_ended)

    @property
    def busy(self) -> bool:
        """Whether a requested task is still running."""
        return self._then is not None

    def start(
        self,
        work: Callable[[], Any],
        on_result: Callable[[Any], None],
        failed: Callable[[str], None],
        *,
        name: str = "",
        after_painting: bool = False,
    ) -> None:
        """Start work; in the window's thread, call `on_result` with its result or `failed` with a message.

        Parameters
        ----------
        after_painting
            Whether to start only once the window has shown what is being prepared now: two threads that
            compute in Python at the same time take longer than one after the other.
        """
        self._number += 1
        self._then, self._failed = on_result, failed
        launch = partial(self._launch, self._number, work, name or self._name)
        if after_painting:
            # the time that passes until the window's loop goes on does not count
            QTimer.singleShot(0, lambda: QTimer.singleShot(_PAINTED_MS, launch))
        else:
            launch()

    def _launch(self, number: int, work: Callable[[], Any], name: str) -> None:
        if number != self._number:
            return
        self._threads = [running for running in self._threads if running.is_alive()]
        thread = threading.Thread(target=self._work, args=(number, work), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def drop(self) -> None:
        """Discard the result of the running task."""
        self._number += 1
        self._then = self._failed = None

    def close(self, seconds: float = PATIENCE) -> None:
        """Stop reporting, and wait for the running task: for long only where it writes."""
        self.drop()
        for thread in self._threads:
            thread.join(seconds)

    def _work(self, number: int, work: Callable[[], Any]) -> None:
        result, trouble = None, None
        try:
            result = work()
        except LLDError as error:
            trouble = in_the_window(str(error))
        except Exception as error:
            trouble = tr("Unexpected error: {trouble}", trouble=f"{type(error).__name__}: {error}")
        with suppress(RuntimeError):  # the window is gone
            self._ended.emit(number, result, trouble)

    def _on_ended(self, number: int, result: Any, trouble: str | None) -> None:
        on_result, failed = self._then, self._failed
        if number != self._number or on_result is None or failed is None:
            return
        self._then = self._failed = None
        if trouble is not None:
            failed(trouble)
        else:
            on_result(result)
