"""Translate labels from one schema to another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from annotation_store.errors import EditError
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE

_KIND = "kind:"


class Translation:
    """Translates labels; counts in `unmapped` what the new schema lacks and no mapping speaks of."""

    def __init__(self, old: Schema, new: Schema, mapping: Mapping[str, str | None]) -> None:
        self.new = new
        self.unmapped: Counter[str] = Counter()
        self._classes: dict[str, str | None] = {}
        self._values: dict[tuple[str, str], str | None] = {}
        self._attributes: dict[str, str | None] = {}
        self._kinds: dict[str, str | None] = {}
        self._known_kinds = {kind for c in new.classes for kind in c.kinds}
        self._known = {a.name: {*a.value_names, UNSURE} for a in new.attributes}
        for word, successor in mapping.items():
            self._take(old, word, successor)

    def _take(self, old: Schema, word: str, successor: str | None) -> None:
        new = self.new
        attribute, colon, value = word.partition(":")
        if word.startswith(_KIND) and any(value in c.kinds for c in old.classes):
            target = None if successor is None else successor.removeprefix(_KIND)
            self._refuse(value in self._known_kinds, word)
            self._require(target is None or target in self._known_kinds, word, successor)
            self._kinds[value] = target
        elif old.is_class(word) or old.is_group(word):
            self._refuse(_says(new, word), word)
            self._require(successor is None or successor == UNSURE or _says(new, successor), word, successor)
            self._classes[word] = successor
        elif (
            colon and attribute in old.attribute_names and value in old.attribute_named(attribute).value_names
        ):
            home = self._attributes.get(attribute) or attribute
            self._refuse(value in self._known.get(attribute, ()), word)
            target = successor
            if successor is not None and ":" in successor:
                home, _, target = successor.partition(":")
                if home != attribute:
                    self._attributes.setdefault(attribute, home)
            self._require(target is None or target in self._known.get(home, ()), word, successor)
            self._values[attribute, value] = target
        elif word in old.attribute_names:
            self._refuse(word in self._known, word)
            self._require(successor is None or successor in self._known, word, successor)
            self._attributes[word] = successor
        else:
            raise EditError(f"The schema {old.name} has no {word!r}: nothing to map.")

    def _refuse(self, still_there: bool, word: str) -> None:
        if still_there:
            raise EditError(f"{word!r} is still in the new schema: remove it there, or do not map it.")

    def _require(self, present: bool, word: str, successor: str | None) -> None:
        if not present:
            raise EditError(
                f"{word!r} cannot become {successor!r}: the schema {self.new.name} does not contain it."
            )

    def cell(self, cell_class: str | None, attributes: Mapping[str, str], kind: str | None) -> dict[str, Any]:
        """Translate the labels of a cell."""
        new_class = self._class(cell_class)
        values: dict[str, str] = {}
        for name, value in attributes.items():
            if (pair := self._value(name, value)) is not None:
                values[pair[0]] = pair[1]
        return {
            "cell_class": new_class,
            "attributes": {name: values[name] for name in self.new.attribute_names if name in values},
            "kind": self._kind(kind, new_class),
        }

    def attribute(self, name: str) -> str | None:
        """Return the attribute's name in the new schema; ``None`` if it is gone."""
        return name if name in self._known else self._attributes.get(name)

    def class_or_value(self, attribute: str, name: str) -> str | None:
        """Return the name in the new schema of a class or group (of no attribute), or of a value.

        ``None`` if it is gone, or has become a value of another attribute than its attribute has.
        """
        before = self.unmapped.copy()
        pair = self._value(attribute, name) if attribute else ("", self._class(name))
        self.unmapped = before  # a word is not a label
        return pair[1] if pair is not None and pair[0] == (self.attribute(attribute) or "") else None

    def _class(self, name: str | None) -> str | None:
        if name is None or name == UNSURE or _says(self.new, name):
            return name
        if name not in self._classes:
            self.unmapped[name] += 1
        return self._classes.get(name)

    def _value(self, name: str, value: str) -> tuple[str, str] | None:
        if value in self._known.get(name, ()):
            return name, value
        if (name, value) in self._values:
            target = self._values[name, value]
            home = self._attributes.get(name) or name
            return None if target is None else (home, target)
        if name in self._attributes:
            new_name = self._attributes[name]
            if new_name is None:
                return None
            if value in self._known[new_name]:
                return new_name, value
        self.unmapped[f"{name}:{value}"] += 1
        return None

    def _kind(self, kind: str | None, of_class: str | None) -> str | None:
        if kind is None or of_class is None or not self.new.is_class(of_class):
            return None
        allowed = self.new.class_named(of_class).kinds
        if kind in allowed:
            return kind
        if kind in self._kinds:
            target = self._kinds[kind]
            return target if target in allowed else None
        if kind not in self._known_kinds:
            self.unmapped[f"{_KIND}{kind}"] += 1
        return None

    def probabilities(
        self,
        class_probabilities: Mapping[str, float],
        attribute_probabilities: Mapping[str, Mapping[str, float]],
    ) -> dict[str, Any]:
        """Translate the probabilities of a suggestion; a removed word leaves its share to the others."""
        classes: dict[str, float] = {}
        for name, share in class_probabilities.items():
            successor = name if self.new.is_class(name) else self._classes.get(name)
            if successor is not None and self.new.is_class(successor):
                classes[successor] = classes.get(successor, 0.0) + share
        attributes: dict[str, dict[str, float]] = {}
        before = self.unmapped.copy()
        for name, shares in attribute_probabilities.items():
            for value, share in shares.items():
                if (pair := self._value(name, value)) is not None:
                    attribute_shares = attributes.setdefault(pair[0], {})
                    attribute_shares[pair[1]] = attribute_shares.get(pair[1], 0.0) + share
        self.unmapped = before  # a suggestion is not a label: nothing is lost with it
        scaled = {name: _normalise(shares) for name, shares in attributes.items()}
        return {
            "class_probabilities": _normalise(classes),
            "attribute_probabilities": {name: shares for name, shares in scaled.items() if shares},
        }


def _says(schema: Schema, name: str) -> bool:
    return schema.is_class(name) or schema.is_group(name)


def _normalise(shares: Mapping[str, float]) -> dict[str, float]:
    total = sum(shares.values())
    if total <= 0:
        return {}
    # what kept all of its words is not touched by rounding
    return dict(shares) if abs(total - 1) < 0.02 else {name: share / total for name, share in shares.items()}
