"""A model measured and calibrated where the truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from training.calibration import Calibration, fit_platt, fit_temperature
from training.detail import describe
from training.engine.model import LearnedModel
from training.evaluate import (
    FieldResult,
    FieldTruth,
    evaluate_field,
    median_side,
    merged,
    pair,
    precision_recall,
)
from training.predict import RawProposals, calibrated


def judge(
    model: LearnedModel,
    truths: Sequence[FieldTruth],
    raws: Sequence[RawProposals],
    *,
    min_confidence: float = 0.0,
) -> list[FieldResult]:
    """Judge a model's raw proposals, calibrated, field by field."""
    median = median_side(truths)
    return [
        evaluate_field(
            truth,
            calibrated(model, raw, min_confidence=min_confidence),
            classes=model.vocabulary.classes,
            groups=model.vocabulary.groups,
            median_cell=median,
        )
        for truth, raw in zip(truths, raws, strict=True)
    ]


def measured(
    model: LearnedModel,
    truths: Sequence[FieldTruth],
    raws: Sequence[RawProposals],
    *,
    judged: Sequence[FieldResult] | None = None,
) -> dict[str, Any]:
    """Give all numbers of a model, before and after calibration; see `training.detail.describe`.

    Parameters
    ----------
    judged
        What `judge` gave for the same, where that is known already.
    """
    calibration = model.calibration
    try:
        model.calibration = Calibration()
        before = judge(model, truths, raws)
    finally:
        model.calibration = calibration
    return describe(
        judge(model, truths, raws) if judged is None else judged,
        classes=model.vocabulary.classes,
        attributes=model.vocabulary.attributes,
        uncalibrated=before,
    )


def finding_f1(
    model: LearnedModel, truths: Sequence[FieldTruth], raws: Sequence[RawProposals], threshold: float = 0.5
) -> float:
    """Give F1 of finding cells, whatever their class; 1 where there is nothing to find."""
    found = merged(result.found for result in judge(model, truths, raws))
    if not found.truths:
        return 1.0
    precision, recall = precision_recall(found, threshold)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def fit_calibration(
    model: LearnedModel,
    truths: Sequence[FieldTruth],
    raws: Sequence[RawProposals],
    *,
    note: str,
    strength: float = 4.0,
) -> Calibration:
    """Fit confidence and temperatures, leaning on the calibration the model has.

    Parameters
    ----------
    note
        What it is fitted on, kept with it.
    strength
        How firmly it leans: more where it is fitted on what was learnt from.
    """
    before = model.calibration
    median = median_side(truths) or 0.0
    scores, hits = [np.zeros(0)], [np.zeros(0, bool)]
    logits: list[list[np.ndarray]] = [[] for _ in model.vocabulary.heads]
    allowed: list[list[np.ndarray]] = [[] for _ in model.vocabulary.heads]
    for truth, raw in zip(truths, raws, strict=True):
        boxes = [(float(x), float(y), float(w), float(h)) for x, y, w, h in raw.boxes]
        rows = np.array([i for i, box in enumerate(boxes) if truth.covers(box)], int)
        pairs = pair(truth, [boxes[i] for i in rows], median)
        scores.append(raw.scores[rows[pairs.counts]])
        hits.append(pairs.hits[pairs.counts])
        for i, j in zip(rows, pairs.found, strict=True):
            if j < 0:
                continue
            cell = pairs.cells[j]  # one at the border too: what it is does not hang on where it lies
            for head, target in enumerate(model.vocabulary.targets(cell.cell_class, cell.attributes)):
                logits[head].append(raw.logits[head][i])
                allowed[head].append(target)
    slope, intercept = fit_platt(
        np.concatenate(scores),
        np.concatenate(hits),
        prior=(before.slope, before.intercept),
        strength=strength,
    )
    temperatures = dict(before.temperatures)
    for name, head_logits, head_allowed in zip(model.vocabulary.head_names, logits, allowed, strict=True):
        if np.any(head_allowed):
            temperatures[name] = fit_temperature(
                np.array(head_logits),
                np.array(head_allowed),
                prior=before.temperatures.get(name, 1.0),
                strength=strength,
            )
    return Calibration(slope, intercept, temperatures, note)
