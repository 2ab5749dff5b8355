"""What the store hands out: immutable records, free of any database session.

Coordinates are pixels of the field: x to the right, y down, the origin at the
top left corner of the top left pixel. A box is ``(x, y, width, height)``.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import shapely

from annotation_store.errors import EditError

if TYPE_CHECKING:
    from annotation_store.schema import Schema

Box = tuple[float, float, float, float]

UNKNOWN_BELOW: Final = 0.05
"""A suggestion is *unknown* below this p-value: the share of cells of taught classes that is flagged.

The store keeps `Proposal.probability`, which depends on it: whoever changes it writes a migration.
"""


class Keep(Enum):
    """Type of `KEEP`, for signatures."""

    KEEP = "keep"

    def __repr__(self) -> str:
        return "KEEP"


KEEP: Final = Keep.KEEP
"""Means "not given" where ``None`` has a meaning (a missing class)."""


class RegionState(StrEnum):
    """In a finished region every white cell is boxed; a draft is incomplete."""

    DRAFT = "draft"
    FINISHED = "finished"


class SuggestionState(StrEnum):
    """The life of a suggestion."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    CORRECTED = "corrected"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"


class RejectionReason(StrEnum):
    """Why a suggestion was rejected; only ``NOT_A_CELL`` teaches the model (known background)."""

    NOT_A_CELL = "not_a_cell"
    DUPLICATE = "duplicate"
    BAD_BOX = "bad_box"


class FieldState(StrEnum):
    """State of the work on a field, for the field list."""

    UNTOUCHED = "untouched"
    STARTED = "started"  # cells, or a draft region
    ANNOTATED = "annotated"  # at least one finished region
    SUGGESTIONS = "suggestions"  # suggestions wait for review
    REVIEWED = "reviewed"  # a finished region covers the whole field


@dataclass(frozen=True, slots=True)
class Shape:
    """A rectangle or polygon on a field.

    Attributes
    ----------
    coords
        ``(x, y, w, h)`` for a rectangle, ``(x1, y1, x2, y2, x3, y3, …)`` for a polygon: the
        notation of ``annotated_regions`` in COCO files.
    """

    coords: tuple[float, ...]

    @classmethod
    def rectangle(cls, x: float, y: float, w: float, h: float) -> Shape:
        """Make a rectangle."""
        return cls((float(x), float(y), float(w), float(h)))

    @classmethod
    def polygon(cls, points: Sequence[Sequence[float]]) -> Shape:
        """Make a polygon from ``[(x, y), …]``, three points or more."""
        return cls(tuple(float(v) for point in points for v in point))

    @property
    def is_rectangle(self) -> bool:
        """Whether the shape is an axis-aligned rectangle."""
        return len(self.coords) == 4

    @property
    def points(self) -> tuple[tuple[float, float], ...]:
        """The corners, in order, not closed."""
        if self.is_rectangle:
            x, y, w, h = self.coords
            return ((x, y), (x + w, y), (x + w, y + h), (x, y + h))
        return tuple(zip(self.coords[::2], self.coords[1::2], strict=True))

    @property
    def geometry(self) -> shapely.Polygon:
        """The shape for geometry questions (area, intersection, distance)."""
        return shapely.Polygon(self.points)

    @property
    def area(self) -> float:
        """The area in square pixels."""
        return self.coords[2] * self.coords[3] if self.is_rectangle else float(self.geometry.area)

    @property
    def bounds(self) -> Box:
        """The smallest box ``(x, y, w, h)`` around the shape."""
        xs, ys = zip(*self.points, strict=True)
        return (min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys))

    def contains(self, x: float, y: float) -> bool:
        """Return whether a point lies inside or on the edge."""
        if self.is_rectangle:
            x0, y0, w, h = self.coords
            return x0 <= x <= x0 + w and y0 <= y <= y0 + h
        return bool(shapely.intersects_xy(self.geometry, x, y))

    def contains_centre(self, box: Box) -> bool:
        """Return whether a box's centre lies inside: what makes a cell belong to a region."""
        x, y, w, h = box
        return self.contains(x + w / 2, y + h / 2)


