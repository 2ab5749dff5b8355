"""The thread that compares labels with predictions, with its own open project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QObject

from annotation_store import Project
from napari_lld.tasks.latest_task import LatestTask
from training.ranking.label_errors import LabelErrors, label_errors

Then = Callable[[LabelErrors | str], None]


class LabelErrorThread:
    """Finds possible label errors in the background; only the latest request's result is delivered."""

    def __init__(self, parent: QObject | None = None) -> None:
        self._task = LatestTask("label_errors", parent)

    @property
    def busy(self) -> bool:
        """Whether a requested result is still being read."""
        return self._task.busy

    def read(self, path: Path, reading_id: int, on_result: Then) -> None:
        """Find the possible label errors of a reading; call `on_result` with them or an error message."""

        def work() -> LabelErrors:
            with Project.open(path, reading=reading_id, read_only=True) as project:
                return label_errors(project)

        self._task.start(work, on_result, on_result)

    def close(self) -> None:
        """Stop reporting."""
        self._task.close()
