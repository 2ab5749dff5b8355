"""What a model thinks of a cell or suggestion, as numbers to sort by; no Qt."""

from __future__ import annotations

from collections.abc import Mapping

from annotation_store import Entry
from annotation_store.records import UNSURE, Proposal
from annotation_store.schema import Schema
from training.ranking.information import information


def doubt(proposal: Proposal, schema: Schema) -> float | None:
    """Give how much one would learn from labelling it, or ``None`` where no model says anything of it."""
    if not proposal.class_probabilities and not any(proposal.attribute_probabilities.values()):
        return None
    return information(proposal, [group.classes for group in schema.groups])


def disagreement(entry: Entry, schema: Schema) -> tuple[float, str] | None:
    """Give how improbable the model finds what a person said of a cell, and what it says instead.

    The greatest of class and attributes counts. What the person did not say, was unsure of, or the model
    was never taught, is no disagreement.

    Returns
    -------
    tuple or None
        1 − p of the label, 0 to 1, and the title of the model's own word; ``None`` where the two cannot be
        compared.
    """
    if entry.kind != "cell":
        return None
    found: list[tuple[float, str]] = []
    name, classes = entry.cell_class, entry.class_probabilities
    if name is not None and name != UNSURE and (schema.is_class(name) or schema.is_group(name)):
        known = [member for member in schema.members(name) if member in classes]
        if known:
            found.append((1 - sum(classes[m] for m in known), class_title(schema, best(classes))))
    for attribute in schema.attributes:
        value = entry.attributes.get(attribute.name)
        said = entry.attribute_probabilities.get(attribute.name, {})
        if value is not None and value in said:
            word = best(said)
            title = next((v.title for v in attribute.values if v.name == word), word or "")
            found.append((1 - said[value], f"{attribute.title}: {title}"))
    if not found:
        return None
    most, word = max(found)
    return min(max(most, 0.0), 1.0), word


def best(probabilities: Mapping[str, float]) -> str | None:
    """Give the most probable word, or ``None`` where none is known."""
    return max(probabilities, key=probabilities.__getitem__, default=None)


def class_title(schema: Schema, name: str | None) -> str:
    """Give the title of a class or group; empty where the schema has none of that name."""
    if name is not None and schema.is_class(name):
        return schema.class_named(name).title
    if name is not None and schema.is_group(name):
        return schema.group_named(name).title
    return ""
