"""Merging a document into a project: what is there stays, what is new is added, what differs is listed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sqlalchemy as sa

from annotation_store import _rules
from annotation_store._db.tables import suggestions
from annotation_store._history import Change, next_id
from annotation_store._intake import Incoming, Outcome, described
from annotation_store.boxes import iou_matrix
from annotation_store.errors import EditError, FormatError
from annotation_store.file_names import name_pattern
from annotation_store.formats._conflicts import checked, differing, spelled
from annotation_store.formats._document import CellIn, Document, FieldIn, Regions
from annotation_store.formats._images import Images, Match
from annotation_store.formats._matching import matching_images
from annotation_store.formats._strangers import unreadable
from annotation_store.records import Box, Cell, Edit, Field, ImportReport, RegionState, Shape

if TYPE_CHECKING:
    from annotation_store.project import Project

SAME_CELL_IOU = 0.9
"""Two boxes of one field that overlap so much are one cell."""


_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)


@contextmanager
def rehearsing() -> Iterator[None]:
    """Have the import within end as a report of what it would do: nothing is written."""
    token = _rehearsing.set(True)
    try:
        yield
    finally:
        _rehearsing.reset(token)


class _TakenBack(Exception):  # noqa: N818 - nothing is wrong
    """Ends a rehearsal, in whose transaction everything was written."""


def merge(
    project: Project,
    document: Document,
    *,
    images: Images,
    regions: Regions,
    patient_from: str | None,
    progress: Callable[[int, int], None] | None,
) -> ImportReport:
    """Bring a document into the current reading of a project in one transaction, its images too.

    Parameters
    ----------
    images
        Where its images are looked for.
    """
    _refuse_useless(document)
    matches = matching_images(document, images)
    incoming = _incoming(document, matches, patient_from)
    matched = {i: match.field for i, match in matches.items() if match.field is not None}
    steps = _Steps(progress, len(incoming) + len(document.fields))
    known = project._intake_hashes()
    report = None
    try:
        with _place(project) as staging:
            prepared = []
            for batch in project._prepared(list(incoming.values()), staging, known):
                prepared += batch
                steps.more(len(batch))
            with project._admitted(prepared) as (connection, found):
                outcomes = dict(zip(incoming, found, strict=True))
                if incoming and not matched and not any(outcome.field_id for outcome in found):
                    raise FormatError(found[0].problem)
                pairs = _pairs(project, document, outcomes, matched)
                written = _write(project, connection, document, pairs, regions, steps)
                report = replace(
                    written.report,
                    fields=sum(outcome.added for outcome in found),
                    skipped=document.skipped.sentences(),
                )
                if staging is None:
                    raise _TakenBack
    except _TakenBack:
        assert report is not None
        return report
    project._own["suggestions"].update(written.suggestions)
    project._tell(written.edits)
    if written.suggested:
        project.events.suggestions_changed.emit(written.suggested)
    return report


@contextmanager
def _place(project: Project) -> Iterator[Path | None]:
    """Give a folder for images on their way in; none in a rehearsal, which keeps no image."""
    if _rehearsing.get():
        yield None
        return
    with project._staging() as staging:
        yield staging


class _Steps:
    """Tells how far an import is: an image read is a step, and so is a field written."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def more(self, count: int = 1) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


def _incoming(
    document: Document, matches: Mapping[int, Match], patient_from: str | None
) -> dict[int, Incoming]:
    """Describe the image files of a document, by the place of the field in it."""
    pattern = name_pattern(patient_from)
    incoming: dict[int, Incoming] = {}
    for index, match in matches.items():
        given = document.fields[index]
        if match.path is not None:
            found = described(Path(given.name), pattern)
            incoming[index] = Incoming(
                match.path,
                name=given.name,
                patient=given.patient or found.patient,
                slide=given.slide or found.slide,
                domain=given.domain or found.domain,
                pixel_size_um=given.pixel_size_um,
                note=given.note,
            )
    return incoming


def _pairs(
    project: Project, document: Document, outcomes: dict[int, Outcome], matched: dict[int, Field]
) -> list[tuple[Field, FieldIn]]:
    """Pair the fields of the project with what the document says of them."""
    pairs: list[tuple[Field, FieldIn]] = []
    for index, given in enumerate(document.fields):
        outcome = outcomes.get(index)
        field = matched.get(index)
        if outcome is not None:
            field = project.field(outcome.field_id) if outcome.field_id else None
        if field is not None:
            if _same_size(field, given, document):
                pairs.append((field, given))
        elif outcome is not None:
            document.skipped.one("images that cannot be read", outcome.problem)
    return pairs


def _refuse_useless(document: Document) -> None:
    usable = sum(len(f.cells) + len(f.proposals) for f in document.fields)
    if document.annotations and not usable:
        reasons = document.skipped.sentences()
        raise FormatError(
            f"Nothing in {document.source} fits the schema of this project "
            f"({reasons[0] if reasons else 'no usable annotation'}) "
            "Make a project with the file as its schema, or correct the file."
        )


