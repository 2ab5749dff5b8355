"""Move the camera to the next cell, or to a proposed region."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from annotation_store.records import Box
from napari_lld.commands.registry import Command, has_field
from napari_lld.layers.camera import bring_into_view, camera_of, canvas_size
from napari_lld.session.subscriptions import Subscriptions

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext


class CameraController:
    """The part of a desk that moves the camera."""

    def __init__(self, desk: DeskContext) -> None:
        self._desk = desk
        self._zoomed_on: Box | None = None
        self._listening = Subscriptions()
        self._listening.add(desk.session.selection.went_on, self._bring_into_view)
        self._listening.add(desk.session.region_proposal.changed, self._show_proposed)

    def close(self) -> None:
        """Follow nothing any more."""
        self._listening.close()

    def commands(self) -> Iterator[Command]:
        """Make the command."""
        yield Command(
            "view.cell",
            "Zoom to the cell, and back",
            self.zoom_to_current,
            ("Z",),
            "General",
            has_field,
        )

    def zoom_to_current(self) -> None:
        """Show the current cell large; once more shows the field again."""
        selection = self._desk.session.selection
        mark = selection.cell or selection.proposal
        camera = camera_of(self._desk.viewer)
        if mark is None or self._zoomed_on == mark.box:
            self._zoomed_on = None
            self._desk.layers.view.fit()
            return
        x, y, w, h = mark.box
        height, width = canvas_size(self._desk.viewer)
        camera.center = (0.0, y + h / 2, x + w / 2)
        camera.zoom = 0.35 * min(height, width) / max(w, h, 1.0)
        self._zoomed_on = mark.box

    def _bring_into_view(self) -> None:
        """Centre the cell that came by itself where it is out of sight, and keep the zoom on cells."""
        selection = self._desk.session.selection
        mark = selection.cell or selection.proposal
        if mark is None:
            return
        if self._zoomed_on is not None:
            self.zoom_to_current()
            return
        bring_into_view(self._desk.viewer, mark.box)

    def _show_proposed(self) -> None:
        """Go to a proposed region of a slide: it is a speck of what is in sight, or far from it."""
        session = self._desk.session
        field, proposed = session.fields.current, session.region_proposal.current
        if field is None or not field.is_slide or proposed is None:
            return
        x, y, w, h = proposed.box
        camera = camera_of(self._desk.viewer)
        height, width = canvas_size(self._desk.viewer)
        row, column = camera.center[-2:]
        away = abs(x + w / 2 - column) > width / camera.zoom / 2
        away = away or abs(y + h / 2 - row) > height / camera.zoom / 2
        if away or max(w, h) * camera.zoom < 0.1 * min(height, width):
            camera.center = (0.0, y + h / 2, x + w / 2)
            camera.zoom = 0.6 * min(height, width) / max(w, h, 1.0)
