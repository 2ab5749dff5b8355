"""Cells as plain napari layers, and plain layers as cells: for napari's own tools and those of other plugins.

A layer here is what napari calls layer data: ``(data, arguments, type)``. World coordinates are those of the
store: (0, 0) is the field's corner, so pixels lie half a pixel further.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation_store.formats import Marked
from annotation_store.records import Shape
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from napari_lld.layers.palette import class_colour

LayerData = tuple[Any, dict[str, Any], str]
Features = dict[str, Any]

CLASS, CERTAINTY, CELL = "class", "certainty", "cell"
KIND, COMMENT = "kind", "comment"
OWN = (CLASS, CERTAINTY, KIND, COMMENT, CELL, "index", "field", "width", "height")
"""Columns of features that are not attributes."""
METADATA, REGIONS, IGNORED = "napari_lld", "regions", "ignored"
"""Where a layer's metadata names the fields it is of, and what its shapes are if not cells."""
HALF = (0.5, 0.5)
MOST_SHAPES = 2000
"""Boxes that napari draws as Shapes: that many take a second, and each further thousand another half."""
MOST_LABELLED = 64_000_000
"""Pixels of a field of which a Labels layer is made: it takes four bytes for each."""


@dataclass(frozen=True, slots=True)
class OnField:
    """A cell and the place of its field in a stack; ``None`` = there is one field only."""

    cell: Marked
    place: int | None = None


def features(cells: Sequence[OnField], schema: Schema, names: Sequence[str] = ()) -> Features:
    """List class, certainty and values of cells, one column each; what is missing is empty text, or NaN.

    Parameters
    ----------
    names
        The fields of the stack, for a column with the field of each cell.
    """
    columns: Features = {
        CLASS: [item.cell.cell_class for item in cells],
        CERTAINTY: [float("nan") if (p := item.cell.certainty) is None else float(p) for item in cells],
    }
    for attribute in schema.attribute_names:
        columns[attribute] = [item.cell.attributes.get(attribute, "") for item in cells]
    columns[KIND] = [item.cell.kind for item in cells]
    columns[COMMENT] = [item.cell.comment for item in cells]
    columns[CELL] = [item.cell.cell_id for item in cells]
    if names:
        columns["field"] = [names[item.place or 0] for item in cells]
    if not cells:  # pandas takes an empty list for numbers, and then refuses the texts of what is drawn next
        return {name: np.array([], dtype=type(_nothing(name))) for name in columns}
    return columns


def boxes_layer(
    cells: Sequence[OnField], schema: Schema, *, name: str, names: Sequence[str] = (), **arguments: Any
) -> LayerData:
    """Make a Shapes layer of boxes, in the colours of their classes."""
    corners = [_corners(Shape(item.cell.box), item.place) for item in cells]
    return (
        corners,
        {
            "name": name,
            "ndim": 3 if names else 2,
            "shape_type": "rectangle",
            "face_color": "transparent",
            "edge_color": _colours(cells, schema) if cells else "yellow",
            "edge_width": _line(cells),
            "features": features(cells, schema, names),
            "feature_defaults": _defaults(schema, names),
            "text": {"string": "{class}", "color": "black", "size": 8, "anchor": "upper_left"},
            **arguments,
        },
        "shapes",
    )


def points_layer(
    cells: Sequence[OnField], schema: Schema, *, name: str, names: Sequence[str] = (), **arguments: Any
) -> LayerData:
    """Make a Points layer of the cells' centres; width and height stand among the features."""
    centres = []
    for item in cells:
        x, y, w, h = item.cell.box
        centres.append([*([] if item.place is None else [item.place]), y + h / 2, x + w / 2])
    columns = features(cells, schema, names)
    columns["width"] = [item.cell.box[2] for item in cells]
    columns["height"] = [item.cell.box[3] for item in cells]
    defaults = {**_defaults(schema, names), "width": 0.0, "height": 0.0}
    return (
        np.array(centres, dtype=float).reshape(len(cells), 3 if names else 2),
        {
            "name": name,
            "ndim": 3 if names else 2,
            "size": 0.3 * _usual_side(cells),
            "face_color": _colours(cells, schema) if cells else "yellow",
            "features": columns,
            "feature_defaults": defaults,
            **arguments,
        },
        "points",
    )


def labels_layer(
    cells: Sequence[OnField], schema: Schema, width: int, height: int, *, name: str, **arguments: Any
) -> LayerData:
    """Make a Labels layer of one field: the ellipse in each box, as only the box is known.

    A cell's number is its label; smaller cells lie over larger ones.
    """
    labels = np.zeros((height, width), np.int32)
    numbers = [item.cell.cell_id or place for place, item in enumerate(cells, start=1)]
    by_size = sorted(range(len(cells)), key=lambda i: -cells[i].cell.box[2] * cells[i].cell.box[3])
    for index in by_size:
        _fill_ellipse(labels, cells[index].cell.box, numbers[index])
    columns = features(cells, schema)
    # napari takes the first row for the background
    table = {key: [_nothing(key), *values] for key, values in columns.items()}
    table["index"] = [0, *numbers]
    return labels, {"name": name, "features": table, "translate": HALF, **arguments}, "labels"


