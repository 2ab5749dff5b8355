"""A project's annotations as input of training and evaluation; imports torch late."""

from __future__ import annotations

import dataclasses
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation_store.errors import ImageError, LLDError
from annotation_store.records import Box, Cell, Field, IgnoreArea, Region, Shape
from annotation_store.splits import units_of_fields
from training.agreement.joint import JointField, joint_fields
from training.agreement.votes import Votes, true_cell, votes
from training.evaluation.ground_truth import FieldTruth
from training.inference.sources import StoredField, is_readable
from training.models.lineage import still_held_out
from training.networks.scale import CellSides, domain_of
from training.reasons import Reason
from training.worker.slide_windows import windows

if TYPE_CHECKING:
    from annotation_store.project import Project
    from training.engine.data import TrainingField


class NothingToLearnError(LLDError):
    """A project has no finished region, or no cell."""


@dataclass(frozen=True)
class AnnotatedField:
    """A field with its annotations, and the votes of several readings on its cells.

    Each annotated window of a whole slide is one (`training.worker.slide_windows`). Boxes and areas are in
    pixels of the field, or of the slide; `training_field` and `truth` are in pixels of the window.

    Attributes
    ----------
    patient
        The unit of splits and intervals: see `annotation_store.splits.units`.
    cell_side
        Median side of a white cell in the field's pixels, if known.
    votes
        Votes by cell id, for cells boxed in several readings.
    window
        The window of the slide; ``None`` = the whole field.
    """

    field: Field
    patient: str
    cells: tuple[Cell, ...]
    finished: tuple[Shape, ...]
    ignore: tuple[Shape, ...]
    rejections: tuple[Box, ...]
    cell_side: float | None = None
    votes: Mapping[int, Votes] = dataclasses.field(default_factory=dict)
    window: Box | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the field or window."""
        if self.window is None:
            return self.field.width, self.field.height
        return int(self.window[2]), int(self.window[3])

    @property
    def origin(self) -> tuple[float, float]:
        """Upper left corner of the window, in pixels of the field."""
        return (0.0, 0.0) if self.window is None else self.window[:2]

    def on_field(self, box: Box) -> Box:
        """Convert a box from pixels of the window to pixels of the field."""
        return _shift_box(box, *self.origin)

    def pixels(self, project: Project) -> Callable[[], np.ndarray]:
        """Return a function that reads the pixels, ``(height, width, 3)`` uint8."""
        if self.window is None:
            return StoredField(project.path, self.field.id)
        return partial(project.pixels.read_area, self.field.id, self.window)

    @property
    def teaches(self) -> bool:
        """Whether there is anything to train on."""
        return bool(self.cells or self.finished or self.rejections)

    def cells_in_regions(self) -> list[Cell]:
        """Return the cells centred in a finished region."""
        return [c for c in self.cells if any(shape.contains_centre(c.box) for shape in self.finished)]

    def training_field(self, project: Project) -> TrainingField:
        """Return the field as the engine reads it."""
        from training.engine.data import LabelledCell, TrainingField  # imports torch

        return TrainingField(
            name=self.field.name,
            pixels=self.pixels(project),
            cells=tuple(
                LabelledCell(self._shown(cell.box), cell.cell_class, cell.attributes)
                if (voted := self.votes.get(cell.id)) is None
                else LabelledCell(self._shown(voted.box), *voted.labels(cell), shares=voted.contested)
                for cell in self.cells
            ),
            regions=self._shapes(self.finished),
            ignore=self._shapes(self.ignore),
            rejections=tuple(map(self._shown, self.rejections)),
            patient=self.patient,
            cell_side=self.cell_side,
        )

    def truth(self) -> FieldTruth:
        """Return the ground truth in the finished regions."""
        cells = [true_cell(cell, self.votes.get(cell.id)) for cell in self.cells]
        return FieldTruth(
            self.field.name,
            *self.size,
            tuple(dataclasses.replace(cell, box=self._shown(cell.box)) for cell in cells),
            inside=self._shapes(self.finished),
            outside=self._shapes(self.ignore),
            patient=self.patient,
            domain=domain_of(self.field),
        )

    def _shown(self, box: Box) -> Box:
        x, y = self.origin
        return box if self.window is None else _shift_box(box, -x, -y)

    def _shapes(self, shapes: Sequence[Shape]) -> tuple[Shape, ...]:
        if self.window is None:
            return tuple(shapes)
        x, y = self.origin
        return tuple(_shift_shape(shape, -x, -y) for shape in shapes)

    @property
    def classes(self) -> set[str | None]:
        """All classes that any reading gives to its cells."""
        voted = {name for votes in self.votes.values() for name in votes.shares.get("class", ())}
        return voted | {cell.cell_class for cell in self.cells}


def annotated_fields(project: Project, *, own: bool = False) -> list[AnnotatedField]:
    """Read the annotations of all fields in a fixed number of SQL statements for each reading.

    Boxes and finished regions are those of the current reading, and on fields where it has finished nothing,
    those of the other readings (`training.agreement.joint`); labels are by vote of all readings
    (`training.agreement.votes`). A whole slide is represented by its annotated windows.

    Parameters
    ----------
    own
        Whether boxes and regions are of the current reading only, as for suggestions: areas that only others
        have finished are unknown in it.
    """
    cells = _by_field(project.cells.all())
    regions = _by_field(project.regions.all())
    ignore = _by_field(project.ignore_areas.all())
    rejected = project.suggestions.rejected_boxes()
    voted = votes(project)
    joint = joint_fields(project)
    all_fields = project.fields.all()
    units = units_of_fields(all_fields)
    cell_sides_of = _cell_sides(cells, joint)
    sides = CellSides.learn((f, cell_sides_of[f.id]) for f in all_fields)
    known = []
    for field in all_fields:
        own_regions: list[Region] = regions.get(field.id, [])
        areas: list[IgnoreArea] = ignore.get(field.id, [])
        annotated = AnnotatedField(
            field,
            units[field.id],
            tuple(cells.get(field.id, ())),
            tuple(r.shape for r in own_regions if r.finished),
            tuple(a.shape for a in areas),
            tuple(rejected.get(field.id, ())),
            sides.on_slide(field, cell_sides_of[field.id]) if field.is_slide else sides.on(field),
            {cell.id: voted[cell.id] for cell in cells.get(field.id, ()) if cell.id in voted},
        )
        if not own and field.id in joint:
            annotated = _with_others(annotated, joint[field.id])
        known += _windows_of(annotated) if field.is_slide else [annotated]
    return known


def _with_others(annotated: AnnotatedField, others: JointField) -> AnnotatedField:
    """Add what other readings say of a field; in the areas they have finished, only that counts."""

    def is_outside(box: Box) -> bool:
        return not any(shape.contains_centre(box) for shape in others.finished)

    return dataclasses.replace(
        annotated,
        cells=(*others.cells, *(cell for cell in annotated.cells if is_outside(cell.box))),
        finished=others.finished,
        ignore=(*others.ignore, *annotated.ignore),
        rejections=tuple(filter(is_outside, annotated.rejections)),
        votes={**annotated.votes, **others.votes},
    )


def _cell_sides(
    cells: Mapping[int, Sequence[Cell]], joint: Mapping[int, JointField]
) -> dict[int, list[float]]:
    """Return the longer sides of the boxed cells of each field, in its pixels, by the field's id."""
    cell_sides_of: dict[int, list[float]] = defaultdict(list)
    for by_field in (cells, {field_id: others.cells for field_id, others in joint.items()}):
        for field_id, of_field in by_field.items():
            cell_sides_of[field_id] += [max(cell.box[2:]) for cell in of_field]
    return cell_sides_of


