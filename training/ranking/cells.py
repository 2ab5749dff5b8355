"""Two orders of suggestions: most confident first, to accept quickly, or by acquisition value."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING

from annotation_store.records import Suggestion
from training.evaluation.uncertainty import Groups, normalised_entropy
from training.ranking.acquisition import LIKELY_FROM, acquisition_value
from training.ranking.cost import CostModel, cost_model
from training.ranking.explanations import UNCERTAIN_FROM, UNKNOWN_CELL, Words, contenders
from training.ranking.items import Ranked
from training.reasons import Reason

if TYPE_CHECKING:
    from annotation_store.project import Project


class Queue(StrEnum):
    """Purpose of a queue."""

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

    `Queue.ACCEPT` sorts by the probability of the predicted class, `Queue.TEACH` by acquisition value; ties
    by id. Unknown cells are last in the former and first in the latter.
    """
    words, cost = words or Words(), cost or CostModel()
    by_acquisition = Queue(queue) is Queue.TEACH
    items = []
    for suggestion in suggestions:
        score = (
            acquisition_value(suggestion.proposal, words.labels, groups)
            if by_acquisition
            else suggestion.probability
        )
        seconds = cost.candidate(suggestion.proposal, attributes)
        reasons = tuple(
            _acquisition_reasons(suggestion, words)
            if by_acquisition
            else _confidence_reasons(suggestion, words)
        )
        item = Ranked("cell", suggestion.id, suggestion.field_id, score, seconds, reasons, suggestion.box)
        items.append((suggestion.is_unknown != by_acquisition, item))
    return [item for _, item in sorted(items, key=lambda pair: (pair[0], -pair[1].score, pair[1].id or 0))]


def cells(project: Project, field_id: int | None = None, *, queue: Queue | str = Queue.TEACH) -> list[Ranked]:
    """Order the pending suggestions of a field, or of the project, for a queue."""
    from training.ranking.project import groups_of, stored_words

    return rank_cells(
        project.suggestions.find(field_id),
        Queue(queue),
        words=stored_words(project),
        groups=groups_of(project.schema),
        cost=cost_model(project) if field_id is None else None,
        attributes=len(project.schema.attributes),
    )


def _confidence_reasons(suggestion: Suggestion, words: Words) -> list[Reason]:
    best = suggestion.stated_class
    if suggestion.is_unknown:
        return [UNKNOWN_CELL, Reason("A cell at {confidence:.0%}", confidence=suggestion.confidence)]
    if best is None:
        return [Reason("A cell at {confidence:.0%}", confidence=suggestion.confidence)]
    return [
        Reason(
            "A cell at {confidence:.0%}, {name} at {share:.0%}",
            confidence=suggestion.confidence,
            name=words.title(best),
            share=suggestion.proposal.class_probabilities[best],
        )
    ]


def _acquisition_reasons(suggestion: Suggestion, words: Words) -> list[Reason]:
    proposal = suggestion.proposal
    statements = [UNKNOWN_CELL] if proposal.is_unknown else []
    if pair := contenders(proposal):
        first, second = (words.title(name) for name in pair)
        statements.append(Reason("Between {first} and {second}", first=first, second=second))
    elif not proposal.class_probabilities and not statements:
        statements.append(Reason("Its class is not known to the model"))
    rare = words.rare_among([proposal])
    if rare:
        share = max(proposal.class_probabilities[rare[0]], LIKELY_FROM)
        statements.append(
            Reason("Of a rare class at {share:.0%}: {name}", share=share, name=words.title(rare[0]))
        )
    if pairs := words.rare_values_among([proposal]):
        statements.append(Reason("Of a rare value: {name}", name=words.value(*pairs[0])))
    uncertain = [
        words.schema.attribute_title(name).lower()
        for name, values in proposal.attribute_probabilities.items()
        if (normalised_entropy(values) or 0.0) >= UNCERTAIN_FROM
    ]
    if uncertain:
        names, more = ", ".join(uncertain[:3]), len(uncertain) - 3
        if more > 0:
            statements.append(Reason("In doubt: {names} and {more} more", names=names, more=more))
        else:
            statements.append(Reason("In doubt: {names}", names=names))
    return statements or [Reason("The model predicts it with fair confidence")]
