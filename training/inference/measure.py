"""Evaluate and calibrate models on fields with ground truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.evaluation.extra_metrics import describe
from training.evaluation.ground_truth import FieldTruth
from training.evaluation.matching import FieldResult, Ranking, evaluate_field, pair
from training.evaluation.metrics import merged, precision_recall
from training.inference.predict import RawProposals, calibrated
from training.models.calibration import Calibration, fit_platt, fit_temperature
from training.models.model import LearnedModel

FOLDS = 5
"""Folds of the cross-validation over patients."""


def evaluate(
    model: LearnedModel,
    truths: Sequence[FieldTruth],
    raws: Sequence[RawProposals],
    *,
    min_confidence: float = 0.0,
    calibrations: Sequence[Calibration] | None = None,
) -> list[FieldResult]:
    """Evaluate a model's raw proposals, calibrated, field by field.

    Parameters
    ----------
    calibrations
        Calibration of each field; ``None`` = the model's own.
    """

    def evaluate_one(truth: FieldTruth, raw: RawProposals) -> FieldResult:
        return evaluate_field(
            truth,
            calibrated(model, raw, min_confidence=min_confidence),
            classes=model.vocabulary.classes,
            groups=model.vocabulary.groups,
        )

    if calibrations is None:
        return [evaluate_one(truth, raw) for truth, raw in zip(truths, raws, strict=True)]
    original, results = model.calibration, []
    try:
        for truth, raw, model.calibration in zip(truths, raws, calibrations, strict=True):
            results.append(evaluate_one(truth, raw))
    finally:
        model.calibration = original
    return results


def cross_validate(
    model: LearnedModel,
    truths: Sequence[FieldTruth],
    raws: Sequence[RawProposals],
    *,
    prior: Calibration,
    folds: int = FOLDS,
) -> list[FieldResult]:
    """Evaluate each patient's fields with a calibration that was fitted on other patients.

    A calibration is overestimated on the cells that it was fitted on.

    Parameters
    ----------
    prior
        Prior of the fits, which must not have been fitted on any of these cells.
    """
    index = {name: i for i, name in enumerate(sorted({truth.unit for truth in truths}))}
    fold = [index[truth.unit] % folds for truth in truths]
    data = [_collect(model, truth, raw) for truth, raw in zip(truths, raws, strict=True)]
    fits = {
        k: _fit(model, [e for e, other in zip(data, fold, strict=True) if other != k], prior, 4.0, "")
        for k in set(fold)
    }
    return evaluate(model, truths, raws, calibrations=[fits[k] for k in fold])


def measure(
    model: LearnedModel,
    truths: Sequence[FieldTruth],
    raws: Sequence[RawProposals],
    *,
    results: Sequence[FieldResult] | None = None,
) -> dict[str, Any]:
    """Return all metrics of a model, before and after calibration; see `evaluation.extra_metrics.describe`.

    Parameters
    ----------
    judged
        What `evaluate` or `cross_validate` gave for the same, if that is known already.
    """
    before = evaluate(model, truths, raws, calibrations=[Calibration()] * len(truths))
    return describe(
        evaluate(model, truths, raws) if results is None else results,
        classes=model.vocabulary.classes,
        attributes=model.vocabulary.attributes,
        ordered=model.vocabulary.ordered,
        uncalibrated=before,
    )


def _detection_ranking(
    model: LearnedModel, truths: Sequence[FieldTruth], raws: Sequence[RawProposals]
) -> Ranking:
    """Return the ranking of detections, regardless of class."""
    return merged(
        evaluate_field(truth, calibrated(model, raw)).found for truth, raw in zip(truths, raws, strict=True)
    )


def detection_f1(
    model: LearnedModel, truths: Sequence[FieldTruth], raws: Sequence[RawProposals], threshold: float = 0.5
) -> float:
    """Return F1 of detection, regardless of class; 1 if there are no cells."""
    ranking = _detection_ranking(model, truths, raws)
    if not ranking.truths:
        return 1.0
    precision, recall = precision_recall(ranking, threshold)
    return 2 * precision * recall / (precision + recall) if precision + recall > 0 else 0.0


_MISSED_PROBABILITY = 0.01
"""Probability assigned to a missed cell."""


def detection_loss(model: LearnedModel, truths: Sequence[FieldTruth], raws: Sequence[RawProposals]) -> float:
    """Return the negative log-likelihood of detection per cell, with scores calibrated on the same cells.

    It ignores the class. It still distinguishes models whose average precision is 1, as on the few cells of
    small regions.
    """
    data = [_collect(model, truth, raw) for truth, raw in zip(truths, raws, strict=True)]
    scores = np.concatenate([np.zeros(0), *(item.scores for item in data)])
    hits = np.concatenate([np.zeros(0, bool), *(item.hits for item in data)])
    cells = sum(item.cells for item in data)
    prior = model.calibration
    slope, intercept = fit_platt(scores, hits, prior=(prior.slope, prior.intercept))
    p = Calibration(slope, intercept).confidence(scores).clip(_MISSED_PROBABILITY, 1 - _MISSED_PROBABILITY)
    log_likelihood = np.log(np.where(hits, p, 1 - p)).sum() + (cells - hits.sum()) * np.log(
        _MISSED_PROBABILITY
    )
    return float(-log_likelihood / max(1, cells))


def fit_calibration(
    model: LearnedModel,
    truths: Sequence[FieldTruth],
    raws: Sequence[RawProposals],
    *,
    note: str,
    strength: float = 4.0,
    prior: Calibration | None = None,
) -> Calibration:
    """Fit the calibration of a model: confidence and temperatures.

    Parameters
    ----------
    note
        Description of the cells it is fitted on, stored with it.
    strength
        Precision of the prior: higher if it is fitted on training cells.
    prior
        Mean of the prior; ``None`` = the model's calibration.
    """
    data = [_collect(model, truth, raw) for truth, raw in zip(truths, raws, strict=True)]
    return _fit(model, data, prior or model.calibration, strength, note)


@dataclass(frozen=True)
class _CalibrationData:
    """The contribution of a field to a calibration: scores with hits, logits and values per head."""

    cells: int
    scores: np.ndarray
    hits: np.ndarray
    heads: tuple[tuple[list[np.ndarray], list[np.ndarray]], ...]


def _collect(model: LearnedModel, truth: FieldTruth, raw: RawProposals) -> _CalibrationData:
    boxes = [(float(x), float(y), float(w), float(h)) for x, y, w, h in raw.boxes]
    rows = np.array([i for i, box in enumerate(boxes) if truth.covers(box)], int)
    pairs = pair(truth, [boxes[i] for i in rows])
    heads: tuple[tuple[list[np.ndarray], list[np.ndarray]], ...]
    heads = tuple(([], []) for _ in model.vocabulary.heads)
    for i, j in zip(rows, pairs.found, strict=True):
        if j < 0:
            continue
        cell = pairs.cells[j]  # also at the border: its class does not depend on its position
        targets = model.vocabulary.targets(cell.cell_class, cell.attributes)
        for name, tied in cell.ties.items():  # any of them is correct
            if name in (names := model.vocabulary.head_names):
                head = names.index(name)
                targets[head] = np.isin(model.vocabulary.heads[head], tied)
        for (logits, allowed), of_head, target in zip(heads, raw.logits, targets, strict=True):
            logits.append(of_head[i])
            allowed.append(target)
    return _CalibrationData(
        int(pairs.inner.sum()), raw.scores[rows[pairs.counts]], pairs.hits[pairs.counts], heads
    )


def _fit(
    model: LearnedModel, data: Sequence[_CalibrationData], prior: Calibration, strength: float, note: str
) -> Calibration:
    slope, intercept = fit_platt(
        np.concatenate([np.zeros(0), *(item.scores for item in data)]),
        np.concatenate([np.zeros(0, bool), *(item.hits for item in data)]),
        prior=(prior.slope, prior.intercept),
        strength=strength,
    )
    temperatures = dict(prior.temperatures)
    for i, name in enumerate(model.vocabulary.head_names):
        logits = [row for item in data for row in item.heads[i][0]]
        allowed = [row for item in data for row in item.heads[i][1]]
        if np.any(allowed):
            temperatures[name] = fit_temperature(
                np.array(logits),
                np.array(allowed),
                prior=prior.temperatures.get(name, 1.0),
                strength=strength,
            )
    return Calibration(slope, intercept, temperatures, note)
