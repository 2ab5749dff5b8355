"""Follow the words of a schema through the later changes of the schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from annotation_store.errors import EditError
from annotation_store.schema import Schema
from annotation_store.schema.mapping import Translation

_Word = TypeVar("_Word")


@dataclass(frozen=True)
class Renamed:
    """The present names of words of a former schema; each present name is of one word only.

    Attributes
    ----------
    classes
        Class to its present name.
    attributes
        Attribute to its present name, and value to its present name.
    joined
        Present class to the former classes that became it, of those that none may be called after.
    """

    classes: Mapping[str, str]
    attributes: Mapping[str, tuple[str, Mapping[str, str]]]
    joined: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Renamings:
    """The schemas that a project had, and how the words of each became those of the next.

    Parameters
    ----------
    versions
        The digest of each former schema, the schema, and its mapping to the next; the oldest first.
    current
        The present schema.
    """

    def __init__(
        self, versions: Sequence[tuple[str, Schema, Mapping[str, str | None]]], current: Schema
    ) -> None:
        self._schemas = [*(schema for _, schema, _ in versions), current]
        self._digests = [*(digest for digest, _, _ in versions), current.digest()]
        self._steps = [
            _translation(old, new, mapping)
            for (_, old, mapping), new in zip(versions, self._schemas[1:], strict=True)
        ]

    def of(
        self, classes: Sequence[str], attributes: Mapping[str, Sequence[str]], digest: str = ""
    ) -> Renamed:
        """Return the present names of words.

        A word keeps its name where the project never had it, or removed it without a successor. So does each
        of several words that have become one: what was learned of one of them is not true of all.

        Parameters
        ----------
        digest
            Of the schema that the words are from. If the project never had that schema, as with the starter
            of a project with a schema of its own, each word is followed from the first schema that has it.
        """
        known = [i for i, one in enumerate(self._digests) if one == digest]
        start = known[-1] if known else None
        names = {name: self._class_now(name, start) for name in classes}
        heads = _one_to_one({name: self._attribute_now(name, start) for name in attributes})
        values = {
            name: _one_to_one({value: self._value_now(name, value, start) for value in of_attribute})
            for name, of_attribute in attributes.items()
        }
        return Renamed(
            _one_to_one(names), {name: (heads[name], values[name]) for name in attributes}, _joined(names)
        )

    def _class_now(self, name: str, start: int | None) -> str | None:
        def step(i: int, now: str) -> str | None:
            successor = self._steps[i].class_or_value("", now)
            # a class that became a group, or unsure, is not a class any more
            return successor if successor is not None and self._schemas[i + 1].is_class(successor) else None

        return self._follow(name, start, lambda schema: schema.is_class(name), step)

    def _attribute_now(self, name: str, start: int | None) -> str | None:
        return self._follow(
            name,
            start,
            lambda schema: name in schema.attribute_names,
            lambda i, now: self._steps[i].attribute(now),
        )

    def _value_now(self, attribute: str, value: str, start: int | None) -> str | None:
        def has(schema: Schema) -> bool:
            names = schema.attribute_names
            return attribute in names and value in schema.attribute_named(attribute).value_names

        def step(i: int, now: tuple[str, str]) -> tuple[str, str] | None:
            home, successor = self._steps[i].attribute(now[0]), self._steps[i].class_or_value(*now)
            return None if home is None or successor is None else (home, successor)

        now = self._follow((attribute, value), start, has, step)
        return None if now is None else now[1]

    def _follow(
        self,
        word: _Word,
        start: int | None,
        has: Callable[[Schema], bool],
        step: Callable[[int, _Word], _Word | None],
    ) -> _Word | None:
        """Follow a word from a version on, or from the first that has it; where it went, until it came back.

        Returns
        -------
        object
            The present word; ``None`` if it is gone.
        """
        first = self._next(0, has) if start is None else start
        while first is not None:
            now = word
            for i in range(first, len(self._steps)):
                successor = step(i, now)
                if successor is None:
                    first = self._next(i + 1, has)
                    break
                now = successor
            else:
                return now
        return None

    def _next(self, version: int, has: Callable[[Schema], bool]) -> int | None:
        """Return the first version, from one on, that has a word."""
        return next((i for i in range(version, len(self._schemas)) if has(self._schemas[i])), None)


def _translation(old: Schema, new: Schema, mapping: Mapping[str, str | None]) -> Translation:
    try:
        return Translation(old, new, mapping)
    except (EditError, TypeError, AttributeError):  # written by another version, or damaged
        return Translation(old, new, {})


def _joined(names: Mapping[str, str | None]) -> dict[str, tuple[str, ...]]:
    joined = {
        now: tuple(then for then, other in names.items() if other == now) for now in names.values() if now
    }
    return {now: then for now, then in joined.items() if len(then) > 1 and now not in then}


def _one_to_one(names: Mapping[str, str | None]) -> dict[str, str]:
    """Return the present names, each once: what has none, or shares it, keeps its own name, or a free one."""
    counts = Counter(names.values())
    sure = {then: now for then, now in names.items() if now is not None and (counts[now] == 1 or now == then)}
    taken = {*sure.values(), *(now for now in names.values() if now is not None)}
    for then in names:
        if then not in sure:
            sure[then] = _free(then, taken)
            taken.add(sure[then])
    return sure


def _free(name: str, taken: Iterable[str]) -> str:
    """Return a name that no other word has: another word may be called as this one was."""
    while name in taken:
        name += "*"
    return name
