"""Find the camera and the canvas of a viewer, in napari 0.9 and older versions."""

from __future__ import annotations

from typing import Any

_USUAL = (600, 800)


def camera_of(viewer: Any) -> Any:
    """Return the camera: of the scene since napari 0.9, of the viewer before."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def bring_into_view(viewer: Any, box: tuple[float, float, float, float]) -> None:
    """Centre a box of the field if it is not completely visible."""
    x, y, w, h = box
    camera = camera_of(viewer)
    height, width = canvas_size(viewer)
    row, column = camera.center[-2:]
    half_height, half_width = height / camera.zoom / 2, width / camera.zoom / 2
    visible = abs(x + w / 2 - column) + w / 2 <= half_width and abs(y + h / 2 - row) + h / 2 <= half_height
    if not visible:
        camera.center = (0.0, y + h / 2, x + w / 2)


def canvas_size(viewer: Any) -> tuple[int, int]:
    """Return height and width of the canvas in pixels of the screen."""
    canvas = getattr(viewer, "canvas", None)
    height, width = getattr(viewer, "_canvas_size", _USUAL) if canvas is None else canvas.size
    return int(height), int(width)
