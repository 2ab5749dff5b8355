"""Split units (`annotation_store.splits`) into training and held-out ones."""

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
"""With fewer cells, all are used for training and none are held out."""


def count_fields(units: Iterable[str]) -> int:
    """Count the units with unknown patient: slides and fields that are units themselves."""
    return sum(map(stands_for_itself, units))


def card_names(field: Field, unit: str) -> tuple[str, str]:
    """Return the names of a field's unit in cards: its name, and its name in older cards.

    Cards of versions before `annotation_store.splits.units` name the patient, or the field's content.
    """
    return unit, field.patient or f"field:{field.content_hash or field.name}"


def held_out_key(project: Project, unit: str) -> str:
    """Return the pseudonym of a unit in a model's card, which is stored with the weights."""
    return project.pseudonyms.of(f"held out: {unit}")


def listed_as_held_out(cards: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return the held-out units that cards list: keyed hashes; in older cards, names."""
    listed = (card.get("held_out") for card in cards)
    return frozenset(
        entry
        for entries in listed
        if isinstance(entries, list)
        for entry in entries
        if isinstance(entry, str)
    )


def listed_entries(project: Project, names: Iterable[str], listed: Collection[str]) -> set[str]:
    """Return the entries of cards that stand for these names."""
    if not listed:
        return set()
    return {entry for name in names for entry in (name, held_out_key(project, name)) if entry in listed}


MIN_CELLS_OF_CLASS = 3
"""Minimum number of training cells of a class: none is held out of a class with fewer."""


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
        Units that were held out before: they remain held out.
    learnt
        Training units of the parent model, which cannot be held out.

    Returns
    -------
    set
        Units, in the order of a hash of their names until the share is reached; at least one unit
        with cells and `MIN_CELLS_OF_CLASS` cells of each class remain for training. No new ones if there are
        fewer than `MIN_CELLS` cells.
    """
    total = sum(len(classes) for classes in cells.values())
    chosen = {unit for unit in already if unit in cells and unit not in learnt} if share > 0 else set()
    if share <= 0 or total < MIN_CELLS:
        return chosen
    n_held = sum(len(cells[unit]) for unit in chosen)
    remaining = Counter(name for unit, classes in cells.items() if unit not in chosen for name in classes)
    for unit in sorted(cells, key=lambda name: hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()):
        if n_held >= share * total:
            break
        if unit in chosen or unit in learnt or not cells[unit]:
            continue
        if not any(classes for other, classes in cells.items() if other not in chosen and other != unit):
            break
        counts = Counter(cells[unit])
        if any(name is not None and remaining[name] - n < MIN_CELLS_OF_CLASS for name, n in counts.items()):
            continue
        chosen.add(unit)
        n_held += len(cells[unit])
        remaining -= counts
    return chosen
