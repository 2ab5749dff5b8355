"""The queue of trainings, and automatic rounds; no Qt.

An automatic round is a short one, so that new suggestions are there within a minute or two; a longer one
follows in the background where nothing else waits. Which of their models is used is the worker's judgement
on held-out cells (`training/worker/train.py`): a later model replaces the one in use unless it is worse.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from psygnal import Signal

from napari_lld.i18n.translate import tr, trn
from napari_lld.session.open_project import OpenProject
from napari_lld.session.preferences import Preferences
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.session.training_state import TrainingPhase, TrainingState

SHORT, LONG = 60.0, 600.0
"""Seconds that an automatic round and the longer one after it may take."""


class Why(StrEnum):
    """Who wanted a round."""

    ASKED = "asked"
    AUTOMATIC = "automatic"
    LONGER = "longer"


@dataclass(frozen=True)
class Planned:
    """A round that waits or runs."""

    why: Why
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """List it."""
        if self.why is Why.AUTOMATIC:
            return tr("Automatic round")
        if self.why is Why.LONGER:
            return tr("Longer round after the automatic one")
        seconds = self.options.get("budget")
        if seconds is None:
            return tr("Training without a limit")
        return tr("Training of {minutes:g} minutes", minutes=round(seconds / 60, 1))


class Rounds:
    """The queue behind the training that runs, and the automatic rounds.

    Parameters
    ----------
    start
        Starts a training with options of the train request; False where it could not.
    ready
        Whether there is a process that a round could run in.
    """

    changed = Signal()

    def __init__(
        self,
        opened: OpenProject,
        preferences: Preferences,
        state: TrainingState,
        start: Callable[..., bool],
        ready: Callable[[], bool],
    ) -> None:
        self._opened = opened
        self._preferences = preferences
        self._state = state
        self._start_training = start
        self._ready = ready
        self.running: Planned | None = None
        self.queue: list[Planned] = []
        self.new_cells = 0
        """Cells in finished regions that no training has seen."""
        self._stopped = False
        self._listening = Subscriptions()
        self._listening.add(state.changed, self._on_training)
        self._listening.add(state.ended, self._on_ended)
        self._listening.add(preferences.events.automatic, self._on_automatic)
        self._listening.add(preferences.events.longer, self.changed.emit)

    def close(self) -> None:
        """Start nothing any more."""
        self.queue.clear()
        self._listening.close()

    # ------------------------------------------------------------------ asked for

    def train(self, **options: Any) -> None:
        """Train now, or when what runs has ended."""
        planned = Planned(Why.ASKED, options)
        if self._state.busy:
            self.queue.append(planned)
            self._opened.notify("hint", tr("Queued: it starts when the current task has ended."))
            self.changed.emit()
        else:
            self._start(planned)

    def drop(self, planned: Planned) -> None:
        """Take a round out of the queue."""
        if planned in self.queue:
            self.queue.remove(planned)
            self.changed.emit()

    # ------------------------------------------------------------------ by themselves

    def look(self) -> None:
        """Count the new cells, and begin or queue an automatic round if there are enough."""
        project = self._opened.project
        if project is None or not self._preferences.automatic or not self._ready():
            return
        before, self.new_cells = self.new_cells, self._count()
        if self.new_cells != before:
            self.changed.emit()
        if self.new_cells < self._preferences.automatic:
            return
        if any(planned_round.why is not Why.LONGER for planned_round in self.queue):
            return  # it will see these cells as well
        self.queue = [planned_round for planned_round in self.queue if planned_round.why is not Why.LONGER]
        planned = Planned(Why.AUTOMATIC, {"budget": SHORT})
        if self._state.busy:
            self.queue.append(planned)
            self.changed.emit()
        else:
            self._start(planned)

    def outlook(self) -> str:
        """Describe when the next automatic round begins; nothing if there are none."""
        interval = self._preferences.automatic
        if not interval:
            return ""
        if self.queue:
            return tr("Next: {title}.", title=self.queue[0].title)
        missing = max(interval - self.new_cells, 1)
        return trn(
            "The next automatic round starts after {count} more cell in finished regions.",
            "The next automatic round starts after {count} more cells in finished regions.",
            missing,
        )

    def _count(self) -> int:
        project = self._opened.project
        if project is None:
            return 0
        cells = project.cells.since(self._last_training())
        shapes = {
            field_id: [r.shape for r in project.regions.all(field_id) if r.finished]
            for field_id in {cell.field_id for cell in cells}
        }
        return sum(any(shape.contains_centre(c.box) for shape in shapes[c.field_id]) for c in cells)

    def _last_training(self) -> datetime | None:
        project = self._opened.project
        runs = project.runs.all() if project is not None else []
        return max((run.started for run in runs if run.config.get("task") == "train"), default=None)

    # ------------------------------------------------------------------ what happens

    def _start(self, planned: Planned) -> None:
        options = {"device": self._preferences.device, **planned.options}
        self.running = planned if self._start_training(**options) else None
        self.changed.emit()

    def _on_training(self) -> None:
        if self._state.phase is TrainingPhase.CANCELLING:
            self._stopped = True

    def _on_ended(self) -> None:
        """Continue with what waits; after a failure nothing begins by itself."""
        ended, self.running = self.running, None
        stopped, self._stopped = self._stopped, False
        failed = self._state.failed
        if failed:
            self.queue.clear()
        elif ended is not None and not stopped and not self.queue:
            self.look()
            follows = ended.why is Why.AUTOMATIC and self._preferences.longer and self._preferences.automatic
            if follows and not self._state.busy:
                self._start(Planned(Why.LONGER, {"budget": LONG}))
                return
        if self.queue and not self._state.busy:
            self._start(self.queue.pop(0))
        self.changed.emit()

    def _on_automatic(self) -> None:
        if not self._preferences.automatic:
            self.queue = [planned_round for planned_round in self.queue if planned_round.why is Why.ASKED]
        self.look()
        self.changed.emit()

    def on_project(self) -> None:
        """Begin anew with another project."""
        self.queue.clear()
        self.new_cells = 0
        self.look()
        self.changed.emit()
