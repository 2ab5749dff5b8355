"""How good proposals are, where the truth is known; no torch.

Truth counts where its centre lies in the evaluated area (finished regions, or a whole field, less ignore
areas). Proposals centred elsewhere are dropped *before* matching. What is centred within a quarter of its own
side of the area's border does not count, neither as hit nor as miss: the cell of an unmatched proposal may be
centred outside, and to count only the hits there would flatter precision. A missing or unsure value is never
a class: such a cell counts for its box only.

Where several readings label a cell, the value with most votes is the truth. Where votes tie, a prediction
that agrees with any of the tied values is right: the value that was predicted is then the truth, and the
first of the tied values where another one was predicted or the cell was not found. In the ranking of a
class, a cell that may be of it by tied votes is passed over unless it was predicted to be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import shapely

from annotation_store.geometry import iou_matrix
from annotation_store.records import Box, Proposal, Shape
from annotation_store.schema.reserved import UNSURE
from annotation_store.splits import field_unit

IOU = 0.5
"""A proposal finds a cell when their boxes overlap at least this much (intersection over union)."""

BORDER = 0.25
"""Width of the border over the side of a box that is centred there: few boxes that find a cell are centred
farther from the cell's own centre, and regions are small, so that a wide border would leave few cells."""

MIN_CELLS_WITHIN_CLASS = 5
"""Cells of a class that must have a value before the value is measured within the class."""

_RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class TrueCell:
    """A cell that is known to be there; see `annotation_store.records.Cell`.

    Attributes
    ----------
    ties
        Where votes of several readings tie: ``"class"`` or an attribute's name to the values with most votes,
        of which the first is `cell_class` or stands in `attributes` too.
    """

    box: Box
    cell_class: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    ties: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def settled(self, found: Proposal) -> TrueCell:
        """Return the cell as it is judged where a proposal found it: what ties is what was predicted."""
        if not self.ties:
            return self
        predicted = {"class": found.best_class, **found.best_attributes}
        right = {name: said for name, tied in self.ties.items() if (said := predicted.get(name)) in tied}
        cell_class = right.pop("class", self.cell_class)
        return replace(self, cell_class=cell_class, attributes={**self.attributes, **right})


@dataclass(frozen=True)
class FieldTruth:
    """What is known of a field.

    Attributes
    ----------
    cells
        All known cells; those centred outside the evaluated area do not count.
    inside
        The evaluated area: finished regions; ``None`` = the whole field.
    outside
        Areas taken out of it: ignore areas, or regions that were learnt from.
    patient
        The unit of splits and intervals (see `annotation_store.splits.units`); the name if none is given.
    domain
        Microscope, camera and stain, as far as they are known: see `training.networks.scale.domain_of`.
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
        """What is never parted, and resampled as one in bootstraps."""
        return self.patient or field_unit(self.name)

    def covers(self, box: Box) -> bool:
        """Return whether a box's centre lies in the evaluated area."""
        if self.inside is not None and not any(shape.contains_centre(box) for shape in self.inside):
            return False
        return not any(shape.contains_centre(box) for shape in self.outside)

    @property
    def counted(self) -> int:
        """How many of the cells count: centred in the evaluated area, and not at its border."""
        inside = [cell.box for cell in self.cells if self.covers(cell.box)]
        return int((~self.at_border(inside)).sum())

    def at_border(self, boxes: Sequence[Box]) -> np.ndarray:
        """Return, for each box ``(n,)``, whether its centre is within `BORDER` sides of the area's border.

        The edge of the field is no border: nothing is centred beyond it.
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
    """Proposals of one kind (any cell, or one class) with what they turned out to be.

    Attributes
    ----------
    scores, hits
        ``(n,)``: score, and whether it found a cell; ignored proposals are left out.
    truths
        How many cells that count there were to find.
    """

    scores: np.ndarray
    hits: np.ndarray
    truths: int


@dataclass
class FieldResult:
    """The outcome on one field, from which any summary is made; what lies at the border is in none of it.

    Attributes
    ----------
    found
        Class-free ranking.
    classes
        Class name to its ranking by ``p(cell) p(class | cell)``.
    matched
        Pairs of true cell and the proposal that found it, most confident first.
    missed
        True cells that no proposal found.
    spurious
        Proposals that found none, ignored ones aside.
    """

    patient: str
    found: Ranking
    classes: dict[str, Ranking]
    matched: list[tuple[TrueCell, Proposal]]
    missed: list[TrueCell]
    spurious: list[Proposal] = field(default_factory=list)
    domain: str = ""


def match(overlaps: np.ndarray, order: Sequence[int], ignored: np.ndarray) -> np.ndarray:
    """Match proposals to cells as COCO does: the best score chooses first, the best free overlap of `IOU`.

    Parameters
    ----------
    overlaps
        ``(proposals, cells)``.
    order
        Indices of the proposals, best first.
    ignored
        ``(cells,)`` bool: chosen only where no cell that counts is free; may be chosen again.

    Returns
    -------
    numpy.ndarray
        ``(proposals,)`` int: index of the cell, -1 = none.
    """
    taken = np.zeros(overlaps.shape[1], bool)
    result = np.full(overlaps.shape[0], -1)
    for i in order:
        for candidates in (~ignored & ~taken, ignored):
            row = np.where(candidates, overlaps[i], -1)
            if len(row) and row.max() >= IOU:
                result[i] = int(row.argmax())
                taken[result[i]] = True
                break
    return result


@dataclass(frozen=True)
class Pairing:
    """Which proposals found which cells of an evaluated area.

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
        """Whether each proposal found a cell that counts."""
        return np.array([j >= 0 and bool(self.inner[j]) for j in self.found], bool)

    @property
    def counts(self) -> np.ndarray:
        """Whether each proposal counts: it found a cell that counts, or none and is not at the border."""
        return np.asarray(self.hits | (self.found < 0) & ~self.near)


