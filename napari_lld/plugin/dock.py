"""The dock of the current napari window, opened where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_lld.controllers.dock import AnnotateDock

PLUGIN, WIDGET = "napari-lld", "Annotate"


def window_of() -> Any:
    """Return the viewer of the current window; ``None`` if there is none."""
    import napari

    viewer = napari.current_viewer()
    return viewer if viewer is not None and hasattr(viewer, "window") else None


def dock_of() -> AnnotateDock | None:
    """Return the dock of the current window, opened if it is not; ``None`` where there is no window."""
    viewer = window_of()
    if viewer is None:
        return None
    from napari_lld.controllers.desk import desk_for
    from napari_lld.controllers.dock import AnnotateDock

    docks = [dock for dock in desk_for(viewer).docks if isinstance(dock, AnnotateDock)]
    if docks:
        return docks[0]
    _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
    return widget if isinstance(widget, AnnotateDock) else None
