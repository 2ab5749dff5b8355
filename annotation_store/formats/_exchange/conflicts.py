"""Compare a cell of the project with the same cell in a file: fill in missing values, find conflicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation_store import validation
from annotation_store.errors import EditError
from annotation_store.formats._exchange.document import CellIn
from annotation_store.records import Cell
from annotation_store.schema import Schema


def fill_in(existing: Cell, cell: CellIn, schema: Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns that a file's cell fills in, as they are and as they become.

    *Missing* means not yet labelled: taking the file's value overwrites no label. An artefact has
    no attributes, so it gets none.
    """
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    if existing.cell_class is None and cell.cell_class is not None:
        before["cell_class"], after["cell_class"] = None, validation.cell_class(schema, cell.cell_class)
    cell_class = after.get("cell_class", existing.cell_class)
    artefact = (
        cell_class is not None and schema.is_class(cell_class) and schema.class_named(cell_class).artefact
    )
    attributes = {} if artefact else validation.attributes(schema, cell.attributes)
    merged = {**{n: v for n, v in attributes.items() if v is not None}, **existing.attributes}
    if merged != existing.attributes:
        before["attributes"] = dict(existing.attributes)
        after["attributes"] = {n: merged[n] for n in schema.attribute_names if n in merged}
    return before, after


def compare(existing: Cell, cell: CellIn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of project and file that differ, where both state one."""
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    if existing.cell_class and cell.cell_class and existing.cell_class != cell.cell_class:
        ours["cell_class"], theirs["cell_class"] = existing.cell_class, cell.cell_class
    names = [n for n, v in cell.attributes.items() if v and existing.attributes.get(n, v) != v]
    if names:
        ours["attributes"] = {n: existing.attributes[n] for n in names}
        theirs["attributes"] = {n: cell.attributes[n] for n in names}
    return ours, theirs


def describe_differences(
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    our_place: str = "here",
    their_place: str = "in the file",
) -> str:
    """Describe the differences in words."""
    parts = []
    if "cell_class" in theirs:
        parts.append(f"class {ours['cell_class']} {our_place}, {theirs['cell_class']} {their_place}")
    old = ours.get("attributes", {})
    parts += [f"{n} {old[n]} {our_place}, {v} {their_place}" for n, v in theirs.get("attributes", {}).items()]
    return "; ".join(parts)


def fill_in_if_valid(existing: Cell, cell: CellIn, schema: Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what `fill_in` returns, or two empty dicts if the file's values break a rule."""
    try:
        return fill_in(existing, cell, schema)
    except EditError:
        return {}, {}
