"""Windows of a whole slide: what is annotated there, cut into pieces as large as a field of view; no torch.

A slide is never read whole. Around its finished regions, and around boxes outside of them, windows are laid
that are `training.networks.scale.VIEW` cells wide, so that a cell is shown at the scale at which a slide is
predicted. Each window has a core, the cores do not overlap, and each cell belongs to the one window in whose
core it is centred: no cell teaches or counts twice. What lies around the core is seen, and is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import shapely

from annotation_store.records import Box, Cell, Field, Shape
from training.networks.scale import MARGIN, VIEW


@dataclass(frozen=True)
class Window:
    """A piece of a slide; all in pixels of the slide.

    Attributes
    ----------
    box
        What is read: whole pixels, inside the slide.
    cells, finished, ignore, rejections
        What is known of it, see `training.worker.annotated_fields.AnnotatedField`. The area around the core,
        and what belongs to another window, are among `ignore`.
    """

    box: Box
    cells: tuple[Cell, ...] = ()
    finished: tuple[Shape, ...] = ()
    ignore: tuple[Shape, ...] = ()
    rejections: tuple[Box, ...] = ()


def windows(
    slide: Field,
    side: float,
    *,
    cells: Sequence[Cell] = (),
    finished: Sequence[Shape] = (),
    ignore: Sequence[Shape] = (),
    rejections: Sequence[Box] = (),
) -> list[Window]:
    """Lay windows over what is annotated on a slide.

    Parameters
    ----------
    side
        Median side of a white cell in the slide's pixels.

    Returns
    -------
    list of Window
        Those of the regions in their order, row by row; then those of what lies outside of them.
    """
    margin = max([MARGIN * side, *(max(cell.box[2:]) for cell in cells)])
    margin = min(margin, 2 * MARGIN * side)
    reach = max(VIEW * side, 3 * margin)
    of_region: dict[int, list[Cell]] = {}
    alone: list[Cell] = []
    for cell in cells:
        index = next((i for i, shape in enumerate(finished) if shape.contains_centre(cell.box)), None)
        if index is None:
            alone.append(cell)
        else:
            of_region.setdefault(index, []).append(cell)
    result: list[Window] = []
    for i, shape in enumerate(finished):
        waiting = of_region.get(i, [])
        earlier = [other for other in finished[:i] if other.geometry.intersects(shape.geometry)]
        for core, last in _cores(slide, shape, reach - 2 * margin):
            own = [cell for cell in waiting if _holds(core, cell.box, last)]
            box = _around(slide, core, reach)
            areas = [*_outside(core, box), *earlier, *ignore]
            result.append(Window(box, tuple(own), (shape,), tuple(areas)))
    apart = [box for box in rejections if not any(shape.contains_centre(box) for shape in finished)]
    result += _of_boxes(slide, alone, apart, ignore, reach, reach - 2 * margin)
    return result


def _cores(slide: Field, region: Shape, most: float) -> Iterator[tuple[Box, tuple[bool, bool]]]:
    """Yield the cores that a region is cut into, and whether each is the last of its row and column."""
    x, y, w, h = region.bounds
    x1, y1 = min(x + w, slide.width), min(y + h, slide.height)
    x, y = max(0.0, x), max(0.0, y)
    w, h = x1 - x, y1 - y
    if w <= 0 or h <= 0:
        return
    columns, rows = max(1, math.ceil(w / most)), max(1, math.ceil(h / most))
    area = None if region.is_rectangle else region.geometry.buffer(0)
    for row in range(rows):
        for column in range(columns):
            core = (x + column * w / columns, y + row * h / rows, w / columns, h / rows)
            left, top, width, height = core
            if area is None or area.intersects(shapely.box(left, top, left + width, top + height)):
                yield core, (column == columns - 1, row == rows - 1)


def _holds(core: Box, box: Box, last: tuple[bool, bool]) -> bool:
    """Return whether a box is centred in a core; a core's right and lower edges belong to the next."""
    x, y = box[0] + box[2] / 2 - core[0], box[1] + box[3] / 2 - core[1]
    inside_x = 0 <= x < core[2] or (last[0] and x >= core[2])
    inside_y = 0 <= y < core[3] or (last[1] and y >= core[3])
    return inside_x and inside_y


def _around(slide: Field, core: Box, reach: float) -> Box:
    """Return the window around a core: a square of whole pixels, moved where the slide ends."""
    spans = []
    for start, length, end in ((core[0], core[2], slide.width), (core[1], core[3], slide.height)):
        size = min(math.ceil(reach), end)
        first = round(start + length / 2 - size / 2)
        spans.append((float(min(max(0, first), end - size)), float(size)))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def _outside(core: Box, box: Box) -> list[Shape]:
    """Return the strips of a window around its core."""
    x, y, w, h = box
    left, top, width, height = core
    right, bottom = left + width, top + height
    strips = [
        (x, y, w, top - y),
        (x, bottom, w, y + h - bottom),
        (x, top, left - x, height),
        (right, top, x + w - right, height),
    ]
    return [Shape(strip) for strip in strips if strip[2] > 0 and strip[3] > 0]


def _of_boxes(
    slide: Field,
    cells: Sequence[Cell],
    rejections: Sequence[Box],
    ignore: Sequence[Shape],
    reach: float,
    core: float,
) -> list[Window]:
    """Lay windows over boxes outside of every finished region: the first one in reading order is centred."""
    left: list[tuple[Box, Cell | None]] = [(cell.box, cell) for cell in cells]
    left += [(box, None) for box in rejections]
    left.sort(key=lambda item: (item[0][1] + item[0][3] / 2, item[0][0] + item[0][2] / 2))
    result = []
    while left:
        x, y, w, h = left[0][0]
        middle = (x + w / 2, y + h / 2)
        within = [
            item
            for item in left
            if abs(item[0][0] + item[0][2] / 2 - middle[0]) <= core / 2
            and abs(item[0][1] + item[0][3] / 2 - middle[1]) <= core / 2
        ]
        used = {id(item) for item in within}
        left = [item for item in left if id(item) not in used]
        result.append(
            Window(
                _around(slide, (*middle, 0.0, 0.0), reach),
                tuple(cell for _, cell in within if cell is not None),
                ignore=tuple(ignore),
                rejections=tuple(box for box, cell in within if cell is None),
            )
        )
    return result
