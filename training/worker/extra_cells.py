"""Additional metrics: on the random sample of held-out fields, and on some training fields."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from training.evaluation.cell_outcomes import outcomes
from training.evaluation.extra_metrics import describe
from training.evaluation.matching import FieldResult
from training.networks.vocabulary import Vocabulary
from training.worker.annotated_fields import AnnotatedField

_LEFT_OUT = ("calibration", "confusion", "domains")


def compact(results: Sequence[FieldResult], words: Vocabulary) -> dict[str, Any] | None:
    """Return `evaluation.extra_metrics.describe` without its largest parts; ``None`` without cells."""
    if not sum(result.found.truths for result in results):
        return None
    numbers = describe(results, classes=words.classes, attributes=words.attributes, ordered=words.ordered)
    return {name: value for name, value in numbers.items() if name not in _LEFT_OUT}


def drawn_at_random(
    testing: Sequence[AnnotatedField],
    results: Sequence[FieldResult],
    random_sample: Collection[int],
    words: Vocabulary,
) -> dict[str, Any] | None:
    """Evaluate on the held-out fields of the random sample, not the ranking; ``None`` if there are none.

    Parameters
    ----------
    testing, results
        The held-out fields, and the results of the model on each.
    random_sample
        Ids of the sampled fields (`Project.random_sample.fields`).
    """
    chosen = [r for field, r in zip(testing, results, strict=True) if field.field.id in random_sample]
    return compact(chosen, words)


def of_single_cells(
    fields: Sequence[AnnotatedField], results: Sequence[FieldResult], words: Vocabulary
) -> list[dict[str, Any]]:
    """Return the outcomes that are stored to show crops; see `training.evaluation.cell_outcomes.outcomes`."""
    return outcomes(
        results,
        [field.field.id for field in fields],
        groups=words.groups,
        origins=[field.origin for field in fields],
    )
