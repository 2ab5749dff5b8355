"""What a project knows, as training and evaluation take it; no torch until the engine gets a field."""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from annotation_store.errors import LLDError
from annotation_store.records import Box, Cell, Field, IgnoreArea, Region, Shape
from annotation_store.splits import units_of_fields
from training.agreement.votes import Votes, true_cell, votes
from training.evaluation.metrics import FieldTruth
from training.models.lineage import still_held_out
from training.networks.scale import CellSides, domain_of

if TYPE_CHECKING:
    from annotation_store.project import Project
    from training.engine.data import TrainingField


class NothingToLearnError(LLDError):
    """A project has no finished region, or no cell."""


@dataclass(frozen=True)
class AnnotatedField:
    """A field with the annotations of the current reading, and the votes of others on its cells.

    Attributes
    ----------
    patient
        The unit of splits and intervals: see `annotation_store.splits.units`.
    cell_side
        Median side of a white cell in the field's pixels, where the project knows it.
    votes
        By the cell's id, of those that several readings have boxed.
    """

    field: Field
    patient: str
    cells: tuple[Cell, ...]
    finished: tuple[Shape, ...]
    ignore: tuple[Shape, ...]
    rejections: tuple[Box, ...]
    cell_side: float | None = None
    votes: Mapping[int, Votes] = dataclasses.field(default_factory=dict)

    @property
    def teaches(self) -> bool:
        """Whether there is anything to learn here."""
        return bool(self.cells or self.finished or self.rejections)

    def cells_in_regions(self) -> list[Cell]:
        """Return the cells centred in a finished region."""
        return [c for c in self.cells if any(shape.contains_centre(c.box) for shape in self.finished)]

    def training_field(self, project: Project) -> TrainingField:
        """Return the field as the engine reads it."""
        from training.engine.data import LabelledCell, TrainingField  # torch: not before it is needed

        return TrainingField(
            name=self.field.name,
            pixels=partial(project.pixels.read, self.field.id),
            cells=tuple(
                LabelledCell(cell.box, cell.cell_class, cell.attributes)
                if (voted := self.votes.get(cell.id)) is None
                else LabelledCell(voted.box, *voted.labels(cell), shares=voted.contested)
                for cell in self.cells
            ),
            regions=self.finished,
            ignore=self.ignore,
            rejections=self.rejections,
            patient=self.patient,
            cell_side=self.cell_side,
        )

    def truth(self) -> FieldTruth:
        """Return the finished regions as truth."""
        return FieldTruth(
            self.field.name,
            self.field.width,
            self.field.height,
            tuple(true_cell(cell, self.votes.get(cell.id)) for cell in self.cells),
            inside=self.finished,
            outside=self.ignore,
            patient=self.patient,
            domain=domain_of(self.field),
        )

    @property
    def classes(self) -> set[str | None]:
        """Every class that a reading gives one of the cells."""
        voted = {name for votes in self.votes.values() for name in votes.shares.get("class", ())}
        return voted | {cell.cell_class for cell in self.cells}


def knowledge(project: Project) -> list[AnnotatedField]:
    """Read the whole project's knowledge in a fixed number of statements for each reading.

    Where the cells are, and what is finished, the current reading says; what the cells are is put to the vote
    of all readings (`training.agreement.votes`).

    Whole slides are left out: they are gigapixels, and their areas are fields of their own
    (`Project.fields.add_area`).
    """
    cells = _by_field(project.cells.all())
    regions = _by_field(project.regions.all())
    ignore = _by_field(project.ignore_areas.all())
    rejected = project.suggestions.rejected_boxes()
    voted = votes(project)
    every = project.fields.all()
    units = units_of_fields(every)
    fields = [field for field in every if not field.is_slide]
    sides = CellSides.learn((f, [max(c.box[2:]) for c in cells.get(f.id, ())]) for f in fields)
    known = []
    for field in fields:
        own: list[Region] = regions.get(field.id, [])
        areas: list[IgnoreArea] = ignore.get(field.id, [])
        known.append(
            AnnotatedField(
                field,
                units[field.id],
                tuple(cells.get(field.id, ())),
                tuple(r.shape for r in own if r.finished),
                tuple(a.shape for a in areas),
                tuple(rejected.get(field.id, ())),
                sides.on(field),
                {cell.id: voted[cell.id] for cell in cells.get(field.id, ()) if cell.id in voted},
            )
        )
    return known


def fields_by_unit(known: Iterable[AnnotatedField]) -> dict[str, list[Field]]:
    """Return the fields of every unit (see `annotation_store.splits.units`)."""
    fields: dict[str, list[Field]] = defaultdict(list)
    for one in known:
        fields[one.patient].append(one.field)
    return fields


def held_before(project: Project, known: Sequence[AnnotatedField]) -> tuple[set[str], int]:
    """Find the units that earlier models held out, and count those gone; see `still_held_out`."""
    annotated = {one.field.id for one in known if one.cells_in_regions()}
    return still_held_out(project, fields_by_unit(known), annotated, [m.card for m in project.models.all()])


def unannotated(
    known: Sequence[AnnotatedField], held: Collection[str], *, most: int, seed: int
) -> list[AnnotatedField]:
    """Choose fields without annotations to train on: none skipped, none of a held-out patient.

    Parameters
    ----------
    held
        The held-out patients.
    most
        How many at most: if there are more, chance chooses.
    """
    some = [k for k in known if not (k.teaches or k.field.skipped or k.patient in held)]
    return sorted(random.Random(seed).sample(some, min(most, len(some))), key=lambda k: k.field.id)


def refuse_without_labels(known: list[AnnotatedField]) -> None:
    """Raise `NothingToLearnError` with the cure if there is nothing to learn from."""
    if not known:
        raise NothingToLearnError("The project has no fields yet (whole slides aside). Add some first.")
    if not any(k.finished for k in known):
        raise NothingToLearnError(
            "There is no finished region to learn from. Draw a region around an area, box every white cell "
            "in it, and mark it finished."
        )
    if not any(k.cells for k in known):
        raise NothingToLearnError(
            "There is no cell to learn from. Box the white cells of at least one finished region."
        )


def _by_field(rows: Any) -> dict[int, list[Any]]:
    result: dict[int, list[Any]] = defaultdict(list)
    for row in rows:
        result[row.field_id].append(row)
    return result
