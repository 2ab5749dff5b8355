"""Check which workers a scheduler has before using it."""

from __future__ import annotations

from dataclasses import dataclass

from training.cluster.connection import connected
from training.cluster.training_task import CARD

_PATIENCE = 5.0
"""Seconds to wait for the first worker: short, since the user waits for the answer."""


@dataclass(frozen=True)
class Reached:
    """The workers of a scheduler.

    Attributes
    ----------
    workers
        Number of workers.
    training
        Number of workers with a graphics card, which may train.
    """

    workers: int
    training: int


def reach(scheduler: str) -> Reached:
    """Connect to a scheduler and count its workers.

    Raises
    ------
    ClusterError
        It does not answer, has no worker or one of another version, or the extra is not installed.
    """
    with connected(scheduler, None, lambda: None, patience=_PATIENCE) as client:
        known = client.scheduler_info(n_workers=-1)["workers"].values()
        return Reached(len(known), sum(about.get("resources", {}).get(CARD, 0) >= 1 for about in known))
