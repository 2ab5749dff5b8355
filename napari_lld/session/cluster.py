"""Run models on this computer, or on a dask cluster that the user names; no Qt, no dask."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Protocol

from psygnal import Signal

from napari_lld.i18n.translate import tr, trn
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.session.preferences import Preferences


class Reached(Protocol):
    """What `training.cluster.reach` found at an address."""

    @property
    def workers(self) -> int:
        """How many workers there are."""

    @property
    def training(self) -> int:
        """Of these: how many may train."""


Check = Callable[[str, Callable[[Reached], None], Callable[[str], None]], None]
"""Looks beside the window who answers at an address; then calls one of both, with what or why not."""


class Cluster:
    """The cluster of the preferences: whether it is used, what it has, and what requests say of it.

    Attributes
    ----------
    check
        Who looks; ``None`` where there is no window.
    trouble
        Why it could not be reached, as a sentence.
    """

    changed = Signal()
    checked = Signal(str, str)
    """The level and sentence of what was found at a new address."""

    def __init__(self, preferences: Preferences) -> None:
        self._preferences = preferences
        self.check: Check | None = None
        self.trouble = ""
        self._reached: Reached | None = None
        preferences.events.scheduler.connect(self._on_address)

    @property
    def address(self) -> str:
        """The scheduler's address; empty = this computer computes."""
        return self._preferences.scheduler.strip()

    @property
    def why_not(self) -> str:
        """Why no cluster can be used on this computer at all; empty if one can."""
        if find_spec("distributed"):
            return ""
        from training.cluster.errors import MissingExtraError

        return in_the_window(str(MissingExtraError()))

    @property
    def used(self) -> str:
        """The address of the cluster that computes; empty = this computer does."""
        return self.address if self.address and not self.why_not else ""

    @property
    def of_prediction(self) -> dict[str, Any]:
        """The arguments of a request that choose where to predict."""
        return {"scheduler": self.used} if self.used else {}

    @property
    def of_training(self) -> dict[str, Any]:
        """What a request says of who trains: this computer, where no worker of the cluster may."""
        nobody = self._reached is not None and not self._reached.training
        return {} if nobody else self.of_prediction

    @property
    def sentence(self) -> str:
        """Describe where models run, and how many workers there were."""
        if not self.address:
            return tr("Models run on this computer.")
        if not self.used:
            return self.why_not
        if self.trouble:
            return self.trouble
        if self._reached is None:
            return tr("Models run on {address}.", address=self.address)
        sentence = trn(
            "Models run on {address}, with {count} worker.",
            "Models run on {address}, with {count} workers.",
            self._reached.workers,
            address=self.address,
        )
        return (
            sentence
            if self._reached.training
            else f"{sentence} {tr('None of them may train: trainings run on this computer.')}"
        )

    def look(self) -> None:
        """Check whether a scheduler answers at the address."""
        self._reached, self.trouble = None, ""
        if self.used and self.check is not None:
            address = self.used

            def reached(answer: Reached) -> None:
                if address == self.used:
                    self._reached = answer
                    self._tell("info")

            def failed(sentence: str) -> None:
                if address == self.used:
                    self.trouble = sentence
                    self._tell("warning")

            self.check(address, reached, failed)
        elif self.address and self.why_not:
            self._tell("warning")
        self.changed.emit()

    def _on_address(self, *_args: object) -> None:
        self._reached, self.trouble = None, ""
        self.changed.emit()

    def _tell(self, level: str) -> None:
        self.checked.emit(level, self.sentence)
        self.changed.emit()
