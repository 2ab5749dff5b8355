"""Merge two schemas: what either side added since they diverged, or an error that explains why not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from annotation_store.errors import SchemaError
from annotation_store.schema import Schema
from annotation_store.schema.model import Attribute, AttributeValue, CellClass, ClassGroup

_Part = TypeVar("_Part", bound=CellClass | ClassGroup | Attribute)
_SPARE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def words(schema: Schema) -> dict[str, str]:
    """Return every word of a schema, with its name."""
    result = {f"class {c.name}": c.name for c in schema.classes}
    result |= {f"kind {k} of {c.name}": k for c in schema.classes for k in c.kinds}
    result |= {f"group {g.name}": g.name for g in schema.groups}
    for attribute in schema.attributes:
        result[f"attribute {attribute.name}"] = attribute.name
        result |= {f"value {v} of {attribute.name}": v for v in attribute.value_names}
    return result


def join_schemas(here: Schema, there: Schema, base: Schema | None, *, other: Path) -> Schema:
    """Return the schema that has the words of both; the same whichever of the two is ``here``.

    Parameters
    ----------
    base
        The last schema that both had; ``None`` if the projects never were one.

    Raises
    ------
    SchemaError
        One side took a word away that the other has, or the two cannot stand in one schema.
    """
    if here.digest() == there.digest():
        return here
    ours, theirs = words(here), words(there)
    if base is not None:
        gone_there = [w for w in words(base) if w in ours and w not in theirs]
        gone_here = [w for w in words(base) if w in theirs and w not in ours]
        if gone_there or gone_here:
            raise SchemaError(_differs(gone_there, gone_here, ours, theirs, other))
    if ours.keys() > theirs.keys():
        return here
    if theirs.keys() > ours.keys():
        return there
    start = base if base is not None else min((here, there), key=lambda s: s.digest())
    first, second = sorted((here, there), key=lambda s: s.digest())
    data = _union(start, first, second)
    try:
        return Schema.model_validate(data)
    except (ValidationError, ValueError) as error:
        why = _clash(data["classes"], here, other) or _reason(error)
        raise SchemaError(
            f"The schemas of the two projects cannot be joined ({why}): change one of them with "
            f"'napari-lld schema {other} --set FILE.yaml', then try again. Nothing was changed."
        ) from error


def _clash(classes: Sequence[Mapping[str, Any]], here: Schema, other: Path) -> str:
    """Describe which two classes would share a number, letter, colour or key, one of each project."""
    ours = {c["name"]: c for c in here.model_dump(mode="json")["classes"]}
    for what, title in (("id", "number (id)"), ("letter", "letter"), ("colour", "colour"), ("key", "key")):
        owners: dict[object, str] = {}
        for name, value in ((c["name"], c[what]) for c in classes if c[what] is not None):
            if (twin := owners.setdefault(value, name)) != name:
                pair = sorted((twin, name), key=lambda n: ours.get(n, {}).get(what) != value)
                return f"{title} {value} is {pair[0]} in this project, and {pair[1]} in {other}"
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return str(error.errors()[0]["msg"]).removeprefix("Value error, ")
    return str(error)


def _differs(
    gone_there: Sequence[str],
    gone_here: Sequence[str],
    ours: Iterable[str],
    theirs: Iterable[str],
    other: Path,
) -> str:
    why = []
    if gone_there:
        why.append(_lacks_there(other, ", ".join(gone_there[:5]), sorted(set(theirs) - set(ours))))
    if gone_here:
        why.append(_lacks_here(", ".join(gone_here[:5]), sorted(set(ours) - set(theirs))))
    return (
        f"{' '.join(why)} Give both projects the same words first "
        "(napari-lld schema PROJECT --set FILE.yaml --map OLD=NEW), then try again. Nothing was changed."
    )


def _lacks_there(other: Path, gone: str, new: Sequence[str]) -> str:
    if new:
        return f"The project {other} no longer has {gone} (and has {', '.join(new[:3])} instead)."
    return f"The project {other} no longer has {gone}."


def _lacks_here(gone: str, new: Sequence[str]) -> str:
    if new:
        return f"This project no longer has {gone} (and has {', '.join(new[:3])} instead)."
    return f"This project no longer has {gone}."


def _union(base: Schema, first: Schema, second: Schema) -> dict[str, Any]:
    """Join two schemas: the parts of the base in its order, then new ones by name."""
    classes = _parts(base.classes, first.classes, second.classes)
    attributes = []
    for attribute in _parts(base.attributes, first.attributes, second.attributes):
        versions = [a for s in (base, first, second) for a in s.attributes if a.name == attribute.name]
        based = [a for a in base.attributes if a.name == attribute.name]
        values = _in_order(based[0].values if based else (), (version.values for version in versions))
        attributes.append(attribute.model_copy(update={"values": values}))
    groups = []
    for group in _parts(base.groups, first.groups, second.groups):
        members = {
            c for s in (base, first, second) for g in s.groups if g.name == group.name for c in g.classes
        }
        ordered = tuple(c.name for c in classes if c.name in members)
        groups.append(group.model_copy(update={"classes": ordered}))
    top = first if _head(second) == _head(base) else second
    data: dict[str, Any] = top.model_dump(mode="json") | {
        "classes": _distinct([c.model_dump(mode="json") for c in classes], len(base.classes)),
        "groups": [g.model_dump(mode="json") for g in groups],
        "attributes": [a.model_dump(mode="json") for a in attributes],
        "unclassified_spellings": list(
            dict.fromkeys(w for s in (base, first, second) for w in s.unclassified_spellings)
        ),
    }
    used = {c["key"] for c in data["classes"]}
    for group in data["groups"]:
        if group["key"] in used:
            group["key"] = None
        used.add(group["key"])
    return data


def _in_order(
    base: Sequence[AttributeValue], versions: Iterable[Sequence[AttributeValue]]
) -> tuple[AttributeValue, ...]:
    """Return the values of the base in its order, each new one behind the value that it follows."""
    result = list(base)
    for version in versions:
        own = {value.name for value in version}
        place = 0
        for value in version:
            names = [known.name for known in result]
            if value.name in names:
                place = names.index(value.name) + 1
                continue
            while place < len(result) and result[place].name not in own:
                place += 1  # behind the new ones of another version that follow the same value
            result.insert(place, value)
            place += 1
    return tuple(result)


def _head(schema: Schema) -> tuple[str, str, int]:
    return schema.name, schema.title, schema.version


def _parts(base: Sequence[_Part], first: Sequence[_Part], second: Sequence[_Part]) -> list[_Part]:
    """Return the parts of both by name; of two versions, the one that differs from the base."""
    result: dict[str, _Part] = {}
    in_base = {part.name: part for part in base}
    for part in (*base, *first, *second):
        current = result.get(part.name)
        if current is None or (current == in_base.get(part.name) and part != current):
            result[part.name] = part
    new = sorted(name for name in result if name not in in_base)
    return [result[name] for name in (*in_base, *new)]


def _distinct(classes: list[dict[str, Any]], old: int) -> list[dict[str, Any]]:
    """Set the new classes' numbers, letters, colours and keys, each used once."""
    number = max((c["id"] for c in classes[:old]), default=-1)
    used: dict[str, set[Any]] = {
        name: {c[name] for c in classes[:old]} for name in ("letter", "colour", "key")
    }
    for new_class in classes[old:]:
        number += 1
        new_class["id"] = number
        if new_class["key"] in used["key"]:
            new_class["key"] = None
        if new_class["letter"] in used["letter"]:
            new_class["letter"] = next(c for c in (*_SPARE_LETTERS, *_pairs()) if c not in used["letter"])
        shade = int(new_class["colour"][1:], 16)
        while new_class["colour"] in used["colour"]:
            shade = (shade + 0x2F4D13) % 0x1000000
            new_class["colour"] = f"#{shade:06x}"
        for name in used:
            used[name].add(new_class[name])
    return classes


def _pairs() -> list[str]:
    return [a + b for a in _SPARE_LETTERS for b in _SPARE_LETTERS]
