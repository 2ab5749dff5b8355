"""Sets of values among which the true one is at 95%, by held-out cells, patients taken as wholes; no torch.

A set takes the most probable values until their probabilities add up to a mass. The mass is 95%, or more
where that would hold the true value of fewer held-out cells: split-conformal prediction (Angelopoulos &
Bates, *A Gentle Introduction to Conformal Prediction*, 2021, arXiv:2107.07511), with the mass that is needed
up to the true value as score (Romano, Sesia & Candès 2020, arXiv:2006.02544). The probabilities of classes
are those among the taught ones (`training.evaluation.open_set`), for a set holds no other. They must come
from a calibration that was fitted on other patients (`training.inference.measure.cross_fitted`).

Cells of one patient are alike, and the next cell is of another patient. So every patient weighs the same,
however many cells it has (Dunn, Wasserman & Ramdas, *Distribution-Free Prediction Sets for Two-Layer
Hierarchical Models*, 2022, arXiv:1809.07441, pooled distribution functions), and the room for the cell to
come, which is 1 / (n + 1) of n independent cells, is that of as many as the patients' cells are worth: by how
alike they are at least, and by how far the shares of missed cells differ from patient to patient. Where they
are worth less than 19 cells, nothing is claimed, for 95% of so few is all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from annotation_store.records import Proposal
from annotation_store.schema.reserved import UNSURE
from training.evaluation.bulk_accept import LEAST_ALIKE
from training.evaluation.gate import MIN_UNITS
from training.evaluation.metrics import FieldResult
from training.evaluation.open_set import among_taught
from training.evaluation.patient_split import count_fields
from training.evaluation.unchecked_films import MEASURED

LEVEL = 0.95
FOLDS = 5
"""Parts of the patients, of which each is judged by the mass that the others need."""

_SLACK = 1e-9


@dataclass(frozen=True)
class OfHead:
    """What is known of the sets of the class, or of an attribute.

    Attributes
    ----------
    mass
        What the probabilities of a set add up to at least; ``None`` = no set is claimed.
    cells, patients, of_fields
        Held-out cells with a label, their patients (fields if none is known), and how many of these are
        fields; ``None`` if an older version did not count them.
    coverage, size
        Share of these cells whose set holds the true value, and how many values a set has, on average:
        each patient's by the mass that the others need. ``None`` if too few allow it.
    values
        How many values there are to choose from; ``None`` if an older version did not count them.
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
    """What a model claims of sets: ``"class"`` or an attribute's name to how."""

    heads: Mapping[str, OfHead] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Return whether it claims any."""
        return any(one.mass is not None for one in self.heads.values())

    def claimed(self, proposal: Proposal) -> dict[str, tuple[str, ...]]:
        """Return the sets of a proposal: none of an unknown cell, nor of a film where nothing was checked."""
        if proposal.is_unknown or proposal.unchecked:
            return {}
        return {
            name: members(predicted, one.mass)
            for name, one in self.heads.items()
            if one.mass is not None and (predicted := _said(proposal, name))
        }

    def summary(self) -> dict[str, Any] | None:
        """Return `to_dict` for users; ``None`` if no set is claimed."""
        return self.to_dict() if self else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, for a model's card."""
        return {"level": LEVEL, "heads": {name: asdict(one) for name, one in self.heads.items()}}

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any] | None) -> Sets:
        """Read what `to_dict` wrote; a card from before there were sets claims none."""
        return cls({str(name): OfHead(**one) for name, one in (numbers or {}).get("heads", {}).items()})


def members(probabilities: Mapping[str, float], mass: float) -> tuple[str, ...]:
    """Return the most probable values whose probabilities add up to a mass; one at least."""
    taken: list[str] = []
    total = 0.0
    for name, p in _ranked(probabilities):
        if taken and total >= mass:
            break
        taken.append(name)
        total += p
    return tuple(taken)


def needed(probabilities: Mapping[str, float], true: str) -> float:
    """Return the mass beyond which a set holds the true value; infinite where that was never taught."""
    total = 0.0
    for name, p in _ranked(probabilities):
        if name == true:
            return total
        total += p
    return math.inf


