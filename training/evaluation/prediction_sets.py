"""Conformal prediction sets with 95% coverage, calibrated on held-out cells clustered by patient; no torch.

A set consists of the most probable values until their probabilities sum to a mass. The mass is 95%, or more
if the coverage on held-out cells requires it: split-conformal prediction (Angelopoulos & Bates, *A Gentle
Introduction to Conformal Prediction*, 2021, arXiv:2107.07511), with the cumulative probability before the
true value as conformal score (Romano, Sesia & Candès 2020, arXiv:2006.02544). The class probabilities are
those given a taught class (`training.evaluation.open_set`), since a set contains no other. They must come
from a calibration that was fitted on other patients (`training.inference.measure.cross_validate`).

Cells of one patient are correlated, and the next cell is of another patient. So every patient has the same
weight, however many cells it has (Dunn, Wasserman & Ramdas, *Distribution-Free Prediction Sets for Two-Layer
Hierarchical Models*, 2022, arXiv:1809.07441, pooled distribution functions), and the finite-sample
correction, 1 / (n + 1) for n independent cells, uses the effective sample size: from the minimum intraclass
correlation, and from the variance of the miscoverage between patients. With fewer than 19 effective cells
there is no set.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from annotation_store.records import Proposal
from annotation_store.schema.reserved import UNSURE
from training.evaluation.bulk_accept import MIN_INTRACLASS_CORRELATION
from training.evaluation.matching import FieldResult
from training.evaluation.open_set import given_taught
from training.evaluation.patient_split import count_fields
from training.evaluation.unchecked_films import MIN_MEASURED_CELLS
from training.evaluation.units import MIN_UNITS

LEVEL = 0.95
FOLDS = 5
"""Folds of the cross-validation over patients."""

_EPSILON = 1e-9


@dataclass(frozen=True)
class HeadSets:
    """Prediction sets of one head: the class, or an attribute.

    Attributes
    ----------
    mass
        Minimum sum of the probabilities of a set; ``None`` = no sets.
    cells, patients, of_fields
        Number of held-out cells with a label, of their patients (fields, if unknown), and of those that are
        fields; ``None`` if an older version did not count them.
    coverage, size
        Cross-validated coverage and mean number of values of a set. ``None`` if there are too few cells.
    values
        Number of values of the head; ``None`` if an older version did not count them.
    """

    mass: float | None = None
    cells: int = 0
    patients: int = 0
    coverage: float | None = None
    size: float | None = None
    of_fields: int | None = None
    values: int | None = None


@dataclass(frozen=True)
class Sets:
    """Prediction sets of a model, by head: ``"class"`` or the name of an attribute."""

    heads: Mapping[str, HeadSets] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Return whether any head has sets."""
        return any(head.mass is not None for head in self.heads.values())

    def predict(self, proposal: Proposal) -> dict[str, tuple[str, ...]]:
        """Return the sets of a proposal: none for an unknown cell, or on a film that was not validated."""
        if proposal.is_unknown or proposal.unchecked:
            return {}
        return {
            name: prediction_set(predicted, head.mass)
            for name, head in self.heads.items()
            if head.mass is not None and (predicted := _predicted(proposal, name))
        }

    def summary(self) -> dict[str, Any]:
        """Return the entries in the result of a task.

        Returns
        -------
        dict
            ``sets``: `to_dict`, ``None`` if no head has sets. ``measured``: on how many cells they were, or
            could not be, calibrated, of how many patients (and fields, if unknown); ``None`` if on none.
        """
        largest = max(self.heads.values(), key=lambda head: head.cells, default=None)
        measured = largest and {name: getattr(largest, name) for name in ("cells", "patients", "of_fields")}
        return {"sets": self.to_dict() if self else None, "measured": measured}

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict, for a model's card."""
        return {"level": LEVEL, "heads": {name: asdict(head) for name, head in self.heads.items()}}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any] | None) -> Sets:
        """Read what `to_dict` wrote; older cards have no sets."""
        return cls({str(name): HeadSets(**head) for name, head in (numbers or {}).get("heads", {}).items()})


def prediction_set(probabilities: Mapping[str, float], mass: float) -> tuple[str, ...]:
    """Return the most probable values whose probabilities sum to a mass, at least one."""
    values: list[str] = []
    total = 0.0
    for name, p in _ranked(probabilities):
        if values and total >= mass:
            break
        values.append(name)
        total += p
    return tuple(values)


