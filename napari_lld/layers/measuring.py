"""The mouse as a ruler, as a ring for red cells, and as a picker of the background's colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_lld.i18n.translate import tr
from napari_lld.imaging.measure import Point, distance, length
from napari_lld.layers import outlines
from napari_lld.session.tool import Tool

if TYPE_CHECKING:
    from napari_lld.session.display import FieldDisplay
    from napari_lld.session.session import Session

_CLICK = 4.0
"""A drag shorter than this, in pixels of the screen, is a click."""
_TICK = 5.0
"""Half a tick at the ends of the ruler, in pixels of the screen."""
_AROUND = 4
"""Pixels around a click whose median is the background."""


def point_of(event: Any) -> Point:
    """Return where a mouse event is on the field, as x and y."""
    row, column = event.position[-2:]
    return (float(column), float(row))


class Measuring:
    """Turns drags and clicks of the measuring tools into calls of the session's `Sight`.

    Parameters
    ----------
    pixels
        Gives the pixels of an area (x0, y0, x1, y1) of the field, ``None`` if they are not there yet.
    """

    def __init__(
        self, session: Session, pixels: Callable[[tuple[int, int, int, int]], npt.NDArray[np.uint8] | None]
    ) -> None:
        self._session = session
        self._pixels = pixels

    def drag(self, event: Any, zoom: float) -> Iterator[None]:
        """Follow one press of the mouse."""
        event.handled = True
        tool = self._session.tool
        start = end = point_of(event)
        yield
        while event.type == "mouse_move":
            event.handled = True
            end = point_of(event)
            if distance(start, end) * zoom >= _CLICK:
                if tool is Tool.RULER:
                    self._session.display.lay_ruler(start, end)
                elif tool is Tool.RING:
                    self._session.display.fit_ring(start, end)
            yield
        dragged = distance(start, end) * zoom >= _CLICK
        if tool is Tool.WHITE:
            self._pick(end)
        elif tool is Tool.RING:
            self._settle_ring(start, dragged=dragged)
        elif not dragged:
            self._session.display.clear_measures()

    def _settle_ring(self, start: Point, *, dragged: bool) -> None:
        session, sight = self._session, self._session.display
        if dragged and sight.fitted_pixel_size is not None:
            message = tr(
                "[draw.finish] sets the width of this red cell to 7.5 µm: a pixel would be {size:.3f} µm.",
                size=sight.fitted_pixel_size,
            )
        elif sight.lay_ring(start):
            message = tr("This ring is 7.5 µm wide, as a red cell. Esc takes it away.")
        else:
            message = tr("The pixel size is unknown here: drag across a red cell from edge to edge.")
        session.notify("hint", message)

    def _pick(self, point: Point) -> None:
        """Set the colour at a point as that of the empty background."""
        from dataclasses import replace

        session = self._session
        x, y = (int(value) for value in point)
        area = (max(0, x - _AROUND), max(0, y - _AROUND), x + _AROUND + 1, y + _AROUND + 1)
        pixels = self._pixels(area)
        if pixels is None or not pixels.size:
            session.notify("hint", tr("Click on an empty place of the field."))
            return
        red, green, blue = (int(v) for v in np.median(pixels.reshape(-1, 3), axis=0))
        session.display.look = replace(session.display.look, white=(red, green, blue))
        session.tool = Tool.SELECT
        session.notify("hint", tr("This place is shown as neutral light grey now. The stored pixels stay."))


def measure_marks(sight: FieldDisplay, zoom: float) -> tuple[outlines.Segments, list[Point], list[str]]:
    """Return what is drawn of ruler and ring: lines, and texts with their places."""
    parts, places, texts = [], [], []
    if sight.ruler is not None:
        (x0, y0), (x1, y1) = sight.ruler
        whole = distance(*sight.ruler)
        across = _TICK / zoom / max(whole, 1e-9)
        dx, dy = -(y1 - y0) * across, (x1 - x0) * across
        parts.append(outlines.path_outline(sight.ruler, closed=False))
        for x, y in sight.ruler:
            parts.append(outlines.path_outline([(x - dx, y - dy), (x + dx, y + dy)], closed=False))
        places.append((x1 + 8 / zoom, y1))
        texts.append(length(whole, sight.pixel_size_um))
    if sight.ring is not None:
        (x, y), radius = sight.ring.centre, sight.ring.diameter / 2
        turns = [2 * math.pi * step / 64 for step in range(64)]
        round_ = [(x + radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]
        parts.append(outlines.path_outline(round_, closed=True))
        places.append((x + 0.75 * radius, y - 0.75 * radius))
        texts.append(length(sight.ring.diameter, sight.pixel_size_um))
    return (np.concatenate(parts) if parts else outlines.NO_SEGMENTS), places, texts
