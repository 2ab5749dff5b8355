"""Match the cells of several readings."""

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
        shapely.prepare(area)  # it is queried at least once for each cell
        return area


@dataclass(frozen=True)
class Unit:
    """One cell as annotated by several readings.

    Attributes
    ----------
    cells
        Reading id to its cell; readings that did not box it are absent.
    judges
        The readings that have finished the area around it, whether they boxed it or not.
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


def match_readings(field_id: int, views: Mapping[int, ReadingView], *, judges: int = 2) -> list[Unit]:
    """Match the cells of one field between readings, by descending overlap.

    No unit has two cells of one reading. A reading judges a unit if the centre of its own cell, or the centre
    of the unit if it has none, lies in the area it has finished; units with fewer than `judges` judges are
    skipped. The result does not depend on the order of the readings.
    """
    cells = [(reading, cell) for reading in sorted(views) for cell in views[reading].cells]
    group = {i: [i] for i in range(len(cells))}
    for _, i, j in _overlapping(cells):
        if group[i] is group[j]:
            continue
        merged = group[i] + group[j]
        if len({cells[k][0] for k in merged}) == len(merged):
            for k in merged:
                group[k] = merged
    units = []
    for members in {id(indices): indices for indices in group.values()}.values():
        cell_of_reading = {cells[k][0]: cells[k][1] for k in sorted(members)}
        units.append(_with_judges(Unit(field_id, cell_of_reading, ()), views))
    judged = [unit for unit in units if len(unit.judges) >= judges and unit.cells]
    return sorted(judged, key=lambda unit: (unit.box[1], unit.box[0], min(c.id for c in unit.cells.values())))


def _with_judges(unit: Unit, views: Mapping[int, ReadingView]) -> Unit:
    """Return the unit with its judges, without the cells of other readings.

    Two boxes of one cell may be centred on both sides of a border: a reading that boxed it judges it if any
    of the centres lies in its area.
    """
    centres = [(c.box[0] + c.box[2] / 2, c.box[1] + c.box[3] / 2) for c in unit.cells.values()]
    x, y, w, h = unit.box
    centre = (x + w / 2, y + h / 2)
    judges = []
    for reading, view in sorted(views.items()):
        points = centres if reading in unit.cells else [centre]
        if any(shapely.intersects_xy(view.area, *point) for point in points):
            judges.append(reading)
    return Unit(unit.field_id, {r: c for r, c in unit.cells.items() if r in judges}, tuple(judges))


def _overlapping(cells: Sequence[tuple[int, Cell]]) -> list[tuple[float, int, int]]:
    if not cells:
        return []
    boxes = np.array([cell.box for _, cell in cells])
    readings = np.array([reading for reading, _ in cells])
    overlaps = np.triu(iou_matrix(boxes, boxes) * (readings[:, None] != readings[None]), 1)
    pairs = [(-float(overlaps[i, j]), int(i), int(j)) for i, j in np.argwhere(overlaps >= SAME_CELL)]
    return sorted(pairs)
