"""Compare a document with a project and return what is new in it, as rows to be written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation_store import validation
from annotation_store._db.history import Change
from annotation_store.errors import EditError
from annotation_store.formats._exchange.conflicts import compare, describe_differences, fill_in_if_valid
from annotation_store.formats._exchange.document import CellIn, Document, FieldIn, Regions
from annotation_store.formats._exchange.unknown_classes import boxes_to_ignore, sort_unknown
from annotation_store.geometry import SAME_BOX, BoxIndex, upright
from annotation_store.records import Box, Cell, Field, Origin, RegionState, Shape

if TYPE_CHECKING:
    from annotation_store.project import Project

AreaRow = tuple[str, dict[str, Any]]  # region or ignore_area, and its columns


class Present:
    """The project's content before the import, read in a few statements."""

    def __init__(self, project: Project) -> None:
        self.cells: dict[int, list[Cell]] = {}
        for cell in project.cells.all():
            self.cells.setdefault(cell.field_id, []).append(cell)
        self.pending: dict[int, list[Box]] = {}
        for suggestion in project.suggestions.find():
            self.pending.setdefault(suggestion.field_id, []).append(suggestion.box)
        regions = project.regions.all()
        self.finished: dict[int, list[Shape]] = {}
        for region in regions:
            if region.finished:
                self.finished.setdefault(region.field_id, []).append(region.shape)
        self.conflicts = {
            (c.cell_id, json.dumps(c.there, sort_keys=True)) for c in project.conflicts.all(states=None)
        }
        self.areas = {
            *(("region", region.field_id, region.shape.coords) for region in regions),
            *(("ignore_area", area.field_id, area.shape.coords) for area in project.ignore_areas.all()),
        }

    def learn(self, field: Field, areas: Iterable[AreaRow]) -> None:
        """Store areas that were just added, for a second image entry of the same field."""
        for entity, row in areas:
            self.areas.add((entity, field.id, tuple(row["shape"])))
            if entity == "region":
                self.finished.setdefault(field.id, []).append(Shape(tuple(row["shape"])))


@dataclass(slots=True)
class CellNews:
    """Cells that are new, values that are filled in, and cells that conflict with the file."""

    rows: list[dict[str, Any]] = dataclass_field(default_factory=list)
    filled: list[Change] = dataclass_field(default_factory=list)
    conflicts: list[dict[str, Any]] = dataclass_field(default_factory=list)


def new_cells(
    project: Project, document: Document, field: Field, field_in: FieldIn, present: Present
) -> CellNews:
    """Compare the cells of a document with those of the field, and with each other.

    New cells are added to `present`, with 0 for their id.
    """
    news = CellNews()
    skipped = document.skipped
    existing = present.cells.setdefault(field.id, [])
    new_rows: dict[int, dict[str, Any]] = {}  # rows of this file, by their index in `existing`
    index = BoxIndex(SAME_BOX)
    for place, known_cell in enumerate(existing):
        index.add(place, known_cell.box)
    matched: set[int] = set()
    for cell in field_in.cells:
        if min(cell.box[2:]) < 0:
            skipped.count("{n} boxes have a negative width or height: their corners were put in order.")
        try:
            box, _ = validation.box_in_field(field, upright(cell.box))
            same = index.find(box)
            free = [place for place in same if place not in matched]
            if same:
                place = (free or same)[0]
                matched.add(place)
                existing[place] = _merge_cell(
                    project, document, existing[place], cell, present, news, new_rows.get(place)
                )
                continue
            row = project.edit_writer.cell_rows.new(
                field.id,
                upright(cell.box),
                cell_class=cell.cell_class,
                attributes=cell.attributes,
                origin=Origin.IMPORTED,
                extra=cell.extra,
                **cell.flags,
            )
        except EditError as error:
            skipped.note("cells that break a rule", f"{field.name}, {cell.where}: {error}")
            field_in.lost.append(cell.box)
            continue
        news.rows.append(row)
        index.add(len(existing), box)
        new_rows[len(existing)] = row
        existing.append(Cell(0, field.id, row["reading_id"], box, row["cell_class"], row["attributes"]))
    return news


