"""Pseudo-labels: confident predictions outside the regions as additional training cells with low weights.

They are computed once per training, after a masked stage. A predicted box becomes a pseudo-label only if the
model finds it in the field and in its mirror image, with a confidence from which at least nine in ten were
correct on cells with ground truth, and if it touches no region, ignore area, cell or rejected box. It has a
low weight in the score, a lower one in the box, and none in class and attributes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import shapely

from annotation_store.geometry import iou_matrix
from annotation_store.schema.reserved import UNSURE
from training.engine.data import LabelledCell, TrainingField
from training.evaluation.matching import FieldResult
from training.inference.predict import Pixels, calibrated, propose_raw
from training.models.model import LearnedModel

SCORE_WEIGHT = 0.5
BOX_WEIGHT = 0.1
MIN_PRECISION = 0.9
MIN_HITS = 5
"""Minimum number of correct predictions of a class to have pseudo-labels."""

_FOLDS = 5
"""Folds of the cross-validation over patients."""

_MIRROR_IOU = 0.6
"""Minimum IoU of a box with the one found in the mirror image."""

_MAX_OVERLAP = 0.2
"""Maximum IoU with a cell or a rejected box."""


def trusted_confidence(
    results: Sequence[FieldResult],
    groups: Mapping[str, Sequence[str]],
    *,
    least_precision: float = MIN_PRECISION,
    fewest: int = MIN_HITS,
) -> dict[str | None, float]:
    """Return, per predicted class, the lowest confidence from which the precision is high enough.

    A proposal is correct if it found a cell that is not known to be of another class: a missing or unsure
    class, or a group with the proposed class, does not contradict it. Classes without enough evidence are
    absent, and so are those whose precision is too low in a cross-validation over patients.

    Parameters
    ----------
    results
        Of fields with truth, from `training.inference.measure.evaluate`.
    groups
        Class group to its classes.
    """
    outcomes: dict[str | None, list[tuple[float, bool, str]]] = {}
    for result in results:
        for cell, proposal in result.matched:
            label, predicted = cell.cell_class, proposal.best_class
            is_correct = label in (None, UNSURE, predicted) or predicted in groups.get(label or "", ())
            outcomes.setdefault(predicted, []).append((proposal.confidence, is_correct, result.patient))
        for proposal in result.spurious:
            outcomes.setdefault(proposal.best_class, []).append((proposal.confidence, False, result.patient))
    fold_of = {name: i % _FOLDS for i, name in enumerate(sorted({result.patient for result in results}))}
    trusted = {}
    for name, rows in outcomes.items():
        confidence = _lowest_confidence(rows, least_precision, fewest)
        if confidence is None:
            continue
        cross_validated: list[bool] = []
        for fold in range(_FOLDS if len(fold_of) > 1 else 0):
            others = _lowest_confidence(
                [row for row in rows if fold_of[row[2]] != fold], least_precision, fewest
            )
            cross_validated += [
                row[1] for row in rows if fold_of[row[2]] == fold and row[0] >= (others or np.inf)
            ]
        if len(fold_of) < 2 or (cross_validated and np.mean(cross_validated) >= least_precision):
            trusted[name] = confidence
    return trusted


def _lowest_confidence(
    rows: Sequence[tuple[float, bool, str]], least_precision: float, fewest: int
) -> float | None:
    """Return the lowest confidence with this precision and this number of correct outcomes."""
    ordered = sorted(rows, key=lambda row: -row[0])
    hits = np.cumsum([right for _, right, _ in ordered])
    good = (hits >= fewest) & (hits / np.arange(1, len(ordered) + 1) >= least_precision)
    return ordered[int(np.flatnonzero(good)[-1])][0] if good.any() else None


def add_pseudo_labels(
    model: LearnedModel,
    fields: Sequence[TrainingField],
    trusted: Mapping[str | None, float],
    *,
    weights: tuple[float, float] = (SCORE_WEIGHT, BOX_WEIGHT),
) -> list[TrainingField]:
    """Add pseudo-labels to fields; see the module.

    Parameters
    ----------
    trusted
        As `trusted_confidence` returns it.
    weights
        Weights of a pseudo-label in the score and in the box terms of the loss.
    """
    if not trusted:
        return list(fields)
    pixels = [field.pixels for field in fields]

    def mirror(load: Pixels) -> np.ndarray:
        return np.ascontiguousarray(load()[:, ::-1])

    lowest = max(0.001, model.calibration.raw(min(trusted.values())))
    sides = [field.cell_side for field in fields]
    straight = propose_raw(model, pixels, cell_sides=sides, min_score=lowest)
    mirrored_pixels = [partial(mirror, load) for load in pixels]
    mirrored = propose_raw(model, mirrored_pixels, cell_sides=sides, min_score=lowest)
    added = []
    for field, raw, raw_mirrored in zip(fields, straight, mirrored, strict=True):
        width = field.pixels().shape[1]
        unmirrored = raw_mirrored.boxes.copy()
        unmirrored[:, 0] = width - unmirrored[:, 0] - unmirrored[:, 2]
        proposals = calibrated(model, raw)
        boxes = np.array([p.box for p in proposals]).reshape(-1, 4)
        agreed = np.any(iou_matrix(boxes, unmirrored) >= _MIRROR_IOU, axis=1)
        known = shapely.union_all([shape.geometry for shape in (*field.regions, *field.ignore)])
        occupied = np.array([*field.rejections, *(cell.box for cell in field.cells)]).reshape(-1, 4)
        free = ~np.any(iou_matrix(boxes, occupied) > _MAX_OVERLAP, axis=1)
        pseudo = [
            LabelledCell(p.box, weights=weights)
            for p, is_new in zip(proposals, np.logical_and(agreed, free), strict=True)
            if is_new
            and p.confidence >= trusted.get(p.best_class, np.inf)
            and not known.intersects(
                shapely.box(p.box[0], p.box[1], p.box[0] + p.box[2], p.box[1] + p.box[3])
            )
        ]
        added.append(dataclasses.replace(field, cells=field.cells + tuple(pseudo)))
    return added
