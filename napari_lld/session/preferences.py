"""What a user prefers, whatever the project; no Qt, no napari.

One place of truth: in a napari window these are napari's own settings (Preferences → LLD, see
`napari_lld.controllers.napari_preferences`), elsewhere (tests) they last as long as the object.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from psygnal import SignalGroupDescriptor


@dataclass
class Preferences:
    """The preferences of one window; `events` tells of each change.

    Attributes
    ----------
    annotator
        The annotator's name; empty = the account's name.
    automatic
        Train by itself after so many new cells in finished regions; 0 = never.
    longer
        Whether a longer round follows an automatic one, where nothing else waits.
    ready
        Whether a training process is kept ready while a project is open, so that a round begins at once.
    instant
        Whether what is pending is predicted anew after each label, between rounds.
    budget
        Seconds that a training may take which is asked for; 0 = no limit.
    device
        Where to train and predict: ``auto``, ``cpu``, ``cuda:0``, ``mps``.
    scheduler
        The address of a dask scheduler whose workers train and predict; empty = this computer does.
    threshold
        Where the confidence slider of a new project stands.
    language
        ``system``, or the language of the window.
    """

    events: ClassVar[SignalGroupDescriptor] = SignalGroupDescriptor()

    annotator: str = ""
    automatic: int = 0
    longer: bool = True
    ready: bool = True
    instant: bool = True
    budget: int = 300
    device: str = "auto"
    scheduler: str = ""
    threshold: float = 0.2
    language: str = "system"

    @property
    def seconds_to_train(self) -> float | None:
        """How long a training may take which is asked for; ``None`` is without limit."""
        return float(self.budget) if self.budget > 0 else None
