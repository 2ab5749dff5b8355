"""Agreement of a project's readings, and where they differ."""

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
    """A cell on which readings differ.

    Attributes
    ----------
    cells
        Reading id to its cell's id; ``None`` = it has finished the place and boxed none.
    what
        What differs, in words.
    """

    field_id: int
    box: Box
    cells: Mapping[int, int | None]
    score: float
    what: tuple[str, ...]


@dataclass(frozen=True)
class Matched:
    """All readings that are compared, with the cells that two or more of them judge.

    Attributes
    ----------
    views
        Field id to what each reading says of it; only fields that two have finished something of.
    split_units
        Field id to what is resampled as one: see `annotation_store.splits.units`.
    """

    readings: tuple[Reading, ...]
    fields: Mapping[int, Field]
    views: Mapping[int, Mapping[int, ReadingView]]
    units: tuple[Unit, ...]
    split_units: Mapping[int, str]


def read(project: Project, readings: Sequence[int] | None = None) -> Matched:
    """Read readings (all that have finished anything, if none are named) and match their cells."""
    known = {one.id: one for one in project.readings.all()}
    if readings is not None and (missing := set(readings) - set(known)):
        raise EditError(f"There is no reading {min(missing)}.")
    chosen = sorted(known if readings is None else set(readings))
    views: dict[int, dict[int, ReadingView]] = {}
    used = []
    for reading in chosen:
        with project.readings.within(reading):
            own = _views(project)
        if own or readings is not None:
            used.append(known[reading])
        for field_id, view in own.items():
            views.setdefault(field_id, {})[reading] = view
    several = {field_id: views[field_id] for field_id in sorted(views) if len(views[field_id]) >= 2}
    units = [unit for field_id, some in several.items() for unit in match_readings(field_id, some)]
    fields = {field.id: field for field in project.fields.all()}
    return Matched(tuple(used), fields, several, tuple(units), units_of_fields(fields.values()))


def _views(project: Project) -> dict[int, ReadingView]:
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
        ``readings`` (names); ``cells`` (that two or more judge); ``detection``: for each two readings
        ``readings``, ``f1``, ``interval``, ``both``, ``only``; ``class`` and ``attributes`` (name to the
        same): see `training.agreement.measures.measure`. Missing and unsure are not labels; ``unsure`` says
        how often each reading was. A class group beside one of its own classes is not a label either: the two
        do not contradict each other.
    """
    found = read(project, readings)
    ids = [one.id for one in found.readings]
    names = [one.name for one in found.readings]
    clusters = [found.split_units[unit.field_id] for unit in found.units]
    schema = project.schema
    return {
        "readings": names,
        "cells": len(found.units),
        "detection": [_detection(found, a, b, seed) for a, b in combinations(found.readings, 2)],
        "class": measure([class_labels(u, ids, schema) for u in found.units], clusters, names, seed=seed)
        | {"unsure": _unsure(found, None)},
        "attributes": {
            one.name: measure(
                [attribute_labels(u, ids, one.name) for u in found.units], clusters, names, seed=seed
            )
            | {"unsure": _unsure(found, one.name)}
            for one in schema.attributes
        },
    }


def _detection(found: Matched, a: Reading, b: Reading, seed: int) -> dict[str, Any]:
    counts: dict[int, list[int]] = {}
    for unit in found.units:
        if a.id in unit.judges and b.id in unit.judges:
            row = counts.setdefault(unit.field_id, [0, 0, 0])
            row[0] += a.id in unit.cells and b.id in unit.cells
            row[1] += a.id in unit.cells
            row[2] += b.id in unit.cells
    rows = [(x, y, z) for x, y, z in counts.values()]
    both, first, second = (sum(row[i] for row in rows) for i in range(3))
    clusters = [found.split_units[field_id] for field_id in counts]
    return {
        "readings": [a.name, b.name],
        "f1": f1(both, first, second),
        "interval": f1_interval(rows, clusters, seed=seed),
        "both": both,
        "only": [first - both, second - both],
    }


def class_labels(unit: Unit, readings: Sequence[int], schema: Schema) -> Labels:
    """Return what each reading calls a cell; a group is silent beside a class of its own."""
    labels = [unit.cells[r].cell_class if r in unit.cells else None for r in readings]
    known = {value for value in labels if value is not None and value != UNSURE}
    silent = {
        value
        for value in known
        if schema.is_group(value) and any(other in schema.members(value) for other in known)
    }
    return [None if value == UNSURE or value in silent else value for value in labels]


def attribute_labels(unit: Unit, readings: Sequence[int], attribute: str) -> Labels:
    """Return each reading's values of an attribute."""
    labels = [unit.cells[r].attributes.get(attribute) if r in unit.cells else None for r in readings]
    return [None if value == UNSURE else value for value in labels]


def _unsure(found: Matched, attribute: str | None) -> dict[str, int]:
    counts = dict.fromkeys((one.name for one in found.readings), 0)
    names = {one.id: one.name for one in found.readings}
    for unit in found.units:
        for reading, cell in unit.cells.items():
            value = cell.cell_class if attribute is None else cell.attributes.get(attribute)
            counts[names[reading]] += value == UNSURE
    return counts


def differences(project: Project, readings: Sequence[int] | None = None) -> list[Difference]:
    """List the cells on which readings differ, those that differ most first: for adjudication."""
    found = read(project, readings)
    schema = project.schema
    names = {one.id: one.name for one in found.readings}
    result = []
    for unit in found.units:
        score, what = 0.0, []
        if absent := [r for r in unit.judges if r not in unit.cells]:
            boxed = ", ".join(names[r] for r in unit.cells)
            what.append(f"Boxed by {boxed}, not by {', '.join(names[r] for r in absent)}")
            score += _CELL_WEIGHT * _split([r in unit.cells for r in unit.judges])
        labels = [v for v in class_labels(unit, unit.judges, schema) if v is not None]
        if len(set(labels)) > 1:
            listed = ", ".join(
                f"{schema.class_title(c.cell_class)} ({names[r]})"
                for r, c in unit.cells.items()
                if c.cell_class is not None
            )
            what.append(f"Class: {listed}")
            score += _CLASS_WEIGHT * _split(labels)
        splits = []
        for one in schema.attributes:
            values = [v for v in attribute_labels(unit, unit.judges, one.name) if v is not None]
            if len(values) > 1:
                splits.append(_split(values))
            if len(set(values)) > 1:
                value_titles = {v.name: v.title or v.name for v in one.values}
                listed = ", ".join(
                    f"{value_titles.get(c.attributes[one.name], c.attributes[one.name])} ({names[r]})"
                    for r, c in unit.cells.items()
                    if one.name in c.attributes
                )
                what.append(f"{one.title or one.name}: {listed}")
        if splits:
            score += _ATTRIBUTES_WEIGHT * sum(splits) / len(splits)
        if what:
            cells = {r: unit.cells[r].id if r in unit.cells else None for r in unit.judges}
            result.append(Difference(unit.field_id, unit.box, cells, score, tuple(what)))
    return sorted(result, key=lambda one: (-one.score, one.field_id, one.box))


def _split(values: Sequence[Any]) -> float:
    """Return how evenly votes are split: 0 = all alike, 1 = half and half or worse."""
    most = Counter(values).most_common(1)[0][1]
    return min(1.0, 2 * (1 - most / len(values)))
