"""Metrics of proposals that were matched to ground truth (`training.evaluation.matching`); no torch.

A missing or unsure value is never a class: such a cell counts for detection only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np

from annotation_store.records import Proposal
from annotation_store.schema.reserved import UNSURE
from training.evaluation.ground_truth import TrueCell
from training.evaluation.matching import FieldResult, Ranking

MIN_CELLS_WITHIN_CLASS = 5
"""Minimum number of cells of a value to measure it within a class."""


_RECALLS = np.linspace(0, 1, 101)


def best_first(ranking: Ranking) -> tuple[np.ndarray, np.ndarray]:
    """Return scores, highest first, and hits in the same order.

    Hits of equal scores are averaged, so that the result does not depend on the order of the fields.
    """
    order = np.argsort(-ranking.scores, kind="stable")
    scores, hits = ranking.scores[order], ranking.hits[order].astype(np.float64)
    starts = np.flatnonzero(np.diff(scores, prepend=np.nan) != 0)
    if len(starts) < len(scores):
        counts = np.diff(starts, append=len(scores))
        hits = np.repeat(np.add.reduceat(hits, starts) / counts, counts)
    return scores, hits


def average_precision(ranking: Ranking) -> float:
    """Return the average precision as COCO computes it (101 recalls); NaN if there is nothing to find."""
    if not ranking.truths:
        return float("nan")
    _, hits_by_score = best_first(ranking)
    hits = np.cumsum(hits_by_score)
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / ranking.truths
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    positions = np.searchsorted(recall, _RECALLS, side="left")
    return (
        float(
            np.where(
                positions < len(precision), precision[np.minimum(positions, len(precision) - 1)], 0
            ).mean()
        )
        if len(precision)
        else 0.0
    )


def precision_recall(ranking: Ranking, threshold: float) -> tuple[float, float]:
    """Return precision (NaN without proposals) and recall of the proposals scored `threshold` or more."""
    hits = ranking.hits[ranking.scores >= threshold]
    return (
        float(hits.mean()) if len(hits) else float("nan"),
        float(hits.sum() / ranking.truths) if ranking.truths else float("nan"),
    )


def best_threshold(ranking: Ranking) -> float:
    """Return the score at which F1 is highest; 0.5 if there are no hits."""
    scores, hits_by_score = best_first(ranking)
    hits = np.cumsum(hits_by_score)
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + max(1, ranking.truths))
    return float(scores[int(f1.argmax())]) if len(f1) and f1.max() > 0 else 0.5


def macro_f1(truth: Sequence[str], predicted: Sequence[str | None]) -> float:
    """Return F1 averaged over the values in the truth; ``None`` = no prediction. NaN if empty."""
    scores = []
    for value in sorted(set(truth)):
        true_positives = sum(t == value and p == value for t, p in zip(truth, predicted, strict=True))
        total = sum(t == value for t in truth) + sum(p == value for p in predicted)
        scores.append(2 * true_positives / total)
    return float(np.mean(scores)) if scores else float("nan")


def expected_calibration_error(ranking: Ranking, bins: int = 15) -> float:
    """Return the expected calibration error over bins of equal mass; NaN if empty."""
    n = len(ranking.scores)
    if not n:
        return float("nan")
    scores, hits = best_first(ranking)
    bins = min(bins, n)
    parts = zip(np.array_split(scores, bins), np.array_split(hits, bins), strict=True)
    return float(sum(len(part) * abs(part.mean() - part_hits.mean()) for part, part_hits in parts) / n)


def merged(rankings: Iterable[Ranking]) -> Ranking:
    """Concatenate the rankings of several fields."""
    parts = list(rankings)
    if not parts:
        return Ranking(np.zeros(0), np.zeros(0, bool), 0)
    return Ranking(
        np.concatenate([r.scores for r in parts]),
        np.concatenate([r.hits for r in parts]),
        sum(r.truths for r in parts),
    )


def summarise(
    results: Sequence[FieldResult], *, attributes: Sequence[str] = (), threshold: float = 0.5
) -> dict[str, Any]:
    """Compute the metrics of fields; undefined ones are ``None``.

    Undefined are also those of the class, or of an attribute, that no proposal predicts.

    Parameters
    ----------
    attributes
        The attributes to report.
    threshold
        Confidence from which a proposal counts for precision, recall and the F1 of class and attributes.

    Returns
    -------
    dict
        ``fields``, ``cells``; ``ap50`` (white cells, class-free); ``map50`` (mean over the classes that
        occur) and ``ap50_of`` (class to number); ``precision``, ``recall`` at ``threshold``; ``acceptances``
        (`acceptance_precision`); ``best_threshold``; ``ece``; ``class_f1`` with ``class_n`` on matched cells;
        ``attribute_f1`` (mean over attributes that occur and are predicted) and ``attributes`` (name to
        ``f1``, ``f1_end_to_end``, ``accuracy``, ``n``, and the prediction beyond the class: ``look_up`` and
        ``within_class``, see `beyond_class`).
    """
    found = merged(result.found for result in results)
    names = sorted({name for result in results for name in result.classes})
    predicted = predicted_heads(results, attributes)
    ap_of_class = {
        name: average_precision(merged(r.classes[name] for r in results if name in r.classes))
        for name in (names if "class" in predicted else ())
    }
    ap_of_class = {name: value for name, value in ap_of_class.items() if np.isfinite(value)}
    precision, recall = precision_recall(found, threshold)
    confident = [(cell, p) for r in results for cell, p in r.matched if p.confidence >= threshold]
    missed = [cell for r in results for cell in r.missed]
    missed += [cell for r in results for cell, p in r.matched if p.confidence < threshold]
    class_names = set(names)
    pairs = [
        (c.cell_class, p.best_class)
        for c, p in confident
        if c.cell_class in class_names and c.cell_class is not None
    ]
    table = {name: _attribute(name, confident, missed) for name in attributes}
    for name in set(table) - predicted:
        table[name] |= dict.fromkeys(("f1", "f1_end_to_end", "accuracy", "within_class"))
    present = [row["f1"] for row in table.values() if row["f1"] is not None]
    return {
        "fields": len(results),
        "fields_with_cells": sum(result.found.truths > 0 for result in results),
        "cells": found.truths,
        "proposals": int((found.scores >= threshold).sum()),
        "threshold": threshold,
        "ap50": _number(average_precision(found)),
        "map50": _number(float(np.mean(list(ap_of_class.values()))) if ap_of_class else float("nan")),
        "ap50_of": ap_of_class,
        "precision": _number(precision),
        "recall": _number(recall),
        "written": acceptance_precision(results, threshold),
        "best_threshold": best_threshold(found),
        "ece": _number(expected_calibration_error(found)),
        "class_f1": _number(macro_f1([t for t, _ in pairs], [s for _, s in pairs]))
        if "class" in predicted
        else None,
        "class_n": len(pairs),
        "attribute_f1": _number(float(np.mean(present)) if present else float("nan")),
        "attributes": table,
    }


def predicted_heads(results: Sequence[FieldResult], attributes: Iterable[str]) -> set[str]:
    """Return ``"class"`` and the attributes that any proposal predicts; all if there are no proposals."""
    proposals = [p for r in results for p in chain((p for _, p in r.matched), r.spurious)]
    if not proposals:
        return {"class", *attributes}
    heads = {"class"} if any(p.class_probabilities for p in proposals) else set()
    return heads.union(*(p.attribute_probabilities for p in proposals))


def acceptance_precision(results: Sequence[FieldResult], threshold: float) -> dict[str, Any]:
    """Compute the precision of accepting all proposals with at least this probability.

    A proposal is judged by `Proposal.probability` and its class; without a class, it is correct if it found a
    cell. Cells whose true class is missing, unsure or a group are ignored, and so are unknown cells
    (`Proposal.is_unknown`), which must be accepted individually.

    Returns
    -------
    dict
        ``threshold``; ``right`` of ``of``; ``classes``: class to ``[right, of]``, without class under ``""``.
    """
    counts: dict[str, list[int]] = {}
    for accepted in acceptances(results):
        if accepted.probability >= threshold:
            counts_of_class = counts.setdefault(accepted.cell_class, [0, 0])
            counts_of_class[0] += accepted.right
            counts_of_class[1] += 1
    right, total = (sum(pair[i] for pair in counts.values()) for i in (0, 1))
    return {"threshold": threshold, "right": right, "of": total, "classes": counts}


class Acceptance(NamedTuple):
    """The result of accepting a proposal: its class or ``""``, its probability, whether it is correct."""

    patient: str
    cell_class: str
    probability: float
    right: bool


def acceptances(results: Iterable[FieldResult]) -> Iterator[Acceptance]:
    """Yield the result of accepting each proposal; see `acceptance_precision`."""
    for result in results:
        class_names = set(result.classes)
        for cell, p in result.matched:
            if not p.is_unknown and (p.best_class is None or cell.cell_class in class_names):
                right = p.best_class in (None, cell.cell_class)
                yield Acceptance(result.patient, p.best_class or "", p.probability, right)
        for p in result.spurious:
            if not p.is_unknown:
                yield Acceptance(result.patient, p.best_class or "", p.probability, False)


def _attribute(
    name: str, matched: Sequence[tuple[TrueCell, Proposal]], missed: Sequence[TrueCell]
) -> dict[str, Any]:
    pairs = [
        (cell.attributes[name], p.best_attributes.get(name))
        for cell, p in matched
        if cell.attributes.get(name, UNSURE) != UNSURE
    ]
    truth, predicted = [t for t, _ in pairs], [s for _, s in pairs]
    labelled = [
        (cell.cell_class, cell.attributes[name], p.best_attributes.get(name))
        for cell, p in matched
        if cell.cell_class is not None and cell.attributes.get(name, UNSURE) != UNSURE
    ]
    missed_values = [cell.attributes[name] for cell in missed if cell.attributes.get(name, UNSURE) != UNSURE]
    return {
        "f1": _number(macro_f1(truth, predicted)),
        "f1_end_to_end": _number(
            macro_f1(truth + missed_values, [*predicted, *([None] * len(missed_values))])
        ),
        "accuracy": _number(float(np.mean([t == s for t, s in pairs])) if pairs else float("nan")),
        "n": len(pairs),
        **beyond_class(labelled),
    }


def beyond_class(cells: Sequence[tuple[str, str, str | None]]) -> dict[str, float | None]:
    """Measure how well an attribute is predicted beyond what the class of the cell implies.

    Parameters
    ----------
    cells
        The true class and value of each cell, and the predicted ones.

    Returns
    -------
    dict
        ``look_up``: macro-F1 of the baseline that predicts the most common value of the true class;
        ``within_class``: balanced accuracy of the values within a class (chance: one over their number),
        averaged over the classes with at least two values of `MIN_CELLS_WITHIN_CLASS` cells. ``None`` if
        undefined.
    """
    of_class: dict[str, list[tuple[str, str | None]]] = {}
    for name, true, predicted in cells:
        of_class.setdefault(name, []).append((true, predicted))
    most_common = {}
    balanced = []
    for name, values in sorted(of_class.items()):
        counts = Counter(true for true, _ in values)
        most_common[name] = max(sorted(counts), key=counts.__getitem__)
        frequent = [value for value, n in sorted(counts.items()) if n >= MIN_CELLS_WITHIN_CLASS]
        if len(frequent) >= 2:
            recalls = [
                np.mean([predicted == true for true, predicted in values if true == value])
                for value in frequent
            ]
            balanced.append(float(np.mean(recalls)))
    return {
        "look_up": _number(
            macro_f1([true for _, true, _ in cells], [most_common[name] for name, _, _ in cells])
        ),
        "within_class": _number(float(np.mean(balanced)) if balanced else float("nan")),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def score(results: Sequence[FieldResult], attributes: Sequence[str] = ()) -> float:
    """Return one number to compare models by: the mean of AP50, class F1 and attribute F1, if defined.

    What a model does not predict counts as wrong.
    """
    numbers = summarise(results, attributes=attributes, threshold=0.25)
    parts = [] if numbers["ap50"] is None else [numbers["ap50"]]
    parts += [numbers["class_f1"] or 0.0] if numbers["class_n"] else []
    of_attributes = [row["f1"] or 0.0 for row in numbers["attributes"].values() if row["n"]]
    parts += [float(np.mean(of_attributes))] if of_attributes else []
    return float(np.mean(parts)) if parts else 0.0
