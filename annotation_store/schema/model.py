"""The pydantic model of a schema and the look-ups on it."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import cached_property, lru_cache
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
    model_validator,
)

from annotation_store.schema.reserved import RESERVED

Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=80)]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$", to_lower=True)]
Key = Annotated[str, StringConstraints(min_length=1, max_length=20)]


@lru_cache(maxsize=4096)
def normalise(spelling: str) -> str:
    """Reduce a spelling to what is compared: letters, digits and signs, case folded.

    What only parts words goes (spaces, hyphens, brackets, …); what distinguishes stays: ``CD34+`` and
    ``CD34-``, ``<5%`` and ``>5%``, ``1.5`` and ``15``, ``blast`` and ``blast?``.
    """
    text = f" {unicodedata.normalize('NFKC', spelling).casefold().translate(_MINUS)} "
    return "".join(
        c for before, c, after in zip(text, text[1:], text[2:], strict=False) if _says(before, c, after)
    )


_MINUS = str.maketrans("−–‐‑", "----")
_SIGNS = frozenset("%&#@*?!")


def _says(before: str, c: str, after: str) -> bool:
    if c.isalnum() or c in _SIGNS or unicodedata.category(c)[0] in "SM":
        return True
    if c == "-":  # a sign behind a word or before a number, else a hyphen
        return (not after.isalnum() and not before.isspace()) or (after.isdigit() and not before.isalpha())
    return c in ".,:/" and before.isdigit() and after.isdigit()


class _Part(BaseModel):
    """Base of the parts of a schema: immutable, unknown keys are errors (they are typing mistakes)."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CellClass(_Part):
    """A cell type.

    Attributes
    ----------
    id
        Number in exported files; LLD's ids are 0-based.
    letter
        One or two letters shown beside the colour, which must not be the only sign.
    key
        Keyboard key that sets the class, if any.
    artefact
        Whether it stands for what is not a white cell, or ruined; such a cell may have a kind.
    kinds
        Kinds of an artefact (smudge, nucleated red cell, …).
    spellings
        Other spellings met in files.
    """

    id: int
    name: Name
    title: str = ""
    help: str = ""
    colour: Colour
    letter: Annotated[str, StringConstraints(min_length=1, max_length=2)]
    key: Key | None = None
    artefact: bool = False
    kinds: tuple[Name, ...] = ()
    spellings: tuple[Name, ...] = ()


class ClassGroup(_Part):
    """Several classes that cannot always be distinguished; it trains their summed probability."""

    name: Name
    title: str = ""
    help: str = ""
    classes: tuple[Name, ...]
    key: Key | None = None
    spellings: tuple[Name, ...] = ()


class AttributeValue(_Part):
    """One of the values of an attribute."""

    name: Name
    title: str = ""
    help: str = ""
    spellings: tuple[Name, ...] = ()


