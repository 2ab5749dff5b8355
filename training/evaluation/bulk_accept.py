"""From which probability suggestions may be accepted many at once, with a promise; no torch.

The least probability is found by fixed-sequence testing of thresholds, from the surest down, as in *Learn
then Test* (Angelopoulos, Bates, Candès, Jordan & Lei, 2021, arXiv:2110.01052): each threshold is tested only
where all surer ones passed, so that many tests promise no less than one. A threshold passes where the upper
bound of the share of wrong suggestions is within what is promised. The bound is that of Korn & Graubard
(*Survey Methodology* 24, 1998) for proportions of clustered samples: Clopper and Pearson's, exact, for as
many independent cells as the patients' cells are worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from training.evaluation.gate import MIN_UNITS, units_of
from training.evaluation.metrics import FieldResult, written
from training.evaluation.patient_split import count_fields

PROMISED = 0.05
"""Most of what is accepted at once that may be wrong."""

RISK = 0.025
"""How often a promise may rest on luck: less than 5%, since what is accepted has chance of its own."""

THRESHOLDS = (0.99, 0.97, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.4, 0.3)

LEAST_ALIKE = 0.03
"""How alike the suggestions of a patient are at least (intraclass correlation): few patients hide it."""

MIN_CELLS_OF_CLASS = 5
"""Suggestions of a class that must have been judged; and none may be wrong twice as often as promised."""


@dataclass(frozen=True)
class Bulk:
    """What may be accepted without a look at each, as a card has it.

    Attributes
    ----------
    least
        The least probability; ``None`` = nothing may.
    units, of, wrong
        Patients (fields if none is known), and their suggestions from that probability on; where nothing
        may be accepted, from that on which was tested last, 0 where there were too few to test any.
    classes
        Class to ``[right, of]`` from `least` on; ``""`` = without class.
    reserve
        Whether it stands on the fields that were drawn at random alone.
    of_fields
        How many of the units are fields.
    """

    least: float | None
    units: int
    of: int = 0
    wrong: int = 0
    classes: dict[str, list[int]] = field(default_factory=dict)
    reserve: bool = False
    promised: float = PROMISED
    of_fields: int = 0

    def stored(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def upper_bound(of: np.ndarray, wrong: np.ndarray, *, risk: float = RISK) -> float:
    """Bound the share of wrong suggestions from above, by patients.

    Parameters
    ----------
    of, wrong
        ``(patients,)``: suggestions, and how many of them were wrong.
    risk
        How often the true share may be higher.
    """
    from scipy.stats import beta, t  # takes a second to import

    of, wrong = of[of > 0].astype(np.float64), wrong[of > 0].astype(np.float64)
    units, n = len(of), float(of.sum())
    if units < MIN_UNITS:
        return 1.0
    share = float(wrong.sum()) / n
    worth = 1 + (float((of**2).sum()) / n - 1) * LEAST_ALIKE
    if 0 < share < 1:
        variance = units / (units - 1) * float(((wrong - share * of) ** 2).sum()) / n**2
        worth = max(worth, variance / (share * (1 - share) / n))
    few = (float(t.ppf(1 - risk, n - 1)) / float(t.ppf(1 - risk, units - 1))) ** 2
    effective = n / worth * few
    return float(beta.ppf(1 - risk, share * effective + 1, (1 - share) * effective)) if share < 1 else 1.0


def bulk(results: Sequence[FieldResult], drawn: Sequence[bool] | None = None) -> Bulk:
    """Find from which probability suggestions may be accepted many at once.

    Parameters
    ----------
    results
        Of held-out fields, judged with a calibration that was not fitted on them.
    drawn
        Which of the fields were drawn at random: where they are of `MIN_UNITS` patients or more, these
        alone are judged by, for the others were chosen for what they teach.
    """
    some = [r for r, by_chance in zip(results, drawn or [False] * len(results), strict=True) if by_chance]
    reserve = len(units_of(some)) >= MIN_UNITS
    some = some if reserve else list(results)
    units = units_of(some)
    if len(units) < MIN_UNITS:
        return Bulk(None, len(units), reserve=reserve, of_fields=count_fields(units))
    rows = list(written(some))
    place = {name: i for i, name in enumerate(sorted({result.patient for result in some}))}
    patient = np.array([place[row.patient] for row in rows], int)
    probability = np.array([row.probability for row in rows])
    is_wrong = np.array([not row.right for row in rows], bool)
    nothing = np.zeros(len(place))
    least: float | None = None
    of: np.ndarray = nothing
    wrong: np.ndarray = nothing
    for threshold in THRESHOLDS:
        sure = probability >= threshold
        some_of = np.bincount(patient[sure], minlength=len(place))
        if upper_bound(some_of, nothing) > PROMISED:
            continue  # too few to pass even if all were right: no test
        some_wrong = np.bincount(patient[sure & is_wrong], minlength=len(place))
        passes = upper_bound(some_of, some_wrong) <= PROMISED
        if passes or least is None:
            of, wrong = some_of, some_wrong
        if not passes:
            break
        least = threshold
    classes: dict[str, list[int]] = {}
    for row in rows:
        if least is not None and row.probability >= least:
            own = classes.setdefault(row.cell_class, [0, 0])
            own[0] += row.right
            own[1] += 1
    counts = len(units), int(of.sum()), int(wrong.sum())
    return Bulk(least, *counts, classes, reserve, of_fields=count_fields(units))


def may_be_accepted(right: int, of: int) -> bool:
    """Return whether a class with so many right suggestions may be among what is accepted at once."""
    return of >= MIN_CELLS_OF_CLASS and of - right <= 2 * PROMISED * of