def pair(truth: FieldTruth, boxes: Sequence[Box]) -> Pairing:
    """Match boxes, the most confident first and all centred in the area, to the cells of a field."""
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
        Class group to its classes; a cell of a group is ignored for its members and none of the others.
    """
    groups = groups or {}
    kept = sorted((p for p in proposals if truth.covers(p.box)), key=lambda p: -p.confidence)
    pairs = pair(truth, [p.box for p in kept])
    confidences = np.array([p.confidence for p in kept], np.float64)
    ranking = Ranking(confidences[pairs.counts], pairs.hits[pairs.counts], int(pairs.inner.sum()))

    cells = list(pairs.cells)
    for p, j in zip(kept, pairs.found, strict=True):
        if j >= 0:
            cells[j] = pairs.cells[j].settled(p)
    by_class = {}
    for name in classes:
        scores = confidences * np.array([p.class_probabilities.get(name, 0.0) for p in kept])
        of_class = np.array([cell.cell_class == name for cell in cells], bool) & pairs.inner
        open_ = np.array([_may_be(cell, name, groups) for cell in cells], bool) & ~of_class
        open_ |= ~pairs.inner
        relevant = np.flatnonzero(of_class | open_)
        chosen = scores >= 1e-3
        order = [int(i) for i in np.argsort(-scores, kind="stable") if chosen[i]]
        hit = match(pairs.overlaps[:, relevant], order, open_[relevant])
        real = np.array([h >= 0 and bool(of_class[relevant[h]]) for h in hit], bool)
        ignore = (hit >= 0) & ~real | (hit < 0) & pairs.near
        use = chosen & ~ignore
        by_class[name] = Ranking(scores[use], real[use], int(of_class.sum()))

    matched = [(cells[j], p) for p, j, hit in zip(kept, pairs.found, pairs.hits, strict=True) if hit]
    lost = pairs.inner.copy()
    lost[pairs.found[pairs.hits]] = False
    missed = [cells[j] for j in np.flatnonzero(lost)]
    spurious = [p for p, j, counts in zip(kept, pairs.found, pairs.counts, strict=True) if counts and j < 0]
    return FieldResult(truth.unit, ranking, by_class, matched, missed, spurious, truth.domain)


def _may_be(cell: TrueCell, name: str, groups: Mapping[str, Sequence[str]]) -> bool:
    if cell.cell_class is None or cell.cell_class == UNSURE:
        return True
    return name in groups.get(cell.cell_class, ()) or name in cell.ties.get("class", ())


def best_first(ranking: Ranking) -> tuple[np.ndarray, np.ndarray]:
    """Return scores, highest first, and hits in the same order.

    Where scores are equal each hit is the mean of theirs, so that the order of the fields changes nothing.
    """
    order = np.argsort(-ranking.scores, kind="stable")
    scores, hits = ranking.scores[order], ranking.hits[order].astype(np.float64)
    new = np.flatnonzero(np.diff(scores, prepend=np.nan) != 0)
    if len(new) < len(scores):
        counts = np.diff(new, append=len(scores))
        hits = np.repeat(np.add.reduceat(hits, new) / counts, counts)
    return scores, hits


def average_precision(ranking: Ranking) -> float:
    """Return the average precision as COCO computes it (101 recalls); NaN if there is nothing to find."""
    if not ranking.truths:
        return float("nan")
    _, ordered = best_first(ranking)
    hits = np.cumsum(ordered)
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / ranking.truths
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, _RECALLS, side="left")
    return (
        float(np.where(at < len(precision), precision[np.minimum(at, len(precision) - 1)], 0).mean())
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
    """Return the score at which F1 is highest; 0.5 where nothing is found."""
    scores, ordered = best_first(ranking)
    hits = np.cumsum(ordered)
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + max(1, ranking.truths))
    return float(scores[int(f1.argmax())]) if len(f1) and f1.max() > 0 else 0.5


def macro_f1(truth: Sequence[str], predicted: Sequence[str | None]) -> float:
    """Return F1 averaged over the values in the truth; ``None`` = no prediction. NaN if empty."""
    scores = []
    for value in sorted(set(truth)):
        both = sum(t == value and s == value for t, s in zip(truth, predicted, strict=True))
        either = sum(t == value for t in truth) + sum(s == value for s in predicted)
        scores.append(2 * both / either)
    return float(np.mean(scores)) if scores else float("nan")


def expected_calibration_error(ranking: Ranking, bins: int = 15) -> float:
    """Return the mean gap between confidence and share of hits, over bins of equal mass; NaN if empty."""
    n = len(ranking.scores)
    if not n:
        return float("nan")
    scores, hits = best_first(ranking)
    bins = min(bins, n)
    parts = zip(np.array_split(scores, bins), np.array_split(hits, bins), strict=True)
    return float(sum(len(part) * abs(part.mean() - right.mean()) for part, right in parts) / n)


def merged(rankings: Iterable[Ranking]) -> Ranking:
    """Concatenate the rankings of several fields."""
    some = list(rankings)
    if not some:
        return Ranking(np.zeros(0), np.zeros(0, bool), 0)
    return Ranking(
        np.concatenate([r.scores for r in some]),
        np.concatenate([r.hits for r in some]),
        sum(r.truths for r in some),
    )


def summarise(
    results: Sequence[FieldResult], *, attributes: Sequence[str] = (), threshold: float = 0.5
) -> dict[str, Any]:
    """Sum up fields in numbers; what could not be measured is ``None``.

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
        occur) and ``ap50_of`` (class to number); ``precision``, ``recall`` at ``threshold``;
        ``written`` (`written_right`); ``best_threshold``; ``ece``; ``class_f1`` with ``class_n`` on matched
        cells; ``attribute_f1`` (mean over attributes that occur) and ``attributes`` (name to ``f1``,
        ``f1_end_to_end``, ``accuracy``, ``n``, and what an attribute says beyond the class: ``look_up`` and
        ``within_class``, see `beyond_class`).
    """
    found = merged(result.found for result in results)
    names = sorted({name for result in results for name in result.classes})
    of_class = {
        name: average_precision(merged(r.classes[name] for r in results if name in r.classes))
        for name in names
    }
    of_class = {name: value for name, value in of_class.items() if np.isfinite(value)}
    precision, recall = precision_recall(found, threshold)
    sure = [(cell, p) for r in results for cell, p in r.matched if p.confidence >= threshold]
    missed = [cell for r in results for cell in r.missed]
    missed += [cell for r in results for cell, p in r.matched if p.confidence < threshold]
    singles = set(names)
    pairs = [
        (c.cell_class, p.best_class) for c, p in sure if c.cell_class in singles and c.cell_class is not None
    ]
    table = {name: _attribute(name, sure, missed) for name in attributes}
    present = [row["f1"] for row in table.values() if row["n"]]
    return {
        "fields": len(results),
        "fields_with_cells": sum(result.found.truths > 0 for result in results),
        "cells": found.truths,
        "proposals": int((found.scores >= threshold).sum()),
        "threshold": threshold,
        "ap50": _number(average_precision(found)),
        "map50": _number(float(np.mean(list(of_class.values()))) if of_class else float("nan")),
        "ap50_of": of_class,
        "precision": _number(precision),
        "recall": _number(recall),
        "written": written_right(results, threshold),
        "best_threshold": best_threshold(found),
        "ece": _number(expected_calibration_error(found)),
        "class_f1": _number(macro_f1([t for t, _ in pairs], [s for _, s in pairs])),
        "class_n": len(pairs),
        "attribute_f1": _number(float(np.mean(present)) if present else float("nan")),
        "attributes": table,
    }


def written_right(results: Sequence[FieldResult], threshold: float) -> dict[str, Any]:
    """Count how often what accepting would write is right, of proposals at least this probable.

    What counts is `Proposal.probability` and the class written; a proposal without class is right where it
    found a cell. Cells whose own class is missing, unsure or a group judge no class and are left out, and so
    are unknown ones (`Proposal.is_unknown`), which must be accepted individually.

    Returns
    -------
    dict
        ``threshold``; ``right`` of ``of``; ``classes``: class to ``[right, of]``, without class under ``""``.
    """
    counts: dict[str, list[int]] = {}
    for one in written(results):
        if one.probability >= threshold:
            own = counts.setdefault(one.cell_class, [0, 0])
            own[0] += one.right
            own[1] += 1
    right, of = (sum(pair[i] for pair in counts.values()) for i in (0, 1))
    return {"threshold": threshold, "right": right, "of": of, "classes": counts}


class Written(NamedTuple):
    """What accepting a proposal would write: a class or ``""``, how probable it is, whether it is right."""

    patient: str
    cell_class: str
    probability: float
    right: bool


def written(results: Iterable[FieldResult]) -> Iterator[Written]:
    """Return what accepting each proposal would write; see `written_right`."""
    for result in results:
        singles = set(result.classes)
        for cell, p in result.matched:
            if not p.is_unknown and (p.best_class is None or cell.cell_class in singles):
                right = p.best_class in (None, cell.cell_class)
                yield Written(result.patient, p.best_class or "", p.probability, right)
        for p in result.spurious:
            if not p.is_unknown:
                yield Written(result.patient, p.best_class or "", p.probability, False)


def _attribute(
    name: str, matched: Sequence[tuple[TrueCell, Proposal]], missed: Sequence[TrueCell]
) -> dict[str, Any]:
    pairs = [
        (cell.attributes[name], p.best_attributes.get(name))
        for cell, p in matched
        if cell.attributes.get(name, UNSURE) != UNSURE
    ]
    truth, predicted = [t for t, _ in pairs], [s for _, s in pairs]
    known = [
        (cell.cell_class, cell.attributes[name], p.best_attributes.get(name))
        for cell, p in matched
        if cell.cell_class is not None and cell.attributes.get(name, UNSURE) != UNSURE
    ]
    lost = [cell.attributes[name] for cell in missed if cell.attributes.get(name, UNSURE) != UNSURE]
    return {
        "f1": _number(macro_f1(truth, predicted)),
        "f1_end_to_end": _number(macro_f1(truth + lost, [*predicted, *([None] * len(lost))])),
        "accuracy": _number(float(np.mean([t == s for t, s in pairs])) if pairs else float("nan")),
        "n": len(pairs),
        **beyond_class(known),
    }


def beyond_class(cells: Sequence[tuple[str, str, str | None]]) -> dict[str, float | None]:
    """Return how much of an attribute is predicted beyond what the cell's class implies.

    Parameters
    ----------
    cells
        The true class and value of each cell, and the predicted ones.

    Returns
    -------
    dict
        ``look_up``: the macro-F1 of giving each cell the commonest value of its class; ``within_class``: the
        mean recall of the values among the cells of one class (chance: one over their number), averaged over
        the classes in which two values or more have `MIN_CELLS_WITHIN_CLASS` cells. ``None`` if there are
        none.
    """
    of_class: dict[str, list[tuple[str, str | None]]] = {}
    for name, true, predicted in cells:
        of_class.setdefault(name, []).append((true, predicted))
    usual = {}
    balanced = []
    for name, some in sorted(of_class.items()):
        counts = Counter(true for true, _ in some)
        usual[name] = max(sorted(counts), key=counts.__getitem__)
        met = [value for value, n in sorted(counts.items()) if n >= MIN_CELLS_WITHIN_CLASS]
        if len(met) >= 2:
            recalls = [
                np.mean([predicted == true for true, predicted in some if true == value]) for value in met
            ]
            balanced.append(float(np.mean(recalls)))
    return {
        "look_up": _number(macro_f1([true for _, true, _ in cells], [usual[name] for name, _, _ in cells])),
        "within_class": _number(float(np.mean(balanced)) if balanced else float("nan")),
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def score(results: Sequence[FieldResult], attributes: Sequence[str] = ()) -> float:
    """Return one number to compare models by: the mean of AP50, class F1 and attribute F1 where measured."""
    numbers = summarise(results, attributes=attributes, threshold=0.25)
    parts = [numbers[key] for key in ("ap50", "class_f1", "attribute_f1") if numbers[key] is not None]
    return float(np.mean(parts)) if parts else 0.0
