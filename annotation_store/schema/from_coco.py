"""A schema made from the categories and attribute values that a COCO file uses."""

from __future__ import annotations

import string
from typing import Any

from pydantic import ValidationError

from annotation_store.errors import SchemaError
from annotation_store.schema.limits import MAX_ATTRIBUTES, MAX_CLASSES, MAX_VALUES, too_large, unfit
from annotation_store.schema.model import Schema
from annotation_store.schema.reserved import RESERVED

PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#f0e442", "#cc79a7", "#332288",
    "#44ffaa", "#882255", "#999933", "#aa00ff", "#104010", "#ff9db0", "#000000", "#c4c4c4",
)  # fmt: skip
"""Colours that stay apart for most kinds of colour vision; classes beyond them get computed ones."""

_LONGEST = 80  # characters of a name
_CAPITALS, _REST = string.ascii_uppercase, string.ascii_lowercase + string.digits
_LETTERS = [*_CAPITALS, *(a + b for a in _CAPITALS + string.digits for b in _REST)]


def schema_from_coco(document: Any, *, name: str = "coco", source: str = "the COCO file") -> Schema:
    """Make a schema from a COCO document: its categories, and the attribute values in its annotations.

    A file that this package wrote carries its schema, which is taken as it is. Otherwise ids and names
    are the categories', attribute values stand in the order in which they are first met, and colours,
    letters and keys are chosen.

    Raises
    ------
    SchemaError
        The document has no usable categories.
    """
    if not isinstance(document, dict):
        raise SchemaError(f"{source} is not a COCO file: it contains no object with images and annotations.")
    metadata = document.get("napari_lld")
    if (
        isinstance(metadata, dict)
        and isinstance(metadata.get("schema"), dict)
        and not too_large(metadata["schema"])
    ):
        try:
            schema = Schema.model_validate(metadata["schema"])
        except ValidationError:
            pass  # edited by hand: fall back on what the file shows
        else:
            if not schema.classes:
                raise SchemaError(f"No schema can be made from {source}: {unfit(schema)}.")
            return schema
    categories = document.get("categories")
    if not isinstance(categories, list) or not all(isinstance(c, dict) for c in categories):
        raise SchemaError(f"{source} has no list of categories: a schema cannot be made from it.")
    if len(categories) > MAX_CLASSES:
        raise SchemaError(
            f"{source} has {len(categories):,} categories, and a schema may have {MAX_CLASSES:,} classes: "
            "give a schema file with those that you need."
        )
    classes: list[dict[str, Any]] = []
    letters: set[str] = set()
    keys: set[str] = set()
    for position, category in enumerate(categories):
        class_id, title = category.get("id"), category.get("name")
        if not isinstance(class_id, int) or isinstance(class_id, bool) or not isinstance(title, str):
            raise SchemaError(f"{source}: category {position + 1} needs a whole number as id, and a name.")
        letter = _free_letter(title, letters)
        letters.add(letter)
        key = letter.lower() if len(letter) == 1 and letter.lower() not in keys else None
        keys.update({key} if key else ())
        classes.append(
            {"id": class_id, "name": title, "colour": _colour(position), "letter": letter, "key": key}
        )
    data = {"name": name, "classes": classes, "attributes": _attributes(document)}
    try:
        schema = Schema.model_validate(data)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise SchemaError(f"No schema can be made from {source}: {message}.") from error
    if reason := unfit(schema):
        raise SchemaError(f"No schema can be made from {source}: {reason}.")
    return schema


def value_word(value: Any) -> str | None:
    """Format an attribute's value in a COCO file as a schema names it; ``None`` for what is not a value."""
    return str(value).strip() if isinstance(value, str | int | float) else None


def _attributes(document: dict[str, Any]) -> list[dict[str, Any]]:
    values: dict[str, dict[str, None]] = {}
    annotations = document.get("annotations")
    for annotation in annotations if isinstance(annotations, list) else ():
        attributes = annotation.get("attributes") if isinstance(annotation, dict) else None
        if not isinstance(attributes, dict):
            continue
        for attribute, value in attributes.items():
            name, word = str(attribute).strip(), value_word(value)
            if not _nameable(name, RESERVED | {"class"}) or word is None or not _nameable(word, RESERVED):
                continue
            if name in values or len(values) < MAX_ATTRIBUTES:
                attribute_values = values.setdefault(name, {})
                if len(attribute_values) <= MAX_VALUES:
                    attribute_values.setdefault(word)
    return [
        {"name": attribute, "values": [{"name": v} for v in attribute_values]}
        for attribute, attribute_values in values.items()
        if len(attribute_values)
        <= MAX_VALUES  # else a measurement or a number of its own, which is not a category
    ]


def _nameable(word: str, reserved: frozenset[str]) -> bool:
    return 0 < len(word) <= _LONGEST and word not in reserved


def _free_letter(name: str, used: set[str]) -> str:
    letters = [c.upper() for c in name if c.isalnum() and c.isascii()]
    pairs = [letters[0] + c.lower() for c in letters[1:]] if letters else []
    return next((c for c in [*letters, *pairs, *_LETTERS] if c not in used), "??")


def _colour(position: int) -> str:
    if position < len(PALETTE):
        return PALETTE[position]
    # multiplying by an odd constant visits every 24-bit colour once: no two classes share one
    return f"#{(position * 0x9E3779B1) & 0xFFFFFF:06x}"
