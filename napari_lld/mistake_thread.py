"""The thread that compares labels with what a model says: it has the project open for itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from qtpy.QtCore import QObject, Signal

from annotation_store import Project
from annotation_store.errors import LLDError
from training.ranking.mistakes import Mistakes, mistakes

Then = Callable[[Mistakes | str], None]


class MistakeThread(QObject):
    """Finds likely mistakes beside the window; of several that were asked for, the last one is told."""

    _ended = Signal(int, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._number = 0
        self._then: Then | None = None
        self._threads: list[threading.Thread] = []
        self._ended.connect(self._on_ended)

    @property
    def busy(self) -> bool:
        """Whether something is being read that somebody waits for."""
        return self._then is not None

    def read(self, path: Path, reading_id: int, then: Then) -> None:
        """Find the likely mistakes of a reading; `then` gets them, or a sentence that says why not."""
        self._number += 1
        self._then = then
        self._threads = [one for one in self._threads if one.is_alive()]
        thread = threading.Thread(
            target=self._work, args=(self._number, path, reading_id), name="mistakes", daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def close(self, seconds: float = 3.0) -> None:
        """Tell nothing any more, and wait a little for what is under way."""
        self._number += 1
        self._then = None
        for thread in self._threads:
            thread.join(seconds)

    def _work(self, number: int, path: Path, reading_id: int) -> None:
        found: Mistakes | str
        try:
            with Project.open(path, read_only=True) as project:
                project.use_reading(reading_id)
                found = mistakes(project)
        except LLDError as error:
            found = str(error)
        except Exception as error:
            found = f"{type(error).__name__}: {error}"
        with suppress(RuntimeError):  # the window is gone
            self._ended.emit(number, found)

    def _on_ended(self, number: int, found: Mistakes | str) -> None:
        then = self._then
        if number == self._number and then is not None:
            self._then = None
            then(found)