def _same_size(field: Field, given: FieldIn, document: Document) -> bool:
    if (given.width or field.width, given.height or field.height) == (field.width, field.height):
        return True
    document.skipped.one(
        "images of another size",
        f"{given.name}: the file says {given.width} x {given.height} pixels, "
        f"the image has {field.width} x {field.height}; its annotations were left out.",
    )
    return False


@dataclass(slots=True)
class _Written:
    """What was written in a transaction that may yet be taken back."""

    report: ImportReport
    edits: list[Edit] = dataclass_field(default_factory=list)
    suggestions: list[int] = dataclass_field(default_factory=list)
    suggested: list[int] = dataclass_field(default_factory=list)  # the fields that have them


def _write(
    project: Project,
    connection: sa.Connection,
    document: Document,
    pairs: Sequence[tuple[Field, FieldIn]],
    regions: Regions,
    steps: _Steps,
) -> _Written:
    counts = dict.fromkeys(("cells", "regions", "suggestions", "filled", "conflicts"), 0)
    written = _Written(ImportReport(0, 0, 0, []))
    here = _Here(project)
    twice = Counter(field.id for field, _ in pairs)
    for field, given in pairs:
        news = _compared(project, document, field, given, here)
        cells = news.rows
        areas = _new_areas(project, document, field, given, regions, here)
        areas += _unreadable(project, document, field, given, areas, here)
        changes = [*news.filled, *(Change("cell", None, None, row) for row in cells)]
        changes += [Change(entity, None, None, row) for entity, row in areas]
        if news.conflicts:
            project._keep_conflicts(connection, news.conflicts)
        if changes:
            command = f"Import {Path(document.source).name}"
            written.edits.append(project._write_edit(connection, field.id, command, changes))
        rows = _new_proposals(project, document, field, given, here.pending.get(field.id, []))
        if rows:
            written.suggestions += project._insert_suggestions(
                connection, field.id, rows, None, next_id(connection, suggestions)
            )
            written.suggested.append(field.id)
        counts["cells"] += len(cells)
        counts["filled"] += len(news.filled)
        counts["conflicts"] += len(news.conflicts)
        counts["regions"] += sum(entity == "region" for entity, _ in areas)
        counts["suggestions"] += len(rows)
        if twice[field.id] > 1:  # another image entry of the file is this field too
            _learn(here, field, cells, areas)
        steps.more()
    written.report = ImportReport(
        fields=0,
        skipped=[],
        named=len(twice),
        unstated=sum(given.regions is None for _, given in pairs),
        unknown=dict(Counter(name for given in document.fields for name, _box in given.strangers)),
        **counts,
    )
    return written


class _Here:
    """What the project says before the import, read in a few statements."""

    def __init__(self, project: Project) -> None:
        self.cells: dict[int, list[Any]] = {}
        for cell in project.cells():
            self.cells.setdefault(cell.field_id, []).append(cell)
        self.pending: dict[int, list[Box]] = {}
        for suggestion in project.suggestions():
            self.pending.setdefault(suggestion.field_id, []).append(suggestion.box)
        regions = project.regions()
        self.finished: dict[int, list[Shape]] = {}
        for region in regions:
            if region.state == RegionState.FINISHED:
                self.finished.setdefault(region.field_id, []).append(region.shape)
        self.conflicts = {
            (c.cell_id, json.dumps(c.there, sort_keys=True)) for c in project.conflicts(states=None)
        }
        self.areas = {
            *(("region", region.field_id, region.shape.coords) for region in regions),
            *(("ignore_area", area.field_id, area.shape.coords) for area in project.ignore_areas()),
        }


def _learn(
    here: _Here, field: Field, cells: list[dict[str, Any]], areas: list[tuple[str, dict[str, Any]]]
) -> None:
    """Remember what was just added, for a second image entry of the same field."""
    here.cells.setdefault(field.id, []).extend(
        Cell(
            0,
            field.id,
            row["reading_id"],
            (row["x"], row["y"], row["w"], row["h"]),
            row["cell_class"],
            row["attributes"],
        )
        for row in cells
    )
    here.areas |= {(entity, field.id, tuple(row["shape"])) for entity, row in areas}
    here.finished.setdefault(field.id, []).extend(
        Shape(tuple(row["shape"])) for entity, row in areas if entity == "region"
    )


@dataclass(slots=True)
class _News:
    """What a file says of a field's cells that the project does not say yet."""

    rows: list[dict[str, Any]] = dataclass_field(default_factory=list)
    filled: list[Change] = dataclass_field(default_factory=list)
    conflicts: list[dict[str, Any]] = dataclass_field(default_factory=list)


