"""Metrics of proposals against ground truth; no torch.

A true cell counts if its centre lies in the evaluated area (finished regions, or a whole field, without the
ignore areas). Proposals centred elsewhere are dropped *before* matching. Boxes whose centre is within a
quarter of their own side of the area's border are ignored, neither hit nor miss: the cell of an unmatched
proposal may be centred outside, and counting only the hits there would bias precision. A missing or unsure
value is never a class: such a cell counts for detection only.

If several readings label a cell, the majority value is the truth. If votes tie, a prediction of any of the
tied values is correct: the predicted value is then the truth, and the first of the tied values if another one
was predicted or the cell was not found. In the ranking of a class, a cell that is of it by one of the tied
votes is ignored unless it was predicted to be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import shapely

from annotation_store.geometry import iou_matrix
from annotation_store.records import Box, Proposal, Shape
from annotation_store.schema.reserved import UNSURE
from annotation_store.splits import field_unit

IOU = 0.5
"""Minimum IoU (intersection over union) of a proposal with the cell it finds."""

BORDER = 0.25
"""Width of the border over the side of a box centred there: few matched boxes are centred farther from the
cell's own centre, and regions are small, so that a wide border would leave few cells."""

MIN_CELLS_WITHIN_CLASS = 5
"""Minimum number of cells of a value to measure it within a class."""

_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class TrueCell:
    """A ground-truth cell; see `annotation_store.records.Cell`.

    Attributes
    ----------
    ties
        If votes of several readings tie: ``"class"`` or an attribute's name to the tied values, the first of
        which is also `cell_class` or in `attributes`.
    """

    box: Box
    cell_class: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    ties: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def resolve_ties(self, proposal: Proposal) -> TrueCell:
        """Return the cell with ties resolved in favour of the proposal that found it."""
        if not self.ties:
            return self
        predicted = {"class": proposal.best_class, **proposal.best_attributes}
        correct = {name: value for name, tied in self.ties.items() if (value := predicted.get(name)) in tied}
        cell_class = correct.pop("class", self.cell_class)
        return replace(self, cell_class=cell_class, attributes={**self.attributes, **correct})


@dataclass(frozen=True)
class FieldTruth:
    """Ground truth of a field.

    Attributes
    ----------
    cells
        All annotated cells; those centred outside the evaluated area do not count.
    inside
        The evaluated area: finished regions; ``None`` = the whole field.
    outside
        Areas excluded from it: ignore areas, or training regions.
    patient
        The unit of splits and intervals (see `annotation_store.splits.units`); the field's name if unknown.
    domain
        Microscope, camera and stain, if known: see `training.networks.scale.domain_of`.
    """

    name: str
    width: int
    height: int
    cells: tuple[TrueCell, ...]
    inside: tuple[Shape, ...] | None = None
    outside: tuple[Shape, ...] = ()
    patient: str = ""
    domain: str = ""

    @property
    def unit(self) -> str:
        """The unit that is never split, and resampled as a whole in bootstraps."""
        return self.patient or field_unit(self.name)

    def covers(self, box: Box) -> bool:
        """Return whether a box's centre lies in the evaluated area."""
        if self.inside is not None and not any(shape.contains_centre(box) for shape in self.inside):
            return False
        return not any(shape.contains_centre(box) for shape in self.outside)

    @property
    def counted(self) -> int:
        """Number of cells that count: centred in the evaluated area, and not at its border."""
        inside = [cell.box for cell in self.cells if self.covers(cell.box)]
        return int((~self.at_border(inside)).sum())

    def at_border(self, boxes: Sequence[Box]) -> np.ndarray:
        """Return, for each box ``(n,)``, whether its centre is within `BORDER` sides of the area's border.

        The edge of the field does not count as border: nothing is centred beyond it.
        """
        if not boxes or (border := self._border()).is_empty:  # an area without boxes may have none
            return np.zeros(len(boxes), bool)
        x, y, w, h = np.array(boxes, np.float64).reshape(-1, 4).T
        distances = shapely.distance(border, shapely.points(x + w / 2, y + h / 2))
        return np.asarray(distances < BORDER * np.maximum(w, h))

    def _border(self) -> Any:
        whole = shapely.box(0, 0, self.width, self.height)
        area = whole
        if self.inside is not None:
            area = whole & shapely.union_all([shape.geometry for shape in self.inside])
        if self.outside:
            area = area - shapely.union_all([shape.geometry for shape in self.outside])
        return area.boundary - whole.boundary.buffer(1)


@dataclass
class Ranking:
    """Scores and hits of proposals (of any cell, or of one class), for ranking metrics.

    Attributes
    ----------
    scores, hits
        ``(n,)``: score, and whether it is a true positive; ignored proposals are not included.
    truths
        Number of true cells that count.
    """

    scores: np.ndarray
    hits: np.ndarray
    truths: int


@dataclass
class FieldResult:
    """Evaluation of one field, from which summaries are computed; cells at the border are not included.

    Attributes
    ----------
    found
        Ranking regardless of class.
    classes
        Class name to its ranking by ``p(cell) p(class | cell)``.
    matched
        Pairs of true cell and the proposal that found it, most confident first.
    missed
        False negatives: true cells that no proposal found.
    spurious
        False positives: proposals that found no cell, without ignored ones.
    """

    patient: str
    found: Ranking
    classes: dict[str, Ranking]
    matched: list[tuple[TrueCell, Proposal]]
    missed: list[TrueCell]
    spurious: list[Proposal] = field(default_factory=list)
    domain: str = ""