class FieldKind(StrEnum):
    """An image lies in the project; a whole slide lies elsewhere and is read by areas."""

    IMAGE = "image"
    SLIDE = "slide"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of view: one image, or one whole slide.

    Attributes
    ----------
    pixel_size_um
        Micrometres a pixel.
    magnification
        Of the objective.
    kind
        A slide has no `Project.pixels.read`: read its areas (`Project.pixels.read_area`).
    skipped
        Skipped: it is not ranked, and models suggest nothing on it. Its annotations stay,
        and are trained on as before.
    """

    id: int
    name: str
    width: int
    height: int
    content_hash: str
    source_path: str
    patient: str | None = None
    slide: str | None = None
    domain: str | None = None
    pixel_size_um: float | None = None
    quality: str | None = None
    note: str = ""
    magnification: float | None = None
    kind: FieldKind = FieldKind.IMAGE
    microscope: str | None = None
    camera: str | None = None
    stain: str | None = None
    skipped: bool = False

    @property
    def is_slide(self) -> bool:
        """Whether it is a whole slide, never to be read whole."""
        return self.kind is FieldKind.SLIDE


@dataclass(frozen=True, slots=True)
class FieldSummary:
    """A field with what the field list shows of it (current reading).

    Attributes
    ----------
    classes
        The classes and groups of its cells; missing ones are left out.
    searched
        Of a slide: what share of it the last search has searched, 0 to 1; ``None`` = it was never searched.
    """

    field: Field
    state: FieldState
    cells: int
    finished_regions: int
    pending_suggestions: int
    classes: frozenset[str] = frozenset()
    searched: float | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One annotator's regions, cells and values; blind readings see no others and no suggestions."""

    id: int
    name: str
    annotator: str
    blind: bool = False

    @property
    def is_consensus(self) -> bool:
        """Whether it belongs to nobody, as the majority of several readings does."""
        return not self.annotator


@dataclass(frozen=True, slots=True)
class Region:
    """An area of a field in one reading; see `RegionState` for what it promises."""

    id: int
    field_id: int
    reading_id: int
    shape: Shape
    state: RegionState

    @property
    def finished(self) -> bool:
        """Whether every white cell in it is boxed."""
        return self.state is RegionState.FINISHED


@dataclass(frozen=True, slots=True)
class IgnoreArea:
    """An area that cannot be read: neither annotated nor background, and outside every metric."""

    id: int
    field_id: int
    reading_id: int
    shape: Shape


class Origin(StrEnum):
    """How a cell came to be."""

    BY_HAND = "by hand"
    SUGGESTED = "suggested"
    IMPORTED = "imported"


