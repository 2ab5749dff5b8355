"""What is told of how far suggestions can be relied on, film by film; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.reasons import Reason

CHECKED = 10
"""Labelled cells of a film from which on what is said of it counts as checked: so many move it for good
(``docs/adr/0008``), and fewer may all be of one class."""

UNCHECKED_AT_MOST = 0.9
"""On a film where nothing was checked no class or value is stated as more probable than this."""

MEASURED = 50
"""Held-out labelled cells from which on sets of values are claimed (`evaluation.prediction_sets`)."""


def trust_reasons(result: Mapping[str, Any]) -> list[Reason]:
    """Say what people should know of the suggestions that a task ended with.

    Parameters
    ----------
    result
        Of `training.protocol.Done`.
    """
    told = []
    if unlike := result.get("unlike"):
        told.append(unlike_reason(unlike))
    if unchecked := result.get("unchecked"):
        told.append(unchecked_reason(unchecked))
    elif "sets" in result and not result["sets"]:
        told.append(not_measured_reason())
    return told


def unlike_reason(films: Sequence[str]) -> Reason:
    """Say which films look unlike those that the model learnt from, and what helps."""
    return Reason(
        "The film {names} looks unlike those that the model learned from: label some ordinary cells of it "
        "before you rely on its classes there",
        "The films {names} look unlike those that the model learned from: label some ordinary cells of each "
        "before you rely on its classes there",
        count=len(films),
        names=_listed(films),
    )


def unchecked_reason(films: Sequence[str]) -> Reason:
    """Say which films the model has not learnt from, what that does to its probabilities, and what helps."""
    return Reason(
        "Probabilities are not yet checked on the film {names}, and none of a class or value is above "
        "{most:.0%} there: label {needed} of its cells",
        "Probabilities are not yet checked on the films {names}, and none of a class or value is above "
        "{most:.0%} there: label {needed} cells of each",
        count=len(films),
        names=_listed(films),
        most=UNCHECKED_AT_MOST,
        needed=CHECKED,
    )


def not_measured_reason() -> Reason:
    """Say that nobody knows yet how far a model's probabilities hold, and when that is known."""
    return Reason(
        "The probabilities are not yet checked on your films: that begins at {needed} held-out cells",
        needed=MEASURED,
    )


def _listed(films: Sequence[str]) -> str:
    return ", ".join(films[:3]) + (" …" if len(films) > 3 else "")
