"""Which cells of several readings are one and the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import shapely

from annotation_store.geometry import SAME_CELL, iou_matrix
from annotation_store.records import Box, Cell, Shape


@dataclass(frozen=True)
class ReadingView:
    """The cells of one reading on a field."""

    cells: tuple[Cell, ...]
    finished: tuple[Shape, ...] = ()
    ignore: tuple[Shape, ...] = ()

    @cached_property
    def area(self) -> Any:
        """The area it has finished and could read."""
        area = shapely.union_all([shape.geometry.buffer(0) for shape in self.finished])
        area = area - shapely.union_all([shape.geometry.buffer(0) for shape in self.ignore])
        shapely.prepare(area)  # it is asked once or more for each cell
        return area


@dataclass(frozen=True)
class Unit:
    """One cell as the readings have it.

    Attributes
    ----------
    cells
        Reading id to its cell; who did not box it is absent.
    judges
        The readings that have finished the place, whether they boxed it or not.
    """

    field_id: int
    cells: Mapping[int, Cell]
    judges: tuple[int, ...]

    @cached_property
    def box(self) -> Box:
        """The mean of its boxes."""
        boxes = [cell.box for cell in self.cells.values()]
        x, y, w, h = (sum(values) / len(boxes) for values in zip(*boxes, strict=True))
        return x, y, w, h


def match_readings(field_id: int, views: Mapping[int, ReadingView]) -> list[Unit]:
    """Match the cells of one field over readings, the greatest overlaps first.

    No unit holds two cells of one reading. A reading judges a place when the centre of its own cell, or the
    centre of the unit if it has none, lies in the area it has finished; units that fewer than two judge
    are left out. The order of the readings changes nothing.
    """
    cells = [(reading, cell) for reading in sorted(views) for cell in views[reading].cells]
    group = {i: [i] for i in range(len(cells))}
    for _, i, j in _overlapping(cells):
        if group[i] is group[j]:
            continue
        both = group[i] + group[j]
        if len({cells[k][0] for k in both}) == len(both):
            for k in both:
                group[k] = both
    units = []
    for members in {id(some): some for some in group.values()}.values():
        own = {cells[k][0]: cells[k][1] for k in sorted(members)}
        units.append(_judged(Unit(field_id, own, ()), views))
    kept = [unit for unit in units if len(unit.judges) >= 2 and unit.cells]
    return sorted(kept, key=lambda unit: (unit.box[1], unit.box[0], min(c.id for c in unit.cells.values())))


def _judged(unit: Unit, views: Mapping[int, ReadingView]) -> Unit:
    """Find who has finished the place; cells of others do not count.

    Two boxes of one cell may be centred on both sides of a border: whoever boxed it judges it where any of
    the centres lies in the area.
    """
    centres = [(c.box[0] + c.box[2] / 2, c.box[1] + c.box[3] / 2) for c in unit.cells.values()]
    x, y, w, h = unit.box
    middle = (x + w / 2, y + h / 2)
    judges = []
    for reading, view in sorted(views.items()):
        points = centres if reading in unit.cells else [middle]
        if any(shapely.intersects_xy(view.area, *point) for point in points):
            judges.append(reading)
    return Unit(unit.field_id, {r: c for r, c in unit.cells.items() if r in judges}, tuple(judges))


def _overlapping(cells: Sequence[tuple[int, Cell]]) -> list[tuple[float, int, int]]:
    if not cells:
        return []
    boxes = np.array([cell.box for _, cell in cells])
    readings = np.array([reading for reading, _ in cells])
    overlaps = np.triu(iou_matrix(boxes, boxes) * (readings[:, None] != readings[None]), 1)
    found = [(-float(overlaps[i, j]), int(i), int(j)) for i, j in np.argwhere(overlaps >= SAME_CELL)]
    return sorted(found)