@dataclass(frozen=True, slots=True)
class Cell:
    """An annotated white cell.

    Attributes
    ----------
    cell_class
        ``None`` = missing, ``"unsure"``, the name of a class, or the name of a class group.
    attributes
        Attribute name to value name or ``"unsure"``; an attribute that is missing is absent.
    cut
        Whether the field's edge crosses the cell.
    suggestion_id
        The suggestion it was made from, if any.
    confirmed
        What a person kept or gave although a model predicted otherwise, of ``cell_class``, ``attributes`` and
        ``box``; valid while the cell still has these values.
    """

    id: int
    field_id: int
    reading_id: int
    box: Box
    cell_class: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    kind: str | None = None
    cut: bool = False
    comment: str = ""
    bookmark: bool = False
    second_opinion: bool = False
    suggestion_id: int | None = None
    origin: Origin = Origin.BY_HAND
    confirmed: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Proposal:
    """The prediction of a model (or of the stain proposals) for one white cell, before it is stored.

    Attributes
    ----------
    confidence
        Calibrated probability that the box holds a white cell, 0 to 1.
    class_probabilities
        Class name to probability given a cell; sums to 1, or is empty if nothing is known.
    attribute_probabilities
        Attribute name to {value name: probability}; an attribute the model does not know is absent.
    novelty
        p-value of being a cell of a taught class: low = unlike anything taught; ``None`` = the model cannot
        tell.
    unchecked
        Whether it is from a film that the model was not trained on and that has no labels: its
        probabilities were never checked there, and none of a class or value is high.
    sets
        ``"class"`` or an attribute's name to the values among which the true one is at 95%, the most
        probable first; absent where nothing is claimed.
    """

    box: Box
    confidence: float
    class_probabilities: Mapping[str, float] = field(default_factory=dict)
    attribute_probabilities: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    novelty: float | None = None
    unchecked: bool = False
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_unknown(self) -> bool:
        """Whether the cell is unlike anything taught: its classes are candidates only."""
        return self.novelty is not None and self.novelty < UNKNOWN_BELOW

    @property
    def best_class(self) -> str | None:
        """The most probable class, or ``None``; of an unknown cell only a candidate (see `stated_class`)."""
        return max(self.class_probabilities, key=self.class_probabilities.__getitem__, default=None)

    @property
    def stated_class(self) -> str | None:
        """The class that accepting writes: `best_class`, but ``None`` (missing) for an unknown cell."""
        return None if self.is_unknown else self.best_class

    def score(self, cell_class: str) -> float:
        """Return the probability of a white cell of this class: p(cell)·p(class | cell)."""
        return self.confidence * self.class_probabilities.get(cell_class, 0.0)

    @property
    def probability(self) -> float:
        """Probability of what accepting writes: a white cell of the most probable class.

        Without class probabilities, and for an unknown cell, only the cell is written, and this is the
        confidence. Whatever shows, orders or filters suggestions uses this number; `confidence` alone says
        nothing of the class.
        """
        if self.is_unknown:
            return self.confidence
        return self.confidence * max(self.class_probabilities.values(), default=1.0)

    @property
    def best_attributes(self) -> dict[str, str]:
        """The most probable value of each attribute."""
        return {
            name: max(values, key=values.__getitem__)
            for name, values in self.attribute_probabilities.items()
            if values
        }


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A proposal kept by the store, with what became of it.

    Attributes
    ----------
    renewed
        Whether class and values were predicted again since, by heads that learnt from newer labels: what was
        measured of its model says nothing of them.
    """

    id: int
    field_id: int
    model_id: int | None
    proposal: Proposal
    state: SuggestionState
    reason: RejectionReason | None = None
    cell_id: int | None = None
    renewed: bool = False

    @property
    def box(self) -> Box:
        """The proposed box."""
        return self.proposal.box

    @property
    def confidence(self) -> float:
        """Calibrated probability that the box holds a white cell."""
        return self.proposal.confidence

    @property
    def probability(self) -> float:
        """Probability of what accepting writes: see `Proposal.probability`."""
        return self.proposal.probability

    @property
    def novelty(self) -> float | None:
        """p-value of being a cell of a taught class: see `Proposal.novelty`."""
        return self.proposal.novelty

    @property
    def is_unknown(self) -> bool:
        """Whether the cell is unlike anything taught: see `Proposal.is_unknown`."""
        return self.proposal.is_unknown

    @property
    def stated_class(self) -> str | None:
        """The class that accepting writes: see `Proposal.stated_class`."""
        return self.proposal.stated_class


RETIRED = "retired"
"""The key of a card under which stands why its model is out of use."""


@dataclass(frozen=True, slots=True)
class Model:
    """A trained model of the project, numbered from 1."""

    id: int
    parent: str
    created: datetime
    active: bool
    card: Mapping[str, Any]

    @property
    def retired(self) -> str | None:
        """Why it is out of use for good: what a repair found of its files; ``None`` if it is in use."""
        why = self.card.get(RETIRED)
        return None if why is None else str(why)

    def refuse_retired(self) -> None:
        """Check that it is in use.

        Raises
        ------
        EditError
            A repair retired it.
        """
        if (why := self.retired) is not None:
            raise EditError(
                f"Model {self.id} was retired, since {why}: choose another model, or the starter. If its "
                "files are back in their place, run napari-lld check --repair."
            )


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """One change of one row: annotator, time, values before and after.

    Attributes
    ----------
    edit_id
        Rows of one edit (one transaction, undone together) share it.
    action
        ``"add"``, ``"change"`` or ``"delete"``.
    undoes
        The edit that this one takes back or, with `redoes`, brings back.
    """

    id: int
    edit_id: int
    at: datetime
    annotator: str
    field_id: int | None
    entity: str
    entity_id: int
    action: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    command: str
    undoes: int | None = None


@dataclass(frozen=True, slots=True)
class CellHistory:
    """The provenance of a cell's labels.

    Attributes
    ----------
    suggestion
        What it was made from, if a model proposed it.
    rows
        Every change, oldest first: who, when, by which command, before and after.
    """

    cell: Cell
    deleted: bool
    suggestion: Suggestion | None
    rows: list[HistoryRow]

    @property
    def made_by(self) -> str:
        """Who boxed or accepted it."""
        return self.rows[0].annotator

    @property
    def labelled_by(self) -> str:
        """Who last changed its class or attributes."""
        labels = ("cell_class", "attributes")
        return next(
            (r.annotator for r in reversed(self.rows) if any(name in (r.after or {}) for name in labels)),
            self.made_by,
        )


@dataclass(frozen=True, slots=True)
class Patient:
    """A patient with the slides and the ids of the fields that come from there."""

    name: str
    slides: tuple[str, ...]
    field_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ActiveTime:
    """How long an annotator has worked on a field."""

    annotator: str
    field_id: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Edit:
    """Told to listeners after an edit is on disk.

    Attributes
    ----------
    command
        What was done, as a sentence for people ("Label cell", "Undo: Label cell").
    touched
        Entity kind (``"cell"``, ``"region"``, ``"ignore_area"``, ``"suggestion"``, ``"field"``)
        to the ids that were added, changed or deleted.
    """

    id: int
    field_id: int | None
    command: str
    touched: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Run:
    """A training or prediction run, as the worker recorded it."""

    id: int
    started: datetime
    finished: datetime | None
    annotator: str
    config: Mapping[str, Any]
    state: str
    model_id: int | None
    message: str


@dataclass(frozen=True, slots=True)
class AddReport:
    """What `Project.fields.add` did.

    Attributes
    ----------
    added
        Ids of the new fields.
    skipped
        Files that did not become fields, each with the reason.
    """

    added: list[int]
    skipped: list[tuple[Path, str]]


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import brought in, or would; `skipped` holds a sentence for each thing left out, and why."""

    fields: int
    cells: int
    regions: int
    skipped: list[str]
    suggestions: int = 0
    filled: int = 0  # cells that were here, whose missing values the file states
    conflicts: int = 0  # new ones; see `Project.conflicts.all`
    named: int = 0  # fields that the file speaks of, new or not
    unstated: int = 0  # of those: the file does not state which areas are annotated
    unknown: dict[str, int] = field(default_factory=dict)  # classes that the schema lacks: how many boxes


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """What `Project.schema_versions.change` did.

    Attributes
    ----------
    version
        The new version.
    cells
        How many cells changed.
    suggestions
        How many pending suggestions propose another class or value now, or none.
    """

    version: int
    cells: int
    suggestions: int


