"""Lists in which the arrows go from entry to entry, and show each alone."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt

_STEPS = {Qt.Key.Key_Up: -1, Qt.Key.Key_Down: 1}


def arrow_step(event: Any) -> int | None:
    """Return by how many entries a key that was pressed goes on; ``None`` if it is no arrow up or down."""
    return _STEPS.get(Qt.Key(event.key())) if event is not None else None
