"""Unsaved actions, kept while the project's folder is missing; no Qt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from psygnal import Signal

Action = Callable[[], Any]


class Unsaved:
    """Why nothing is being saved, and what is to be done again once it can be."""

    changed = Signal()

    def __init__(self) -> None:
        self.why = ""
        """Why nothing is being saved; empty while all is well."""
        self._actions: list[Action] = []

    @property
    def count(self) -> int:
        """How many changes wait to be saved."""
        return len(self._actions)

    def keep(self, why: str, *actions: Action) -> None:
        """Keep actions that failed because the project is gone."""
        if actions or why != self.why:
            self.why = why
            self._actions += actions
            self.changed.emit()

    def take(self) -> Sequence[Action]:
        """Return what was kept, to be done again: the project is back."""
        actions, self._actions, self.why = self._actions, [], ""
        self.changed.emit()
        return actions
