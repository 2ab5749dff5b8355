"""What is told of films that look unlike those that a model learnt from; no torch."""

from __future__ import annotations

from collections.abc import Sequence

from training.ranking.reason import Reason


def unlike_reason(films: Sequence[str]) -> Reason:
    """Say which films look unlike those that the model learnt from, and what helps."""
    return Reason(
        "The film {names} looks unlike those that the model learned from: label some ordinary cells of it "
        "before you rely on its classes there",
        "The films {names} look unlike those that the model learned from: label some ordinary cells of each "
        "before you rely on its classes there",
        count=len(films),
        names=", ".join(films[:3]) + (" …" if len(films) > 3 else ""),
    )
