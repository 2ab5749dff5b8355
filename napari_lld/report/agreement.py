"""Agreement of several readings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from annotation_store import Project
from napari_lld.report.numbers import CardPart, Estimate, share, spread
from napari_lld.report.words import Words
from training.evaluation.units import of_units


@dataclass(frozen=True, slots=True)
class PairRow:
    """Two readings: whether they box the same cells."""

    names: str
    f1: Estimate
    both: int
    only: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """One question (class, or an attribute): kappa of each two readings, and over all of them.

    Attributes
    ----------
    pairs
        Names of the two, share of cells on which they say the same, Cohen's kappa.
    unsure
        How often each reading could not tell.
    """

    title: str
    pairs: Sequence[tuple[str, Estimate, Estimate]]
    fleiss: Estimate
    alpha: Estimate
    unsure: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class Agreement:
    """All of it.

    Attributes
    ----------
    missing
        Why there is nothing, as a sentence; empty if there is something.
    """

    missing: str
    readings: Sequence[str] = ()
    cells: int = 0
    patients: int = 0
    of_fields: int = 0
    pairs: Sequence[PairRow] = ()
    questions: Sequence[QuestionRow] = ()

    @property
    def units(self) -> str:
        """Of whom the cells are."""
        return of_units(self.patients, self.of_fields)


def agreement_of(project: Project, words: Words) -> Agreement:
    """Measure the agreement of the readings; see `training.agreement`."""
    readings = project.readings.all()
    if len(readings) < 2:
        return Agreement("There is only one reading, so agreement between people cannot be measured.")
    from training.agreement import agreement

    measured = agreement(project)
    if len(measured["readings"]) < 2 or not measured["cells"]:
        return Agreement(
            f"There are {len(readings)} readings, but no area yet that is finished in two of them, "
            "which is needed to measure agreement."
        )
    questions = [_question("Class", measured["class"])]
    questions += [
        _question(words.attribute(name), question) for name, question in measured["attributes"].items()
    ]
    return Agreement(
        "",
        measured["readings"],
        measured["cells"],
        measured["class"]["clusters"],
        measured["class"]["of_fields"],
        [_pair(row) for row in measured["detection"]],
        [question for question in questions if any(n.n for _, n, _ in question.pairs)],
    )


def _pair(row: Mapping[str, Any]) -> PairRow:
    n = row["both"] + sum(row["only"])
    return PairRow(
        _names(row["readings"]),
        Estimate(row["f1"], n, *spread(CardPart(row), "interval")),
        row["both"],
        list(zip(row["readings"], row["only"], strict=True)),
    )


def _question(title: str, question: Mapping[str, Any]) -> QuestionRow:
    pairs = []
    for row in question["pairs"]:
        n = row["n"]
        agreed_share = share(round((row["agreement"] or 0.0) * n), n)
        pairs.append(
            (
                _names(row["readings"]),
                agreed_share,
                Estimate(row["kappa"], n, *spread(CardPart(row), "interval")),
            )
        )
    return QuestionRow(
        title, pairs, _of(question["fleiss"]), _of(question["alpha"]), sorted(question["unsure"].items())
    )


def _of(content: Mapping[str, Any]) -> Estimate:
    part = CardPart(content)
    return Estimate(part.number("value"), part.count("n"), *spread(part, "interval"))


def _names(two: Sequence[str]) -> str:
    return " – ".join(two)