def conformal_score(probabilities: Mapping[str, float], true: str) -> float:
    """Return the mass above which a set contains the true value; infinite if it was never taught."""
    total = 0.0
    for name, p in _ranked(probabilities):
        if name == true:
            return total
        total += p
    return math.inf


def fit_sets(results: Sequence[FieldResult], attributes: Sequence[str], *, min_confidence: float) -> Sets:
    """Calibrate the prediction sets of a model.

    Parameters
    ----------
    results
        Of held-out fields, each with a calibration that was fitted on other patients.
    attributes
        The model's.
    min_confidence
        Confidence from which a proposal is shown.
    """
    heads = {}
    for name in ("class", *attributes):
        rows = list(_rows(results, name, min_confidence))
        patients = np.array([patient for patient, _, _ in rows])
        scores = np.array([conformal_score(predicted, true) for _, predicted, true in rows])
        names = set(patients.tolist())
        units = len(names)
        mass = mass_for(scores, patients) if len(rows) >= MIN_MEASURED_CELLS and units >= MIN_UNITS else None
        if rows:
            coverage_and_size = _cross_validate(rows, scores, patients, mass)
            values = max(len(predicted) for _, predicted, _ in rows)
            heads[name] = HeadSets(mass, len(rows), units, *coverage_and_size, count_fields(names), values)
    return Sets(heads)


def mass_for(scores: np.ndarray, patients: np.ndarray) -> float | None:
    """Return the mass for 95% coverage; ``None`` if no mass is enough.

    Parameters
    ----------
    scores
        ``(n,)``: the conformal score of each cell.
    patients
        ``(n,)``: the patient of each.
    """
    if not len(scores):
        return None
    _, patient_index, counts = np.unique(patients, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    cumulative = np.cumsum((1 / (len(counts) * counts[patient_index]))[order])

    def quantile(level: float) -> float:
        position = int(np.searchsorted(cumulative, level - _EPSILON))
        return float(scores[order[position]]) if position < len(scores) else math.inf

    effective = _effective_cells(scores > quantile(LEVEL), patient_index, counts)
    score = quantile(LEVEL * (1 + 1 / effective))
    return max(LEVEL, float(np.nextafter(score, 2))) if math.isfinite(score) else None


def _effective_cells(missed: np.ndarray, patient_index: np.ndarray, counts: np.ndarray) -> float:
    """Return the effective number of independent cells, each patient having the same weight."""
    patients = len(counts)
    effective = patients**2 / float(((1 + (counts - 1) * MIN_INTRACLASS_CORRELATION) / counts).sum())
    shares = np.bincount(patient_index, missed, patients) / counts
    share = float(shares.mean())
    variance = float(shares.var(ddof=1)) / patients if patients > 1 else 0.0
    return min(effective, share * (1 - share) / variance) if variance > 0 else effective


_Row = tuple[str, Mapping[str, float], str]


def _rows(results: Sequence[FieldResult], name: str, min_confidence: float) -> Iterator[_Row]:
    """Yield patient, probabilities and true value of the found cells that have sets."""
    for result in results:
        for cell, p in result.matched:
            if p.confidence < min_confidence or p.is_unknown or p.unchecked:
                continue
            true = cell.cell_class if name == "class" else cell.attributes.get(name)
            predicted = _predicted(p, name)
            if (
                true is None
                or true == UNSURE
                or not predicted
                or (name == "class" and true not in result.classes)
            ):
                continue  # a class group is not a class: whether a set contains the class is unknown
            yield result.patient, predicted, true


def _cross_validate(
    rows: Sequence[_Row], scores: np.ndarray, patients: np.ndarray, mass: float | None
) -> tuple[float | None, float | None]:
    """Return coverage and mean size, cross-validated over patients."""
    if mass is None:
        return None, None
    _, patient_index = np.unique(patients, return_inverse=True)
    covered: list[bool] = []
    sizes: list[int] = []
    for fold in range(FOLDS):
        test = patient_index % FOLDS == fold
        mass_of_others = mass_for(scores[~test], patients[~test])
        if mass_of_others is not None:
            covered += (scores[test] < mass_of_others).tolist()
            sizes += [len(prediction_set(rows[i][1], mass_of_others)) for i in np.flatnonzero(test).tolist()]
    return (float(np.mean(covered)), float(np.mean(sizes))) if covered else (None, None)


def _predicted(proposal: Proposal, name: str) -> Mapping[str, float]:
    if name == "class":
        return given_taught(proposal.class_probabilities, proposal.novelty)
    return proposal.attribute_probabilities.get(name, {})


def _ranked(probabilities: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(probabilities.items(), key=lambda item: -item[1])
