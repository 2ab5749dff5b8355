"""A mouse on a viewer without a canvas."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from napari.components import ViewerModel


class Mouse:
    """Drives the viewer's mouse callbacks as napari does."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer

    def drag(self, *points: tuple[float, float], let_go: tuple[float, float] | None = None) -> bool:
        event: Any = SimpleNamespace(
            type="mouse_press", button=1, modifiers=(), handled=False, position=points[0][::-1]
        )
        generators = [callback(self.viewer, event) for callback in self.viewer.mouse_drag_callbacks]
        running = [g for g in generators if next(g, "end") != "end"]
        for point in points[1:]:
            event.type, event.position = "mouse_move", point[::-1]
            running = [g for g in running if next(g, "end") != "end"]
        event.type = "mouse_release"
        event.position = (let_go or points[-1])[::-1]
        for generator in running:
            next(generator, None)
        return bool(event.handled)

    def click(self, x: float, y: float) -> bool:
        return self.drag((x, y))

    def double_click(self, x: float, y: float) -> None:
        self.click(x, y)
        self.click(x, y)
        event = SimpleNamespace(
            type="mouse_double_click", button=1, modifiers=(), handled=False, position=(y, x)
        )
        for callback in self.viewer.mouse_double_click_callbacks:
            callback(self.viewer, event)
