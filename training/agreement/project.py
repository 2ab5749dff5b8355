"""Agreement of a project's readings, and their differences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from annotation_store.errors import EditError
from annotation_store.records import Box, Field, Reading
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from annotation_store.splits import units_of_fields
from training.agreement.matching import ReadingView, Unit, match_readings
from training.agreement.measures import Labels, f1, f1_interval, measure

if TYPE_CHECKING:
    from annotation_store.project import Project

_CLASS_WEIGHT = 1.0
_CELL_WEIGHT = 1.0
_ATTRIBUTES_WEIGHT = 0.5


@dataclass(frozen=True)
class Difference:
    """A cell on which readings disagree.

    Attributes
    ----------
    cells
        Reading id to its cell's id; ``None`` = it has finished the area without boxing it.
    what
        Descriptions of the differences.
    """

    field_id: int
    box: Box
    cells: Mapping[int, int | None]
    score: float
    what: tuple[str, ...]


@dataclass(frozen=True)
class MatchedReadings:
    """Readings with their matched cells.

    Attributes
    ----------
    views
        Field id to the annotations of each reading; only fields on which two have finished an area.
    units
        The cells with at least two judges.
    split_units
        Field id to its unit of resampling: see `annotation_store.splits.units`.
    """

    readings: tuple[Reading, ...]
    fields: Mapping[int, Field]
    views: Mapping[int, Mapping[int, ReadingView]]
    units: tuple[Unit, ...]
    split_units: Mapping[int, str]


def match_project_readings(project: Project, readings: Sequence[int] | None = None) -> MatchedReadings:
    """Match the cells of readings: by default, of all that have finished an area but a consensus."""
    known = {r.id: r for r in project.readings.all()}
    if readings is not None and (missing := set(readings) - set(known)):
        raise EditError(f"There is no reading {min(missing)}.")
    readers = {i for i, reading in known.items() if not reading.is_consensus}
    chosen = sorted(readers if readings is None else set(readings))
    views: dict[int, dict[int, ReadingView]] = {}
    used = []
    for reading in chosen:
        with project.readings.within(reading):
            field_views = reading_views(project)
        if field_views or readings is not None:
            used.append(known[reading])
        for field_id, view in field_views.items():
            views.setdefault(field_id, {})[reading] = view
    compared = {field_id: views[field_id] for field_id in sorted(views) if len(views[field_id]) >= 2}
    units = [
        unit
        for field_id, views_of_field in compared.items()
        for unit in match_readings(field_id, views_of_field)
    ]
    fields = {field.id: field for field in project.fields.all()}
    return MatchedReadings(tuple(used), fields, compared, tuple(units), units_of_fields(fields.values()))


def reading_views(project: Project) -> dict[int, ReadingView]:
    """Return the annotations of the current reading by field id, where it has finished an area."""
    from training.ranking.project import by_field

    finished = by_field((r.field_id, r.shape) for r in project.regions.all() if r.finished)
    ignored = by_field((area.field_id, area.shape) for area in project.ignore_areas.all())
    cells = by_field((cell.field_id, cell) for cell in project.cells.all())
    return {
        field_id: ReadingView(tuple(cells.get(field_id, ())), tuple(shapes), tuple(ignored.get(field_id, ())))
        for field_id, shapes in finished.items()
    }


def agreement(project: Project, readings: Sequence[int] | None = None, *, seed: int = 0) -> dict[str, Any]:
    """Measure the agreement of readings.

    Returns
    -------
    dict
        ``readings`` (names); ``cells`` (number with at least two judges); ``detection``: for each two
        readings ``readings``, ``f1``, ``interval``, ``both``, ``only``; ``class`` and ``attributes`` (name to
        the same): see `training.agreement.measures.measure`. Missing and unsure are not labels; ``unsure``
        counts them per reading. A class group is not a label either if another reading has one of its
        classes: the two do not contradict each other.
    """
    matched = match_project_readings(project, readings)
    ids = [reading.id for reading in matched.readings]
    names = [reading.name for reading in matched.readings]
    clusters = [matched.split_units[unit.field_id] for unit in matched.units]
    schema = project.schema
    return {
        "readings": names,
        "cells": len(matched.units),
        "detection": [_detection(matched, a, b, seed) for a, b in combinations(matched.readings, 2)],
        "class": measure([class_labels(u, ids, schema) for u in matched.units], clusters, names, seed=seed)
        | {"unsure": _unsure(matched, None)},
        "attributes": {
            attribute.name: measure(
                [attribute_labels(u, ids, attribute.name) for u in matched.units], clusters, names, seed=seed
            )
            | {"unsure": _unsure(matched, attribute.name)}
            for attribute in schema.attributes
        },
    }


def _detection(matched: MatchedReadings, a: Reading, b: Reading, seed: int) -> dict[str, Any]:
    counts: dict[int, list[int]] = {}
    for unit in matched.units:
        if a.id in unit.judges and b.id in unit.judges:
            row = counts.setdefault(unit.field_id, [0, 0, 0])
            row[0] += a.id in unit.cells and b.id in unit.cells
            row[1] += a.id in unit.cells
            row[2] += b.id in unit.cells
    rows = [(x, y, z) for x, y, z in counts.values()]
    both, first, second = (sum(row[i] for row in rows) for i in range(3))
    clusters = [matched.split_units[field_id] for field_id in counts]
    return {
        "readings": [a.name, b.name],
        "f1": f1(both, first, second),
        "interval": f1_interval(rows, clusters, seed=seed),
        "both": both,
        "only": [first - both, second - both],
    }


def class_labels(unit: Unit, readings: Sequence[int], schema: Schema) -> Labels:
    """Return the class label of each reading, without a group if another reading has one of its classes."""
    labels = [unit.cells[r].cell_class if r in unit.cells else None for r in readings]
    known = {value for value in labels if value is not None and value != UNSURE}
    redundant = {
        value
        for value in known
        if schema.is_group(value) and any(other in schema.members(value) for other in known)
    }
    return [None if value == UNSURE or value in redundant else value for value in labels]


def attribute_labels(unit: Unit, readings: Sequence[int], attribute: str) -> Labels:
    """Return each reading's values of an attribute."""
    labels = [unit.cells[r].attributes.get(attribute) if r in unit.cells else None for r in readings]
    return [None if value == UNSURE else value for value in labels]


