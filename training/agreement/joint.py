"""The annotations of other readings on fields where the current reading has finished nothing (ADR 0012)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from annotation_store.records import Cell, Shape
from training.agreement.matching import ReadingView, match_readings
from training.agreement.project import reading_views
from training.agreement.votes import Votes, votes, votes_of

if TYPE_CHECKING:
    from annotation_store.project import Project


@dataclass(frozen=True)
class JointField:
    """What the other readings say of a field together.

    Attributes
    ----------
    votes
        Votes by cell id, for cells boxed in several readings.
    """

    cells: tuple[Cell, ...]
    finished: tuple[Shape, ...]
    ignore: tuple[Shape, ...]
    votes: Mapping[int, Votes] = field(default_factory=dict)


def joint_fields(project: Project) -> dict[int, JointField]:
    """Return what other readings say, by id, of the fields where the current reading has finished nothing.

    A consensus, which belongs to nobody, comes first, the newest of several. Else the finished areas of all
    readers count: a cell is one that more than half of those who finished the area around it have boxed, and
    it has the id of the first reader's cell. If exactly half have, its box is an ignore area.
    """
    current = project.reading.id
    others = [reading for reading in project.readings.all() if reading.id != current]
    if not others:
        return {}
    own = {region.field_id for region in project.regions.all() if region.finished}
    joint: dict[int, JointField] = {}
    readers: dict[int, dict[int, ReadingView]] = {}
    for reading in reversed(others):
        with project.readings.within(reading.id):
            views = {i: view for i, view in reading_views(project).items() if i not in own}
            if not reading.is_consensus:
                for field_id, view in views.items():
                    readers.setdefault(field_id, {})[reading.id] = view
            elif new := views.keys() - joint.keys():
                voted = votes(project)
                joint |= {i: _alone(views[i], voted) for i in new}
    for field_id in sorted(readers.keys() - joint.keys()):
        of_field = readers[field_id]
        (only, *more) = of_field.values()
        joint[field_id] = _together(project, field_id, of_field) if more else _alone(only, {})
    return joint


def _alone(view: ReadingView, voted: Mapping[int, Votes]) -> JointField:
    of_cells = {cell.id: voted[cell.id] for cell in view.cells if cell.id in voted}
    return JointField(view.cells, view.finished, view.ignore, of_cells)


def _together(project: Project, field_id: int, views: Mapping[int, ReadingView]) -> JointField:
    cells: list[Cell] = []
    ignore = [shape for reading in sorted(views) for shape in views[reading].ignore]
    voted: dict[int, Votes] = {}
    for unit in match_readings(field_id, views, judges=1):
        voters = [unit.cells[reading] for reading in sorted(unit.cells)]
        lead = 2 * len(voters) - len(unit.judges)
        if lead > 0:
            cells.append(voters[0])
            if len(voters) > 1:
                voted[voters[0].id] = votes_of(unit.box, voters, project.schema)
        elif lead == 0:
            ignore.append(Shape(unit.box))
    finished = [shape for reading in sorted(views) for shape in views[reading].finished]
    return JointField(tuple(cells), tuple(finished), tuple(ignore), voted)
