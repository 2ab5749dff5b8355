"""Boxes and regions without a mouse: added in the middle of the view, moved and resized by keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from annotation_store.records import Box, Shape
from napari_lld.commands.registry import Command, has_field, has_project
from napari_lld.i18n.translate import later, tr
from napari_lld.layers.camera import bring_into_view, camera_of, canvas_size

if TYPE_CHECKING:
    from napari_lld.layers import Pointer
    from napari_lld.widgets.base.context import DeskContext

_STEP = 6.0
"""How far a key moves, in pixels of the screen."""
_LEAST = 4.0
"""Pixels of the field that a box keeps at least."""
_REGION = 0.6
"""How much of what is seen a new region takes."""

_CHANGES = (
    ("box.left", later("Box or region to the left"), "Alt+J", (-1, 0, 0, 0)),
    ("box.right", later("Box or region to the right"), "Alt+L", (1, 0, 0, 0)),
    ("box.up", later("Box or region up"), "Alt+I", (0, -1, 0, 0)),
    ("box.down", later("Box or region down"), "Alt+K", (0, 1, 0, 0)),
    ("box.narrower", later("Box or region narrower"), "Alt+Shift+J", (0, 0, -1, 0)),
    ("box.wider", later("Box or region wider"), "Alt+Shift+L", (0, 0, 1, 0)),
    ("box.lower", later("Box or region shorter"), "Alt+Shift+I", (0, 0, 0, -1)),
    ("box.higher", later("Box or region taller"), "Alt+Shift+K", (0, 0, 0, 1)),
)


class KeyDrawing:
    """The commands; what they change is what the mouse would."""

    def __init__(self, desk: DeskContext, pointer: Pointer) -> None:
        self._desk = desk
        self._pointer = pointer

    def commands(self) -> Iterator[Command]:
        """Make the commands."""
        session = self._desk.session
        yield Command(
            "box.new",
            "Box in the middle of the view",
            self.propose_box,
            ("Alt+B",),
            "By keyboard",
            has_field,
            "Alt with I J K L moves it, with Shift resizes it; Enter accepts it.",
        )
        yield Command(
            "region.new",
            "Draft region in the middle of the view",
            self.add_region,
            ("Alt+D",),
            "By keyboard",
            has_field,
            "Alt with I J K L moves it, with Shift resizes it. It is a draft until you finish it.",
        )
        for name, title, key, by in _CHANGES:
            yield Command(name, title, self._changing(by), (key,), "By keyboard", has_field)
        for name, title, key, step in (
            ("view.next_cell", later("Next cell of the field"), "Alt+N", 1),
            ("view.previous_cell", later("Previous cell of the field"), "Alt+P", -1),
        ):
            go = lambda step=step: session.selection.step_cell(step)  # noqa: E731 - one for each
            yield Command(name, title, go, (key,), "By keyboard", has_project)

    def propose_box(self) -> None:
        """Propose a box as large as the cells of the field, in the middle of what is seen."""
        session = self._desk.session
        x, y, w, h = self._view()
        side = session.boxes.usual_side()
        box = (x + w / 2 - side / 2, y + h / 2 - side / 2, side, side)
        session.selection.select(None)
        session.selection.proposed_box = self._inside(box)
        session.notify("hint", tr("Alt with I J K L moves the box, with Shift resizes it; Enter accepts it."))

    def add_region(self) -> None:
        """Add a draft region in the middle of what is seen."""
        x, y, w, h = self._view()
        box = (x + w * (1 - _REGION) / 2, y + h * (1 - _REGION) / 2, w * _REGION, h * _REGION)
        self._desk.session.regions.add(Shape.rectangle(*self._inside(box)), draft=True)

    def _changing(self, by: tuple[int, int, int, int]) -> Callable[[], None]:
        return lambda: self.change(*by)

    def change(self, dx: int, dy: int, wider: int, higher: int) -> None:
        """Move and size the box that is proposed, else what is current, by steps as seen on the screen."""
        desk, session = self._desk, self._desk.session
        proposed = session.selection.proposed_box
        box = proposed or self._pointer.current_box
        if box is None:
            session.notify("hint", desk.commands.spelled(tr("Select a cell or region first, or [box.new].")))
            return
        step = max(1.0, round(_STEP / max(float(camera_of(desk.viewer).zoom), 1e-3)))
        x, y, w, h = box
        new = self._inside(
            (
                x + dx * step,
                y + dy * step,
                max(w + wider * step, min(w, _LEAST)),
                max(h + higher * step, min(h, _LEAST)),
            )
        )
        if new == box:
            return
        if proposed is not None:
            session.selection.proposed_box = new
        else:
            self._pointer.put(new)
        bring_into_view(desk.viewer, new)

    def _view(self) -> Box:
        """Return the visible part of the field."""
        viewer, field = self._desk.viewer, self._desk.session.fields.current
        camera = camera_of(viewer)
        height, width = canvas_size(viewer)
        row, column = camera.center[-2:]
        zoom = max(float(camera.zoom), 1e-3)
        left, top = column - width / zoom / 2, row - height / zoom / 2
        right, bottom = left + width / zoom, top + height / zoom
        if field is not None:
            left, top = min(max(left, 0.0), field.width), min(max(top, 0.0), field.height)
            right, bottom = min(max(right, left), field.width), min(max(bottom, top), field.height)
            if right - left < _LEAST or bottom - top < _LEAST:  # the field is out of sight
                left, top, right, bottom = 0.0, 0.0, float(field.width), float(field.height)
        return (left, top, right - left, bottom - top)

    def _inside(self, box: Box) -> Box:
        """Keep a box whole within the field."""
        field = self._desk.session.fields.current
        if field is None:
            return box
        x, y, w, h = box
        w, h = min(w, field.width), min(h, field.height)
        return (min(max(x, 0.0), field.width - w), min(max(y, 0.0), field.height - h), w, h)
