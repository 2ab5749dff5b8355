"""Slots that are connected one by one and disconnected together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from psygnal import SignalInstance


class Subscriptions:
    """What an object listens to until it is closed: signals of psygnal, of Qt, and emitters of napari."""

    def __init__(self) -> None:
        self._connections: list[tuple[Any, Callable[..., Any]]] = []

    def add(self, signal: Any, slot: Callable[..., Any]) -> None:
        """Connect a slot until `close`."""
        signal.connect(slot)
        self._connections.append((signal, slot))

    def close(self) -> None:
        """Disconnect all; once more does nothing."""
        connections, self._connections = self._connections, []
        for signal, slot in connections:
            if isinstance(signal, SignalInstance):
                signal.disconnect(slot, missing_ok=True)
            else:
                signal.disconnect(slot)
