"""The time budget of a task: the share of each stage, and what is left out to keep it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from training.reasons import Reason

T = TypeVar("T")

START = Reason("the initial model was tested on {done} of {of} fields")
CELLS = Reason("{done} of {of} labelled cells were learned from")
DETECTOR = Reason("the detector was not trained")
PARENT = Reason("how much of the parent is kept was chosen on {done} of {of} fields")
HELD_OUT = Reason("{done} of {of} held-out fields were measured")
LEARNED = Reason("{done} of {of} training fields were measured")
IN_USE = Reason("the model in use was measured on {done} of {of} held-out fields")
CHECKED = Reason("{done} of {of} labelled cells were checked for label errors")
SUGGESTIONS = Reason("suggestions were updated on {done} of {of} fields, and the others keep theirs")
"""What a task reports as incomplete because its budget ran out."""

_LEAST = {"parent": 0.1, "held_out": 0.25, "learned": 0.1, "in_use": 0.35, "suggest": 0.9}
"""Stages in order, and the minimum fraction of the remaining time that each gets when it begins."""

_LEARNING = 0.35
"""The same fraction for gradient descent, which comes before them."""
_STEP = 10
"""Upper bound of the cost of one training step, as the number of predicted fields that cost as much."""


class Budget:
    """The time limit of a task, and what was left out to keep it.

    Parameters
    ----------
    seconds
        ``None`` = no limit.
    begun
        Time of `clock` at which the task began.
    """

    def __init__(
        self, seconds: float | None, begun: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._end = None if seconds is None else begun + seconds
        self._clock = clock
        self._to_come = dict.fromkeys(_LEAST, 0)
        self._a_field = 0.0
        self.left_out: list[Reason] = []

    @property
    def left(self) -> float:
        """Remaining time in seconds; 0 once the time is up."""
        return float("inf") if self._end is None else max(0.0, self._end - self._clock())

    def share(self, part: float) -> float | None:
        """Return the deadline of work that may take a fraction of the remaining time; ``None`` = no limit."""
        return None if self._end is None else self._clock() + part * self.left

    def room(self, until: float, work: Callable[[], int], n: int) -> int:
        """Time a sample of some work, and return how many items fit into the time, `n` at most.

        Parameters
        ----------
        until
            Deadline, a time of the clock.
        work
            Does the sample, and returns its number of items.
        n
            Number of items in all.
        """
        begun = self._clock()
        done = work()
        now = self._clock()
        return min(n, int((until - now) * done / max(now - begun, 1e-9)))

    def expect(self, predict: Callable[[], object], **stages: int) -> None:
        """Set how many fields the coming stages will predict.

        Parameters
        ----------
        predict
            Predicts one field: called and timed if there is a limit.
        stages
            Stage to its number of fields.
        """
        self._to_come.update(stages)
        if self._end is not None:
            begun = self._clock()
            predict()
            self._a_field = self._clock() - begun

    def learning_until(self) -> float | None:
        """Return the deadline of training that leaves time for the coming stages; ``None`` = no limit."""
        if self._end is None:
            return None
        reserve = 2.0 + 1.2 * self._a_field * sum(self._to_come.values())
        return self._clock() + max(_LEARNING * self.left, self.left - reserve)

    def fits(self, until: float | None, fields: int) -> bool:
        """Return whether there is time to predict a number of fields."""
        return until is None or self._clock() + 1.2 * self._a_field * fields <= until

    def fits_a_step(self, until: float | None) -> bool:
        """Return whether there is time for at least one training step."""
        return self.fits(until, _STEP)

    def until(self, stage: str, *, n: int = 1) -> float | None:
        """Return the deadline of a stage: its time is proportional to its share of the fields to come.

        Parameters
        ----------
        n
            Number of equal passes that the stage makes: the deadline is that of the first.
        """
        stages = list(_LEAST)
        rest = [self._to_come[name] for name in stages[stages.index(stage) :]]
        return self.share(max(_LEAST[stage], 0.9 * rest[0] / max(1, sum(rest))) / n)

    def batches(
        self, items: Sequence[T], until: float | None, size: int | Callable[[int], int]
    ) -> Iterator[Sequence[T]]:
        """Yield batches of items while the next batch fits into the remaining time; always yield the first.

        Parameters
        ----------
        until
            Deadline; the cost per item is estimated from those done. ``None`` = no limit.
        size
            Maximum number of items in a batch; or a function that returns it, given how many remain.
        """
        done, begun = 0, self._clock()
        while done < len(items):
            n_next = size if isinstance(size, int) else size(len(items) - done)
            if until is not None:
                now = self._clock()
                n_next = min(n_next, int((until - now) * done / max(now - begun, 1e-9))) if done else 1
                if n_next < 1:
                    return
            yield items[done : done + n_next]
            done += n_next

    def leave_out(self, stage: Reason, done: int = 0, n: int = 1) -> None:
        """Record that only `done` of `n` items were done; do nothing if all were.

        Parameters
        ----------
        stage
            One of the reasons of this module.
        """
        if done < n:
            values = {"done": done, "of": n} if "{" in stage else {}
            self.left_out.append(Reason(*stage.texts, **values))
