"""Which patients are kept out of training, to measure models on."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from annotation_store.records import Field

if TYPE_CHECKING:
    from annotation_store import Project

FEWEST_CELLS = 30
"""With fewer cells than this all are needed for learning, and nothing is held out."""


_FIELD = "field:"


def field_unit(name: str) -> str:
    """Name a field that stands for itself, because its patient is not known."""
    return f"{_FIELD}{name}"


def count_fields(units: Iterable[str]) -> int:
    """Count the fields that stand for themselves."""
    return sum(unit.startswith(_FIELD) for unit in units)


def unit_of(field: Field) -> str:
    """Name whom the split never cuts in two: the patient, or the field where none is known."""
    return field.patient or field_unit(field.content_hash or field.name)


def held_out_key(project: Project, unit: str) -> str:
    """Return what stands for a patient or field in a model's card, which travels with the weights."""
    return project.pseudonym(f"held out: {unit}")


def listed_as_held_out(cards: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return what the cards of models list as held out: keyed hashes; in older cards, names."""
    listed = (card.get("held_out") for card in cards)
    return frozenset(one for some in listed if isinstance(some, list) for one in some if isinstance(one, str))


def is_held_out(project: Project, unit: str, listed: Collection[str]) -> bool:
    """Whether a patient (a field where none is known) is among what cards list."""
    return bool(listed) and (unit in listed or held_out_key(project, unit) in listed)


FEWEST_OF_CLASS = 3
"""Cells of a class that are left for learning: of a class with fewer, none is held out."""


def held_out(
    cells: Mapping[str, Sequence[str | None]],
    share: float,
    *,
    already: Collection[str] = (),
    learnt: Collection[str] = (),
) -> set[str]:
    """Choose the patients (fields where no patient is known) to hold out.

    Parameters
    ----------
    cells
        Patient to the classes of the annotated cells in finished regions, ``None`` where there is no class.
    share
        Share of the cells to hold out, 0 to 1.
    already
        Held out before: once in, always in.
    learnt
        Whom the model that is trained on from has learnt from: to hold them out now would measure nothing.

    Returns
    -------
    set
        Patients, in the order of a hash of their names until the share is reached; at least one patient
        with cells is left for learning, and of each class `FEWEST_OF_CLASS` cells. No new ones where there
        are fewer than `FEWEST_CELLS` cells.
    """
    total = sum(len(some) for some in cells.values())
    chosen = (
        {patient for patient in already if patient in cells and patient not in learnt} if share > 0 else set()
    )
    if share <= 0 or total < FEWEST_CELLS:
        return chosen
    held = sum(len(cells[patient]) for patient in chosen)
    left = Counter(name for patient, some in cells.items() if patient not in chosen for name in some)
    for patient in sorted(cells, key=lambda name: hashlib.sha256(name.encode()).hexdigest()):
        if held >= share * total:
            break
        if patient in chosen or patient in learnt or not cells[patient]:
            continue
        if not any(some for other, some in cells.items() if other not in chosen and other != patient):
            break
        own = Counter(cells[patient])
        if any(name is not None and left[name] - n < FEWEST_OF_CLASS for name, n in own.items()):
            continue
        chosen.add(patient)
        held += len(cells[patient])
        left -= own
    return chosen