def _unsure(matched: MatchedReadings, attribute: str | None) -> dict[str, int]:
    counts = dict.fromkeys((r.name for r in matched.readings), 0)
    names = {r.id: r.name for r in matched.readings}
    for unit in matched.units:
        for reading, cell in unit.cells.items():
            value = cell.cell_class if attribute is None else cell.attributes.get(attribute)
            counts[names[reading]] += value == UNSURE
    return counts


def differences(project: Project, readings: Sequence[int] | None = None) -> list[Difference]:
    """List the cells on which readings disagree, the largest disagreement first, for adjudication."""
    matched = match_project_readings(project, readings)
    schema = project.schema
    names = {reading.id: reading.name for reading in matched.readings}
    result = []
    for unit in matched.units:
        score, descriptions = 0.0, []
        if absent := [r for r in unit.judges if r not in unit.cells]:
            boxed = ", ".join(names[r] for r in unit.cells)
            descriptions.append(f"Boxed by {boxed}, not by {', '.join(names[r] for r in absent)}")
            score += _CELL_WEIGHT * _disagreement([r in unit.cells for r in unit.judges])
        labels = [v for v in class_labels(unit, unit.judges, schema) if v is not None]
        if len(set(labels)) > 1:
            listed = ", ".join(
                f"{schema.class_title(c.cell_class)} ({names[r]})"
                for r, c in unit.cells.items()
                if c.cell_class is not None
            )
            descriptions.append(f"Class: {listed}")
            score += _CLASS_WEIGHT * _disagreement(labels)
        splits = []
        for attribute in schema.attributes:
            values = [v for v in attribute_labels(unit, unit.judges, attribute.name) if v is not None]
            if len(values) > 1:
                splits.append(_disagreement(values))
            if len(set(values)) > 1:
                titles = {v.name: v.title or v.name for v in attribute.values}
                name = attribute.name
                listed = ", ".join(
                    f"{titles.get(c.attributes[name], c.attributes[name])} ({names[r]})"
                    for r, c in unit.cells.items()
                    if name in c.attributes
                )
                descriptions.append(f"{attribute.title or name}: {listed}")
        if splits:
            score += _ATTRIBUTES_WEIGHT * sum(splits) / len(splits)
        if descriptions:
            cells = {r: unit.cells[r].id if r in unit.cells else None for r in unit.judges}
            result.append(Difference(unit.field_id, unit.box, cells, score, tuple(descriptions)))
    return sorted(result, key=lambda item: (-item.score, item.field_id, item.box))


def _disagreement(values: Sequence[Any]) -> float:
    """Return the disagreement of votes: 0 = unanimous, 1 = the majority has at most half."""
    majority_count = Counter(values).most_common(1)[0][1]
    return min(1.0, 2 * (1 - majority_count / len(values)))
