"""Find the window of a widget."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

_FLOATING = ("QDockWidget", "QDockWidgetGroupWindow")


def main_window(widget: QWidget) -> QWidget:
    """Return the window of a widget; a floating dock belongs to the window it was taken from."""
    window = widget.window()
    while any(window.inherits(name) for name in _FLOATING) and window.parentWidget() is not None:
        window = window.parentWidget().window()
    return window