def _merge_cell(
    project: Project,
    document: Document,
    existing: Cell,
    cell: CellIn,
    present: Present,
    news: CellNews,
    row: dict[str, Any] | None,
) -> Cell:
    """Merge a cell into an existing one: fill in missing values, overwrite nothing.

    Parameters
    ----------
    row
        Its columns, if it comes from this file and is not written yet.
    """
    skipped = document.skipped
    mine, theirs = compare(existing, cell)
    before, after = fill_in_if_valid(existing, cell, project.schema)
    name = project.fields.get(existing.field_id).name
    if not existing.id:
        if theirs:
            words = describe_differences(mine, theirs, "first", "then")
            skipped.note(
                "conflicts", f"{name}, {cell.where}: is in the file twice, the first is kept: {words}."
            )
        skipped.count("{n} cells are in the file twice: not added again.")
        if row is None:
            return existing
        row.update(after)
        return replace(existing, **after)
    if theirs:
        skipped.note(
            "conflicts",
            f"{name}, {cell.where}: conflict, kept as it is here: {describe_differences(mine, theirs)}.",
        )
    key = (existing.id, json.dumps(theirs, sort_keys=True))
    if theirs and key not in present.conflicts:
        present.conflicts.add(key)
        news.conflicts.append(
            {
                "source": Path(document.source).name,
                "place": cell.where,
                "field_id": existing.field_id,
                "cell_id": existing.id,
                "here": mine,
                "there": theirs,
            }
        )
    if after:
        news.filled.append(Change("cell", existing.id, before, after))
        skipped.count("{n} cells are in the project already: their missing values were filled in.")
    else:
        skipped.count("{n} cells are in the project already: not added again.")
    return replace(existing, **after)


def new_areas(
    project: Project, document: Document, field: Field, field_in: FieldIn, mode: Regions, present: Present
) -> list[AreaRow]:
    """List the finished regions and ignore areas that a document adds to a field.

    A mark of a finished region that cannot be imported becomes an ignore area. If its place cannot be read,
    no region of the field is finished.
    """
    whole = (0.0, 0.0, float(field.width), float(field.height))
    shapes: Sequence[tuple[float, ...]] = []
    if mode == "full" or (mode == "file" and field_in.regions is None):
        shapes = [whole]
    elif mode in ("file", "stated"):
        shapes = field_in.regions or []
    ignored = _rows(project, document, field, "ignore_area", field_in.ignore_areas, field_in.lost)
    marks = sort_unknown(field, field_in)
    finished = _rows(project, document, field, "region", shapes, [])
    if marks.unplaced and finished:
        finished = []
        document.skipped.note(
            "fields with marks whose place cannot be read",
            f"{field.name}: not marked as finished, because the positions of {marks.unplaced:,} of its "
            "marks cannot be read: check the field and finish it by hand.",
        )
    rows = [row for row in finished + ignored if _key(row, field) not in present.areas]
    judged = [*present.finished.get(field.id, ()), *(Shape(tuple(row["shape"])) for _, row in finished)]
    cells = [cell.box for cell in present.cells.get(field.id, ())]
    keys = present.areas | {_key(row, field) for row in ignored} if marks.boxes else set()
    for box in boxes_to_ignore(marks.boxes, judged, cells) if marks.boxes and judged else ():
        row = ("ignore_area", project.edit_writer.cell_rows.mark(field.id, Shape(box)))
        if _key(row, field) not in keys:
            rows.append(row)
            document.skipped.count(
                "{n} marks that were left out lie in finished regions: they became ignore areas, "
                "so that they are not taken for background."
            )
    return rows


def _key(row: AreaRow, field: Field) -> tuple[str, int, tuple[float, ...]]:
    return row[0], field.id, tuple(row[1]["shape"])


def _rows(
    project: Project,
    document: Document,
    field: Field,
    entity: str,
    shapes: Iterable[tuple[float, ...]],
    lost: list[Box | None],
) -> list[AreaRow]:
    rows: list[AreaRow] = []
    for coords in shapes:
        try:
            row = project.edit_writer.cell_rows.mark(
                field.id, Shape(upright(coords) if len(coords) == 4 else coords)
            )
        except EditError as error:
            document.skipped.note("areas that break a rule", f"{field.name}: {error}")
            lost.append(Shape(coords).bounds if len(coords) >= 4 and not len(coords) % 2 else None)
            continue
        if entity == "region":
            row["state"] = RegionState.FINISHED.value
        rows.append((entity, row))
    return rows


def new_proposals(
    project: Project, document: Document, field: Field, field_in: FieldIn, present: Present
) -> list[dict[str, Any]]:
    """List the suggestions that a document adds to a field."""
    rows: list[dict[str, Any]] = []
    pending = present.pending.setdefault(field.id, [])
    index = BoxIndex(SAME_BOX)
    for place, box in enumerate(pending):
        index.add(place, box)
    before = len(pending)
    for where, proposal in field_in.proposals:
        try:
            row = validation.proposal(project.schema, field, replace(proposal, box=upright(proposal.box)))
        except EditError as error:
            document.skipped.note("suggestions that break a rule", f"{field.name}, {where}: {error}")
            continue
        box = (row["x"], row["y"], row["w"], row["h"])
        if same := index.find(box):
            document.skipped.count(
                "{n} suggestions are in the project already: not added again."
                if same[0] < before
                else "{n} suggestions are in the file twice: not added again."
            )
            continue
        index.add(len(pending), box)
        pending.append(box)
        rows.append(row)
    return rows
