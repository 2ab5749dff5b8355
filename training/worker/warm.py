"""A persistent worker that runs several tasks, so that a training round does not pay for imports.

It imports everything first, then runs the requests from its standard input, one after the other. It exits
after some idle time, when its input ends, when it holds too much memory after a task, and after an unexpected
failure, which may have left it in an undefined state (such as a graphics card that hangs).
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
"""Maximum duration of a short task, after which the next one may follow immediately."""

_SOON = 3.0
"""Seconds without a request after which the memory of short tasks is released."""


def stay(channel: Channel, answer: Callable[[Task], bool], *, idle: float) -> None:
    """Run tasks until there is a reason to exit.

    Parameters
    ----------
    answer
        Runs a task to its last message, and returns whether the process may run another.
    idle
        Seconds without a request after which the process exits.
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
        # while the user labels, the next request comes at once, and would wait for the release
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
