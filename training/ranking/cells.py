"""Two queues of suggestions: those to accept fast, and those that teach most."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from annotation_store.records import Suggestion
from training.evaluation.uncertainty import Groups, normalised_entropy
from training.ranking.acquisition import RARE_FROM, acquisition_value
from training.ranking.cost import CostModel, cost_model
from training.ranking.explanations import IN_DOUBT, UNKNOWN, Words, contenders
from training.ranking.items import Ranked
from training.reasons import Reason

if TYPE_CHECKING:
    from annotation_store.project import Project


class Queue(StrEnum):
    """What a queue is for."""

    ACCEPT = "accept"
    TEACH = "teach"


def rank_cells(
    suggestions: Sequence[Suggestion],
    queue: Queue,
    *,
    words: Words | None = None,
    groups: Groups = (),
    cost: CostModel | None = None,
    attributes: int = 0,
) -> list[Ranked]:
    """Order suggestions for a queue.

    `Queue.ACCEPT` goes by the probability of what accepting writes, `Queue.TEACH` by what its labels
    would tell; equals by id. Unknown cells come last in the one and first in the other.
    """
    words, cost = words or Words(), cost or CostModel()
    teaches = Queue(queue) is Queue.TEACH
    items = []
    for one in suggestions:
        score = acquisition_value(one.proposal, words.labels, groups) if teaches else one.probability
        seconds = cost.candidate(one.proposal, attributes)
        reasons = tuple(_teaching(one, words) if teaches else _sure(one, words))
        item = Ranked("cell", one.id, one.field_id, score, seconds, reasons, one.box)
        items.append((one.is_unknown != teaches, item))
    return [item for _, item in sorted(items, key=lambda pair: (pair[0], -pair[1].score, pair[1].id or 0))]


def cells(project: Project, field_id: int | None = None, *, queue: Queue | str = Queue.TEACH) -> list[Ranked]:
    """Order the waiting suggestions of a field, or of the project, for a queue."""
    from training.ranking.project import groups_of, stored_words

    return rank_cells(
        project.suggestions.find(field_id),
        Queue(queue),
        words=stored_words(project),
        groups=groups_of(project.schema),
        cost=cost_model(project) if field_id is None else None,
        attributes=len(project.schema.attributes),
    )


def _sure(one: Suggestion, words: Words) -> list[Reason]:
    best = one.stated_class
    if one.is_unknown:
        return [UNKNOWN, Reason("A cell at {confidence:.0%}", confidence=one.confidence)]
    if best is None:
        return [Reason("A cell at {confidence:.0%}", confidence=one.confidence)]
    return [
        Reason(
            "A cell at {confidence:.0%}, {name} at {share:.0%}",
            confidence=one.confidence,
            name=words.title(best),
            share=one.proposal.class_probabilities[best],
        )
    ]


def _teaching(one: Suggestion, words: Words) -> list[Reason]:
    proposal = one.proposal
    statements = [UNKNOWN] if proposal.is_unknown else []
    if pair := contenders(proposal):
        first, second = (words.title(name) for name in pair)
        statements.append(Reason("Between {first} and {second}", first=first, second=second))
    elif not proposal.class_probabilities and not statements:
        statements.append(Reason("Its class is not known to the model"))
    rare = words.rare_among([proposal])
    if rare:
        share = max(proposal.class_probabilities[rare[0]], RARE_FROM)
        statements.append(
            Reason("Of a rare class at {share:.0%}: {name}", share=share, name=words.title(rare[0]))
        )
    if pairs := words.rare_values_among([proposal]):
        statements.append(Reason("Of a rare value: {name}", name=words.value(*pairs[0])))
    doubtful = [
        words.schema.attribute_title(name).lower()
        for name, values in proposal.attribute_probabilities.items()
        if (normalised_entropy(values) or 0.0) >= IN_DOUBT
    ]
    if doubtful:
        names, more = ", ".join(doubtful[:3]), len(doubtful) - 3
        if more > 0:
            statements.append(Reason("In doubt: {names} and {more} more", names=names, more=more))
        else:
            statements.append(Reason("In doubt: {names}", names=names))
    return statements or [Reason("The model predicts it with fair confidence")]
