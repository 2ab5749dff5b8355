"""How long a task may take, and how much of its work is done in that time."""

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
"""What a task does less of to keep its budget."""

_LEAST = {"parent": 0.1, "held_out": 0.25, "learned": 0.1, "in_use": 0.35, "suggest": 0.9}
"""Stages in their order, and the part of the time left then that each gets, however much is to come."""

_LEARNING = 0.35
"""Likewise of learning by steps, which comes before them."""
_STEP = 10
"""A step of learning costs as much as to look at so many fields, or less."""


class Budget:
    """The time that a task may take, and what was left out to keep it.

    Parameters
    ----------
    seconds
        ``None`` = no limit.
    begun
        The time of `clock` at which the task began.
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
        """Seconds that are left; 0 where the time is over."""
        return float("inf") if self._end is None else max(0.0, self._end - self._clock())

    def share(self, part: float) -> float | None:
        """Return the time by which work must end that may take a part of what is left."""
        return None if self._end is None else self._clock() + part * self.left

    def room(self, until: float, work: Callable[[], int], n: int) -> int:
        """Do a part of some work, and return how much of it fits into the time, `of` at most.

        Parameters
        ----------
        work
            Gives how much of it was done.
        """
        begun = self._clock()
        done = work()
        now = self._clock()
        return min(n, int((until - now) * done / max(now - begun, 1e-9)))

    def expect(self, predict: Callable[[], object], **stages: int) -> None:
        """Store how many fields the stages to come will look at.

        Parameters
        ----------
        look
            Looks at one field: called, where there is a limit, to see how long that takes.
        """
        self._to_come.update(stages)
        if self._end is not None:
            begun = self._clock()
            predict()
            self._a_field = self._clock() - begun

    def learning_until(self) -> float | None:
        """Return the time by which learning must end, so that there is time for the stages to come."""
        if self._end is None:
            return None
        reserve = 2.0 + 1.2 * self._a_field * sum(self._to_come.values())
        return self._clock() + max(_LEARNING * self.left, self.left - reserve)

    def fits(self, until: float | None, fields: int) -> bool:
        """Return whether there is time to look at some fields."""
        return until is None or self._clock() + 1.2 * self._a_field * fields <= until

    def fits_a_step(self, until: float | None) -> bool:
        """Return whether there is time for any step of learning."""
        return self.fits(until, _STEP)

    def until(self, stage: str, *, n: int = 1) -> float | None:
        """Return the time by which a stage must end: it gets its part of all the looking to come.

        Parameters
        ----------
        of
            So many times as much will follow: only the first of them is to end by then.
        """
        stages = list(_LEAST)
        rest = [self._to_come[name] for name in stages[stages.index(stage) :]]
        return self.share(max(_LEAST[stage], 0.9 * rest[0] / max(1, sum(rest))) / n)

    def batches(self, items: Sequence[T], until: float | None, size: int) -> Iterator[Sequence[T]]:
        """Yield items a few at a time, while the next ones fit into the time left; the first one always.

        Parameters
        ----------
        until
            What an item costs is estimated from those done. ``None`` = no limit.
        size
            How many items at a time.
        """
        done, begun = 0, self._clock()
        while done < len(items):
            few = size
            if until is not None:
                now = self._clock()
                few = min(few, int((until - now) * done / max(now - begun, 1e-9))) if done else 1
                if few < 1:
                    return
            yield items[done : done + few]
            done += few

    def leave_out(self, stage: Reason, done: int = 0, n: int = 1) -> None:
        """Record that only a part was done; nothing if all was.

        Parameters
        ----------
        what
            One of the above.
        """
        if done < n:
            values = {"done": done, "of": n} if "{" in stage else {}
            self.left_out.append(Reason(*stage.texts, **values))