def areas_layer(
    areas: Iterable[tuple[Shape, int | None]], *, name: str, colour: str, stacked: bool
) -> LayerData | None:
    """Make a Shapes layer of regions or ignore areas; ``None`` if there are none."""
    drawn = [
        (_corners(shape, place), "rectangle" if shape.is_rectangle else "polygon") for shape, place in areas
    ]
    if not drawn:
        return None
    data, kinds = zip(*drawn, strict=True)
    arguments = {"face_color": "transparent", "edge_color": colour, "edge_width": 2, "opacity": 0.8}
    return (
        list(data),
        {"name": name, "ndim": 3 if stacked else 2, "shape_type": list(kinds), **arguments},
        "shapes",
    )


def _corners(shape: Shape, place: int | None) -> npt.NDArray[np.float64]:
    return np.array([[*([] if place is None else [place]), y, x] for x, y in shape.points], dtype=float)


def _colours(cells: Sequence[OnField], schema: Schema) -> list[str]:
    colour_of: dict[str, str] = {}
    for item in cells:
        word = item.cell.cell_class
        if word not in colour_of:  # a file may state what its own list of classes lacks
            colour_of[word] = class_colour(schema, word if word == UNSURE else schema.find_class(word))
    return [colour_of[item.cell.cell_class] for item in cells]


def _usual_side(cells: Sequence[OnField]) -> float:
    sides = [min(item.cell.box[2:]) for item in cells]
    return float(np.median(sides)) if sides else 20.0


def _line(cells: Sequence[OnField]) -> float:
    return min(max(0.03 * _usual_side(cells), 1.0), 6.0)


def _nothing(column: str) -> Any:
    return {CERTAINTY: float("nan"), CELL: 0}.get(column, "")


def _defaults(schema: Schema, names: Sequence[str]) -> dict[str, Any]:
    """Return the features of what is drawn anew: a cell without a class, of no cell of the project."""
    columns = (
        *((CLASS, CERTAINTY)),
        *schema.attribute_names,
        KIND,
        COMMENT,
        CELL,
        *(["field"] if names else []),
    )
    return {column: _nothing(column) for column in columns}


def _fill_ellipse(labels: npt.NDArray[np.int32], box: Sequence[float], number: int) -> None:
    x, y, w, h = box
    height, width = labels.shape
    left, top = max(0, int(np.floor(x))), max(0, int(np.floor(y)))
    right, bottom = min(width, int(np.ceil(x + w))), min(height, int(np.ceil(y + h)))
    if right <= left or bottom <= top:
        return
    rows, columns = np.mgrid[top:bottom, left:right] + 0.5
    inside = ((columns - x - w / 2) / (w / 2)) ** 2 + ((rows - y - h / 2) / (h / 2)) ** 2 <= 1
    labels[top:bottom, left:right][inside] = number


# ---------------------------------------------------------------------- back


def cells_of(layer: LayerData, usual_side: float) -> list[Marked]:
    """Return the cells of a Shapes, Points or Labels layer of one field.

    Parameters
    ----------
    usual_side
        Side of the box round a point that states no width and height.

    Raises
    ------
    ValueError
        It is a layer of another type, or of more than two dimensions.
    """
    data, arguments, kind = layer
    table = _table(arguments.get("features"))
    if kind == "labels":
        return _cells_of_labels(np.asarray(data), arguments, table)
    if kind not in ("shapes", "points"):
        raise ValueError(kind)
    marks = [np.atleast_2d(np.asarray(mark, dtype=float)) for mark in data]
    if any(mark.shape[1] != 2 for mark in marks):
        raise ValueError("dimensions")
    placed = _transform_of(arguments)
    cells = []
    for index, mark in enumerate(marks):
        row = {name: values[index] for name, values in table.items() if index < len(values)}
        mark = placed(mark)
        if kind == "points":
            w, h = (_side(row.get(name), usual_side) for name in ("width", "height"))
            y, x = mark[0]
            box = (x - w / 2, y - h / 2, w, h)
        else:
            (y, x), (bottom, right) = mark.min(axis=0), mark.max(axis=0)
            box = (x, y, right - x, bottom - y)
        cells.append(_marked(box, row))
    return cells


