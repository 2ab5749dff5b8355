"""Numbers that a model predicts for a cell or suggestion, to sort by; no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from annotation_store import Entry
from annotation_store.records import Proposal
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from training.evaluation.uncertainty import uncertainty


def doubt(proposal: Proposal, schema: Schema) -> float | None:
    """Return how much one would learn from labelling it, or ``None`` if no model says anything of it."""
    if not proposal.class_probabilities and not any(proposal.attribute_probabilities.values()):
        return None
    return uncertainty(proposal, [group.classes for group in schema.groups])


class Disagreement(NamedTuple):
    """What a label and a model say of one cell.

    Attributes
    ----------
    improbable
        1 − p of the label, 0 to 1.
    instead
        The title of what the model predicts instead; empty where its most probable value is the label.
    share
        The probability of `instead`; 0 if there is none.
    """

    improbable: float
    instead: str = ""
    share: float = 0.0


def disagreement(entry: Entry, schema: Schema) -> Disagreement | None:
    """Compare the labels of a cell with a model's predictions.

    The model disagrees where its most probable class or value is not the label. A class group agrees with
    each of its classes. Of several labels the one that the model contradicts counts, and of those the least
    probable. What the person did not say, was unsure of, or the model was never taught, is not compared.

    Returns
    -------
    Disagreement or None
        ``None`` if the two cannot be compared.
    """
    if entry.kind != "cell":
        return None
    disagreements: list[Disagreement] = []
    name, classes = entry.cell_class, entry.class_probabilities
    if name is not None and name != UNSURE and _says(schema, name):
        known_members = [member for member in schema.members(name) if member in classes]
        word = best(classes)
        # of a cell unlike anything taught the model states no class
        unknown = entry.proposal is not None and entry.proposal.is_unknown
        if known_members and word is not None and not unknown:
            improbable = 1 - sum(classes[m] for m in known_members)
            alternative = () if word in known_members else (schema.class_title(word), classes[word])
            disagreements.append(Disagreement(improbable, *alternative))
    for attribute in schema.attributes:
        value = entry.attributes.get(attribute.name)
        predicted = entry.attribute_probabilities.get(attribute.name, {})
        if value is not None and value in predicted:
            word = best(predicted)
            agrees = word is None or predicted[word] <= predicted[value]
            alternative = ()
            if word is not None and not agrees:
                alternative = (
                    f"{attribute.title}: {schema.value_title(attribute.name, word)}",
                    predicted[word],
                )
            disagreements.append(Disagreement(1 - predicted[value], *alternative))
    if not disagreements:
        return None
    most = max(disagreements, key=lambda item: (bool(item.instead), item.improbable))
    return most._replace(improbable=min(max(most.improbable, 0.0), 1.0))


def label_probability(entry: Entry, schema: Schema, in_use: int | None) -> float | None:
    """Return the probability of what an entry states, or ``None`` if nobody predicts that.

    Of a suggestion that is what accepting writes; of a cell its class (a group: any of its classes), if the
    model in use predicted the cell and knows the class. That it is a cell at all says nothing of a label.

    Parameters
    ----------
    in_use
        The model in use; ``None`` for the starter.
    """
    predicted = entry.proposal
    if predicted is None or entry.kind == "suggestion":
        return None if predicted is None else predicted.probability
    name = entry.cell_class
    if entry.model_id != in_use or predicted.is_unknown or name is None or not _says(schema, name):
        return None
    known_members = [member for member in schema.members(name) if member in predicted.class_probabilities]
    return sum(map(predicted.score, known_members)) if known_members else None


def _says(schema: Schema, name: str) -> bool:
    return schema.is_class(name) or schema.is_group(name)


def best(probabilities: Mapping[str, float]) -> str | None:
    """Return the most probable word, or ``None`` if none is known."""
    return max(probabilities, key=probabilities.__getitem__, default=None)
