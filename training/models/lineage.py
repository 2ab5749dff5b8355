"""The cells that a model and its ancestors were trained on, as stated in their cards; no torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annotation_store.records import Cell, Field
from training.evaluation.patient_split import among, known_as, listed_as_held_out

if TYPE_CHECKING:
    from annotation_store import Project

Cards = Mapping[int, tuple[Mapping[str, Any], str]]
"""A model's number to its card and its parent."""


@dataclass(frozen=True)
class _Step:
    """One model: whom it held out, whether they chose something, its last cell, its fields if listed."""

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
        Whether all of them are: the line ends at the starter or at random weights, not at a file from
        elsewhere or a model that is no longer there.
    origin
        What the line ends at, as cards name it.
    """

    project: Project
    steps: tuple[_Step, ...]
    known: bool
    origin: str

    @classmethod
    def of(cls, project: Project, model: int | str | None, cards: Cards | None = None) -> Lineage:
        """Follow a model of the project to its first parent.

        Parameters
        ----------
        model
            Its number, or what a card calls a parent; ``None`` = the starter.
        """
        if cards is None:
            cards = {one.id: (one.card, one.parent) for one in project.models.all()}
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
        """Return up to which cell of a field was learnt; ``None`` = that field never taught."""
        return max((step.last for step in self.steps if self._taught(step, field)), default=None)

    def saw(self, field: Field, cells: Iterable[Cell]) -> bool:
        """Return whether any of them learnt from a field, or from a cell that lies in it now.

        Of cards of older versions, which list no fields, one counts where a cell is as old as the model.
        """
        ids = [cell.id for cell in cells]
        return any(
            self._taught(step, field) and (step.fields is not None or any(i <= step.last for i in ids))
            for step in self.steps
        )

    def chosen_by(self, fields: Mapping[str, Iterable[Field]]) -> bool:
        """Return whether something about any of them was chosen by cells of these units, held out then."""
        names = {name for unit, some in fields.items() for field in some for name in known_as(field, unit)}
        return any(step.chosen and among(self.project, names, step.held) for step in self.steps)

    def _taught(self, step: _Step, field: Field) -> bool:
        if step.fields is not None:
            return field.id in step.fields
        return not among(self.project, known_as(field, "")[1:], step.held)


def fields_of(card: Mapping[str, Any], name: str) -> frozenset[int] | None:
    """Read which fields a card lists (``learnt_fields``, ``held_fields``); ``None`` if it does not."""
    listed = card.get(name)
    return frozenset(i for i in listed if isinstance(i, int)) if isinstance(listed, list) else None


def learnt_from(project: Project, card: Mapping[str, Any], film: str) -> int:
    """Return from how many cells of a film of the project a model has learnt, as its card has it.

    Parameters
    ----------
    film
        See `training.networks.scale.domain_of`. A film of another project is another film, whatever its name.
    """
    listed = card.get("learnt_films")
    cells = listed.get(project.pseudonyms.of_domain(film)) if isinstance(listed, dict) else None
    return cells if isinstance(cells, int) else 0


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
        by_name = bool(among(project, names, listed))
        to_measure = [field for field in fields if field.id in annotated]
        by_fields = bool(to_measure) and all(
            field.id in of_fields or among(project, known_as(field, unit), listed) for field in to_measure
        )
        if not (by_name or by_fields):
            continue
        held.add(unit)
        if to_measure:
            here = among(project, names.union(*(known_as(field, unit) for field in to_measure)), latest)
            gone -= here
            renamed += not here
    return held, max(0, len(gone) - renamed)


def _number(model: int | str | None) -> int | None:
    if isinstance(model, int):
        return model
    return int(model) if isinstance(model, str) and model.isascii() and model.isdecimal() else None
