"""Fields: the images of a project, their state and their descriptions."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from PIL import Image

from annotation_store import validation
from annotation_store._collections.ingest import ALREADY, Incoming, Ingest, describe_file
from annotation_store._collections.pixels import FieldPixels
from annotation_store._collections.search_progress import progress
from annotation_store._db import row_mappers
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession, only_differences
from annotation_store._db.tables import cells, fields, regions, suggestions
from annotation_store._db.tables import project as project_table
from annotation_store.errors import EditError, ImageError
from annotation_store.file_names import name_pattern
from annotation_store.images import SlideOptions, find_images
from annotation_store.records import (
    AddReport,
    Box,
    Edit,
    Field,
    FieldState,
    FieldSummary,
    Patient,
    RegionState,
    Shape,
    many_records,
)

_FEW = 200
"""Up to so many fields are summarised by their ids."""

_ENDING = "\x1f"
"""After each class of a field, before SQLite's comma: no class has control characters in its name."""


class Fields:
    """`Project.fields`: the images that are annotated."""

    def __init__(self, db: DatabaseSession, ingest: Ingest, pixels: FieldPixels) -> None:
        self._db, self._ingest, self._pixels = db, ingest, pixels

    # -- asking ----------------------------------------------------------------------------------

    def all(self) -> list[Field]:
        """List the fields, in the order in which they were added."""
        query = sa.select(*row_mappers.FIELD).order_by(fields.c.id)
        result = self._db.records(query, row_mappers.field)
        self._db.cached_fields = {field.id: field for field in result}
        return result

    def count(self) -> int:
        """Count the fields."""
        return int(self._db.rows(sa.select(sa.func.count()).select_from(fields))[0][0])

    def ids(self) -> list[int]:
        """List the ids of the fields, in the order in which they were added."""
        return self._db.field_ids()

    def get(self, field_id: int) -> Field:
        """Return one field.

        Raises
        ------
        EditError
            There is no field of that id.
        """
        return self._db.field(field_id)

    def named(self, name: str) -> Field | None:
        """Find a field by its name."""
        rows = self._db.rows(sa.select(*row_mappers.FIELD).where(fields.c.name == name))
        return row_mappers.field(rows[0]) if rows else None

    def summaries(self, field_ids: Collection[int] | None = None) -> list[FieldSummary]:
        """List the fields with their state and counts in the current reading; four to six statements.

        In a blind reading it is one more for each field with a finished region and suggestions.

        Parameters
        ----------
        field_ids
            Only these, in no order; ``None`` = all, as they were added.
        """
        few = None if field_ids is None or len(field_ids) > _FEW else list(field_ids)
        with many_records():
            return self._summaries(field_ids, few)

    def _summaries(self, field_ids: Collection[int] | None, few: list[int] | None) -> list[FieldSummary]:
        cells_of = self._cells(few)
        pending = self._pending(few)
        drawn, finished_on = self._regions(few)
        all_fields = self.all() if few is None else list(self._db.fields_of(few).values())
        slides = {field.id for field in all_fields if field.is_slide}
        searched = progress(self._db, None if few is None else slides) if slides else {}
        summaries = []
        for field in all_fields:
            if field_ids is not None and field.id not in field_ids:
                continue
            finished = finished_on.get(field.id, [])
            cell_count, classes = cells_of.get(field.id, (0, frozenset()))
            waiting = pending.get(field.id, 0)
            if self._db.reading.blind and waiting:
                waiting = self._count_visible(field.id, finished)
            if finished and covers(field, finished):
                state = FieldState.REVIEWED
            elif waiting:
                state = FieldState.SUGGESTIONS
            elif finished:
                state = FieldState.ANNOTATED
            elif cell_count or field.id in drawn:
                state = FieldState.STARTED
            else:
                state = FieldState.UNTOUCHED
            share = searched[field.id].share if field.id in searched else None
            summaries.append(FieldSummary(field, state, cell_count, len(finished), waiting, classes, share))
        return summaries

    def _count_visible(self, field_id: int, finished: Sequence[Shape]) -> int:
        """Count the pending suggestions that a blind reader may see: those in regions that are finished."""
        if not finished:
            return 0
        s = suggestions.c
        query = sa.select(s.x, s.y, s.w, s.h).where(s.field_id == field_id, s.state == "pending")
        return sum(
            any(shape.contains_centre((x, y, w, h)) for shape in finished)
            for x, y, w, h in self._db.rows(query)
        )

    # Counted by the database and read by place: a project has up to a million cells.

    def _cells(self, few: list[int] | None) -> dict[int, tuple[int, frozenset[str]]]:
        """Count the cells of the current reading by field, and list their classes."""
        c = cells.c
        # by field alone: the index has them in this order, and nothing is sorted
        query = (
            sa.select(
                c.field_id, sa.func.count(), sa.func.group_concat(sa.distinct(c.cell_class.concat(_ENDING)))
            )
            .where(c.reading_id == self._db.reading.id, sa.not_(c.deleted), *_among(cells, few))
            .group_by(c.field_id)
        )
        sets: dict[str | None, frozenset[str]] = {None: frozenset()}
        counts = {}
        for field_id, count, names in self._db.rows(query):
            if names not in sets:
                sets[names] = frozenset(names.removesuffix(_ENDING).split(f"{_ENDING},"))
            counts[field_id] = (count, sets[names])
        return counts

    def _pending(self, few: list[int] | None) -> dict[int, int]:
        s = suggestions.c
        query = sa.select(s.field_id, sa.func.count()).where(s.state == "pending", *_among(suggestions, few))
        return {row[0]: row[1] for row in self._db.rows(query.group_by(s.field_id))}

    def _regions(self, few: list[int] | None) -> tuple[set[int], dict[int, list[Shape]]]:
        """Return the fields on which a region is drawn, and by field the shapes of the finished ones."""
        r = regions.c
        query = sa.select(r.field_id, r.state, sa.type_coerce(r.shape, sa.Text)).where(
            r.reading_id == self._db.reading.id, sa.not_(r.deleted), *_among(regions, few)
        )
        rows = self._db.rows(query)
        shapes = json.loads(f"[{','.join(shape for _, _, shape in rows)}]")
        finished: dict[int, list[Shape]] = {}
        for (field_id, state, _), coords in zip(rows, shapes, strict=True):
            if state == RegionState.FINISHED:
                finished.setdefault(field_id, []).append(Shape(tuple(coords)))
        return {field_id for field_id, _, _ in rows}, finished

    def beside(self, field_id: int, *, slide: bool = False) -> list[int]:
        """List the fields of a field's patient, or of its slide; one statement.

        A field without a patient (or slide) is its own unit.
        """
        field = self._db.field(field_id)
        conditions = [fields.c.patient == field.patient] if field.patient else []
        if slide and field.slide:
            conditions.append(fields.c.slide == field.slide)
        if not (field.slide if slide else field.patient):
            return [field_id]
        query = sa.select(fields.c.id).where(*conditions).order_by(fields.c.id)
        return [row.id for row in self._db.rows(query)]

    def patients(self) -> list[Patient]:
        """List the patients with their slides and fields, in the order in which they came; one statement."""
        query = sa.select(fields.c.id, fields.c.patient, fields.c.slide).where(fields.c.patient.is_not(None))
        patients: dict[str, tuple[dict[str, None], list[int]]] = {}
        for row in self._db.rows(query.order_by(fields.c.id)):
            slides, ids = patients.setdefault(row.patient, ({}, []))
            if row.slide is not None:
                slides.setdefault(row.slide)
            ids.append(row.id)
        return [Patient(name, tuple(slides), tuple(ids)) for name, (slides, ids) in patients.items()]

    # -- taking in -------------------------------------------------------------------------------

    def add(
        self,
        paths: Iterable[str | Path],
        *,
        patient_from: str | None = None,
        about: Mapping[str, Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
        colour_profile: bool = True,
        plane: int | None = None,
    ) -> AddReport:
        """Add image files as fields; folders are walked.

        Parameters
        ----------
        paths
            Image files (PNG, JPEG, TIFF, BMP), OME-Zarr folders, whole slides (tiled TIFF, SVS, NDPI, MRXS,
            SCN, BIF, DICOM, OME-Zarr; they stay where they are), and folders of all these.
        patient_from
            A regular expression searched in each file's name (with a ``/``: in its whole path). Its
            groups ``patient``, ``slide`` and ``domain``, or else its first group, name the patient. The
            project keeps it (`patient_rule`) for the files that come later; ``None`` = the rule it has,
            empty = no rule any more.
        about
            Values shared by all of them, as in `update`: ``{"microscope": "H", "stain": "Wright"}``.
            Values from a file's own name or content take precedence.
        progress
            Called with (files done, files in all).
        colour_profile
            Whether the colour profile of a slide's scanner is applied; kept with each slide.
        plane
            Focus plane that is read of slides which are stacks, counted from 0; ``None`` = the middle one.

        Raises
        ------
        ImageError
            A path does not exist, a folder holds no image, or not a single file could be read. Where
            some could, the report says why the others were skipped.
        """
        self._db.refuse_read_only()
        pattern = self._pattern(patient_from)
        shared = validation.field_changes(about or {})
        options = SlideOptions(colour_profile, plane)
        incoming = [
            replace(describe_file(path, pattern), about=shared, slide_options=options)
            for path in find_images(paths)
        ]
        outcomes = self._ingest.take_in(incoming, progress=progress)
        added = [o.field_id for o in outcomes if o.added and o.field_id is not None]
        skipped = [
            (item.path, outcome.problem or ALREADY)
            for item, outcome in zip(incoming, outcomes, strict=True)
            if not outcome.added
        ]
        problems = [outcome.problem for outcome in outcomes if outcome.problem]
        if problems and not any(outcome.field_id for outcome in outcomes):
            more = f" ({len(problems) - 1} more files failed too.)" if len(problems) > 1 else ""
            raise ImageError(problems[0] + more)
        return AddReport(added, skipped)

    def add_area(self, field_id: int, box: Box, *, name: str | None = None) -> int:
        """Make a field of an area of a slide: what one annotates, trains on and exports of a slide.

        Patient, slide, domain and pixel size go with it, and its note says where it lies.

        Parameters
        ----------
        box
            ``x, y, width, height`` in pixels of the slide; what passes its edge is cut off.

        Returns
        -------
        int
            The new field, or the one that the same area had been made into.

        Raises
        ------
        ImageError
            The area is too small or too large for a field, or the slide was moved.
        """
        source = self._db.field(field_id)
        pixels = self._pixels.read_area(field_id, box)
        x, y = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
        place = f"{x}, {y}, {pixels.shape[1]}, {pixels.shape[0]}"
        with self._ingest.staging() as folder:
            Image.fromarray(pixels).save(folder / "area.png", compress_level=3)
            item = Incoming(
                folder / "area.png",
                name=name or f"{Path(source.name).stem} ({place}).png",
                patient=source.patient,
                slide=source.slide or Path(source.name).stem,  # areas of one slide stay together
                domain=source.domain,
                pixel_size_um=source.pixel_size_um,
                note=f"Area {place} of {source.name}.",
                source=source.source_path,
                magnification=source.magnification,
            )
            (outcome,) = self._ingest.take_in([item])
        if outcome.field_id is None:
            raise ImageError(outcome.problem)
        return outcome.field_id

    # -- describing ------------------------------------------------------------------------------

    def update(self, field_id: int, **changes: Any) -> None:
        """Change what is known of a field.

        Parameters
        ----------
        **changes
            patient, slide, domain, microscope, camera, stain, magnification, pixel_size_um, quality, note,
            skipped; ``None`` = not known.
        """
        self.update_many({field_id: changes})

    def update_many(self, changes: Mapping[int, Mapping[str, Any]]) -> list[Edit]:
        """Change the details of several fields, each as in `update`, in one transaction.

        Returns
        -------
        list of Edit
            One for each field that changed; `Project.bulk_edits` undoes them together.
        """
        checked_changes = {field_id: validation.field_changes(values) for field_id, values in changes.items()}
        written: list[Edit] = []
        with self._db.writing() as connection:
            for field_id, values in checked_changes.items():
                row = connection.execute(sa.select(fields).where(fields.c.id == field_id)).first()
                if row is None:
                    raise EditError(f"There is no field {field_id} in the project {self._db.path}.")
                old, new = only_differences({name: getattr(row, name) for name in values}, values)
                if new:
                    change = Change("field", field_id, old, new)
                    written.append(self._db.write_edit(connection, field_id, "Describe field", [change]))
        self._db.announce(written)
        return written

    @property
    def patient_rule(self) -> str | None:
        """The expression that finds the patient in the names of new files; see `add`."""
        rows = self._db.rows(sa.select(project_table.c.patient_rule))
        return rows[0].patient_rule or None

    def set_patient_rule(self, expression: str | None) -> None:
        """Store the rule for all fields that are added from now on; empty or ``None``: no patient is read.

        Raises
        ------
        FormatError
            It is not a regular expression.
        """
        name_pattern(expression)  # refuses what cannot be read
        with self._db.writing() as connection:
            connection.execute(project_table.update().values(patient_rule=expression or None))

    def _pattern(self, patient_from: str | None) -> re.Pattern[str] | None:
        """Return the rule for an intake: the one it names, which the project keeps, or the project's own."""
        if patient_from is None:
            return name_pattern(self.patient_rule)
        if (patient_from or None) != self.patient_rule:
            self.set_patient_rule(patient_from)
        return name_pattern(patient_from)


def _among(table: sa.Table, few: list[int] | None) -> list[sa.ColumnElement[bool]]:
    return [] if few is None else [table.c.field_id.in_(few)]


def covers(field: Field, finished: Sequence[Shape]) -> bool:
    """Return whether finished regions leave nothing of a field unknown (to a pixel's corner)."""
    for shape in finished:
        if shape.is_rectangle:
            x, y, w, h = shape.coords
            if x <= 0.5 and y <= 0.5 and x + w >= field.width - 0.5 and y + h >= field.height - 0.5:
                return True
    area = 0.999 * field.width * field.height
    if sum(shape.area for shape in finished) < area:
        return False
    import shapely

    return bool(shapely.union_all([shape.geometry for shape in finished]).area >= area)
