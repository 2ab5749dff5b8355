"""The vocabulary of a model: classes, class groups, attributes and their values, by name.

A model stores its vocabulary, so that weights are transferred between schemas by name, never by position.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation_store.schema.reserved import UNSURE

if TYPE_CHECKING:
    from annotation_store.schema import Schema
    from annotation_store.schema.renaming import Renamed


@dataclass(frozen=True)
class Vocabulary:
    """Ordered names of a model's outputs.

    Attributes
    ----------
    classes
        Class names; may be empty.
    groups
        Group name to its class names.
    attributes
        Attribute name to its value names; may be empty.
    digest
        Of the schema it was made from.
    ordered
        The attributes whose values are listed in an order.
    """

    classes: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    attributes: Mapping[str, tuple[str, ...]]
    digest: str = ""
    ordered: tuple[str, ...] = ()

    @classmethod
    def from_schema(cls, schema: Schema) -> Vocabulary:
        """Create the vocabulary of a project's schema."""
        return cls(
            classes=tuple(schema.class_names),
            groups={group.name: tuple(group.classes) for group in schema.groups},
            attributes={a.name: tuple(value.name for value in a.values) for a in schema.attributes},
            digest=schema.digest(),
            ordered=tuple(a.name for a in schema.attributes if a.ordered),
        )

    @classmethod
    def from_dict(cls, words: Mapping[str, Any]) -> Vocabulary:
        """Read what `to_dict` wrote."""
        return cls(
            classes=tuple(words["classes"]),
            groups={name: tuple(members) for name, members in words["groups"].items()},
            attributes={name: tuple(values) for name, values in words["attributes"].items()},
            digest=str(words.get("digest", "")),
            ordered=tuple(map(str, words.get("ordered", ()))),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists and dicts, for a model's card."""
        return {
            "classes": list(self.classes),
            "groups": {name: list(members) for name, members in self.groups.items()},
            "attributes": {name: list(values) for name, values in self.attributes.items()},
            "digest": self.digest,
            "ordered": list(self.ordered),
        }

    def renamed(self, names: Renamed) -> Vocabulary:
        """Return the same outputs under their present names."""
        attributes = {
            names.attributes[name][0]: tuple(names.attributes[name][1][value] for value in values)
            for name, values in self.attributes.items()
        }
        return replace(
            self,
            classes=tuple(names.classes[name] for name in self.classes),
            groups={
                group: tuple(names.classes.get(name, name) for name in members)
                for group, members in self.groups.items()
            },
            attributes=attributes,
            ordered=tuple(names.attributes[name][0] for name in self.ordered if name in names.attributes),
        )

    def same_words(self, other: Vocabulary) -> bool:
        """Return whether both have the same classes and attributes in the same order."""
        return self._canonical() == other._canonical()

    def fingerprint(self) -> str:
        """Hash the classes and attributes (not titles, colours or keys)."""
        return hashlib.sha256(self._canonical().encode()).hexdigest()

    def _canonical(self) -> str:
        return json.dumps([list(self.classes), {k: list(v) for k, v in self.attributes.items()}])

    @property
    def heads(self) -> tuple[tuple[str, ...], ...]:
        """The values of each head: the classes (if any) first, then each attribute."""
        return ((self.classes,) if self.classes else ()) + tuple(self.attributes.values())

    @property
    def head_names(self) -> tuple[str, ...]:
        """``"class"`` (if there are classes) and the attributes' names, in the order of `heads`."""
        return (("class",) if self.classes else ()) + tuple(self.attributes)

    def targets(self, cell_class: str | None, attributes: Mapping[str, str]) -> list[np.ndarray]:
        """Return the values that a cell's labels allow, per head.

        Missing, unsure and unknown labels allow nothing and are ignored in training; a class allows itself, a
        group its members, whose summed probability is trained.

        Returns
        -------
        list
            Per head ``(n values,)`` bool.
        """
        allowed = []
        if self.classes:
            if cell_class is None or cell_class == UNSURE:
                members: tuple[str, ...] = ()
            else:
                members = self.groups.get(cell_class, (cell_class,))
            allowed.append(np.array([name in members for name in self.classes], bool))
        for name, values in self.attributes.items():
            value = attributes.get(name)
            allowed.append(np.array([value == candidate for candidate in values], bool))
        return allowed


def trained_values(
    vocabulary: Vocabulary, taught: Mapping[str, Mapping[str, float]]
) -> list[np.ndarray | None]:
    """Return, per head, which values were trained: ``(K,)`` bool.

    ``None`` if fewer than two: a head that was trained on one value would predict it for every cell.

    Parameters
    ----------
    taught
        Head name to value name to the number of training cells.
    """
    heads: list[np.ndarray | None] = []
    for name, values in zip(vocabulary.head_names, vocabulary.heads, strict=True):
        counts = taught.get(name, {})
        known = np.array([counts.get(value, 0) > 0 for value in values], bool)
        heads.append(known if known.sum() >= 2 else None)
    return heads


def shares(allowed: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Split each label evenly over the members of its group: ``(n, K)`` from ``(n, K)`` bool.

    Parameters
    ----------
    weights
        ``(n,)``: the weight of each label; ``None`` = 1.
    """
    split = np.asarray(allowed / np.maximum(allowed.sum(1, keepdims=True), 1))
    return split if weights is None else split * weights[:, None]
