"""Pictures of the finished regions of whole slides, for formats that are folders of images.

A picture lies within a finished region (or several that touch) and is about as wide as a field of view. Its
edges run between cells wherever they can; a cell that belongs to it is seen whole in it, if need be beyond
the region's edge or in a strip that the next picture shows too. Each picture is a field like any other for
the writers: with the regions, ignore areas and cells in it, moved and clipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import PurePath
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import shapely

from annotation_store.errors import ImageError
from annotation_store.formats._exchange.document import Skipped
from annotation_store.formats._exchange.export import Contents, SlidePicture
from annotation_store.records import Box, Cell, Field, FieldKind, IgnoreArea, Shape

if TYPE_CHECKING:
    from annotation_store.project import Project

_CELLS_ACROSS = 8
"""Cells that fit side by side into a picture: an ordinary field of view."""
_CELL_UM, _CELL = 15.0, 60.0
"""Side of a white cell where a slide has none: in micrometres, and in pixels where no pixel size is known."""
_LEAST_SIDE, _MOST_SIDE = 256, 4096
_LONGER = 1.25
"""A picture may be so many times as wide before it is cut once more."""
_SEEN = 0.5
"""Part of a cell that must be seen for a box; of one that is seen less, the place is ignored."""
_WHOLE = 1.0
"""Pixels that a box may pass the edge by and still count as whole."""


class _Rect(NamedTuple):
    """Whole pixels of a slide."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def box(self) -> Box:
        return self.left, self.top, self.right - self.left, self.bottom - self.top

    @property
    def area(self) -> shapely.Polygon:
        return shapely.box(*self)

    def owns(self, box: Box) -> bool:
        """Return whether a box is centred in it; right and lower edges belong to the next."""
        x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
        return self.left <= x < self.right and self.top <= y < self.bottom


def with_pictures(contents: Contents, project: Project, skipped: Skipped, *, whole: bool = True) -> Contents:
    """Put pictures of their finished regions in the place of whole slides.

    Parameters
    ----------
    skipped
        Collects what is in no picture.
    whole
        Whether a picture reaches beyond its region where a cell does; else such a cell is cut.
    """
    if not any(field.is_slide for field in contents.fields):
        return contents
    writing = _Writing(contents, skipped, whole)
    for field in contents.fields:
        if not field.is_slide:
            writing.fields.append(field)
            continue
        try:
            project.slides.open(field.id)
        except ImageError as error:
            skipped.note("whole slides that cannot be read", f"{error} There are no pictures of it.")
            continue
        writing.add(field)
    return writing.contents()


@dataclass
class _Writing:
    """The contents of an export, with pictures."""

    before: Contents
    skipped: Skipped
    whole: bool

    def __post_init__(self) -> None:
        before = self.before
        slides = {field.id for field in before.fields if field.is_slide}
        self.fields: list[Field] = []
        self.names = {field.name.casefold() for field in before.fields}
        self.regions = {i: of_field for i, of_field in before.regions.items() if i not in slides}
        self.ignore_areas = {i: of_field for i, of_field in before.ignore_areas.items() if i not in slides}
        self.cells = {i: of_field for i, of_field in before.cells.items() if i not in slides}
        self.numbers = dict(before.numbers)
        self.next_field = max((field.id for field in before.fields), default=0) + 1
        self.next_number = max((before.number(field) for field in before.fields), default=0) + 1
        self.next_cell = (
            max((cell.id for of_field in before.cells.values() for cell in of_field), default=0) + 1
        )

    def contents(self) -> Contents:
        return replace(
            self.before,
            fields=self.fields,
            regions=self.regions,
            ignore_areas=self.ignore_areas,
            cells=self.cells,
            numbers=self.numbers,
        )

    def add(self, slide: Field) -> None:
        """Add the pictures of a slide."""
        before, skipped = self.before, self.skipped
        for _ in before.suggestions.get(slide.id, ()):
            skipped.count(
                "{n} suggestions on whole slides were left out: export them as coco, geojson or csv."
            )
        finished = before.shapes(slide)
        if not finished:
            skipped.count("{n} whole slides have no finished region: left out.")
        cells = before.cells.get(slide.id, ())
        written: set[int] = set()
        boxes = _array(cells)
        for shapes, core, extent in _plan_pictures(slide, finished, cells, boxes, whole=self.whole):
            visible = [cells[i] for i in _near(boxes, extent)]
            written |= self._add(slide, shapes, core, extent, visible)
        for cell in cells:
            if cell.id not in written:
                skipped.count("{n} cells of whole slides lie in no finished region: left out.")

    def _add(
        self, slide: Field, shapes: Sequence[Shape], core: _Rect, extent: _Rect, visible: Sequence[Cell]
    ) -> set[int]:
        """Add a picture; return which cells have a box in it.

        Parameters
        ----------
        core, extent
            The part of the slide whose cells belong to the picture, and what it shows.
        visible
            The cells of which any part is visible.
        """
        number = self.next_field
        self.numbers[number] = self.next_number
        self.next_field, self.next_number = self.next_field + 1, self.next_number + 1
        before = self.before
        picture = _picture(slide, number, extent, self._name(slide, extent))
        reading = before.regions[slide.id][0].reading_id
        cells: list[Cell] = []
        ignored: list[Shape] = [area.shape for area in before.ignore_areas.get(slide.id, ())]
        written: set[int] = set()
        for cell in visible:
            box, share = _clip(cell.box, extent)
            if share < _SEEN:
                ignored.append(Shape(cell.box))
                continue
            cut = not _is_whole(cell.box, extent)
            if cut:
                self.skipped.count("{n} boxes were cut at the edge of a picture of a whole slide.")
            moved = replace(cell, field_id=number, box=_shift(box, extent), cut=cell.cut or cut)
            written.add(cell.id)
            if not core.owns(cell.box):  # another picture shows it too
                moved = replace(moved, id=self.next_cell)
                self.next_cell += 1
            cells.append(moved)
        self.fields.append(picture)
        self.cells[number] = cells
        self.regions[number] = [
            replace(before.regions[slide.id][0], id=0, field_id=number, shape=shape)
            for shape in _clip_shapes(shapes, extent)
        ]
        if areas := _clip_shapes(ignored, extent):
            self.ignore_areas[number] = [IgnoreArea(0, number, reading, shape) for shape in areas]
        return written

    def _name(self, slide: Field, extent: _Rect) -> str:
        base = name = f"{PurePath(slide.name).stem}_x{extent.left}_y{extent.top}"
        number = 2
        while f"{name}.png".casefold() in self.names:
            name = f"{base}_{number}"
            number += 1
        self.names.add(f"{name}.png".casefold())
        return f"{name}.png"