class Attribute(_Part):
    """A categorical morphological property; the position of a value is its 0-based id in LLD's files.

    Attributes
    ----------
    ordered
        Whether the values are listed in an order, as small, medium, large are: to take one end for the other
        is then a greater error than to take a neighbour.
    """

    name: Name
    title: str = ""
    help: str = ""
    spellings: tuple[Name, ...] = ()
    ordered: bool = False
    values: tuple[AttributeValue, ...]

    @model_serializer(mode="wrap")
    def _as_before(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out that values have no order: older programs do not know the key."""
        content: dict[str, Any] = write(self)
        if not self.ordered:
            content.pop("ordered", None)
        return content

    @cached_property
    def value_names(self) -> tuple[str, ...]:
        """The names of the values, in order."""
        return tuple(value.name for value in self.values)

    def value_named(self, name: str) -> AttributeValue:
        """Return the value of that name; `KeyError` if there is none."""
        for value in self.values:
            if value.name == name:
                return value
        raise KeyError(name)


class Schema(_Part):
    """The classes, groups and attributes of a project.

    Attributes
    ----------
    unclassified_spellings
        What files call a white cell whose class they do not give ("WBC"): read as a cell whose
        class is missing.
    """

    name: Name
    title: str = ""
    version: int = 1
    classes: tuple[CellClass, ...] = ()
    groups: tuple[ClassGroup, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    unclassified_spellings: tuple[Name, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _titles(cls, data: object) -> object:
        """Fill in missing titles: the name, spelled with spaces and a capital."""
        if not isinstance(data, dict):
            return data
        data = dict(data)
        for part in ("classes", "groups", "attributes"):
            if isinstance(data.get(part), list | tuple):
                data[part] = [_with_title(item) for item in data[part]]
        return _with_title(data)

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Reject what would make two things indistinguishable."""
        names = [*(c.name for c in self.classes), *(g.name for g in self.groups)]
        _refuse_twins("class or group", names)
        _refuse_reserved("class or group", names)
        _refuse_shared("number (id)", ((c.name, c.id) for c in self.classes))
        _refuse_shared("letter", ((c.name, c.letter) for c in self.classes))
        _refuse_shared("colour", ((c.name, c.colour) for c in self.classes))
        keys = [*((c.name, c.key) for c in self.classes), *((g.name, g.key) for g in self.groups)]
        _refuse_shared("key", ((name, key) for name, key in keys if key is not None))
        _refuse_twins("attribute", (a.name for a in self.attributes))
        # "class" in a COCO file's `unsure` list means the class itself
        _refuse_reserved("attribute", (a.name for a in self.attributes), RESERVED | {"class"})
        class_names = set(self.class_names)
        for cell_class in self.classes:
            if cell_class.kinds and not cell_class.artefact:
                raise ValueError(f"class {cell_class.name!r} has kinds, but is not marked as an artefact")
        for group in self.groups:
            if len(group.classes) < 2:
                raise ValueError(f"group {group.name!r} needs two classes or more")
            if unknown := sorted(set(group.classes) - class_names):
                raise ValueError(f"group {group.name!r} names classes that do not exist: {unknown}")
            _refuse_twins(f"class in group {group.name!r}", group.classes)
        for attribute in self.attributes:
            if not attribute.values:
                raise ValueError(f"attribute {attribute.name!r} has no values")
            _refuse_twins(f"value of {attribute.name!r}", attribute.value_names)
            _refuse_reserved(f"value of {attribute.name!r}", attribute.value_names)
        return self

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in order (groups are not among them)."""
        return tuple(c.name for c in self.classes)

    @cached_property
    def attribute_names(self) -> tuple[str, ...]:
        """The names of the attributes, in order."""
        return tuple(a.name for a in self.attributes)

    @cached_property
    def _classes_by_name(self) -> dict[str, CellClass]:
        return {c.name: c for c in self.classes}

    @cached_property
    def _groups_by_name(self) -> dict[str, ClassGroup]:
        return {g.name: g for g in self.groups}

    @cached_property
    def _attributes_by_name(self) -> dict[str, Attribute]:
        return {a.name: a for a in self.attributes}

    @cached_property
    def _class_spellings(self) -> _Spellings:
        parts: list[CellClass | ClassGroup] = [*self.classes, *self.groups]
        return _Spellings((p.name, (p.title, *p.spellings)) for p in parts)

    @cached_property
    def _attribute_spellings(self) -> _Spellings:
        return _Spellings((a.name, (a.title, *a.spellings)) for a in self.attributes)

    @cached_property
    def _value_spellings(self) -> dict[str, _Spellings]:
        return {
            a.name: _Spellings((v.name, (v.title, *v.spellings)) for v in a.values) for a in self.attributes
        }

    @cached_property
    def _unclassified(self) -> frozenset[str]:
        return frozenset(map(normalise, self.unclassified_spellings))

    def class_named(self, name: str) -> CellClass:
        """Return the class of that name; `KeyError` if there is none."""
        return self._classes_by_name[name]

    def group_named(self, name: str) -> ClassGroup:
        """Return the group of that name; `KeyError` if there is none."""
        return self._groups_by_name[name]

    def attribute_named(self, name: str) -> Attribute:
        """Return the attribute of that name; `KeyError` if there is none."""
        return self._attributes_by_name[name]

    def is_class(self, name: str) -> bool:
        """Return whether a class has that name."""
        return name in self._classes_by_name

    def is_group(self, name: str) -> bool:
        """Return whether a group has that name."""
        return name in self._groups_by_name

    def class_title(self, name: str) -> str:
        """Return the title of a class or group; any other name is returned unchanged."""
        named = self._classes_by_name.get(name) or self._groups_by_name.get(name)
        return (named.title if named is not None else "") or name

    def attribute_title(self, name: str) -> str:
        """Return the title of an attribute; any other name is spelled with spaces."""
        named = self._attributes_by_name.get(name)
        return (named.title if named is not None else "") or _spelled(name)

    def value_title(self, attribute: str, value: str) -> str:
        """Return the title of a value; any other name is spelled with spaces."""
        found = self._attributes_by_name.get(attribute)
        is_value = found is not None and value in found.value_names
        return (found.value_named(value).title if found is not None and is_value else "") or _spelled(value)

    def members(self, value: str) -> tuple[str, ...]:
        """Return the classes of a value: the class itself, or a group's classes."""
        if value in self._groups_by_name:
            return self._groups_by_name[value].classes
        return (self._classes_by_name[value].name,)

    def find_class(self, spelling: str) -> str | None:
        """Find a class or group by its name, or by a spelling of one alone.

        What is written exactly so goes first. Case and punctuation are ignored after that, signs are not; a
        spelling that several could mean means none.
        """
        return self._class_spellings.find(spelling)

    def is_unclassified(self, spelling: str) -> bool:
        """Return whether a spelling means "a white cell, class not given"."""
        return normalise(spelling) in self._unclassified

    def find_attribute(self, spelling: str) -> str | None:
        """Find an attribute, as `find_class` finds a class."""
        return self._attribute_spellings.find(spelling)

    def find_value(self, attribute_spelling: str, value_spelling: str) -> tuple[str, str] | None:
        """Find ``(attribute, value)``, as `find_class` finds a class."""
        name = self.find_attribute(attribute_spelling)
        if name is None:
            return None
        value = self._value_spellings[name].find(value_spelling)
        return None if value is None else (name, value)

    def digest(self) -> str:
        """Return the sha256 of the schema's canonical JSON."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def _spelled(name: str) -> str:
    return name.replace("_", " ").strip()


def _with_title(item: object) -> object:
    if not isinstance(item, dict):
        return item
    item = dict(item)
    name = item.get("name")
    if isinstance(name, str) and not item.get("title"):
        words = _spelled(name)
        item["title"] = words[:1].upper() + words[1:]
    if isinstance(item.get("values"), list | tuple):
        values = [{"name": v} if isinstance(v, str) else v for v in item["values"]]
        item["values"] = [_with_title(v) for v in values]
    return item


class _Spellings:
    """Finds names by what files write for them: exactly before loosely, names before other spellings."""

    def __init__(self, names: Iterable[tuple[str, tuple[str, ...]]]) -> None:
        self._exact: list[dict[str, set[str]]] = [{}, {}]  # of names, of other spellings
        self._loose: list[dict[str, set[str]]] = [{}, {}]
        for name, others in names:
            for kind, spellings in enumerate(((name,), others)):
                for spelling in spellings:
                    self._exact[kind].setdefault(spelling, set()).add(name)
                    self._loose[kind].setdefault(normalise(spelling), set()).add(name)

    def find(self, spelling: str) -> str | None:
        exact, loose = spelling.strip(), normalise(spelling)
        for tables, key in ((self._exact, exact), (self._loose, loose)):
            for table in tables:
                if key and (names := table.get(key)):
                    return next(iter(names)) if len(names) == 1 else None
        return None


def _refuse_twins(what: str, items: Iterable[object]) -> None:
    if twins := [str(item) for item, n in Counter(items).items() if n > 1]:
        raise ValueError(f"{what} given twice: {', '.join(sorted(twins))}")


def _refuse_shared(what: str, items: Iterable[tuple[str, object]]) -> None:
    owners: dict[object, str] = {}
    for name, value in items:
        if (other := owners.setdefault(value, name)) != name:
            raise ValueError(f"{other} and {name} have the same {what}, {value}: give each its own")


def _refuse_reserved(what: str, names: Iterable[str], reserved: frozenset[str] = RESERVED) -> None:
    if taken := sorted(set(names) & reserved):
        raise ValueError(f"{what} may not be called {', '.join(taken)}: the word is reserved")
