"""The labels of several readings for one cell, as fractions of their votes (``docs/adr/0012``)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotation_store.records import Box, Cell
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from training.agreement.consensus import majority
from training.agreement.project import read
from training.evaluation.metrics import TrueCell

if TYPE_CHECKING:
    from annotation_store.project import Project

CLASS = "class"


@dataclass(frozen=True)
class Votes:
    """The labels of several readings for a cell.

    Attributes
    ----------
    box
        The mean of their boxes; that of the consensus, where it is one.
    shares
        ``"class"`` or an attribute's name to the share of the votes that each value has, the greatest first.
        Values without a vote are absent.
    """

    box: Box
    shares: Mapping[str, Mapping[str, float]]

    @property
    def contested(self) -> dict[str, Mapping[str, float]]:
        """The shares of what the readings differ on."""
        return {name: shares for name, shares in self.shares.items() if len(shares) > 1}

    @property
    def ties(self) -> dict[str, tuple[str, ...]]:
        """The values with most votes, of what several have as many of."""
        tied = {
            name: tuple(value for value, share in shares.items() if share == max(shares.values()))
            for name, shares in self.shares.items()
        }
        return {name: values for name, values in tied.items() if len(values) > 1}

    def labels(self, cell: Cell) -> tuple[str | None, dict[str, str]]:
        """Return class and attributes of the cell: the first value of what was voted on, else its own."""
        first = {name: next(iter(shares)) for name, shares in self.shares.items()}
        return first.pop(CLASS, cell.cell_class), {**cell.attributes, **first}


def true_cell(cell: Cell, counted: Votes | None) -> TrueCell:
    """Return a cell as truth: by most votes, if there are any."""
    if counted is None:
        return TrueCell(cell.box, cell.cell_class, cell.attributes)
    return TrueCell(counted.box, *counted.labels(cell), counted.ties)


def votes(project: Project) -> dict[int, Votes]:
    """Return the votes on the cells of the current reading that others have boxed too, by the cell's id.

    Every reading has one vote on each cell that it has boxed in an area that it has finished; a reading of
    no person (a consensus) has none. Missing values, *unsure* and class groups are not votes. What a person
    has changed in a consensus stands as it is.
    """
    own, schema = project.reading.id, project.schema
    readers = {one.id for one in project.readings.all() if one.annotator}
    if not readers - {own}:
        return {}
    found = {}
    for unit in read(project, sorted(readers | {own})).units:
        cell = unit.cells.get(own)
        voters = [one for reading, one in unit.cells.items() if reading in readers]
        if cell is None or all(one is cell for one in voters):
            continue
        if own in readers:
            found[cell.id] = Votes(unit.box, _shares(voters, schema))
        else:
            found[cell.id] = Votes(cell.box, _shares(voters, schema, consensus=cell))
    return found


def _shares(
    voters: Sequence[Cell], schema: Schema, *, consensus: Cell | None = None
) -> dict[str, dict[str, float]]:
    shares = {}
    for name in (CLASS, *schema.attribute_names):
        values = [value for one in voters if (value := _value(one, name)) is not None]
        groups = schema if name == CLASS else None
        if consensus is not None and _value(consensus, name) != majority(values, groups):
            continue  # a person has decided it
        cast = Counter(v for v in values if v != UNSURE and not (groups is not None and groups.is_group(v)))
        if cast:
            order = sorted(cast, key=lambda value: (-cast[value], value))
            shares[name] = {value: cast[value] / cast.total() for value in order}
    return shares


def _value(cell: Cell, name: str) -> str | None:
    return cell.cell_class if name == CLASS else cell.attributes.get(name)
