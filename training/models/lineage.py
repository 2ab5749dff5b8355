"""The cells that a model and its ancestors were trained on, as stated in their cards; no torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annotation_store.records import Cell, Field
from training.evaluation.patient_split import card_names, listed_as_held_out, listed_entries

if TYPE_CHECKING:
    import numpy as np

    from annotation_store import Project
    from training.networks.vocabulary import Vocabulary

Cards = Mapping[int, tuple[Mapping[str, Any], str]]
"""A model's number to its card and its parent."""


@dataclass(frozen=True)
class _Step:
    """One model: held-out units, whether they selected anything, last training cell, training fields."""

    held: frozenset[str]
    last: float
    fields: frozenset[int] | None
    chosen: bool


@dataclass(frozen=True)
class Lineage:
    """A model and those it was made from.

    Attributes
    ----------
    known
        Whether the lineage is complete: it begins at the starter or at random weights, not at a foreign file
        or a deleted model.
    origin
        What the lineage begins at, as named in cards.
    """

    project: Project
    steps: tuple[_Step, ...]
    known: bool
    origin: str

    @classmethod
    def of(cls, project: Project, model: int | str | None, cards: Cards | None = None) -> Lineage:
        """Trace a model of the project back to its first ancestor.

        Parameters
        ----------
        model
            Its number, or the name of a parent in a card; ``None`` = the starter.
        """
        if cards is None:
            cards = {row.id: (row.card, row.parent) for row in project.models.all()}
        steps: list[_Step] = []
        while (number := _number(model)) is not None and number in cards and len(steps) <= len(cards):
            card, model = cards[number]
            last = card.get("last_cell")
            steps.append(
                _Step(
                    listed_as_held_out([card]),
                    last if isinstance(last, int) else math.inf,
                    fields_of(card, "learnt_fields"),
                    card.get("chosen") is True,
                )
            )
        origin = "starter" if model is None else str(model)
        return cls(project, tuple(steps), origin in ("starter", "scratch"), origin)

    def learnt(self, field: Field) -> float | None:
        """Return the id of the last training cell of a field; ``None`` = no model was trained on it."""
        return max((step.last for step in self.steps if self._taught(step, field)), default=None)

    def saw(self, field: Field, cells: Iterable[Cell]) -> bool:
        """Return whether any of them was trained on a field, or on a cell that lies in it now.

        Cards of older versions list no fields: their models count if a cell is as old as the model.
        """
        ids = [cell.id for cell in cells]
        return any(
            self._taught(step, field) and (step.fields is not None or any(i <= step.last for i in ids))
            for step in self.steps
        )

    def chosen_by(self, fields: Mapping[str, Iterable[Field]]) -> bool:
        """Return whether anything about these models was selected on held-out cells of these units."""
        names = {
            name
            for unit, unit_fields in fields.items()
            for field in unit_fields
            for name in card_names(field, unit)
        }
        return any(step.chosen and listed_entries(self.project, names, step.held) for step in self.steps)

    def _taught(self, step: _Step, field: Field) -> bool:
        if step.fields is not None:
            return field.id in step.fields
        return not listed_entries(self.project, card_names(field, "")[1:], step.held)


def fields_of(card: Mapping[str, Any], name: str) -> frozenset[int] | None:
    """Read the fields that a card lists (``learnt_fields``, ``held_fields``); ``None`` if it lists none."""
    listed = card.get(name)
    return frozenset(i for i in listed if isinstance(i, int)) if isinstance(listed, list) else None


def learnt_from(project: Project, card: Mapping[str, Any], film: str) -> int:
    """Return the number of cells of a film that a model was trained on, according to its card.

    Parameters
    ----------
    film
        See `training.networks.scale.domain_of`. A film of another project is another film, whatever its name.
    """
    listed = card.get("learnt_films")
    cells = listed.get(project.pseudonyms.of_domain(film)) if isinstance(listed, dict) else None
    return cells if isinstance(cells, int) else 0


def count_labelled(
    project: Project,
    card: Mapping[str, Any],
    film: str,
    cells: Iterable[Cell],
    vocabulary: Vocabulary,
    trained: Sequence[np.ndarray | None],
) -> int:
    """Count the labelled cells of a film: of the reading, or of the training data if there are more.

    Parameters
    ----------
    cells
        Those of the reading on the film.
    vocabulary, trained
        Of the model, and which values it was trained on (`training.networks.vocabulary.trained_values`): only
        cells labelled with one of these count.
    """
    return max(count_taught(cells, vocabulary, trained)[0], learnt_from(project, card, film))


def count_taught(
    cells: Iterable[Cell], vocabulary: Vocabulary, trained: Sequence[np.ndarray | None]
) -> tuple[int, int]:
    """Count the cells labelled with a value that a model was trained on, and those with others only."""
    known = other = 0
    for cell in cells:
        targets = vocabulary.targets(cell.cell_class, cell.attributes)
        if any(
            of_head is not None and bool((of_head & target).any())
            for of_head, target in zip(trained, targets, strict=True)
        ):
            known += 1
        else:
            other += any(bool(target.any()) for target in targets)
    return known, other


def still_held_out(
    project: Project,
    units: Mapping[str, Sequence[Field]],
    annotated: Collection[int],
    cards: Iterable[Mapping[str, Any]],
) -> tuple[set[str], int]:
    """Find the units that earlier models held out, and count those gone.

    A unit that has another name now, or is a slide whose fields were held out one by one, is known by its
    fields: all of them were held out.

    Parameters
    ----------
    units
        Every unit to its fields.
    annotated
        Ids of the fields that have cells in finished regions.
    cards
        Of all models, oldest first.

    Returns
    -------
    tuple
        The units, and how many that the last model held out are no longer here.
    """
    known = list(cards)
    listed = listed_as_held_out(known)
    of_fields = frozenset[int]().union(*(fields_of(card, "held_fields") or () for card in known))
    latest = listed_as_held_out(known[-1:])
    held: set[str] = set()
    gone, renamed = set(latest), 0
    for unit, fields in units.items():
        names = {unit, *(field.patient for field in fields if field.patient)}
        by_name = bool(listed_entries(project, names, listed))
        to_measure = [field for field in fields if field.id in annotated]
        by_fields = bool(to_measure) and all(
            field.id in of_fields or listed_entries(project, card_names(field, unit), listed)
            for field in to_measure
        )
        if not (by_name or by_fields):
            continue
        held.add(unit)
        if to_measure:
            here = listed_entries(
                project, names.union(*(card_names(field, unit) for field in to_measure)), latest
            )
            gone -= here
            renamed += not here
    return held, max(0, len(gone) - renamed)


def _number(model: int | str | None) -> int | None:
    if isinstance(model, int):
        return model
    return int(model) if isinstance(model, str) and model.isascii() and model.isdecimal() else None