def _picture(slide: Field, number: int, extent: _Rect, name: str) -> SlidePicture:
    values = {column.name: getattr(slide, column.name) for column in fields(Field)}
    values |= {
        "id": number,
        "name": name,
        "width": extent.right - extent.left,
        "height": extent.bottom - extent.top,
        "kind": FieldKind.IMAGE,
        # what is of one slide stays in one part of a split
        "slide": slide.slide or PurePath(slide.name).stem,
    }
    return SlidePicture(**values, slide_id=slide.id, box=extent.box)


# -- where pictures lie ---------------------------------------------------------------------------


def _plan_pictures(
    slide: Field, finished: Sequence[Shape], cells: Sequence[Cell], boxes: np.ndarray, *, whole: bool
) -> Iterator[tuple[Sequence[Shape], _Rect, _Rect]]:
    """Yield the finished regions of each picture, the part of the slide that it has, and what it shows."""
    sides = [max(cell.box[2:]) for cell in cells]
    side = median(sides) if sides else _CELL_UM / slide.pixel_size_um if slide.pixel_size_um else _CELL
    most = min(max(math.ceil(_CELLS_ACROSS * side), _LEAST_SIDE), _MOST_SIDE)
    for shapes in _group_touching(finished):
        outer = _pixel_bounds(slide, shapes)
        if outer is None:
            continue
        area = shapely.union_all([shape.geometry.buffer(0) for shape in shapes])
        for core in _split(outer, boxes, most):
            if area.intersection(core.area).area < 1:
                continue
            extent = core
            if whole:
                near = [cells[i].box for i in _near(boxes, core)]
                centred = [
                    box for box in near if core.owns(box) and any(s.contains_centre(box) for s in shapes)
                ]
                extent = _grow(core, centred, slide)
            yield shapes, core, extent


def _group_touching(shapes: Sequence[Shape]) -> list[list[Shape]]:
    """Group shapes whose bounds overlap, each group and the groups in their order."""
    bounds = [shapely.box(x, y, x + w, y + h) for x, y, w, h in (shape.bounds for shape in shapes)]
    tree = shapely.STRtree(bounds)
    remaining = dict.fromkeys(range(len(shapes)))
    groups = []
    while remaining:
        waiting = [next(iter(remaining))]
        group: set[int] = set()
        while waiting:
            index = waiting.pop()
            if index in remaining:
                del remaining[index]
                group.add(index)
                waiting += [
                    int(i)
                    for i in tree.query(bounds[index])
                    if bounds[index].intersection(bounds[int(i)]).area > 0
                ]
        groups.append([shapes[i] for i in sorted(group)])
    return groups


