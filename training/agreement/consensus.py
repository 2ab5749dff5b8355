"""The consensus of several readings, as a separate reading."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import shapely

from annotation_store.errors import EditError
from annotation_store.records import Reading, Shape
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from training.agreement.matching import ReadingView, Unit
from training.agreement.project import match_project_readings

if TYPE_CHECKING:
    from annotation_store.project import Project

_MIN_AREA = 1.0


@dataclass(frozen=True)
class ConsensusReport:
    """Result of `write_consensus`.

    Attributes
    ----------
    unsure
        Number of classes and attribute values with tied votes.
    disputed
        Number of cells that half of the readings boxed: they become ignore areas.
    """

    reading: Reading
    fields: int
    cells: int
    unsure: int
    disputed: int


def write_consensus(
    project: Project, name: str = "Consensus", readings: Sequence[int] | None = None
) -> ConsensusReport:
    """Add a reading with the majority labels of several readings.

    It covers the area that all readings of a field have finished. It contains a cell if more than half of
    them boxed it; if exactly half did, its box becomes an ignore area. Class and attributes are the majority
    of the given labels; tied ones are *unsure*, except that a class group among the votes wins if it contains
    all the others. The readings are not changed.

    The region of each field is finished last, so that an interrupted run leaves no incomplete finished
    region.

    Raises
    ------
    EditError
        Fewer than two readings have finished the same area, or the name is taken.
    """
    matched = match_project_readings(project, readings)
    areas = {field_id: area for field_id, views in matched.views.items() if (area := _common_area(views))}
    if not areas:
        raise EditError(
            "There is no area that two readings have finished: a consensus needs two. "
            "A second annotator has to annotate the same fields in another reading."
        )
    reading = project.readings.add(name, annotator="")  # without an annotator: no one edits it by default
    cells = unsure = disputed = 0
    by_field: dict[int, list[Unit]] = {}
    for unit in matched.units:
        by_field.setdefault(unit.field_id, []).append(unit)
    with project.readings.within(reading.id):
        for field_id, shapes in areas.items():
            for unit in by_field.get(field_id, []):
                if not any(shape.contains_centre(unit.box) for shape in shapes):
                    continue
                votes = 2 * len(unit.cells) - len(unit.judges)
                if votes == 0:
                    project.ignore_areas.add(field_id, Shape(unit.box))
                    disputed += 1
                elif votes > 0:
                    unsure += _add_cell(project, unit)
                    cells += 1
            for view in matched.views[field_id].values():
                for ignored in view.ignore:
                    project.ignore_areas.add(field_id, ignored)
            for shape in shapes:
                project.regions.add(field_id, shape)
    return ConsensusReport(reading, len(areas), cells, unsure, disputed)


def majority(votes: Sequence[str], schema: Schema | None = None) -> str | None:
    """Return the majority vote; *unsure* if tied, ``None`` without votes.

    Parameters
    ----------
    schema
        Required for classes: if no class has a majority, a group among the votes that contains all others
        wins.
    """
    if not votes:
        return None
    counts = Counter(votes).most_common()
    if len(counts) == 1 or counts[0][1] > counts[1][1]:
        return counts[0][0]
    if schema is not None:
        for value in sorted(set(votes)):
            if schema.is_group(value) and all(v == value or v in schema.members(value) for v in votes):
                return value
    return UNSURE


def _add_cell(project: Project, unit: Unit) -> int:
    """Add a cell; return the number of its values that are unsure."""
    schema, cells = project.schema, list(unit.cells.values())
    class_vote = majority([c.cell_class for c in cells if c.cell_class is not None], schema)
    artefact = (
        class_vote is not None and schema.is_class(class_vote) and schema.class_named(class_vote).artefact
    )
    values: dict[str, str | None] = {}
    if not artefact:
        for attribute in schema.attributes:
            value = majority([c.attributes[attribute.name] for c in cells if attribute.name in c.attributes])
            if value is not None:
                values[attribute.name] = value
    kind = majority([c.kind for c in cells if c.kind is not None]) if artefact else None
    project.cells.add(
        unit.field_id,
        unit.box,
        cell_class=class_vote,
        attributes=values,
        kind=None if kind == UNSURE else kind,
    )
    return [class_vote, *values.values()].count(UNSURE)


def _common_area(views: Mapping[int, ReadingView]) -> list[Shape]:
    """Return the area of a field that all readings have finished, as valid shapes of regions."""
    unions = [shapely.union_all([s.geometry.buffer(0) for s in v.finished]) for v in views.values()]
    common = shapely.intersection_all(unions)
    return [
        shape
        for part in shapely.get_parts(common)
        if part.geom_type == "Polygon" and part.area >= _MIN_AREA
        for shape in _without_holes(part)
    ]


def _without_holes(polygon: Any) -> list[Shape]:
    """Cut a polygon so that no piece has a hole, which a region cannot have."""
    if not polygon.interiors:
        x0, y0, x1, y1 = polygon.bounds
        if polygon.equals(shapely.box(x0, y0, x1, y1)):
            return [Shape.rectangle(x0, y0, x1 - x0, y1 - y0)]
        return [Shape.polygon(list(polygon.exterior.coords)[:-1])]
    x0, y0, x1, y1 = polygon.bounds
    middle = shapely.Polygon(polygon.interiors[0]).centroid.x
    pieces = (shapely.box(x0, y0, middle, y1), shapely.box(middle, y0, x1, y1))
    return [
        shape
        for piece in pieces
        for part in shapely.get_parts(polygon & piece)
        if part.geom_type == "Polygon" and part.area >= _MIN_AREA
        for shape in _without_holes(part)
    ]
