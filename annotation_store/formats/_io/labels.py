"""Class and value words in formats that know one label per box: what has no label there gets a spare one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from annotation_store.formats._exchange.document import Skipped
from annotation_store.formats._io.text import shown
from annotation_store.records import Cell
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE

Flags = dict[str, Any]
Probabilities = tuple[dict[str, float], dict[str, dict[str, float]]]

_YES = frozenset(
    [
        "yes",
        "y",
        "true",
        "t",
        "1",
        "1.0",
        "on",
        "x",
        "ja",
        "j",
        "wahr",
        "oui",
        "vrai",
        "sí",
        "si",
        "verdadero",
        "sì",
        "vero",
        "sim",
    ]
)
_NO = frozenset(
    ["", *["no", "n", "false", "f", "0", "0.0", "off", "nein", "falsch", "non", "faux", "falso", "não"]]
)

CONFIDENCES = frozenset({"score", "conf", "confidence", "probability", "detection probability"})
"""The names, in small letters, under which programs write how sure a machine was."""

UNCLASSIFIED = "unclassified"
"""The label of a cell whose class is missing; `unsure` has its own, and a class group its name."""


def label_of(cell_class: str | None, schema: Schema) -> str:
    """Return the label of a class, a group, unsure, or a missing class."""
    if cell_class is not None:
        return cell_class
    return UNCLASSIFIED if schema.find_class(UNCLASSIFIED) is None else "class missing"


def class_of(label: str, schema: Schema) -> tuple[str | None, bool]:
    """Return the class of a label, and whether the schema has the label."""
    cell_class = schema.find_class(label)
    if cell_class is not None:
        return cell_class, True
    plain = label.strip().lower()
    if plain == UNSURE:
        return UNSURE, True
    return None, plain in (UNCLASSIFIED, "class missing") or schema.is_unclassified(label)


def spare_labels(schema: Schema, classes: Iterable[str | None]) -> list[str]:
    """List the labels beside the schema's classes that some cell needs, in a fixed order."""
    needed = {label_of(c, schema) for c in classes}
    fixed = [*(group.name for group in schema.groups), UNSURE, label_of(None, schema)]
    return [label for label in fixed if label in needed]


def labels(schema: Schema, classes: Iterable[str | None]) -> list[str]:
    """List the schema's classes, in order, and after them the spare labels that some cell needs."""
    return [*schema.class_names, *spare_labels(schema, classes)]


def read_class(label: str, schema: Schema, skipped: Skipped) -> tuple[str | None, bool]:
    """Return the class of a label; if the schema does not know it, ``False`` and a sentence."""
    cell_class, known = class_of(label, schema)
    if not known:
        skipped.count(f"class {shown(label)} is not in the schema {schema.name}: {{n}} boxes skipped.")
    return cell_class, known


def read_values(words: Mapping[str, str], schema: Schema, skipped: Skipped) -> dict[str, str | None]:
    """Return attributes and values in the schema's words; unknown ones are left out and reported."""
    values: dict[str, str | None] = {}
    for name, word in words.items():
        attribute = schema.find_attribute(name)
        if attribute is None:
            skipped.count(f"attribute {shown(name)} is not in the schema: left out ({{n}} cells).")
        elif word.strip().lower() == UNSURE:
            values[attribute] = UNSURE
        elif (pair := schema.find_value(attribute, word)) is not None:
            values[attribute] = pair[1]
        else:
            skipped.count(f"value {shown(word)} of {attribute} is not in the schema: left out ({{n}} cells).")
    return values


def read_flags(words: Mapping[str, str], schema: Schema, cell_class: str | None, skipped: Skipped) -> Flags:
    """Read kind, comment, and the yes-or-no flags from text; what is not stated is not among them."""
    flags: Flags = {}
    kind = words.get("kind", "")
    if kind:
        of_class = cell_class is not None and schema.is_class(cell_class)
        if of_class and kind in schema.class_named(str(cell_class)).kinds:
            flags["kind"] = kind
        else:
            skipped.count(f"kind {shown(kind)}: not in the schema, left out ({{n}} cells).")
    for name in ("cut", "bookmark", "second_opinion"):
        word = words.get(name, "").strip().lower()
        if word in _YES:
            flags[name] = True
        elif word not in _NO:
            skipped.count(f"{name} {shown(word)} is neither yes nor no: left out ({{n}} cells).")
    if words.get("comment"):
        flags["comment"] = words["comment"]
    return flags


def flag_words(cell: Cell, *, anonymous: bool) -> dict[str, str]:
    """Return kind, comment and flags as text, if set; comments only if names are included."""
    words = {"kind": cell.kind or "", "comment": "" if anonymous else cell.comment}
    words |= {n: "yes" for n in ("cut", "bookmark", "second_opinion") if getattr(cell, n)}
    return {name: word for name, word in words.items() if word}


def confidence_of(values: Mapping[str, Any], schema: Schema | None = None) -> float | None:
    """Return the confidence that a file states for a box.

    Parameters
    ----------
    values
        Names with values; of several confidences the first number counts.
    schema
        Whose attributes are not confidences, whatever their names.

    Returns
    -------
    0 where a confidence is not a number, ``None`` if no machine found the box.
    """
    confidences = [
        value
        for name, value in values.items()
        if name.strip().casefold() in CONFIDENCES and (schema is None or schema.find_attribute(name) is None)
    ]
    numbers = [number for value in confidences if (number := _as_number(value)) is not None]
    return numbers[0] if numbers else 0.0 if confidences else None


def novelty_of(value: Any, skipped: Skipped) -> float | None:
    """Read the p-value of being of a taught class; what is not a probability is skipped and reported."""
    if value is None or value == "":
        return None
    number = _as_number(value)
    if number is None or not 0 <= number <= 1:
        skipped.count("novelty that is not a number between 0 and 1 was left out ({n} suggestions).")
        return None
    return number


def sets_of(value: Any, schema: Schema, skipped: Skipped) -> dict[str, tuple[str, ...]]:
    """Read sets of values (`Proposal.sets`); one that holds what the schema lacks is skipped and reported."""
    sets: dict[str, tuple[str, ...]] = {}
    if value is not None and not isinstance(value, dict):
        skipped.count("sets that cannot be read were left out ({n} suggestions).")
    for name, words in value.items() if isinstance(value, dict) else ():
        texts = [word for word in words if isinstance(word, str)] if isinstance(words, list) else []
        if name == "class":
            members = [schema.find_class(word) for word in texts]
        else:
            pairs = [schema.find_value(name, word) for word in texts]
            name, members = schema.find_attribute(name), [pair and pair[1] for pair in pairs]
        distinct = tuple(dict.fromkeys(member for member in members if member))
        if name and distinct and len(distinct) == len(words):
            sets[name] = distinct
        else:
            skipped.count("sets of words that are not in the schema were left out ({n} sets).")
    return sets


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def certain(cell_class: str | None, attributes: Mapping[str, str | None], schema: Schema) -> Probabilities:
    """Take the most probable class and values for certain, where a file gives no probabilities."""
    classes = {cell_class: 1.0} if cell_class is not None and schema.is_class(cell_class) else {}
    values = {name: {word: 1.0} for name, word in attributes.items() if word and word != UNSURE}
    return classes, values