def _windows_of(slide: AnnotatedField) -> list[AnnotatedField]:
    """Return the annotated windows of a slide."""
    laid_out = windows(
        slide.field,
        slide.cell_side or 1.0,
        cells=slide.cells,
        finished=slide.finished,
        ignore=slide.ignore,
        rejections=slide.rejections,
    )
    return [
        dataclasses.replace(
            slide,
            cells=window.cells,
            finished=window.finished,
            ignore=window.ignore,
            rejections=window.rejections,
            votes={cell.id: slide.votes[cell.id] for cell in window.cells if cell.id in slide.votes},
            window=window.box,
        )
        for window in laid_out
    ]


def slide_sides(project: Project) -> dict[int, float]:
    """Return the median side of a white cell on every whole slide, in its pixels, by the slide's id."""
    slides = project.slides.all()
    if not slides:
        return {}
    sides, cell_sides_of = _sides_of_readings(project)
    return {slide.id: sides.on_slide(slide, cell_sides_of[slide.id]) for slide in slides}


def cells_seen(project: Project, slide: Field) -> tuple[float | None, float]:
    """Return the median side of a white cell on a slide, if known, and that of its largest cells.

    The latter is 0 if no cell is boxed.
    """
    sides, cell_sides_of = _sides_of_readings(project)
    own_sides = cell_sides_of[slide.id]
    side = sides.on(slide)
    if side is None and own_sides:
        side = float(np.median(own_sides))
    return side, float(np.percentile(own_sides, 99)) if own_sides else 0.0


