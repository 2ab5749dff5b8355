"""What napari 0.9 moved: the camera and the canvas of a viewer, found in older ones too."""

from __future__ import annotations

from typing import Any

_USUAL = (600, 800)


def camera_of(viewer: Any) -> Any:
    """Return the camera: of the scene since napari 0.9, of the viewer before."""
    scene = getattr(viewer, "scene", None)
    return viewer.camera if scene is None else scene.camera


def canvas_size(viewer: Any) -> tuple[int, int]:
    """Return height and width of the canvas in pixels of the screen."""
    canvas = getattr(viewer, "canvas", None)
    height, width = getattr(viewer, "_canvas_size", _USUAL) if canvas is None else canvas.size
    return int(height), int(width)