@dataclass(frozen=True, slots=True)
class OldSchema:
    """A former schema of a project, until when it was used, and the mapping of removed words."""

    version: int
    digest: str
    schema: Schema
    replaced: datetime
    annotator: str
    mapping: Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Conflict:
    """A cell that conflicts with an imported file, or what two copies of a project say differently.

    Nothing was overwritten.

    Attributes
    ----------
    source, place
        The file, and where in it; of two copies: who said what stands in `there`, and by which command.
    cell_id, region_id
        What it is about; ``None`` both = the field as a whole.
    here, there
        The project's and the other's values, those that differ: of a cell ``cell_class``, ``attributes``,
        ``box``, ``kind``, ``comment``, …, of a region ``shape`` and ``state``, of a field ``patient``, …;
        ``deleted`` where one side deleted it.
    state
        ``"open"``, ``"kept"`` (what is here stays), ``"taken"`` (the other's word was taken) or
        ``"superseded"`` (what came from another copy settled it).
    """

    id: int
    at: datetime
    source: str
    place: str
    field_id: int
    cell_id: int | None
    here: Mapping[str, Any]
    there: Mapping[str, Any]
    state: str
    region_id: int | None = None


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote, and where; `skipped` holds a sentence for each kind of thing left out.

    Attributes
    ----------
    patients_named
        How many patients it names, in a column or in the name of a file.
    """

    path: Path
    fields: int
    cells: int
    regions: int
    suggestions: int = 0
    skipped: list[str] = field(default_factory=list)
    patients_named: int = 0


@contextmanager
def many_records() -> Iterator[None]:
    """Pause the garbage collector while many records are created: none of them is garbage.

    Of the states of 100,000 fields it takes a third of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
