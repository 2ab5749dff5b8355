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
from training.agreement.project import match_project_readings
from training.evaluation.ground_truth import TrueCell

if TYPE_CHECKING:
    from annotation_store.project import Project

CLASS = "class"


@dataclass(frozen=True)
class Votes:
    """The labels of several readings for a cell.

    Attributes
    ----------
    box
        The mean of their boxes, or that of the consensus.
    shares
        ``"class"`` or an attribute's name to each value's share of the votes, the majority first. Values
        without votes are absent.
    """

    box: Box
    shares: Mapping[str, Mapping[str, float]]

    @property
    def contested(self) -> dict[str, Mapping[str, float]]:
        """The shares of the class and attributes on which the readings disagree."""
        return {name: shares for name, shares in self.shares.items() if len(shares) > 1}

    @property
    def ties(self) -> dict[str, tuple[str, ...]]:
        """The tied values, for the class and attributes without a majority."""
        tied = {
            name: tuple(value for value, share in shares.items() if share == max(shares.values()))
            for name, shares in self.shares.items()
        }
        return {name: values for name, values in tied.items() if len(values) > 1}

    def labels(self, cell: Cell) -> tuple[str | None, dict[str, str]]:
        """Return class and attributes of the cell: the majority value if there are votes, else its own."""
        first = {name: next(iter(shares)) for name, shares in self.shares.items()}
        return first.pop(CLASS, cell.cell_class), {**cell.attributes, **first}


def true_cell(cell: Cell, cell_votes: Votes | None) -> TrueCell:
    """Return a cell as ground truth: by majority vote, if there are votes."""
    if cell_votes is None:
        return TrueCell(cell.box, cell.cell_class, cell.attributes)
    return TrueCell(cell_votes.box, *cell_votes.labels(cell), cell_votes.ties)


def votes(project: Project) -> dict[int, Votes]:
    """Return the votes on the cells of the current reading that others have boxed too, by the cell's id.

    Every reading has one vote on each cell that it has boxed in its finished area; a reading without an
    annotator (a consensus) has none. Missing values, *unsure* and class groups are not votes. Labels that a
    person has changed in a consensus are final.
    """
    current, schema = project.reading.id, project.schema
    readers = {one.id for one in project.readings.all() if not one.is_consensus}
    if not readers - {current}:
        return {}
    votes_by_cell = {}
    for unit in match_project_readings(project, sorted(readers | {current})).units:
        cell = unit.cells.get(current)
        voters = [one for reading, one in unit.cells.items() if reading in readers]
        if cell is None or all(one is cell for one in voters):
            continue
        if current in readers:
            votes_by_cell[cell.id] = votes_of(unit.box, voters, schema)
        else:
            votes_by_cell[cell.id] = Votes(cell.box, _shares(voters, schema, consensus=cell))
    return votes_by_cell


def votes_of(box: Box, voters: Sequence[Cell], schema: Schema) -> Votes:
    """Return the votes of readers on one cell, as each of them boxed it; `box` is the mean of the boxes."""
    return Votes(box, _shares(voters, schema))


def _shares(
    voters: Sequence[Cell], schema: Schema, *, consensus: Cell | None = None
) -> dict[str, dict[str, float]]:
    shares = {}
    for name in (CLASS, *schema.attribute_names):
        values = [value for voter in voters if (value := _value(voter, name)) is not None]
        groups = schema if name == CLASS else None
        if consensus is not None and _value(consensus, name) != majority(values, groups):
            continue  # a person has changed it
        counts = Counter(v for v in values if v != UNSURE and not (groups is not None and groups.is_group(v)))
        if counts:
            order = sorted(counts, key=lambda value: (-counts[value], value))
            shares[name] = {value: counts[value] / counts.total() for value in order}
    return shares


def _value(cell: Cell, name: str) -> str | None:
    return cell.cell_class if name == CLASS else cell.attributes.get(name)
