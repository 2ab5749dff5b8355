"""Active learning: the order in which to annotate the fields."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from annotation_store.records import Proposal
from training.evaluation.uncertainty import Groups
from training.ranking.acquisition import total_value
from training.ranking.cost import CostModel
from training.ranking.diversity import k_center, normalise
from training.ranking.explanations import Words
from training.ranking.items import Ranked
from training.reasons import Reason

BUDGET = 12
"""Number of fields that are selected for diversity as well; after them the order is by score alone."""

CANDIDATE_FACTOR = 4
"""They are selected from this many times as many of the best."""

RANDOM_SHARE = 0.15
"""Share of the fields that are sampled at random."""

_RANDOM_INTERVAL = 7
"""One field of the random sample in this many of the order: 14%."""

NEW = Reason("Not yet predicted by the model")


@dataclass(frozen=True)
class FieldView:
    """Input of the ranking for a field.

    Attributes
    ----------
    key
        Hash of its content, which does not depend on its position.
    unknown
        Share of its area that is neither finished nor ignored.
    candidates
        Proposals in the unknown area.
    vector
        Its embedding.
    touched
        Whether it has annotations.
    looked_at
        Whether a model has searched it, or the stain; else nothing is known of its cells.
    """

    id: int
    key: str
    unknown: float
    candidates: tuple[Proposal, ...] = ()
    vector: np.ndarray | None = None
    touched: bool = False
    looked_at: bool = True


def rank_fields(
    views: Sequence[FieldView],
    *,
    words: Words | None = None,
    groups: Groups = (),
    cost: CostModel | None = None,
    attributes: int = 0,
    random_sample: Collection[int] = (),
    budget: int = BUDGET,
    on_field: Callable[[], None] | None = None,
) -> list[Ranked]:
    """Order the fields that have an unknown area, best first, independently of the order of `views`.

    Parameters
    ----------
    attributes
        Number of attributes of the schema, for the cost of a cell.
    random_sample
        Ids of the fields that were sampled at random; every seventh of the order is one of them.
    on_field
        Called for each field; it may raise to cancel.
    """
    words, cost = words or Words(), cost or CostModel()
    scored = []
    for view in views:
        if on_field is not None:
            on_field()
        if view.unknown <= 1e-3:
            continue
        seconds = cost.area(view.candidates, view.unknown, attributes)
        score = total_value(view.candidates, words.labels, groups) / seconds
        reasons = tuple(words.candidates(view.candidates)) if view.looked_at else (NEW,)
        scored.append((Ranked("field", view.id, view.id, score, seconds, reasons), view))
    scored.sort(key=lambda pair: (-pair[0].score, pair[0].field_id))
    sampled = sorted(
        (pair for pair in scored if pair[0].field_id in random_sample),
        key=lambda pair: sampling_key(pair[1].key),
    )
    others = [pair for pair in scored if pair[0].field_id not in random_sample]
    annotated = [v.vector for v in sorted(views, key=lambda v: v.id) if v.touched]
    return interleave(
        [item for item, _ in _diversify(others, annotated, budget)],
        [_mark_random(item) for item, _ in sampled],
    )


def sampling_key(key: str, seed: int = 0) -> str:
    """Return the sort key of a field in the random sample: a hash, independent of the input order."""
    return hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "replace")).hexdigest()


def sample_random(views: Sequence[FieldView], sampled: Collection[int], *, seed: int = 0) -> list[int]:
    """Extend the random sample to `RANDOM_SHARE` of all fields, from those without annotations.

    Returns
    -------
    list
        Ids of the newly sampled fields.
    """
    missing = round(RANDOM_SHARE * len(views)) - len({v.id for v in views} & set(sampled))
    free = sorted(
        (v for v in views if not v.touched and v.id not in sampled),
        key=lambda v: (sampling_key(v.key, seed), v.id),
    )
    return [v.id for v in free[: max(0, missing)]]


Pair = tuple[Ranked, FieldView]


def _diversify(pairs: Sequence[Pair], annotated: Sequence[np.ndarray | None], budget: int) -> list[Pair]:
    """Move `budget` diverse fields to the front, chosen among the best `CANDIDATE_FACTOR` times as many."""
    n_candidates = min(len(pairs), CANDIDATE_FACTOR * budget)
    while 0 < n_candidates < len(pairs) and pairs[n_candidates][0].score == pairs[n_candidates - 1][0].score:
        n_candidates += 1  # include all ties
    vectors = normalise([*(view.vector for _, view in pairs[:n_candidates]), *annotated])
    chosen = k_center(vectors[:n_candidates], budget, known=vectors[n_candidates:])
    rest = [i for i in range(len(pairs)) if i not in set(chosen)]
    return [pairs[i] for i in [*chosen, *rest]]


def _mark_random(item: Ranked) -> Ranked:
    reason = Reason("Drawn at random: such fields show, without bias, how good the model is")
    return dataclasses.replace(item, reasons=(reason, *item.reasons), drawn=True)


def interleave(others: Sequence[Ranked], sampled: Sequence[Ranked]) -> list[Ranked]:
    """Insert a sampled item at the fourth position, the eleventh and so on, every seventh."""
    result: list[Ranked] = []
    scored_items, sampled_items = iter(others), iter(sampled)
    for position in range(len(others) + len(sampled)):
        sides = (
            (sampled_items, scored_items)
            if position % _RANDOM_INTERVAL == _RANDOM_INTERVAL // 2
            else (scored_items, sampled_items)
        )
        item = next(sides[0], None) or next(sides[1], None)
        if item is not None:
            result.append(item)
    return result
