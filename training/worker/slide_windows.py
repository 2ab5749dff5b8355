"""Training windows of a whole slide: its annotated areas, cut to about a field of view; no torch.

A slide is never read whole. Its finished regions, and boxes outside of them, are covered with windows that
are `training.networks.scale.VIEW` cells wide, so that training sees cells at the scale of prediction. Each
window has a core. Cores do not overlap, and a cell belongs to the window whose core contains its centre:
no cell is used twice in training or evaluation. The margin around the core is context, and is unlabelled.
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
    """A window of a slide; all coordinates are pixels of the slide.

    Attributes
    ----------
    box
        The area to read: whole pixels, inside the slide.
    cells, finished, ignore, rejections
        Its annotations, see `training.worker.annotated_fields.AnnotatedField`. `ignore` includes the margin
        around the core, and areas that belong to other windows.
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
    """Cover the annotated areas of a slide with windows.

    Parameters
    ----------
    side
        Median side of a white cell in the slide's pixels.

    Returns
    -------
    list of Window
        Those of each region in order, row by row; then those of boxes outside of all regions.
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
    """Yield the cores that tile a region, and whether each is the last of its row and of its column."""
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
    """Return whether a core contains the centre of a box; right and lower edges belong to the next core."""
    x, y = box[0] + box[2] / 2 - core[0], box[1] + box[3] / 2 - core[1]
    inside_x = 0 <= x < core[2] or (last[0] and x >= core[2])
    inside_y = 0 <= y < core[3] or (last[1] and y >= core[3])
    return inside_x and inside_y


def _around(slide: Field, core: Box, reach: float) -> Box:
    """Return the window around a core: a square of whole pixels, shifted to lie inside the slide."""
    spans = []
    for start, length, end in ((core[0], core[2], slide.width), (core[1], core[3], slide.height)):
        size = min(math.ceil(reach), end)
        first = round(start + length / 2 - size / 2)
        spans.append((float(min(max(0, first), end - size)), float(size)))
    return spans[0][0], spans[1][0], spans[0][1], spans[1][1]


def _outside(core: Box, box: Box) -> list[Shape]:
    """Return the strips of a window that surround its core."""
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
    """Cover boxes outside of all finished regions: each window is centred on the first box left, by rows."""
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
