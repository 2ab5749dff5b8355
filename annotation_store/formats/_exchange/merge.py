"""Merge a document into a project: keep what is there, add what is new, list what conflicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from annotation_store._collections.ingest import Incoming, Outcome, describe_file
from annotation_store._db.history import Change
from annotation_store.errors import FormatError
from annotation_store.file_names import name_pattern
from annotation_store.formats._exchange.comparison import Present, new_areas, new_cells, new_proposals
from annotation_store.formats._exchange.document import Document, FieldIn, Regions
from annotation_store.formats._exchange.images import Images, Match
from annotation_store.formats._exchange.matching import matching_images
from annotation_store.records import Edit, Field, ImportReport

if TYPE_CHECKING:
    from annotation_store.project import Project


def merge(
    project: Project,
    document: Document,
    *,
    images: Images,
    regions: Regions,
    patient_from: str | None,
    progress: Callable[[int, int], None] | None,
    dry_run: bool,
) -> ImportReport:
    """Import a document with its images into a project's current reading, in one transaction.

    Parameters
    ----------
    images
        Finds the images.
    dry_run
        Roll back at the end and add no image: the report shows what the import would do.
    """
    for field in document.fields:
        for reason in field.reasons:
            document.skipped.count(reason)
    _refuse_useless(document)
    matches, missing = matching_images(document, images)
    for reason in missing.values():
        document.skipped.note("images not found", reason)
    incoming = _incoming(document, matches, patient_from)
    matched = {i: match.field for i, match in matches.items() if match.field is not None}
    steps = _Steps(progress, len(incoming) + len(document.fields))
    writer = project.edit_writer
    ingest = writer.ingest
    ids_by_hash = ingest.known_hashes()
    with nullcontext() if dry_run else ingest.staging() as staging:
        prepared = []
        for batch in ingest.prepare(list(incoming.values()), staging, ids_by_hash):
            prepared += batch
            steps.more(len(batch))
        with ingest.admit(prepared, keep=not dry_run) as (connection, added):
            outcomes = dict(zip(incoming, added, strict=True))
            if incoming and not matched and not any(outcome.field_id for outcome in added):
                raise FormatError(added[0].problem)
            pairs = _pairs(project, document, outcomes, matched)
            written = _write(project, connection, document, pairs, regions, steps)
            report = replace(
                written.report,
                fields=sum(outcome.added for outcome in added),
                skipped=document.skipped.sentences(),
            )
    if dry_run:
        return report
    writer.announce(written.edits, written.suggestions, written.suggested)
    return report


class _Steps:
    """Reports the progress of an import: each image read and each field written is a step."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress, self._done, self._total = progress, 0, total

    def more(self, count: int = 1) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


def _incoming(
    document: Document, matches: Mapping[int, Match], patient_from: str | None
) -> dict[int, Incoming]:
    """Describe the image files of a document, by the index of the field in it."""
    pattern = name_pattern(patient_from)
    incoming: dict[int, Incoming] = {}
    for index, match in matches.items():
        field = document.fields[index]
        if match.path is not None:
            details = describe_file(Path(field.name), pattern)
            incoming[index] = Incoming(
                match.path,
                name=field.name,
                patient=field.patient or details.patient,
                slide=field.slide or details.slide,
                domain=field.domain or details.domain,
                pixel_size_um=field.pixel_size_um,
                note=field.note,
            )
    return incoming


def _pairs(
    project: Project, document: Document, outcomes: dict[int, Outcome], matched: dict[int, Field]
) -> list[tuple[Field, FieldIn]]:
    """Pair the fields of the project with those of the document."""
    pairs: list[tuple[Field, FieldIn]] = []
    for index, field_in in enumerate(document.fields):
        outcome = outcomes.get(index)
        field = matched.get(index)
        if outcome is not None:
            field = project.fields.get(outcome.field_id) if outcome.field_id else None
        if field is not None:
            if _same_size(field, field_in, document):
                pairs.append((field, field_in))
        elif outcome is not None:
            document.skipped.note("images that cannot be read", outcome.problem)
    return pairs


def _refuse_useless(document: Document) -> None:
    usable = sum(len(f.cells) + len(f.proposals) for f in document.fields)
    if document.annotations and not usable:
        reasons = document.skipped.sentences()
        raise FormatError(
            f"Nothing in {document.source} fits the schema of this project "
            f"({reasons[0] if reasons else 'no usable annotation'}). "
            "Make a project with the file as its schema, or correct the file."
        )


def _same_size(field: Field, field_in: FieldIn, document: Document) -> bool:
    if (field_in.width or field.width, field_in.height or field.height) == (field.width, field.height):
        return True
    document.skipped.note(
        "images of another size",
        f"{field_in.name}: the file says {field_in.width} x {field_in.height} pixels, "
        f"the image has {field.width} x {field.height}; its annotations were left out.",
    )
    return False


@dataclass(slots=True)
class _Written:
    """What was written in a transaction that may still be rolled back."""

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
    present = Present(project)
    twice = Counter(field.id for field, _ in pairs)
    for field, field_in in pairs:
        news = new_cells(project, document, field, field_in, present)
        areas = new_areas(project, document, field, field_in, regions, present)
        changes = [*news.filled, *(Change("cell", None, None, row) for row in news.rows)]
        changes += [Change(entity, None, None, row) for entity, row in areas]
        if news.conflicts:
            project.edit_writer.keep_conflicts(connection, news.conflicts)
        if changes:
            command = f"Import {Path(document.source).name}"
            written.edits.append(project.edit_writer.write(connection, field.id, command, changes))
        rows = new_proposals(project, document, field, field_in, present)
        if rows:
            written.suggestions += project.edit_writer.add_suggestions(connection, field.id, rows)
            written.suggested.append(field.id)
        counts["cells"] += len(news.rows)
        counts["filled"] += len(news.filled)
        counts["conflicts"] += len(news.conflicts)
        counts["regions"] += sum(entity == "region" for entity, _ in areas)
        counts["suggestions"] += len(rows)
        present.learn(field, areas)  # another image entry of the file may be this field too
        steps.more()
    written.report = ImportReport(
        fields=0,
        skipped=[],
        named=len(twice),
        unstated=sum(field.regions is None for _, field in pairs),
        unknown=dict(
            Counter(name for field_in in document.fields for name, _ in field_in.unknown_boxes if name)
        ),
        **counts,
    )
    return written
