"""The dock and its parts; they bind to the session and keep nothing."""

from napari_lld.widgets.dock.dock import DeskDock

__all__ = ["DeskDock"]
