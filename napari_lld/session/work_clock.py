"""Work time by field, counted while mouse and keys are used; no Qt."""

from __future__ import annotations

import time
from collections.abc import Callable

from psygnal import Signal

from annotation_store.errors import LLDError
from napari_lld.session.session import Session
from napari_lld.session.subscriptions import Subscriptions

IDLE = 60.0
"""Seconds without mouse or key after which nobody works."""
_LEAST = 0.5


class WorkClock:
    """Counts from one use of mouse or key to the next, `IDLE` seconds at most.

    What was counted goes to the field that was shown, when another is shown, when the project closes, and
    whenever `flush` is called: a crash loses what was counted since.
    """

    changed = Signal()

    def __init__(self, session: Session, clock: Callable[[], float] = time.monotonic) -> None:
        self._session = session
        self._clock = clock
        self._used: float | None = None
        self._counted_to = 0.0
        self._pending = 0.0
        self._field_id: int | None = None
        self._seconds: dict[int, float] = {}
        self._listening = Subscriptions()
        self._listening.add(session.project_changed, self._on_project)
        self._listening.add(session.fields.current_changed, self._on_field)
        self._listening.add(session.leaving, self.flush)
        self._on_project()

    def touch(self) -> None:
        """Mouse or key were used."""
        now = self._clock()
        if self._used is None or now - self._used > IDLE:
            self._advance(now)
            self._counted_to = now
        self._used = now

    def flush(self) -> None:
        """Keep what was counted in the project; where that cannot be now, it is kept with the next."""
        self._advance(self._clock())
        project, field_id = self._session.project, self._field_id
        if project is None or field_id is None or project.read_only:
            self._pending = 0.0
            return
        if self._pending < _LEAST:
            return
        try:
            project.work_time.add(field_id, self._pending)
        except LLDError:
            return
        self._seconds[field_id] = self._seconds.get(field_id, 0.0) + self._pending
        self._pending = 0.0
        self.changed.emit()

    def seconds(self) -> tuple[float, float]:
        """Return the seconds of this annotator on the field that is shown, and in the project."""
        on_field = self._seconds.get(self._field_id, 0.0) if self._field_id is not None else 0.0
        return on_field + self._pending, sum(self._seconds.values()) + self._pending

    def close(self) -> None:
        """Count no more."""
        self.flush()
        self._listening.close()

    def _advance(self, now: float) -> None:
        """Count up to now, or to when the idle minute was over."""
        if self._used is None:
            return
        end = min(now, self._used + IDLE)
        if end > self._counted_to:
            self._pending += end - self._counted_to
            self._counted_to = end

    def _on_field(self) -> None:
        if self._session.fields.current_id == self._field_id:
            return
        self.flush()
        self._pending = 0.0
        self._field_id = self._session.fields.current_id
        self.changed.emit()

    def _on_project(self) -> None:
        project = self._session.project
        self._seconds, self._pending, self._used = {}, 0.0, None
        self._field_id = self._session.fields.current_id
        if project is not None:
            for row in project.work_time.all():
                if row.annotator == project.annotator:
                    self._seconds[row.field_id] = self._seconds.get(row.field_id, 0.0) + row.seconds
        self.changed.emit()
