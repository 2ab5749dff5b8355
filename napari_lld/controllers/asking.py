"""Questions that follow work beside the window: one after the other."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

_AGAIN_MS = 200


def once_alone(ask: Callable[[], object]) -> None:
    """Ask as soon as no other question is open: it would lie hidden behind this one, and answer nothing."""
    if QApplication.activeModalWidget() is None:
        ask()
    else:
        QTimer.singleShot(_AGAIN_MS, lambda: once_alone(ask))