def match(overlaps: np.ndarray, order: Sequence[int], ignored: np.ndarray) -> np.ndarray:
    """Match proposals to cells greedily as COCO does: by descending score, to the free cell of highest IoU.

    Parameters
    ----------
    overlaps
        ``(proposals, cells)``.
    order
        Indices of the proposals, best first.
    ignored
        ``(cells,)`` bool: matched only if no other cell is free; may be matched again.

    Returns
    -------
    numpy.ndarray
        ``(proposals,)`` int: index of the cell, -1 = none.
    """
    matched = np.zeros(overlaps.shape[1], bool)
    result = np.full(overlaps.shape[0], -1)
    for i in order:
        for candidates in (~ignored & ~matched, ignored):
            row = np.where(candidates, overlaps[i], -1)
            if len(row) and row.max() >= IOU:
                result[i] = int(row.argmax())
                matched[result[i]] = True
                break
    return result


@dataclass(frozen=True)
class Pairing:
    """Matching of proposals to the cells of an evaluated area.

    Attributes
    ----------
    cells
        The cells centred in the area.
    inner
        ``(cells,)`` bool: not at the border, so that they count.
    overlaps
        ``(proposals, cells)``.
    found
        ``(proposals,)`` int: index of the cell, -1 = none.
    near
        ``(proposals,)`` bool: centred at the border.
    """

    cells: tuple[TrueCell, ...]
    inner: np.ndarray
    overlaps: np.ndarray
    found: np.ndarray
    near: np.ndarray

    @property
    def hits(self) -> np.ndarray:
        """Whether each proposal is matched to a cell that counts."""
        return np.array([j >= 0 and bool(self.inner[j]) for j in self.found], bool)

    @property
    def counts(self) -> np.ndarray:
        """Whether each proposal counts: matched to a cell that counts, or unmatched and not at the border."""
        return np.asarray(self.hits | (self.found < 0) & ~self.near)


def pair(truth: FieldTruth, boxes: Sequence[Box]) -> Pairing:
    """Match boxes to the cells of a field; they must be centred in the area, the most confident first."""
    cells = tuple(cell for cell in truth.cells if truth.covers(cell.box))
    inner = ~truth.at_border([cell.box for cell in cells])
    overlaps = iou_matrix(np.array(boxes), np.array([c.box for c in cells]))
    found = match(overlaps, range(len(boxes)), ~inner)
    return Pairing(cells, inner, overlaps, found, truth.at_border(boxes))


def evaluate_field(
    truth: FieldTruth,
    proposals: Sequence[Proposal],
    *,
    classes: Sequence[str] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
) -> FieldResult:
    """Evaluate the proposals on one field.

    Parameters
    ----------
    classes
        The classes to rank.
    groups
        Class group to its classes; a cell of a group is ignored for its members and counts for all others.
    """
    groups = groups or {}
    kept = sorted(
        (proposal for proposal in proposals if truth.covers(proposal.box)),
        key=lambda proposal: -proposal.confidence,
    )
    pairs = pair(truth, [proposal.box for proposal in kept])
    confidences = np.array([proposal.confidence for proposal in kept], np.float64)
    ranking = Ranking(confidences[pairs.counts], pairs.hits[pairs.counts], int(pairs.inner.sum()))

    cells = list(pairs.cells)
    for proposal, j in zip(kept, pairs.found, strict=True):
        if j >= 0:
            cells[j] = pairs.cells[j].resolve_ties(proposal)
    by_class = {}
    for name in classes:
        scores = confidences * np.array([proposal.class_probabilities.get(name, 0.0) for proposal in kept])
        is_class = np.array([cell.cell_class == name for cell in cells], bool) & pairs.inner
        ambiguous = np.array([_is_ambiguous(cell, name, groups) for cell in cells], bool) & ~is_class
        ambiguous |= ~pairs.inner
        relevant = np.flatnonzero(is_class | ambiguous)
        chosen = scores >= 1e-3
        order = [int(i) for i in np.argsort(-scores, kind="stable") if chosen[i]]
        hit = match(pairs.overlaps[:, relevant], order, ambiguous[relevant])
        hits = np.array([h >= 0 and bool(is_class[relevant[h]]) for h in hit], bool)
        ignore = (hit >= 0) & ~hits | (hit < 0) & pairs.near
        counted = chosen & ~ignore
        by_class[name] = Ranking(scores[counted], hits[counted], int(is_class.sum()))

    matched = [
        (cells[j], proposal) for proposal, j, hit in zip(kept, pairs.found, pairs.hits, strict=True) if hit
    ]
    is_missed = pairs.inner.copy()
    is_missed[pairs.found[pairs.hits]] = False
    missed = [cells[j] for j in np.flatnonzero(is_missed)]
    spurious = [
        proposal
        for proposal, j, counts in zip(kept, pairs.found, pairs.counts, strict=True)
        if counts and j < 0
    ]
    return FieldResult(truth.unit, ranking, by_class, matched, missed, spurious, truth.domain)


def _is_ambiguous(cell: TrueCell, name: str, groups: Mapping[str, Sequence[str]]) -> bool:
    if cell.cell_class is None or cell.cell_class == UNSURE:
        return True
    return name in groups.get(cell.cell_class, ()) or name in cell.ties.get("class", ())


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
