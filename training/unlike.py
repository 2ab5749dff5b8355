"""What is told of films that look unlike those that a model learnt from; no torch."""

from __future__ import annotations

from collections.abc import Sequence


def unlike_note(films: Sequence[str]) -> str:
    """Say which films look unlike those that the model learnt from, and what helps."""
    names = ", ".join(films[:3]) + (f" and {len(films) - 3} more" if len(films) > 3 else "")
    return (
        f"This film looks unlike those that the model learnt from: {names}. Do not rely on its classes there "
        "before you have labelled some ordinary cells of it."
    )
