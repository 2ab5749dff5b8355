"""Limits of a new schema: its size, at least one class, no look-alike names. Stored schemas always open."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Any

from annotation_store.schema.model import Schema

MAX_CLASSES = 1_000
"""Classes of a schema; groups too."""

MAX_ATTRIBUTES = 200
MAX_VALUES = 200
"""Values of one attribute."""


def too_large(data: dict[str, Any]) -> str | None:
    """Describe which part of a schema's data is too large, before it is parsed."""
    for part, most in (("classes", MAX_CLASSES), ("groups", MAX_CLASSES), ("attributes", MAX_ATTRIBUTES)):
        if _length(data.get(part)) > most:
            return f"it has {_length(data[part]):,} {part}, and a schema may have {most:,}"
    for attribute in data.get("attributes") or ():
        values = attribute.get("values") if isinstance(attribute, dict) else None
        if _length(values) > MAX_VALUES:
            return f"an attribute has {_length(values):,} values, and may have {MAX_VALUES}"
    return None


def unfit(schema: Schema) -> str | None:
    """Explain why a schema cannot be used; ``None`` if it can."""
    if not schema.classes:
        return "it has no class; list at least one under 'classes' ('categories' in a COCO file)"
    return _lookalikes(schema)


def _lookalikes(schema: Schema) -> str | None:
    """Name two names that look the same although they are written differently."""
    names = [*(c.name for c in schema.classes), *(g.name for g in schema.groups)]
    for what, spellings in [
        ("class or group", names),
        ("attribute", schema.attribute_names),
        *((f"value of {a.name!r}", a.value_names) for a in schema.attributes),
    ]:
        if twin := _twin(spellings):
            return f"{twin!r} ({what}) is there twice, in spellings that cannot be distinguished"
    return None


def _twin(names: Iterable[str]) -> str | None:
    known: set[str] = set()
    for name in names:
        visible = "".join(c for c in unicodedata.normalize("NFC", name) if unicodedata.category(c) != "Cf")
        plain = " ".join(visible.split())
        if plain in known:
            return name
        known.add(plain)
    return None


def _length(part: Any) -> int:
    return len(part) if isinstance(part, list | tuple | dict) else 0
