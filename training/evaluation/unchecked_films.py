"""Messages about films on which predictions were not validated; no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from training.evaluation.units import MIN_UNITS, of_units
from training.reasons import Reason

MIN_CHECKED_CELLS = 10
"""Minimum number of labelled cells of a film to count as validated: they estimate its domain shift well
(``docs/adr/0008``), and fewer may all be of one class."""

MIN_CELLS_OF_NEW_CLASSES = 40
"""The same for a model that knows its classes from so few cells that it cannot tell what is unlike them
(`training.similarity.novelty`)."""

MAX_UNCHECKED_PROBABILITY = 0.9
"""Maximum probability of a class or value on a film that was not validated."""

MIN_MEASURED_CELLS = 50
"""Minimum number of held-out labelled cells to predict sets (`evaluation.prediction_sets`)."""

_MOST_NAMED = 5
"""Maximum number of films that a sentence names."""

MIN_NARROWING = 0.2
"""Minimum share of the other values that sets exclude on average; below it they are useless."""


def can_tell_unlike(counts: Iterable[float]) -> bool:
    """Return whether a model can recognise cells unlike all of its classes (`similarity.novelty`).

    Parameters
    ----------
    counts
        Number of cells of each class that it has learned from; a class with one cell has no spread.
    """
    # the rarest twentieth of fewer cells would be one or two
    usable = [count for count in counts if count >= 2]
    return len(usable) >= 2 and sum(usable) >= MIN_CELLS_OF_NEW_CLASSES


def needed_cells(*, predicts_classes: bool, tells_unlike: bool) -> int:
    """Return the number of labelled cells of a film from which on predictions on it count as validated.

    A model that tells classes apart, but not cells unlike all of them, would be certain of such cells too: it
    needs as many cells as that takes (``docs/adr/0034``).
    """
    return MIN_CELLS_OF_NEW_CLASSES if predicts_classes and not tells_unlike else MIN_CHECKED_CELLS


def trust_reasons(result: Mapping[str, Any]) -> list[Reason]:
    """Describe the limits of the suggestions of a task.

    Parameters
    ----------
    result
        The result in its `training.protocol.Done` message.
    """
    reasons: list[Reason] = []
    if not result.get("described", True):
        return reasons  # there is no probability of a class or value
    if unlike := result.get("unlike"):
        reasons.append(unlike_reason(unlike))
    if unchecked := result.get("unchecked"):
        named = [
            _labelled(film, result["labelled"][film], result["needed"], result["not_learned"].get(film, 0))
            for film in unchecked
        ]
        reasons.append(unchecked_reason(named, result["needed"], others=bool(result["not_learned"])))
    elif "sets" in result and not result["sets"]:
        reasons.append(not_measured_reason(result.get("measured")))
    heads = (result.get("sets") or {}).get("heads", {})
    if wide := {name: head for name, head in heads.items() if narrows_nothing(head)}:
        reasons.append(wide_reason(wide))
    return reasons


def unlike_reason(films: Sequence[str]) -> Reason:
    """Describe which films differ from the training films, and what helps."""
    return Reason(
        "The film {names} looks unlike those that the model learned from: label some ordinary cells of it "
        "before you rely on its classes there",
        "The films {names} look unlike those that the model learned from: label some ordinary cells of each "
        "before you rely on its classes there",
        count=len(films),
        names=_join([Reason("{film}", film=film) for film in films], most=_MOST_NAMED),
    )


def unchecked_reason(films: Sequence[Reason], needed: int, *, others: bool) -> Reason:
    """Describe which films the model was not trained on, the effect on its probabilities, and the cure.

    Parameters
    ----------
    others
        Whether some of their cells are labelled with what the model has not learned.
    """
    names = _join(films, most=_MOST_NAMED)
    if others:
        return Reason(
            "Probabilities are not yet checked on the film {names}, and none of a class or value is above "
            "{most:.0%} there: label {needed} of its cells with what the model has learned",
            "Probabilities are not yet checked on the films {names}, and none of a class or value is above "
            "{most:.0%} there: label {needed} cells of each with what the model has learned",
            count=len(films),
            names=names,
            most=MAX_UNCHECKED_PROBABILITY,
            needed=needed,
        )
    return Reason(
        "Probabilities are not yet checked on the film {names}, and none of a class or value is above "
        "{most:.0%} there: label {needed} of its cells",
        "Probabilities are not yet checked on the films {names}, and none of a class or value is above "
        "{most:.0%} there: label {needed} cells of each",
        count=len(films),
        names=names,
        most=MAX_UNCHECKED_PROBABILITY,
        needed=needed,
    )


def no_classes_reason(labelled: Mapping[str, int]) -> Reason:
    """Explain why suggestions have no class, and what helps.

    Parameters
    ----------
    labelled
        Number of labelled cells of each class that has any.
    """
    count = sum(labelled.values())
    if not count:
        return Reason(
            "The model has not learned the classes of this project, so its suggestions have none: label some "
            "cells of each class, then renew the suggestions or train"
        )
    if len(labelled) == 1:
        return Reason(
            "The model has not learned the classes of this project, so its suggestions have none: {count} "
            "cell is labelled. Label some of another class too, then renew the suggestions or train",
            "The model has not learned the classes of this project, so its suggestions have none: {count} "
            "cells are labelled, all of one class. Label some of another class too, then renew the "
            "suggestions or train",
            count=count,
        )
    return Reason(
        "The model has not learned the classes of this project, so its suggestions have none: {count} cells "
        "are labelled, train on them",
        count=count,
    )


def later_classes_reason(count: int) -> Reason:
    """Explain why predicted again, a trained model suggests no class that was labelled since.

    Parameters
    ----------
    count
        Number of cells that are labelled with such a class.
    """
    return Reason(
        "The suggestions are now those of the trained model, which has not learned the class of {count} "
        "labelled cell: to get it suggested again, renew the suggestions or train",
        "The suggestions are now those of the trained model, which has not learned the classes of {count} "
        "labelled cells: to get them suggested again, renew the suggestions or train",
        count=count,
    )


def joined_reason(names: Sequence[str]) -> Reason:
    """Explain why a model predicts none of these classes, and what helps."""
    return Reason(
        "The model does not predict {names}, since several classes that it learned have become this class: "
        "train it again",
        "The model does not predict {names}, since several classes that it learned have become each of "
        "these: train it again",
        count=len(names),
        names=", ".join(names),
    )


def wide_reason(heads: Mapping[str, Mapping[str, Any]]) -> Reason:
    """List the classes and attributes whose sets contain nearly all values."""
    return Reason(
        "Sets narrow down hardly anything for {names}: they contain nearly all values",
        names=_join(
            [
                Reason(
                    "{name} (on average {size} of {of} values)",
                    name=Reason("the class") if name == "class" else name.replace("_", " "),
                    size=f"{head['size']:.1f}",
                    of=head["values"],
                )
                for name, head in heads.items()
            ],
            most=len(heads),
        ),
    )


def narrows_nothing(head: Mapping[str, Any]) -> bool:
    """Return whether the sets of a head (`prediction_sets.HeadSets`) contain nearly all values."""
    size, values = head.get("size"), head.get("values")
    if head.get("mass") is None or size is None or values is None or values < 2:
        return False
    return bool(values - size < MIN_NARROWING * (values - 1))


def not_measured_reason(measured: Mapping[str, Any] | None) -> Reason:
    """Explain why a model's probabilities have not been validated, and when they will be.

    Parameters
    ----------
    measured
        See `prediction_sets.Sets.summary`.
    """
    if measured is None:
        return Reason(
            "The probabilities are not yet checked on your films: this needs {needed} held-out cells",
            needed=MIN_MEASURED_CELLS,
        )
    if measured["cells"] < MIN_MEASURED_CELLS:
        return Reason(
            "The probabilities are not yet checked on your films: this needs {needed} held-out cells that "
            "the model finds and does not call unknown, and there is {count}",
            "The probabilities are not yet checked on your films: this needs {needed} held-out cells that "
            "the model finds and does not call unknown, and there are {count}",
            count=measured["cells"],
            needed=MIN_MEASURED_CELLS,
        )
    units = of_units(measured["patients"], measured["of_fields"])
    if measured["patients"] < MIN_UNITS:
        return Reason(
            "The probabilities are not yet checked on your films: the held-out cells are {units}, and "
            "{needed} are needed",
            units=units,
            needed=MIN_UNITS,
        )
    return Reason(
        "The probabilities are not yet checked on your films: the held-out cells {units} are too few, or "
        "differ too much from patient to patient",
        units=units,
    )


def _labelled(film: str, count: int, needed: int, not_learned: int) -> Reason:
    if not_learned:
        return Reason(
            "{film} ({labelled} of {needed} cells labelled, and {count} with what the model has not learned)",
            "{film} ({labelled} of {needed} cells labelled, and {count} with what the model has not learned)",
            count=not_learned,
            labelled=count,
            needed=needed,
            film=film,
        )
    return Reason(
        "{film} ({count} of {needed} cells labelled)",
        "{film} ({count} of {needed} cells labelled)",
        count=count,
        needed=needed,
        film=film,
    )


def _join(reasons: Sequence[Reason], *, most: int) -> Reason:
    """Join reasons by commas, and count those after the first `most`."""
    if left := len(reasons[most:]):
        return Reason(
            "{names} and {count} more",
            "{names} and {count} more",
            names=_join(reasons[:most], most=most),
            count=left,
        )
    if len(reasons) == 1:
        return reasons[0]
    return Reason("{first}, {last}", first=_join(reasons[:-1], most=most), last=reasons[-1])
