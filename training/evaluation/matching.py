"""Match proposals to the ground truth of a field; no torch.

Proposals centred outside the evaluated area (`training.evaluation.ground_truth`) are dropped *before*
matching. In the ranking of a class, a cell that is of it by one of several tied votes is ignored unless it
was predicted to be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from annotation_store.geometry import iou_matrix
from annotation_store.records import Box, Proposal
from annotation_store.schema.reserved import UNSURE
from training.evaluation.ground_truth import FieldTruth, TrueCell

IOU = 0.5
"""Minimum IoU (intersection over union) of a proposal with the cell it finds."""


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
