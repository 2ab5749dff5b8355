"""The window of a widget, and the sign that it waits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QWidget

_FLOATING = ("QDockWidget", "QDockWidgetGroupWindow")


def main_window(widget: QWidget) -> QWidget:
    """Return the window of a widget; a floating dock belongs to the window it was taken from."""
    window = widget.window()
    while any(window.inherits(name) for name in _FLOATING) and window.parentWidget() is not None:
        window = window.parentWidget().window()
    return window


@contextmanager
def busy_cursor() -> Iterator[None]:
    """Show the pointer of a program that waits: what follows takes a second in the window's own thread."""
    QApplication.setOverrideCursor(Qt.CursorShape.WaitCursor)
    try:
        yield
    finally:
        QApplication.restoreOverrideCursor()
