"""Which units (`annotation_store.splits`) are kept out of training, to measure models on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from annotation_store.records import Field
from annotation_store.splits import stands_for_itself

if TYPE_CHECKING:
    from annotation_store import Project

MIN_CELLS = 30
"""With fewer cells than this all are needed for learning, and nothing is held out."""


def count_fields(units: Iterable[str]) -> int:
    """Count the units whose patient is not known: slides and fields that stand for themselves."""
    return sum(map(stands_for_itself, units))


def known_as(field: Field, unit: str) -> tuple[str, str]:
    """Return what cards call the unit that a field belongs to: its name, and its name in older cards.

    Cards of versions before `annotation_store.splits.units` name the patient, or the field's content.
    """
    return unit, field.patient or f"field:{field.content_hash or field.name}"


def held_out_key(project: Project, unit: str) -> str:
    """Return the pseudonym of a unit in a model's card, which is stored with the weights."""
    return project.pseudonyms.of(f"held out: {unit}")


def listed_as_held_out(cards: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return what the cards of models list as held out: keyed hashes; in older cards, names."""
    listed = (card.get("held_out") for card in cards)
    return frozenset(one for some in listed if isinstance(some, list) for one in some if isinstance(one, str))


def among(project: Project, names: Iterable[str], listed: Collection[str]) -> set[str]:
    """Return the card entries of these names."""
    if not listed:
        return set()
    return {entry for name in names for entry in (name, held_out_key(project, name)) if entry in listed}


MIN_CELLS_OF_CLASS = 3
"""Cells of a class that are left for learning: of a class with fewer, none is held out."""


def held_out(
    cells: Mapping[str, Sequence[str | None]],
    share: float,
    *,
    already: Collection[str] = (),
    learnt: Collection[str] = (),
) -> set[str]:
    """Choose the units (see `annotation_store.splits.units`) to hold out.

    Parameters
    ----------
    cells
        Unit to the classes of the annotated cells in finished regions, ``None`` if there is no class.
    share
        Share of the cells to hold out, 0 to 1.
    already
        Held out before: once in, always in.
    learnt
        Whom the model that is trained on from has learnt from: to hold them out now would measure nothing.

    Returns
    -------
    set
        Units, in the order of a hash of their names until the share is reached; at least one unit
        with cells is left for learning, and of each class `MIN_CELLS_OF_CLASS` cells. No new ones where there
        are fewer than `MIN_CELLS` cells.
    """
    total = sum(len(some) for some in cells.values())
    chosen = {unit for unit in already if unit in cells and unit not in learnt} if share > 0 else set()
    if share <= 0 or total < MIN_CELLS:
        return chosen
    held = sum(len(cells[unit]) for unit in chosen)
    left = Counter(name for unit, some in cells.items() if unit not in chosen for name in some)
    for unit in sorted(cells, key=lambda name: hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()):
        if held >= share * total:
            break
        if unit in chosen or unit in learnt or not cells[unit]:
            continue
        if not any(some for other, some in cells.items() if other not in chosen and other != unit):
            break
        own = Counter(cells[unit])
        if any(name is not None and left[name] - n < MIN_CELLS_OF_CLASS for name, n in own.items()):
            continue
        chosen.add(unit)
        held += len(cells[unit])
        left -= own
    return chosen
