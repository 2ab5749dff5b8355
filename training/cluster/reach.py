"""Who answers at a scheduler's address, before anything is computed there."""

from __future__ import annotations

from dataclasses import dataclass

from training.cluster.connection import connected
from training.cluster.training_task import CARD

_PATIENCE = 5.0
"""Seconds to wait for a first worker: somebody waits for the answer."""


@dataclass(frozen=True)
class Reached:
    """What a scheduler has.

    Attributes
    ----------
    workers
        How many workers it knows.
    training
        Of these: how many have a card, and so may train.
    """

    workers: int
    training: int


def reach(scheduler: str) -> Reached:
    """Connect to a scheduler and count its workers.

    Raises
    ------
    ClusterError
        It does not answer, has no worker, or one of another version; the extra is missing.
    """
    with connected(scheduler, None, lambda: None, patience=_PATIENCE) as client:
        known = client.scheduler_info(n_workers=-1)["workers"].values()
        return Reached(len(known), sum(about.get("resources", {}).get(CARD, 0) >= 1 for about in known))
