"""In which order to annotate the fields."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from annotation_store.records import Proposal
from training.evaluation.uncertainty import Groups
from training.ranking.acquisition import total
from training.ranking.cost import CostModel
from training.ranking.diversity import k_center, unit
from training.ranking.explanations import Words
from training.ranking.items import Ranked
from training.reasons import Reason

BUDGET = 12
"""How many fields are chosen for being different as well; after them the order is by score alone."""

DEEP = 4
"""They are chosen from so many times as many of the best."""

RESERVE = 0.15
"""Share of the fields drawn at random."""

_EVERY = 7
"""Each seventh field of the order is one of these: 14%."""

NEW = Reason("Not yet predicted by the model")


@dataclass(frozen=True)
class FieldView:
    """What the ranking sees of a field.

    Attributes
    ----------
    key
        What stays the same wherever the field stands: its content's hash.
    unknown
        Share of its area that is neither finished nor ignored.
    candidates
        In the unknown area.
    touched
        Whether it has annotations.
    """

    id: int
    key: str
    unknown: float
    candidates: tuple[Proposal, ...] = ()
    vector: np.ndarray | None = None
    touched: bool = False


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
    """Order the fields that have an unknown area, best first; the order of `views` changes nothing.

    Parameters
    ----------
    attributes
        How many the schema has: what a cell costs.
    random_sample
        Ids of the fields drawn at random; each seventh place is one of theirs, in the order of the draw.
    on_field
        Called for each field; what it raises ends it.
    """
    words, cost = words or Words(), cost or CostModel()
    scored = []
    for view in views:
        if on_field is not None:
            on_field()
        if view.unknown <= 1e-3:
            continue
        seconds = cost.area(view.candidates, view.unknown, attributes)
        score = total(view.candidates, words.labels, groups) / seconds
        reasons = tuple(words.candidates(view.candidates))
        scored.append((Ranked("field", view.id, view.id, score, seconds, reasons), view))
    scored.sort(key=lambda pair: (-pair[0].score, pair[0].field_id))
    drawn = sorted(
        (pair for pair in scored if pair[0].field_id in random_sample), key=lambda pair: draw_key(pair[1].key)
    )
    others = [pair for pair in scored if pair[0].field_id not in random_sample]
    known = [v.vector for v in sorted(views, key=lambda v: v.id) if v.touched]
    return interleaved(
        [one for one, _ in _thinned(others, known, budget)], [_random(one) for one, _ in drawn]
    )


def draw_key(key: str, seed: int = 0) -> str:
    """Return the place of a field in the draw: a hash, so that the fields' order changes nothing."""
    return hashlib.sha256(f"{seed}\0{key}".encode("utf-8", "replace")).hexdigest()


def draw(views: Sequence[FieldView], already: Collection[int], *, seed: int = 0) -> list[int]:
    """Draw fields at random until `RESERVE` of all are drawn, from those without annotations.

    Returns
    -------
    list
        Ids of the newly drawn.
    """
    missing = round(RESERVE * len(views)) - len({v.id for v in views} & set(already))
    free = sorted(
        (v for v in views if not v.touched and v.id not in already),
        key=lambda v: (draw_key(v.key, seed), v.id),
    )
    return [v.id for v in free[: max(0, missing)]]


Pair = tuple[Ranked, FieldView]


def _thinned(pairs: Sequence[Pair], known: Sequence[np.ndarray | None], budget: int) -> list[Pair]:
    """Choose the first `budget` of the best `DEEP` times as many so that they differ; the rest follow."""
    deep = min(len(pairs), DEEP * budget)
    while 0 < deep < len(pairs) and pairs[deep][0].score == pairs[deep - 1][0].score:
        deep += 1  # equals are not parted by their ids
    vectors = unit([*(view.vector for _, view in pairs[:deep]), *known])
    chosen = k_center(vectors[:deep], budget, known=vectors[deep:])
    rest = [i for i in range(len(pairs)) if i not in set(chosen)]
    return [pairs[i] for i in [*chosen, *rest]]


def _random(one: Ranked) -> Ranked:
    reason = Reason("Drawn at random: such fields show, without bias, how good the model is")
    return dataclasses.replace(one, reasons=(reason, *one.reasons), drawn=True)


def interleaved(others: Sequence[Ranked], drawn: Sequence[Ranked]) -> list[Ranked]:
    """Put one of `drawn` after each three, then six, others: the fourth, the eleventh and so on."""
    result: list[Ranked] = []
    left, right = iter(others), iter(drawn)
    for place in range(len(others) + len(drawn)):
        sides = (right, left) if place % _EVERY == _EVERY // 2 else (left, right)
        one = next(sides[0], None) or next(sides[1], None)
        if one is not None:
            result.append(one)
    return result