def fit_sets(results: Sequence[FieldResult], attributes: Sequence[str], *, least: float) -> Sets:
    """Fit the sets of a model.

    Parameters
    ----------
    results
        Of held-out fields, each judged with a calibration that was fitted on other patients.
    attributes
        The model's.
    least
        Confidence from which a proposal is shown.
    """
    heads = {}
    for name in ("class", *attributes):
        rows = list(_rows(results, name, least))
        patients = np.array([patient for patient, _, _ in rows])
        scores = np.array([needed(predicted, true) for _, predicted, true in rows])
        names = set(patients.tolist())
        units = len(names)
        mass = mass_for(scores, patients) if len(rows) >= MEASURED and units >= MIN_UNITS else None
        if rows:
            judged = _judged(rows, scores, patients, mass)
            values = max(len(predicted) for _, predicted, _ in rows)
            heads[name] = OfHead(mass, len(rows), units, *judged, count_fields(names), values)
    return Sets(heads)


def mass_for(scores: np.ndarray, patients: np.ndarray) -> float | None:
    """Return the mass that the sets need; ``None`` if no mass is enough.

    Parameters
    ----------
    scores
        ``(n,)``: the mass needed for each cell.
    patients
        ``(n,)``: whose cell it is.
    """
    if not len(scores):
        return None
    _, of, counts = np.unique(patients, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum((1 / (len(counts) * counts[of]))[order])

    def quantile(level: float) -> float:
        place = int(np.searchsorted(reached, level - _SLACK))
        return float(scores[order[place]]) if place < len(scores) else math.inf

    worth = _worth(scores > quantile(LEVEL), of, counts)
    score = quantile(LEVEL * (1 + 1 / worth))
    return max(LEVEL, float(np.nextafter(score, 2))) if math.isfinite(score) else None


def _worth(missed: np.ndarray, of: np.ndarray, counts: np.ndarray) -> float:
    """Return how many independent cells the patients' cells are worth, each patient weighing the same."""
    patients = len(counts)
    worth = patients**2 / float(((1 + (counts - 1) * LEAST_ALIKE) / counts).sum())
    shares = np.bincount(of, missed, patients) / counts
    share = float(shares.mean())
    variance = float(shares.var(ddof=1)) / patients if patients > 1 else 0.0
    return min(worth, share * (1 - share) / variance) if variance > 0 else worth


_Row = tuple[str, Mapping[str, float], str]


def _rows(results: Sequence[FieldResult], name: str, least: float) -> Iterator[_Row]:
    """Return patient, probabilities and true value of found cells, those that claim no sets left out."""
    for result in results:
        for cell, p in result.matched:
            if p.confidence < least or p.is_unknown or p.unchecked:
                continue
            true = cell.cell_class if name == "class" else cell.attributes.get(name)
            predicted = _said(p, name)
            if (
                true is None
                or true == UNSURE
                or not predicted
                or (name == "class" and true not in result.classes)
            ):
                continue  # a class group is not a class: whether a set holds the class is not known
            yield result.patient, predicted, true


def _judged(
    rows: Sequence[_Row], scores: np.ndarray, patients: np.ndarray, mass: float | None
) -> tuple[float | None, float | None]:
    """Return coverage and mean size, each patient's by the mass that the others need."""
    if mass is None:
        return None, None
    _, of = np.unique(patients, return_inverse=True)
    covered: list[bool] = []
    sizes: list[int] = []
    for fold in range(FOLDS):
        own = of % FOLDS == fold
        others = mass_for(scores[~own], patients[~own])
        if others is not None:
            covered += (scores[own] < others).tolist()
            sizes += [len(members(rows[i][1], others)) for i in np.flatnonzero(own).tolist()]
    return (float(np.mean(covered)), float(np.mean(sizes))) if covered else (None, None)


def _said(proposal: Proposal, name: str) -> Mapping[str, float]:
    if name == "class":
        return among_taught(proposal.class_probabilities, proposal.novelty)
    return proposal.attribute_probabilities.get(name, {})


def _ranked(probabilities: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(probabilities.items(), key=lambda item: -item[1])