def _pixel_bounds(slide: Field, shapes: Iterable[Shape]) -> _Rect | None:
    """Return the whole pixels within the bounds of shapes."""
    bounds = [(x, y, x + w, y + h) for x, y, w, h in (shape.bounds for shape in shapes)]
    left, top = (max(0, math.ceil(min(bound[i] for bound in bounds) - 1e-6)) for i in (0, 1))
    right, bottom = (
        min(most, math.floor(max(bound[i] for bound in bounds) + 1e-6))
        for i, most in ((2, slide.width), (3, slide.height))
    )
    return _Rect(left, top, right, bottom) if right > left and bottom > top else None


def _split(rect: _Rect, boxes: np.ndarray, most: int) -> list[_Rect]:
    """Cut a rectangle in parts of about `most` pixels a side, where the fewest boxes are, row by row."""
    across = rect.right - rect.left >= rect.bottom - rect.top
    start, end = (rect.left, rect.right) if across else (rect.top, rect.bottom)
    if end - start <= _LONGER * most:
        return [rect]
    inside = boxes[_near(boxes, rect)]
    count = max(2, math.ceil((end - start) / most))
    ideal = start + round((end - start) * (count // 2) / count)
    slack = most // 4
    places = np.arange(max(start + 1, ideal - slack), min(end - 1, ideal + slack) + 1)
    axis = 0 if across else 1
    low, high = inside[:, axis], inside[:, axis] + inside[:, axis + 2]
    # how many boxes begin before a place, less those that end by then
    crossed = np.searchsorted(np.sort(low), places, "left") - np.searchsorted(np.sort(high), places, "right")
    place = int(places[np.lexsort((places, np.abs(places - ideal), crossed))[0]])
    if across:
        halves = (rect._replace(right=place), rect._replace(left=place))
    else:
        halves = (rect._replace(bottom=place), rect._replace(top=place))
    return [part for half in halves for part in _split(half, inside, most)]


def _array(cells: Sequence[Cell]) -> np.ndarray:
    return np.array([cell.box for cell in cells], float).reshape(-1, 4)


def _near(boxes: np.ndarray, rect: _Rect) -> np.ndarray:
    """Return the indices of boxes of which something lies in a rectangle."""
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    return np.flatnonzero(((low < (rect.right, rect.bottom)) & (high > (rect.left, rect.top))).all(1))


def _grow(core: _Rect, boxes: Iterable[Box], slide: Field) -> _Rect:
    """Return a rectangle that shows boxes whole, as far as the slide goes."""
    left, top, right, bottom = core
    for box in boxes:
        if _is_whole(box, core):
            continue
        x, y, w, h = box
        left, top = min(left, math.floor(x)), min(top, math.floor(y))
        right, bottom = max(right, math.ceil(x + w)), max(bottom, math.ceil(y + h))
    return _Rect(max(0, left), max(0, top), min(right, slide.width), min(bottom, slide.height))


# -- what lies in them ----------------------------------------------------------------------------


def _is_whole(box: Box, extent: _Rect) -> bool:
    x, y, w, h = box
    return (
        x >= extent.left - _WHOLE
        and y >= extent.top - _WHOLE
        and x + w <= extent.right + _WHOLE
        and y + h <= extent.bottom + _WHOLE
    )


def _clip(box: Box, extent: _Rect) -> tuple[Box, float]:
    """Return the visible part of a box, and its share of the box."""
    x, y, w, h = box
    x0, y0 = max(x, extent.left), max(y, extent.top)
    x1, y1 = min(x + w, extent.right), min(y + h, extent.bottom)
    if x1 <= x0 or y1 <= y0:
        return box, 0.0
    if (x0, y0, x1, y1) == (x, y, x + w, y + h):
        return box, 1.0
    return (x0, y0, x1 - x0, y1 - y0), (x1 - x0) * (y1 - y0) / (w * h)


def _shift(box: Box, extent: _Rect) -> Box:
    return box[0] - extent.left, box[1] - extent.top, box[2], box[3]


def _clip_shapes(shapes: Iterable[Shape], extent: _Rect) -> list[Shape]:
    """Clip shapes to a picture, in its pixels; parts smaller than a pixel are dropped."""
    clipped = []
    for shape in shapes:
        if shape.is_rectangle:
            x, y, w, h = shape.coords
            box, share = _clip((x, y, w, h), extent)
            if share > 0 and min(box[2:]) >= 1:
                clipped.append(Shape(_shift(box, extent)))
            continue
        common = shapely.intersection(shape.geometry.buffer(0), extent.area)
        for part in shapely.get_parts(common):
            if part.geom_type == "Polygon" and part.area >= 1:
                corners = part.exterior.coords[:-1]
                clipped.append(Shape.polygon([(x - extent.left, y - extent.top) for x, y in corners]))
    return clipped