def _sides_of_readings(project: Project) -> tuple[CellSides, dict[int, list[float]]]:
    cell_sides_of = _cell_sides(_by_field(project.cells.all()), joint_fields(project))
    return CellSides.learn((f, cell_sides_of[f.id]) for f in project.fields.all()), cell_sides_of


def readable(
    project: Project, known: Sequence[AnnotatedField]
) -> tuple[list[AnnotatedField], dict[int, str]]:
    """Remove fields that cannot be read.

    These are the windows of slides that cannot be opened, e.g. on a disconnected drive, and fields whose
    stored image is damaged. Annotated fields are read to check them, once per process.

    Returns
    -------
    tuple
        The readable fields, and the errors by id of the removed field or slide.
    """
    lost: dict[int, str] = {}
    for item in known:
        if item.window is None:
            if item.teaches and not is_readable(item.pixels(project)):
                project.check_present()  # raises if the whole project is gone
                lost[item.field.id] = str(damaged(project, [item.field.name]))
        elif item.field.id not in lost:
            try:
                project.slides.open(item.field.id)
            except ImageError as error:
                lost[item.field.id] = str(error)
    return [item for item in known if item.field.id not in lost], lost


def not_read(project: Project, lost: Collection[int]) -> list[Reason]:
    """Explain which fields could not be read and were skipped, and what to do."""
    unread = [project.fields.get(field_id) for field_id in lost]
    slides = [field.name for field in unread if field.is_slide]
    fields = [field.name for field in unread if not field.is_slide]
    about_slides = Reason(
        "Slides that could not be opened were left out: {names}. Search for them with "
        "napari-lld check PROJECT --slides FOLDER.",
        names=", ".join(slides),
    )
    return [*([about_slides] if slides else []), *([damaged(project, fields)] if fields else [])]


def damaged(project: Project, names: Iterable[str]) -> Reason:
    """Explain that fields with a damaged image were skipped, and what to do."""
    return Reason(
        "Fields whose image is damaged were left out: {names}. Repair them with: "
        "napari-lld check {project} --repair",
        names=", ".join(names),
        project=str(project.path),
    )


def _shift_box(box: Box, x: float, y: float) -> Box:
    return box[0] + x, box[1] + y, box[2], box[3]


def _shift_shape(shape: Shape, x: float, y: float) -> Shape:
    if shape.is_rectangle:
        return Shape((shape.coords[0] + x, shape.coords[1] + y, *shape.coords[2:]))
    return Shape(tuple(v + (y if i % 2 else x) for i, v in enumerate(shape.coords)))


def fields_by_unit(known: Iterable[AnnotatedField]) -> dict[str, list[Field]]:
    """Return the fields of every unit (see `annotation_store.splits.units`)."""
    fields: dict[str, list[Field]] = defaultdict(list)
    for item in known:
        fields[item.patient].append(item.field)
    return fields


def held_before(project: Project, known: Sequence[AnnotatedField]) -> tuple[set[str], int]:
    """Return the units held out by earlier models, and the number of those gone; see `still_held_out`."""
    annotated = {item.field.id for item in known if item.cells_in_regions()}
    return still_held_out(project, fields_by_unit(known), annotated, [m.card for m in project.models.all()])


def unannotated(
    known: Sequence[AnnotatedField], held_out: Collection[str], *, most: int, seed: int
) -> list[AnnotatedField]:
    """Sample fields without annotations to train on: none skipped, none of a held-out patient.

    Parameters
    ----------
    held
        The held-out patients.
    most
        Maximum number, sampled at random.
    """
    candidates = [k for k in known if not (k.teaches or k.field.skipped or k.patient in held_out)]
    return sorted(
        random.Random(seed).sample(candidates, min(most, len(candidates))), key=lambda k: k.field.id
    )


def refuse_without_labels(known: list[AnnotatedField]) -> None:
    """Raise `NothingToLearnError` with the cure if there is nothing to train on."""
    if not known:
        raise NothingToLearnError(
            "The project has no fields to learn from. Add some, or draw a region on a whole slide, box every "
            "white cell in it, and mark it finished."
        )
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
