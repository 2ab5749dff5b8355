"""The gate: a clustered non-inferiority test of a new model against the one in use; no torch.

Cells of one patient are correlated, so patients (fields, if the patient is unknown) are the sampling units.
The interval of the difference of the models' scores is from the delete-one-patient jackknife with Student's t
of one degree of freedom less than there are patients (Efron & Tibshirani, *An Introduction to the Bootstrap*,
1993, chapter 11; Cameron, Gelbach & Miller, *Bootstrap-based improvements for inference with clustered
errors*, 2008, show why percentile bootstraps of few clusters are too narrow).
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np

from training.evaluation.matching import FieldResult
from training.evaluation.metrics import score
from training.evaluation.patient_split import count_fields
from training.evaluation.units import MIN_UNITS, of_units
from training.reasons import Reason

MARGIN = 0.05
"""Non-inferiority margin: the new model was trained on more cells."""

LEVEL = 0.9
"""Confidence level of the interval: two one-sided tests of 5% each, as is usual for non-inferiority."""

_MAX_GROUPS = 40
"""Maximum number of jackknife groups: more patients are left out in groups, to save time."""

Verdict = Literal["not_worse", "undecided", "worse", "cannot_judge"]


@dataclass(frozen=True)
class Comparison:
    """Two models' scores on the same held-out cells: new minus old.

    Attributes
    ----------
    verdict
        ``"not_worse"``: the interval lies above -`margin`. ``"worse"``: it lies below 0, and the difference
        below -`margin`. ``"undecided"``: neither. ``"cannot_judge"``: there is no interval.
    units
        Number of patients (fields, if the patient is unknown).
    reason
        Caveats of the comparison; ``None`` if the model is shown to be not worse.
    """

    verdict: Verdict
    units: int = 0
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    margin: float = MARGIN
    level: float = LEVEL
    reason: Reason | None = None

    @property
    def worse(self) -> bool:
        """Whether the new model is significantly worse, so that the old one stays in use."""
        return self.verdict == "worse"

    def stored(self) -> dict[str, Any]:
        """Return the entry for a model's card."""
        numbers = dataclasses.asdict(self)
        return numbers | {"told": None if self.reason is None else self.reason.stored()}


def cannot_judge(reason: Reason, units: int = 0) -> Comparison:
    """Return the result for two models that cannot be compared, with the reason."""
    return Comparison("cannot_judge", units, reason=reason)


def too_few(units: Collection[str]) -> Comparison:
    """Return the result for too few patients to compare by."""
    reason = Reason(
        (
            "It could not be compared with the previous model: the measured held-out cells are "
            "{units}, and {needed} are needed"
        ),
        units=of_units(len(units), count_fields(units)),
        needed=MIN_UNITS,
    )
    return cannot_judge(reason, len(units))


def units_of(results: Sequence[FieldResult]) -> dict[str, list[int]]:
    """Return the patients (fields, if unknown) that have cells, to the indices of their results.

    A field without cells belongs to its patient; a patient without any cell is not included.
    """
    units: dict[str, list[int]] = defaultdict(list)
    for i, result in enumerate(results):
        units[result.patient].append(i)
    return {name: rows for name, rows in sorted(units.items()) if any(results[i].found.truths for i in rows)}


def compare(
    new: Sequence[FieldResult],
    old: Sequence[FieldResult],
    *,
    attributes: Sequence[str] = (),
    measure: Callable[[Sequence[FieldResult], Sequence[str]], float] = score,
) -> Comparison:
    """Compare two models on the same fields by a jackknife over patients.

    Parameters
    ----------
    new, old
        Results of the same fields in the same order.
    """
    rows_of_unit = units_of(new)
    if len(rows_of_unit) < MIN_UNITS:
        return too_few(rows_of_unit)
    units = list(rows_of_unit.values())

    def difference(rows: Sequence[int]) -> float:
        return measure([new[i] for i in rows], attributes) - measure([old[i] for i in rows], attributes)

    everything = range(len(new))
    groups = [set(chain(*units[i::_MAX_GROUPS])) for i in range(min(len(units), _MAX_GROUPS))]
    jackknife = [difference([i for i in everything if i not in omitted]) for omitted in groups]
    from scipy.stats import t  # takes a second to import

    g, full = len(groups), difference(everything)
    error = float(np.sqrt((g - 1) / g * np.sum((np.array(jackknife) - np.mean(jackknife)) ** 2)))
    half_width = float(t.ppf((1 + LEVEL) / 2, g - 1)) * error
    low, high = full - half_width, full + half_width
    verdict: Verdict = "undecided"
    if low > -MARGIN:
        verdict = "not_worse"
    elif high < 0 and full < -MARGIN:
        verdict = "worse"
    values = {"difference": f"{full:+.3f}", "low": f"{low:+.3f}", "high": f"{high:+.3f}", "level": LEVEL}
    reasons = {
        "not_worse": None,
        "worse": Reason(
            "On the held-out cells it is worse than the model in use, which stays active: {difference}, with "
            "{level:.0%} certainty between {low} and {high}",
            **values,
        ),
        "undecided": Reason(
            (
                "Cells {units} are too few to show whether it is worse than the previous model: "
                "{difference}, with {level:.0%} certainty between {low} and {high}"
            ),
            units=of_units(len(rows_of_unit), count_fields(rows_of_unit)),
            **values,
        ),
    }[verdict]
    return Comparison(verdict, len(units), full, low, high, reason=reasons)
