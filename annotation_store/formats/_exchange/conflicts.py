"""The same cell in a project and in a file: what is missing is filled in, what differs is a conflict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from annotation_store import validation
from annotation_store.errors import EditError
from annotation_store.formats._exchange.document import CellIn
from annotation_store.records import Cell
from annotation_store.schema import Schema


def missing_here(there: Cell, cell: CellIn, schema: Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the columns that a file's cell fills in, as they are and as they become.

    *Missing* means not yet labelled: taking the file's value overwrites no label. An artefact has
    no attributes, so it gets none.
    """
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    if there.cell_class is None and cell.cell_class is not None:
        before["cell_class"], after["cell_class"] = None, validation.cell_class(schema, cell.cell_class)
    now = after.get("cell_class", there.cell_class)
    artefact = now is not None and schema.is_class(now) and schema.class_named(now).artefact
    given = {} if artefact else validation.attributes(schema, cell.attributes)
    merged = {**{n: v for n, v in given.items() if v is not None}, **there.attributes}
    if merged != there.attributes:
        before["attributes"] = dict(there.attributes)
        after["attributes"] = {n: merged[n] for n in schema.attribute_names if n in merged}
    return before, after


def differing(there: Cell, cell: CellIn) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the differing values of project and file, where both state one."""
    here: dict[str, Any] = {}
    given: dict[str, Any] = {}
    if there.cell_class and cell.cell_class and there.cell_class != cell.cell_class:
        here["cell_class"], given["cell_class"] = there.cell_class, cell.cell_class
    names = [n for n, v in cell.attributes.items() if v and there.attributes.get(n, v) != v]
    if names:
        here["attributes"] = {n: there.attributes[n] for n in names}
        given["attributes"] = {n: cell.attributes[n] for n in names}
    return here, given


def spelled(
    here: Mapping[str, Any], given: Mapping[str, Any], one: str = "here", other: str = "in the file"
) -> str:
    """Describe in words where they differ, and which is which."""
    parts = []
    if "cell_class" in given:
        parts.append(f"class {here['cell_class']} {one}, {given['cell_class']} {other}")
    old = here.get("attributes", {})
    parts += [f"{n} {old[n]} {one}, {v} {other}" for n, v in given.get("attributes", {}).items()]
    return "; ".join(parts)


def checked(there: Cell, cell: CellIn, schema: Schema) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what `missing_here` gives, or nothing if the file's values break a rule."""
    try:
        return missing_here(there, cell, schema)
    except EditError:
        return {}, {}