def _compared(project: Project, document: Document, field: Field, given: FieldIn, here: _Here) -> _News:
    news = _News()
    existing = here.cells.get(field.id, [])
    twins = _twins([cell.box for cell in existing], [cell.box for cell in given.cells])
    for index, cell in enumerate(given.cells):
        if index in twins:
            _merge_cell(project, document, existing[twins[index]], cell, here, news)
            continue
        try:
            news.rows.append(
                project._cell_row(
                    field.id,
                    cell.box,
                    cell_class=cell.cell_class,
                    attributes=cell.attributes,
                    extra=cell.extra,
                    **cell.flags,
                )
            )
        except EditError as error:
            document.skipped.one("cells that break a rule", f"{field.name}, {cell.where}: {error}")
    return news


def _merge_cell(
    project: Project, document: Document, there: Cell, cell: CellIn, here: _Here, news: _News
) -> None:
    """Merge a cell that the project has: its missing values are filled in, nothing is overwritten."""
    skipped = document.skipped
    mine, theirs = differing(there, cell)
    if theirs:
        field = project.field(there.field_id)
        skipped.one(
            "conflicts", f"{field.name}, {cell.where}: conflict, kept as it is here: {spelled(mine, theirs)}."
        )
    if not there.id:  # it came in with this very file, for which one word on it is enough
        skipped.count("{n} cells stand twice in the file: not added again.")
        return
    key = (there.id, json.dumps(theirs, sort_keys=True))
    if theirs and key not in here.conflicts:
        here.conflicts.add(key)
        news.conflicts.append(
            {
                "source": document.source,
                "place": cell.where,
                "field_id": there.field_id,
                "cell_id": there.id,
                "here": mine,
                "there": theirs,
            }
        )
    before, after = checked(there, cell, project.schema)
    if after:
        news.filled.append(Change("cell", there.id, before, after))
        skipped.count("{n} cells are in the project already: their missing values were filled in.")
    else:
        skipped.count("{n} cells are in the project already: not added again.")


def _twins(existing: Sequence[Box], new: Sequence[Box]) -> dict[int, int]:
    """Pair new boxes with existing ones that are the same cell, each at most once."""
    if not existing or not new:
        return {}
    overlaps = iou_matrix(new, existing)
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    rows, columns = np.nonzero(overlaps >= SAME_CELL_IOU)
    for at in np.argsort(-overlaps[rows, columns], kind="stable"):
        row, column = int(rows[at]), int(columns[at])
        if row not in pairs and column not in taken:
            pairs[row] = column
            taken.add(column)
    return pairs


def _new_areas(
    project: Project, document: Document, field: Field, given: FieldIn, mode: Regions, here: _Here
) -> list[tuple[str, dict[str, Any]]]:
    whole = (0.0, 0.0, float(field.width), float(field.height))
    shapes: list[tuple[float, ...]] = []
    if mode == "full" or (mode == "file" and given.regions is None):
        shapes = [whole]
    elif mode in ("file", "stated"):
        shapes = given.regions or []
    rows: list[tuple[str, dict[str, Any]]] = []
    wanted = [("region", coords) for coords in shapes]
    wanted += [("ignore_area", coords) for coords in given.ignore_areas]
    for entity, coords in wanted:
        try:
            row = project._mark_row(field.id, Shape(coords))
        except EditError as error:
            document.skipped.one("areas that break a rule", f"{field.name}: {error}")
            continue
        key = (entity, field.id, tuple(row["shape"]))
        if key in here.areas:
            continue
        if entity == "region":
            row["state"] = RegionState.FINISHED.value
        rows.append((entity, row))
    return rows


def _unreadable(
    project: Project,
    document: Document,
    field: Field,
    given: FieldIn,
    areas: Sequence[tuple[str, dict[str, Any]]],
    here: _Here,
) -> list[tuple[str, dict[str, Any]]]:
    """Make ignore areas of boxes whose class nobody here knows, where they would count as background."""
    if not given.strangers:
        return []
    finished = [Shape(tuple(row["shape"])) for entity, row in areas if entity == "region"]
    finished += here.finished.get(field.id, [])
    rows: list[tuple[str, dict[str, Any]]] = []
    for box in unreadable(given.strangers, finished, here.cells.get(field.id, [])):
        try:
            row = project._mark_row(field.id, Shape(box))
        except EditError:  # outside the field, or no box at all: nothing that could be learnt
            continue
        if ("ignore_area", field.id, tuple(row["shape"])) not in here.areas:
            rows.append(("ignore_area", row))
            document.skipped.count(
                "{n} boxes of classes that the schema lacks lie in finished regions: "
                "they became ignore areas, so that nobody takes them for background."
            )
    return rows


def _new_proposals(
    project: Project, document: Document, field: Field, given: FieldIn, pending: list[Box]
) -> list[dict[str, Any]]:
    rows = []
    twins = _twins(pending, [proposal.box for _, proposal in given.proposals])
    for index, (where, proposal) in enumerate(given.proposals):
        if index in twins:
            document.skipped.count("{n} suggestions are in the project already: not added again.")
            continue
        try:
            rows.append(_rules.proposal(project.schema, field, proposal))
        except EditError as error:
            document.skipped.one("suggestions that break a rule", f"{field.name}, {where}: {error}")
    return rows
