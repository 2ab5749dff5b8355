"""The mouse on the field: choose, draw a box or a region, move and resize what is current.

It draws with its own rubber band on the *Current* layer instead of napari's Shapes: no mode to leave,
no second copy of the box, and a mouse move costs the redraw of a dozen lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from annotation_store.records import Box, IgnoreArea, Region, Shape
from napari_lld.i18n.translate import tr
from napari_lld.layers import outlines
from napari_lld.layers.camera import camera_of
from napari_lld.layers.measuring import Measuring
from napari_lld.layers.measuring import point_of as _point
from napari_lld.session.selection import Kind
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.session.tool import Tool

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_lld.layers.desk_layers import DeskLayers
    from napari_lld.session.session import Session

_CLICK = 4.0
"""A drag shorter than this, in pixels of the screen, is a click."""
_GRIP = 8.0
"""How near a handle or an outline counts as on it, in pixels of the screen."""

_CORNERS = 3
"""How many corners an area has at least."""

Point = tuple[float, float]


class Pointer:
    """Turns mouse events on the canvas into calls of the session."""

    def __init__(self, session: Session, viewer: ViewerModel, layers: DeskLayers) -> None:
        self._session = session
        self._viewer = viewer
        self._layers = layers
        self._measuring = Measuring(session, layers.pixels)
        self._corners: list[Point] = []
        self._zooms: list[Any] = []
        viewer.mouse_drag_callbacks.append(self._on_drag)
        viewer.mouse_move_callbacks.append(self._on_move)
        viewer.mouse_double_click_callbacks.append(self._on_double_click)
        self._listening = Subscriptions()
        self._listening.add(session.tool_changed, self._on_tool)
        self._listening.add(session.fields.current_changed, self.cancel)

    def close(self) -> None:
        """Disconnect from viewer and session."""
        for callbacks, callback in (
            (self._viewer.mouse_drag_callbacks, self._on_drag),
            (self._viewer.mouse_move_callbacks, self._on_move),
            (self._viewer.mouse_double_click_callbacks, self._on_double_click),
        ):
            if callback in callbacks:
                callbacks.remove(callback)
        self._let_zoom()
        self._listening.close()

    # ------------------------------------------------------------------ polygons

    @property
    def drawing(self) -> bool:
        """Whether a polygon is begun."""
        return bool(self._corners)

    @property
    def unclosed(self) -> bool:
        """Whether a polygon that is not closed yet has the corners of an area."""
        return len(self._corners) >= _CORNERS

    def cancel(self) -> None:
        """Drop what is being drawn or measured."""
        self._corners = []
        self._session.display.clear_measures()
        if self._session.fields.current_id is not None:
            self._layers.draw_draft(outlines.NO_SEGMENTS)

    def finish(self) -> None:
        """Close the polygon that is being drawn."""
        corners = self._corners
        self.cancel()
        if len(corners) < _CORNERS:
            self._session.notify("hint", tr("A region needs three corners or more."))
        else:
            self._add_area(Shape.polygon(corners))

    def _add_area(self, shape: Shape) -> None:
        session = self._session
        if session.tool is Tool.IGNORE:
            added = session.regions.add_ignore_area(shape)
        else:
            added = session.regions.add(shape, draft=session.tool is Tool.DRAFT)
        if added is not None:
            session.tool = Tool.SELECT

    # ------------------------------------------------------------------ events

    def _active(self) -> bool:
        active = self._viewer.layers.selection.active
        return self._session.fields.current_id is not None and (active is None or self._layers.owns(active))

    def _on_tool(self) -> None:
        self.cancel()
        if self._session.tool.draws_areas:
            self._stop_zoom()
        else:
            self._let_zoom()
        self._viewer.cursor.style = "standard" if self._session.tool is Tool.SELECT else "cross"

    def _stop_zoom(self) -> None:
        """Keep napari, which does not ask for `handled`, from zooming at the closing double click."""
        callbacks = self._viewer.mouse_double_click_callbacks
        self._zooms += [c for c in callbacks if getattr(c, "__name__", "") == "double_click_to_zoom"]
        for callback in self._zooms:
            if callback in callbacks:
                callbacks.remove(callback)

    def _let_zoom(self) -> None:
        # To the front: the list may just be gone through, and what is behind would still be called.
        self._viewer.mouse_double_click_callbacks[:0] = self._zooms
        self._zooms = []

    def _on_move(self, _viewer: Any, event: Any) -> None:
        if self._corners:
            points = [*self._corners, self._clamped(_point(event))]
            self._layers.draw_draft(outlines.path_outline(points, closed=True))

    def _on_double_click(self, _viewer: Any, event: Any) -> None:
        if self._corners:
            event.handled = True
            # The two clicks of the double click have put the same corner twice.
            if len(self._corners) > 1 and self._near(self._corners[-1], self._corners[-2]):
                self._corners.pop()
            self.finish()

    def _on_drag(self, _viewer: Any, event: Any) -> Iterator[None]:
        if not self._active() or event.button != 1 or event.modifiers:
            return
        if self._session.tool is Tool.SELECT:
            yield from self._choose_or_change(event)
        elif self._session.tool.measures:
            yield from self._measuring.drag(event, self._zoom)
        else:
            yield from self._draw(event)

    def _draw(self, event: Any) -> Iterator[None]:
        event.handled = True
        start = self._clamped(_point(event))
        end = start
        yield
        while event.type == "mouse_move":
            event.handled = True
            end = self._clamped(_point(event))
            if not self._corners and not self._near(start, end, _CLICK):
                self._layers.draw_draft(outlines.box_outlines([_box(start, end)]))
            yield
        end = self._clamped(_point(event))  # where the button is let go; moves are thinned out under load
        dragged = not self._near(start, end, _CLICK)
        if self._session.tool is Tool.BOX:
            self._layers.draw_draft(outlines.NO_SEGMENTS)
            if dragged:
                self._session.boxes.add(_box(start, end))
            elif not self._session.selection.select_at(*start):
                self._propose(start)
        elif self._corners or not dragged:
            self._add_corner(end)
        else:
            self._layers.draw_draft(outlines.NO_SEGMENTS)
            self._add_area(Shape.rectangle(*_box(start, end)))

    def _propose(self, point: Point) -> None:
        """Propose the box of the cell under a click; the pixels are those that are shown."""
        around = self._session.boxes.search_around(*point)
        pixels = self._layers.pixels(around) if around is not None else None
        if around is not None and pixels is not None:
            self._session.boxes.propose(pixels, around[:2], *point)

    def _add_corner(self, point: Point) -> None:
        if self.unclosed and self._near(point, self._corners[0], _GRIP):
            self.finish()
            return
        self._corners.append(point)
        self._layers.draw_draft(outlines.path_outline(self._corners, closed=True))

    def _choose_or_change(self, event: Any) -> Iterator[None]:
        session = self._session
        start = _point(event)
        box = self.current_box
        grip = self._grip(box, start) if box is not None else None
        if grip is not None:
            event.handled = True  # ours, not the camera's
        end = start
        yield
        while event.type == "mouse_move":
            end = _point(event)
            if grip is not None and box is not None:
                event.handled = True
                if not self._near(start, end, _CLICK):
                    self._layers.draw_draft(outlines.box_outlines([_changed(box, grip, start, end)]))
            yield
        if grip is not None:  # else the camera moved, and with it what the mouse is on
            end = _point(event)
        dragged = not self._near(start, end, _CLICK)
        if grip is not None and box is not None:
            self._layers.draw_draft(outlines.NO_SEGMENTS)
            if dragged:
                self.put(_changed(box, grip, start, end))
                return
        if not dragged and not session.selection.select_at(*start):
            self._choose_region(start)

    def put(self, box: Box) -> None:
        """Move the current mark to a box."""
        region, proposed, field = (
            self._session.selection.region,
            self._session.region_proposal.current,
            self._session.fields.current,
        )
        if region is not None:
            if field is not None:
                box = _pushed_inside(box, region.shape.bounds, field.width, field.height)
            self._session.regions.change(region.id, _fitted(region.shape, box))
        elif proposed is not None and self._session.selection.current is None and field is not None:
            self._session.region_proposal.shift(_pushed_inside(box, proposed.box, field.width, field.height))
        else:
            self._session.labels.move_box(box)

    def _choose_region(self, point: Point) -> None:
        """Choose a region or an ignore area by its outline: the inside is for the cells."""
        from shapely import Point as GeometryPoint

        place, session = GeometryPoint(point), self._session
        areas: list[tuple[Kind, Region | IgnoreArea]] = [
            ("region", region) for region in session.marks.regions
        ]
        areas += [("ignore_area", area) for area in session.marks.ignore_areas]
        for kind, area in areas:
            if area.shape.geometry.exterior.distance(place) <= _GRIP / self._zoom:
                session.selection.select(kind, area.id)
                return

    # ------------------------------------------------------------------ geometry

    @property
    def _zoom(self) -> float:
        return max(float(camera_of(self._viewer).zoom), 1e-3)

    def _near(self, a: Point, b: Point, pixels: float = _CLICK) -> bool:
        return max(abs(a[0] - b[0]), abs(a[1] - b[1])) * self._zoom < pixels

    def _clamped(self, point: Point) -> Point:
        field = self._session.fields.current
        if field is None:
            return point
        return (min(max(point[0], 0.0), field.width), min(max(point[1], 0.0), field.height))

    @property
    def current_box(self) -> Box | None:
        """The box of what is current: a cell, a suggestion, a region, or the region that is proposed."""
        mark = self._session.selection.cell or self._session.selection.proposal
        if mark is not None:
            return mark.box
        region = self._session.selection.region
        if region is not None:
            return region.shape.bounds
        proposed = self._session.region_proposal.current
        return proposed.box if proposed is not None and self._session.selection.current is None else None

    def _grip(self, box: Box, point: Point) -> tuple[float, float] | None:
        """Return the handle under a press: a side or corner as fractions, (0.5, 0.5) for the whole box."""
        x, y, w, h = box
        reach = min(_GRIP / self._zoom, w / 3, h / 3)
        if not (x - reach <= point[0] <= x + w + reach and y - reach <= point[1] <= y + h + reach):
            return None
        fx = 0.0 if abs(point[0] - x) <= reach else 1.0 if abs(point[0] - x - w) <= reach else 0.5
        fy = 0.0 if abs(point[1] - y) <= reach else 1.0 if abs(point[1] - y - h) <= reach else 0.5
        if (
            (fx, fy) == (0.5, 0.5)
            and self._session.selection.cell is None
            and self._session.selection.proposal is None
        ):
            # Inside a region the mouse pans and chooses cells; only the handle at its centre moves it.
            off = max(abs(point[0] - x - w / 2), abs(point[1] - y - h / 2))
            return (fx, fy) if off <= reach else None
        return (fx, fy)


def _box(a: Point, b: Point) -> Box:
    return (min(a[0], b[0]), min(a[1], b[1]), abs(a[0] - b[0]), abs(a[1] - b[1]))


def _changed(box: Box, grip: tuple[float, float], start: Point, end: Point) -> Box:
    """Move the gripped side, corner, or the whole box by a drag."""
    x, y, w, h = box
    dx, dy = end[0] - start[0], end[1] - start[1]
    if grip == (0.5, 0.5):
        return (x + dx, y + dy, w, h)
    left, right, top, bottom = x, x + w, y, y + h
    left, right = (left + dx if grip[0] == 0 else left), (right + dx if grip[0] == 1 else right)
    top, bottom = (top + dy if grip[1] == 0 else top), (bottom + dy if grip[1] == 1 else bottom)
    return _box((left, top), (right, bottom))


def _fitted(shape: Shape, box: Box) -> Shape:
    """Move and stretch a shape so that its bounds are a box."""
    if shape.is_rectangle:
        return Shape.rectangle(*box)
    x, y, w, h = shape.bounds
    across, down = box[2] / w, box[3] / h
    return Shape.polygon([(box[0] + (px - x) * across, box[1] + (py - y) * down) for px, py in shape.points])


def _pushed_inside(box: Box, before: Box, width: float, height: float) -> Box:
    """Keep a region that was moved, not resized, whole: the store would cut it at the field's edge."""
    x, y, w, h = box
    if abs(w - before[2]) > 1e-6 or abs(h - before[3]) > 1e-6:
        return box
    return (min(max(x, 0.0), width - w), min(max(y, 0.0), height - h), w, h)
