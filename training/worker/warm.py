"""A worker that stays for several tasks, so that a round does not pay for imports.

It imports everything first, then does what comes over its standard input, one request after the other. It
ends by itself after some idle time, when its input ends, when it holds too much memory after a task, and
after an unexpected failure, which may have left anything behind (a graphics card that hangs).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from importlib import import_module

from training.protocol import Ready
from training.worker.channel import Channel, Task
from training.worker.machine import give_back_memory, memory, most_memory

_PARTS = (
    *(f"training.worker.{task}" for task in ("run", "train", "predict", "renew", "likeness", "evaluate")),
    "training.inference.stain",
    "sklearn.cluster",  # `training.similarity.likeness` imports it with the first clusters
    "zarr",  # the store imports it with the first pixels
)


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
    done = 0
    while True:
        channel.send_between(Ready(memory=memory(), tasks=done))
        task = channel.next_task(idle)
        if task is None or not answer(task):
            return
        del task
        done += 1
        give_back_memory()
        if memory() > most_memory():
            return


def _import_all() -> None:
    """Import what the tasks need; a failed import is reported by the task that needs it."""
    with contextlib.suppress(Exception):
        for part in _PARTS:
            import_module(part)
