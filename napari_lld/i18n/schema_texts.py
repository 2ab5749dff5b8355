"""Classes, attributes and values in the user's language: only shown, never written; no Qt.

The glossaries in ``locale/`` (``schema.de.yaml``) go by the English titles and helps of the bundled schemas.
A schema of one's own keeps its titles, except where it uses the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml

from annotation_store.schema import Schema, load_schema
from napari_lld.i18n.translate import language

PRESETS = ("lld", "wbcatt")


def shown(schema: Schema) -> Schema:
    """Return a schema with titles and helps in the user's language; names stay as they are."""
    words = _glossary(language())
    if not words:
        return schema
    content = schema.model_dump()
    for part in (*content["classes"], *content["groups"], *content["attributes"]):
        for value in part.get("values", ()):
            value["title"] = _value(words, part["title"], value["title"])
            value["help"] = words["helps"].get(value["help"], value["help"])
        part["title"] = words["titles"].get(part["title"], part["title"])
        part["help"] = words["helps"].get(part["help"], part["help"])
    return Schema.model_validate(content)


def kind_title(kind: str) -> str:
    """Return the kind of an artefact in the user's language."""
    words = _glossary(language())
    return str(words["kinds"].get(kind, kind)) if words else kind


def word(text: str) -> str:
    """Return a title, a lower-case title, or several joined by commas, in the user's language."""
    translations = _plain_words(language())
    if text in translations or not translations:
        return translations.get(text, text)
    return ", ".join(translations.get(part, part) for part in text.split(", "))


def _value(words: Mapping[str, Mapping[str, str]], attribute: str, value: str) -> str:
    values = words["values"]
    return values.get(f"{attribute}: {value}", values.get(value, value))


@cache
def _glossary(language: str) -> Mapping[str, Mapping[str, str]]:
    """Read the glossary of a language; empty if there is none."""
    file = resources.files("napari_lld.i18n") / "locale" / f"schema.{language}.yaml"
    content: Any = yaml.safe_load(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return dict(content)


@cache
def _plain_words(language: str) -> Mapping[str, str]:
    """List what a ranking's reasons name: titles, and values after their attribute, also in lower case."""
    words = _glossary(language)
    translations: dict[str, str] = {}
    for schema in map(load_schema, PRESETS) if words else ():
        for title in (*(c.title for c in schema.classes), *(g.title for g in schema.groups)):
            translations[title] = words["titles"].get(title, title)
        for attribute in schema.attributes:
            translated = words["titles"].get(attribute.title, attribute.title)
            translations |= {attribute.title: translated, attribute.title.lower(): translated}
            for value in attribute.values:
                named = _value(words, attribute.title, value.title)
                translations.setdefault(value.title, named)
                translations[f"{attribute.title.lower()} {value.title.lower()}"] = f"{translated} {named}"
    return translations
