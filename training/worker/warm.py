"""A worker that stays for several tasks, so that a round does not pay for imports.

It imports everything first, then does what comes over its standard input, one request after the other. It
ends by itself after some idle time, when its input ends, when it holds too much memory after a task, and
after an unexpected failure, which may have left anything behind (a graphics card that hangs).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from importlib import import_module

from training.protocol import Ready
from training.worker.channel import Channel, Task
from training.worker.machine import give_back_memory, memory, most_memory, pass_over_modules

_PARTS = (
    *(f"training.worker.{task}" for task in ("run", "train", "predict", "renew", "likeness", "evaluate")),
    "training.inference.stain",
    "sklearn.cluster",  # `training.similarity.neighbours` imports it with the first clusters
    "zarr",  # the store imports it with the first pixels
)

_QUICK = 15.0
"""Seconds up to which a task is an answer that another may follow at once."""

_SOON = 3.0
"""Seconds without a request after which the memory of such tasks is given back."""


def stay(channel: Channel, answer: Callable[[Task], bool], *, idle: float) -> None:
    """Run tasks until there is a reason to end.

    Parameters
    ----------
    answer
        Does a task to its last message, and says whether the process is as good as new.
    idle
        Seconds without a request after which the process ends.
    """
    _import_all()
    pass_over_modules()
    done = 0
    untidy = False
    while True:
        channel.send_between(Ready(memory=memory(), tasks=done))
        task = channel.next_task(_SOON if untidy else idle)
        if task is None and untidy and not channel.gone:
            give_back_memory()
            task = channel.next_task(idle)
        if task is None:
            return
        begun = time.monotonic()
        if not answer(task):
            return
        del task
        done += 1
        # Somebody who labels asks again at once, and would wait for the memory to be given back.
        untidy = time.monotonic() - begun < _QUICK
        if not untidy or memory() > most_memory():
            give_back_memory()
        if memory() > most_memory():
            return


def _import_all() -> None:
    """Import what the tasks need; a failed import is reported by the task that needs it."""
    with contextlib.suppress(Exception):
        for part in _PARTS:
            import_module(part)
