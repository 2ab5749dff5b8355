"""Class and value words in formats that know one label a box: what has no label there gets a spare one."""

from __future__ import annotations

from collections.abc import Iterable

from annotation_store.records import UNSURE
from annotation_store.schema import Schema

UNCLASSIFIED = "unclassified"
"""The label of a cell whose class is missing; `unsure` has its own, and a class group its name."""


def label_of(cell_class: str | None, schema: Schema) -> str:
    """Give the label that stands for a class, a group, unsure, or a missing class."""
    if cell_class is not None:
        return cell_class
    return UNCLASSIFIED if schema.find_class(UNCLASSIFIED) is None else "class missing"


def class_of(label: str, schema: Schema) -> tuple[str | None, bool]:
    """Give the class that a label stands for, and whether the schema knows the label at all."""
    found = schema.find_class(label)
    if found is not None:
        return found, True
    plain = label.strip().lower()
    if plain == UNSURE:
        return UNSURE, True
    return None, plain in (UNCLASSIFIED, "class missing") or schema.is_unclassified(label)


def labels(schema: Schema, classes: Iterable[str | None]) -> list[str]:
    """List the schema's classes, in order, and after them the spare labels that some cell needs."""
    needed = {label_of(c, schema) for c in classes} - set(schema.class_names)
    groups = [g.name for g in schema.groups if g.name in needed]
    others = [label for label in (UNSURE, label_of(None, schema)) if label in needed]
    return [*schema.class_names, *groups, *others]