def by_place(layer: LayerData) -> dict[int, LayerData]:
    """Split a layer of Shapes or Points by the place of the field in the stack, each with two dimensions.

    Raises
    ------
    ValueError
        It has more than three dimensions.
    """
    data, arguments, kind = layer
    marks = [np.atleast_2d(np.asarray(mark, dtype=float)) for mark in data]
    if any(mark.shape[1] not in (2, 3) for mark in marks):
        raise ValueError("dimensions")
    table = _table(arguments.get("features"))
    kinds = arguments.get("shape_type")
    groups: dict[int, list[int]] = {}
    for index, mark in enumerate(marks):
        groups.setdefault(round(float(mark[0, 0])) if mark.shape[1] == 3 else 0, []).append(index)
    layers: dict[int, LayerData] = {}
    for place, indices in groups.items():
        own_arguments = dict(arguments)
        own_arguments["features"] = {name: [values[i] for i in indices] for name, values in table.items()}
        if isinstance(kinds, list):
            own_arguments["shape_type"] = [kinds[i] for i in indices]
        layers[place] = [marks[i][:, -2:] for i in indices], own_arguments, kind
    return layers


def shapes_of(layer: LayerData) -> list[Shape]:
    """Return the areas of a Shapes layer of one field; shapes without an area are left out."""
    data, arguments, _ = layer
    placed = _transform_of(arguments)
    kinds = arguments.get("shape_type") or []
    shapes = []
    for index, mark in enumerate(data):
        points = placed(np.asarray(mark, dtype=float))
        (top, left), (bottom, right) = points.min(axis=0), points.max(axis=0)
        if right <= left or bottom <= top or len(points) < 3:
            continue
        upright = {tuple(p) for p in points} == {(y, x) for y in (top, bottom) for x in (left, right)}
        if upright or (kinds[index] if index < len(kinds) else "") == "ellipse":
            shapes.append(Shape.rectangle(left, top, right - left, bottom - top))
        else:
            shapes.append(Shape.polygon([(x, y) for y, x in points]))
    return shapes


def _cells_of_labels(
    labels: npt.NDArray[Any], arguments: Mapping[str, Any], table: Mapping[str, Sequence[Any]]
) -> list[Marked]:
    from scipy.ndimage import find_objects

    if labels.ndim != 2:
        raise ValueError("dimensions")
    numbers, packed = np.unique(labels, return_inverse=True)  # labels may be any numbers, hashes too
    packed = packed.reshape(labels.shape)
    ground = np.flatnonzero(numbers == 0)  # not the first where numbers are negative; maybe none
    packed = np.where(np.isin(packed, ground), 0, packed + 1)
    numbers = np.concatenate(([0], numbers))
    rows = {int(number): at for at, number in enumerate(table.get("index", ()))}
    placed = _transform_of(arguments)
    cells = []
    for number, place in zip(numbers[1:], find_objects(packed, len(numbers) - 1), strict=True):
        if place is None:  # the background
            continue
        vertical, horizontal = place
        at = rows.get(int(number))
        row = {} if at is None else {name: values[at] for name, values in table.items()}
        edges = [(y, x) for y in (vertical.start, vertical.stop) for x in (horizontal.start, horizontal.stop)]
        corners = placed(np.array(edges, float) - 0.5)  # a pixel's centre lies on its index
        (y, x), (h, w) = corners.min(axis=0), np.ptp(corners, axis=0)
        cells.append(_marked((x, y, w, h), row))
    return cells


def _table(features: Any) -> dict[str, list[Any]]:
    """Return the columns of a layer's features, of any table type."""
    if features is None:
        return {}
    return {str(name): list(features[name]) for name in features}


def _transform_of(
    arguments: Mapping[str, Any],
) -> Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]:
    """Return the transform from the data of a layer to world coordinates."""
    from napari.utils.transforms import Affine

    scale, affine = arguments.get("scale", (1.0, 1.0)), arguments.get("affine")
    transform = Affine(
        scale,
        arguments.get("translate", (0.0,)),
        rotate=arguments.get("rotate"),
        shear=arguments.get("shear"),
    )
    steps = [transform] if affine is None else [transform, Affine(affine_matrix=np.asarray(affine))]
    last = [step.set_slice([step.ndim - 2, step.ndim - 1]) for step in steps]

    def placed(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        for step in last:
            points = np.asarray(step(points), dtype=float)
        return points

    return placed


def _side(value: Any, usual: float) -> float:
    try:
        side = float(value)
    except (TypeError, ValueError):
        return usual
    return side if np.isfinite(side) and side > 0 else usual


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _marked(box: Sequence[float], row: Mapping[str, Any]) -> Marked:
    certainty, cell = _number(row.get(CERTAINTY)), _number(row.get(CELL))
    return Marked(
        (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        _text(row.get(CLASS)) or _text(row.get("label")),
        {name: text for name, value in row.items() if name not in OWN and (text := _text(value))},
        certainty,
        _text(row.get(KIND)),
        _text(row.get(COMMENT)),
        int(cell) if cell is not None and 0 < cell < 2**53 else 0,
    )
