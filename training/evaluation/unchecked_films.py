"""Messages on how far suggestions can be relied on, per film; no torch."""

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

NARROWED = 0.2
"""Share of the values beside the true one that sets rule out on average, below which they narrow nothing."""


def trust_reasons(result: Mapping[str, Any]) -> list[Reason]:
    """Describe the limits of the suggestions that a task ended with.

    Parameters
    ----------
    result
        Of `training.protocol.Done`.
    """
    reasons = []
    if unlike := result.get("unlike"):
        reasons.append(unlike_reason(unlike))
    if unchecked := result.get("unchecked"):
        reasons.append(unchecked_reason(unchecked, result.get("labelled", {})))
    elif "sets" in result and not result["sets"]:
        reasons.append(not_measured_reason())
    heads = (result.get("sets") or {}).get("heads", {})
    if wide := {name: one for name, one in heads.items() if narrows_nothing(one)}:
        reasons.append(wide_reason(wide))
    return reasons


def unlike_reason(films: Sequence[str]) -> Reason:
    """Return which films look unlike those that the model learnt from, and what helps."""
    return Reason(
        "The film {names} looks unlike those that the model learned from: label some ordinary cells of it "
        "before you rely on its classes there",
        "The films {names} look unlike those that the model learned from: label some ordinary cells of each "
        "before you rely on its classes there",
        count=len(films),
        names=_listed(films),
    )


def unchecked_reason(films: Sequence[str], labelled: Mapping[str, int]) -> Reason:
    """Describe which films the model has not learnt from, the effect on its probabilities, and the cure."""
    return Reason(
        "Probabilities are not yet checked on the film {names}, and none of a class or value is above "
        "{most:.0%} there: label {needed} of its cells",
        "Probabilities are not yet checked on the films {names}, and none of a class or value is above "
        "{most:.0%} there: label {needed} cells of each",
        count=len(films),
        names=_joined([_labelled(film, labelled.get(film)) for film in films]),
        most=UNCHECKED_AT_MOST,
        needed=CHECKED,
    )


def wide_reason(heads: Mapping[str, Mapping[str, Any]]) -> Reason:
    """List the classes and attributes whose sets hold nearly all values."""
    return Reason(
        "Sets narrow hardly anything down for {names}: they hold nearly all values",
        names=_joined(
            [
                Reason(
                    "{name} (on average {size} of {of} values)",
                    name=Reason("the class") if name == "class" else name.replace("_", " "),
                    size=f"{one['size']:.1f}",
                    of=one["values"],
                )
                for name, one in heads.items()
            ],
            most=len(heads),
        ),
    )


def narrows_nothing(head: Mapping[str, Any]) -> bool:
    """Return whether the sets of a head (`prediction_sets.OfHead`) hold nearly all values that there are."""
    size, values = head.get("size"), head.get("values")
    if head.get("mass") is None or size is None or values is None or values < 2:
        return False
    return bool(values - size < NARROWED * (values - 1))


def not_measured_reason() -> Reason:
    """Warn that a model's probabilities have not been validated, and when they will be."""
    return Reason(
        "The probabilities are not yet checked on your films: that begins at {needed} held-out cells",
        needed=MEASURED,
    )


def _labelled(film: str, count: int | None) -> Reason:
    if count is None:
        return Reason("{film}", film=film)
    return Reason(
        "{film} ({count} of {needed} cells labelled)",
        "{film} ({count} of {needed} cells labelled)",
        count=count,
        needed=CHECKED,
        film=film,
    )


def _joined(some: Sequence[Reason], *, most: int = 3) -> Reason:
    """Join reasons by commas; what is left out is marked."""
    if len(some) > most:
        return Reason("{some} …", some=_joined(some[:most]))
    if len(some) == 1:
        return some[0]
    return Reason("{first}, {last}", first=_joined(some[:-1], most=most), last=some[-1])


def _listed(films: Sequence[str]) -> str:
    return ", ".join(films[:3]) + (" …" if len(films) > 3 else "")
