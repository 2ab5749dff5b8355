"""Probability threshold for accepting suggestions in bulk, with a guaranteed error rate; no torch.

The threshold is found by fixed-sequence testing from the highest down, as in *Learn then Test* (Angelopoulos,
Bates, Candès, Jordan & Lei, 2021, arXiv:2110.01052): each threshold is tested only if all higher ones passed,
which controls the family-wise error. A threshold passes if the upper bound of the error rate is within the
limit. The bound is that of Korn & Graubard (*Survey Methodology* 24, 1998) for proportions of clustered
samples: Clopper and Pearson's with the effective sample size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from training.evaluation.gate import units_of
from training.evaluation.matching import FieldResult
from training.evaluation.metrics import acceptances
from training.evaluation.patient_split import count_fields
from training.evaluation.units import MIN_UNITS

MAX_ERROR_RATE = 0.05
"""Maximum error rate of suggestions accepted in bulk."""

RISK = 0.025
"""Probability that the guarantee does not hold: below 5%, since the accepted cells vary as well."""

THRESHOLDS = (0.99, 0.97, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.4, 0.3)

MIN_INTRACLASS_CORRELATION = 0.03
"""Minimum intraclass correlation of a patient's suggestions: few patients cannot show it."""

MIN_CELLS_OF_CLASS = 5
"""Minimum number of evaluated suggestions of a class; its error rate may be twice the limit at most."""


@dataclass(frozen=True)
class Bulk:
    """Result of the calibration of bulk acceptance, as stored in a card.

    Attributes
    ----------
    least
        The threshold; ``None`` = nothing may be accepted in bulk.
    units, of, wrong
        Number of patients (fields, if unknown), of their suggestions from the threshold on, and of wrong
        ones; without a threshold, at the last one tested, 0 if there were too few to test any.
    classes
        Class to ``[right, of]`` from `least` on; ``""`` = without class.
    reserve
        Whether only randomly sampled fields were used.
    of_fields
        Number of units that are fields.
    """

    least: float | None
    units: int
    of: int = 0
    wrong: int = 0
    classes: dict[str, list[int]] = field(default_factory=dict)
    reserve: bool = False
    promised: float = MAX_ERROR_RATE
    of_fields: int = 0

    def stored(self) -> dict[str, Any]:
        """Return a JSON-serialisable dict."""
        return asdict(self)


def upper_bound(n: np.ndarray, wrong: np.ndarray, *, risk: float = RISK) -> float:
    """Return an upper confidence bound of the error rate, clustered by patients.

    Parameters
    ----------
    n, wrong
        ``(patients,)``: number of suggestions, and of wrong ones.
    risk
        Probability that the true error rate is higher.
    """
    from scipy.stats import beta, t  # takes a second to import

    n, wrong = n[n > 0].astype(np.float64), wrong[n > 0].astype(np.float64)
    units, total = len(n), float(n.sum())
    if units < MIN_UNITS:
        return 1.0
    share = float(wrong.sum()) / total
    design_effect = 1 + (float((n**2).sum()) / total - 1) * MIN_INTRACLASS_CORRELATION
    if 0 < share < 1:
        variance = units / (units - 1) * float(((wrong - share * n) ** 2).sum()) / total**2
        design_effect = max(design_effect, variance / (share * (1 - share) / total))
    t_ratio = (float(t.ppf(1 - risk, total - 1)) / float(t.ppf(1 - risk, units - 1))) ** 2
    effective = total / design_effect * t_ratio
    return float(beta.ppf(1 - risk, share * effective + 1, (1 - share) * effective)) if share < 1 else 1.0


def fit_bulk(results: Sequence[FieldResult], random_sample: Sequence[bool] | None = None) -> Bulk:
    """Find the probability threshold for accepting suggestions in bulk.

    Parameters
    ----------
    results
        Of held-out fields, with a calibration that was not fitted on them.
    random_sample
        Which of the fields were sampled at random: if they are of at least `MIN_UNITS` patients, only these
        are used, since the others were selected by active learning.
    """
    selected = [
        r for r, is_random in zip(results, random_sample or [False] * len(results), strict=True) if is_random
    ]
    reserve = len(units_of(selected)) >= MIN_UNITS
    selected = selected if reserve else list(results)
    units = units_of(selected)
    if len(units) < MIN_UNITS:
        return Bulk(None, len(units), reserve=reserve, of_fields=count_fields(units))
    rows = list(acceptances(selected))
    index = {name: i for i, name in enumerate(sorted({result.patient for result in selected}))}
    patient = np.array([index[row.patient] for row in rows], int)
    probability = np.array([row.probability for row in rows])
    is_wrong = np.array([not row.right for row in rows], bool)
    no_errors = np.zeros(len(index))
    least: float | None = None
    counts: np.ndarray = no_errors
    wrong: np.ndarray = no_errors
    for threshold in THRESHOLDS:
        confident = probability >= threshold
        n = np.bincount(patient[confident], minlength=len(index))
        if upper_bound(n, no_errors) > MAX_ERROR_RATE:
            continue  # too few to pass even if all were right: no test
        n_wrong = np.bincount(patient[confident & is_wrong], minlength=len(index))
        passes = upper_bound(n, n_wrong) <= MAX_ERROR_RATE
        if passes or least is None:
            counts, wrong = n, n_wrong
        if not passes:
            break
        least = threshold
    classes: dict[str, list[int]] = {}
    for row in rows:
        if least is not None and row.probability >= least:
            counts_of_class = classes.setdefault(row.cell_class, [0, 0])
            counts_of_class[0] += row.right
            counts_of_class[1] += 1
    totals = len(units), int(counts.sum()), int(wrong.sum())
    return Bulk(least, *totals, classes, reserve, of_fields=count_fields(units))


def may_be_accepted(right: int, n: int) -> bool:
    """Return whether suggestions of a class may be accepted in bulk, given its evaluation."""
    return n >= MIN_CELLS_OF_CLASS and n - right <= 2 * MAX_ERROR_RATE * n
