"""What is told of films that look unlike those that a model learnt from; no torch."""

from __future__ import annotations

from collections.abc import Sequence


def unlike_note(films: Sequence[str]) -> str:
    """Say which films look unlike those that the model learnt from, and what helps."""
    names = ", ".join(films[:3]) + (" …" if len(films) > 3 else "")
    film, look, of_it = ("film", "looks", "of it") if len(films) == 1 else ("films", "look", "of each")
    return (
        f"The {film} {names} {look} unlike those that the model learned from: "
        f"label some ordinary cells {of_it} before you rely on its classes there."
    )
