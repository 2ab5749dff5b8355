"""Fields: taking image files in, handing pixels out, sweeping what an interrupted intake left behind."""

from __future__ import annotations

import math
import re
import shutil
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from itertools import repeat
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from PIL import Image

from annotation_store import validation
from annotation_store._collections.field_metadata import Describing
from annotation_store._collections.pixels import THUMBNAIL_SIDES, FieldPixels
from annotation_store._db import history, row_mappers
from annotation_store._db.pseudonyms import path_pseudonym
from annotation_store._db.tables import cells, fields, regions, suggestions
from annotation_store.errors import ImageError, LLDError, ProjectError
from annotation_store.file_names import read_name
from annotation_store.files.disk import hash_of, sync, sync_tree, why_not_written
from annotation_store.files.layout import ORIGINALS, PIXELS, STAGING, inside, original_path, set_aside
from annotation_store.files.temporary import locked_folder, sweep
from annotation_store.images import Slide, find_images, write_pixels
from annotation_store.images.metadata import Facts, shown
from annotation_store.images.read import read_original
from annotation_store.images.slide import find_slide, fingerprint
from annotation_store.images.zarr_writer import OVERVIEW_SIDE, write_overview
from annotation_store.records import (
    AddReport,
    Box,
    Field,
    FieldKind,
    FieldState,
    FieldSummary,
    Region,
)

_BATCH = 8
_WORKERS = 2
_FEW = 200
"""Up to so many fields are summarised by their ids."""
ALREADY = "already in the project"


@dataclass(frozen=True, slots=True)
class Incoming:
    """An image file on its way in."""

    path: Path
    name: str | None = None
    patient: str | None = None
    slide: str | None = None
    domain: str | None = None
    pixel_size_um: float | None = None
    note: str = ""
    source: str | None = None  # where it is from, when that is not `path`
    magnification: float | None = None
    about: Mapping[str, Any] = dataclass_field(default_factory=dict)  # what holds for all files of an intake


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an incoming file: a new field, one that was there, or a sentence why not."""

    field_id: int | None
    added: bool = False
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Prepared:
    incoming: Incoming
    content_hash: str
    suffix: str
    width: int
    height: int
    staged: Path | None  # None: read to know what it is, and not kept
    facts: Facts
    source_bytes: int | None = None  # of a slide


class Intake(Describing, FieldPixels):
    """The part of `Project` that takes images in."""

    # -- asking ----------------------------------------------------------------------------------

    def fields(self) -> list[Field]:
        """List the fields, in the order in which they were added."""
        found = [row_mappers.field(row) for row in self._rows(sa.select(fields).order_by(fields.c.id))]
        self._fields = {field.id: field for field in found}
        return found

    def field_named(self, name: str) -> Field | None:
        """Find a field by its name."""
        rows = self._rows(sa.select(fields).where(fields.c.name == name))
        return row_mappers.field(rows[0]) if rows else None

    def field_summaries(self, field_ids: Collection[int] | None = None) -> list[FieldSummary]:
        """List the fields with their state and counts in the current reading; four statements in all.

        In a blind reading it is one more for each field with a finished region and suggestions.

        Parameters
        ----------
        field_ids
            Only these, in no order; ``None`` = all, as they were added.
        """
        few = None if field_ids is None or len(field_ids) > _FEW else list(field_ids)
        cell_counts = self._counts(
            few, cells, cells.c.reading_id == self.reading.id, sa.not_(cells.c.deleted)
        )
        pending = self._counts(few, suggestions, suggestions.c.state == "pending")
        areas: dict[int, list[Region]] = {}
        query = sa.select(regions).where(regions.c.reading_id == self.reading.id, sa.not_(regions.c.deleted))
        for row in self._rows(query if few is None else query.where(regions.c.field_id.in_(few))):
            areas.setdefault(row.field_id, []).append(row_mappers.region(row))
        summaries = []
        for field in self.fields() if few is None else [self.field(field_id) for field_id in few]:
            if field_ids is not None and field.id not in field_ids:
                continue
            own = areas.get(field.id, [])
            finished = [region for region in own if region.finished]
            cell_count, waiting = cell_counts.get(field.id, 0), pending.get(field.id, 0)
            if self.reading.blind and waiting:
                waiting = self._seen_blind(field.id, finished)
            if covers(field, finished):
                state = FieldState.REVIEWED
            elif waiting:
                state = FieldState.SUGGESTIONS
            elif finished:
                state = FieldState.ANNOTATED
            elif cell_count or own:
                state = FieldState.STARTED
            else:
                state = FieldState.UNTOUCHED
            summaries.append(FieldSummary(field, state, cell_count, len(finished), waiting))
        return summaries

    def _seen_blind(self, field_id: int, finished: Sequence[Region]) -> int:
        """Count the pending suggestions that a blind reader may see: those in regions that are finished."""
        if not finished:
            return 0
        s = suggestions.c
        query = sa.select(s.x, s.y, s.w, s.h).where(s.field_id == field_id, s.state == "pending")
        return sum(any(r.shape.contains_centre(tuple(row)) for r in finished) for row in self._rows(query))

    def _counts(
        self, few: list[int] | None, table: sa.Table, *conditions: sa.ColumnElement[bool]
    ) -> dict[int, int]:
        if few is not None:
            conditions = (*conditions, table.c.field_id.in_(few))
        query = (
            sa.select(table.c.field_id, sa.func.count().label("n"))
            .where(*conditions)
            .group_by(table.c.field_id)
        )
        return {row.field_id: row.n for row in self._rows(query)}

    # -- taking in -------------------------------------------------------------------------------

    def add_fields(
        self,
        paths: Iterable[str | Path],
        *,
        patient_from: str | None = None,
        about: Mapping[str, Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> AddReport:
        """Add image files as fields; folders are walked.

        Parameters
        ----------
        paths
            Image files (PNG, JPEG, TIFF, BMP), OME-Zarr folders, whole slides (tiled TIFF, SVS, OME-Zarr;
            they stay where they are), and folders of all these.
        patient_from
            A regular expression searched in each file's name (with a ``/``: in its whole path). Its
            groups ``patient``, ``slide`` and ``domain``, or else its first group, name the patient. The
            project keeps it (`patient_rule`) for the files that come later; ``None`` = the rule it has,
            empty = no rule any more.
        about
            What holds for all of them, as in `update_field`: ``{"microscope": "H", "stain": "Wright"}``.
            What a file's own name or content says goes before it.
        progress
            Called with (files done, files in all).

        Raises
        ------
        ImageError
            A path does not exist, a folder holds no image, or not a single file could be read. Where
            some could, the report says why the others were skipped.
        """
        self._refuse_read_only()
        pattern = self._pattern(patient_from)
        shared = validation.field_changes(about or {})
        incoming = [replace(described(path, pattern), about=shared) for path in find_images(paths)]
        outcomes = self._take_in(incoming, progress=progress)
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
            The area is too small or too large for a field, or the slide is not where it was.
        """
        source = self.field(field_id)
        pixels = self.read_area(field_id, box)
        x, y = max(0, math.floor(box[0])), max(0, math.floor(box[1]))
        place = f"{x}, {y}, {pixels.shape[1]}, {pixels.shape[0]}"
        with self._staging() as folder:
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
            (outcome,) = self._take_in([item])
        if outcome.field_id is None:
            raise ImageError(outcome.problem)
        return outcome.field_id

    def _take_in(
        self,
        incoming: Sequence[Incoming],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Outcome]:
        """Take files in, a batch a transaction: a field is recorded only when its files are on disk."""
        outcomes: list[Outcome] = []
        known = self._intake_hashes()
        with self._staging() as staging:
            for batch in self._prepared(incoming, staging, known):
                if any(isinstance(item, _Prepared) for item in batch):
                    with self._admitted(batch) as (_connection, results):
                        outcomes += results
                    known |= {
                        item.content_hash: result.field_id
                        for item, result in zip(batch, results, strict=True)
                        if isinstance(item, _Prepared) and result.field_id is not None
                    }
                else:
                    outcomes += [item for item in batch if isinstance(item, Outcome)]
                if progress is not None:
                    progress(len(outcomes), len(incoming))
        return outcomes

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        """Give a folder where nobody looks, for files on their way in; it is gone afterwards."""
        self._refuse_read_only()
        self.check_present()
        try:
            self._sweep()
            with locked_folder(inside(self.path, STAGING)) as staging:
                yield staging
        except OSError as error:
            self.check_present()  # the better reason, if it is one
            raise ProjectError(why_not_written(f"The project {self.path}", error)) from error

    def _prepared(
        self, incoming: Sequence[Incoming], staging: Path | None, known: Mapping[str, int]
    ) -> Iterator[list[_Prepared | Outcome]]:
        """Read files, a batch at a time, and put them into the staging folder, if there is one."""
        with (
            # decoders warn of what is refused in a sentence anyway; not in the threads, since what is
            # ignored is one list for all of them
            warnings.catch_warnings(action="ignore"),
            ThreadPoolExecutor(_WORKERS, thread_name_prefix="intake") as pool,
        ):
            for start in range(0, len(incoming), _BATCH):
                batch = incoming[start : start + _BATCH]
                # decoding, compressing and waiting for the disk leave Python's lock to others
                targets = [staging / str(start + n) if staging else None for n in range(len(batch))]
                yield list(pool.map(self._prepare, batch, targets, repeat(known)))

    def _intake_hashes(self) -> dict[str, int]:
        rows = self._rows(sa.select(fields.c.content_hash, fields.c.id))
        return {row.content_hash: row.id for row in rows}

    def _prepare(self, item: Incoming, staged: Path | None, known: Mapping[str, int]) -> _Prepared | Outcome:
        """Read a file and put its pixels and bytes on disk; one that fails keeps no other out."""
        try:
            return self._prepare_one(item, staged, known)
        except (LLDError, OSError):  # it is the project that cannot be written
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {error}".splitlines()[0][:120]
            return Outcome(
                None,
                problem=f"The image {shown(item.path)} cannot be kept ({why}): "
                "export it again, and report this.",
            )

    def _prepare_one(
        self, item: Incoming, staged: Path | None, known: Mapping[str, int]
    ) -> _Prepared | Outcome:
        """Read a file and put its pixels and bytes on disk, where nobody sees them yet."""
        try:
            slide = find_slide(item.path)
            if slide is not None:
                with slide:
                    return self._prepare_slide(item, slide, staged, known)
            given = read_original(item.path)
            content_hash = given.content_hash
            if content_hash in known:
                return Outcome(known[content_hash])
            decoded = given.decode()
        except ImageError as error:
            return Outcome(None, problem=str(error))
        facts = decoded.facts
        height, width = decoded.pixels.shape[:2]
        if staged is not None:
            write_pixels(
                staged,
                decoded.pixels,
                name=clean_name_of(item),
                pixel_size_um=item.pixel_size_um or facts.pixel_size_um,
            )
            sync_tree(staged)
            original = _original_beside(staged)
            original.write_bytes(given.data)
            sync(original)
        return _Prepared(item, content_hash, given.suffix, width, height, staged, facts)

    def _prepare_slide(
        self, item: Incoming, slide: Slide, staged: Path | None, known: Mapping[str, int]
    ) -> _Prepared | Outcome:
        """Read a slide through once for its hash, and keep its overview; the slide stays where it is."""
        try:
            str(item.path.absolute()).encode()
        except UnicodeEncodeError as error:  # a path that the database could not give back
            raise ImageError(
                f"The slide {shown(item.path)} has a name that cannot be kept: rename it."
            ) from error
        content_hash, size = fingerprint(item.path)
        if content_hash in known:
            return Outcome(known[content_hash])
        if staged is not None:
            overview = slide.overview(OVERVIEW_SIDE)
            write_overview(
                staged,
                overview,
                name=clean_name_of(item),
                scale=slide.width / overview.shape[1],
                pixel_size_um=item.pixel_size_um or slide.facts.pixel_size_um,
            )
            sync_tree(staged)
        return _Prepared(
            item, content_hash, "", slide.width, slide.height, staged, slide.facts, source_bytes=size
        )

    @contextmanager
    def _admitted(
        self, prepared: Sequence[_Prepared | Outcome], *, keep: bool = True
    ) -> Iterator[tuple[sa.Connection, list[Outcome]]]:
        """Make fields of what was prepared, in a transaction in which more may be written.

        Whatever is raised within leaves the project as it was, its folders too; so does the end without
        `keep`.
        """
        moved: list[Path] = []
        with self._writing(keep=keep) as connection:
            try:
                outcomes = self._admit(connection, prepared, moved)
                yield connection, outcomes
            except BaseException:
                self._unmake(moved)
                raise
            if not keep:
                self._unmake(moved)
                return
        new = [o.field_id for o in outcomes if o.added and o.field_id is not None]
        if new:
            self._own["fields"].update(new)
            self.events.fields_added.emit(new)

    def _unmake(self, moved: Iterable[Path]) -> None:
        """Take back files that were moved in, while the write lock is held: nobody relies on them yet."""
        for path in moved:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        self._fields.clear()

    def _admit(
        self, connection: sa.Connection, prepared: Sequence[_Prepared | Outcome], moved: list[Path]
    ) -> list[Outcome]:
        """Record fields, their files moved to where they belong; `moved` tells which."""
        outcomes: list[Outcome] = []
        rows: list[dict[str, Any]] = []
        there = connection.execute(sa.select(fields.c.content_hash, fields.c.id, fields.c.name)).all()
        here = {row.content_hash: row.id for row in there}
        names = {row.name for row in there}
        next_field = history.next_id(connection, fields)
        for item in prepared:
            if isinstance(item, Outcome):
                outcomes.append(item)
                continue
            if item.content_hash in here:  # twice among these, or another program was faster
                outcomes.append(Outcome(here[item.content_hash]))
                continue
            if item.staged is not None:
                self._move_in(item, item.staged, next_field, moved)
            name = free_name(item.incoming, names)
            names.add(name)
            here[item.content_hash] = next_field
            rows.append(_field_row(next_field, name, item, self._secret))
            outcomes.append(Outcome(next_field, added=True))
            next_field += 1
        if moved:
            sync(self.path / PIXELS)
            sync(self.path / ORIGINALS)
        if rows:
            connection.execute(fields.insert(), rows)
        return outcomes

    def _move_in(self, item: _Prepared, staged: Path, field_id: int, moved: list[Path]) -> None:
        """Move a field's pixels and original to where they belong."""
        target = inside(self.path, PIXELS, str(field_id))
        if target.exists():  # of a field that the database knew before a backup was restored, or never
            set_aside(self.path, target)
        for side in THUMBNAIL_SIDES:
            self._thumbnail_file(field_id, side).unlink(missing_ok=True)
        moved.append(target)
        staged.replace(target)
        if item.source_bytes is not None:
            return
        original = original_path(self.path, item.content_hash, item.suffix)
        if original.exists() and hash_of(original) != item.content_hash:
            set_aside(self.path, original)
        if not original.exists():
            moved.append(original)
            _original_beside(staged).replace(original)

    def _sweep(self) -> None:
        """Remove what interrupted intakes staged; set pixels aside that belong to no field."""
        sweep(inside(self.path, STAGING))
        if not self._strays():
            return
        # with the write lock held nobody is between moving pixels in and committing their field
        with self._writing():
            for stray in self._strays():
                set_aside(self.path, stray)

    def _strays(self) -> list[Path]:
        folder = inside(self.path, PIXELS)
        with suppress(OSError):
            known = {str(row.id) for row in self._rows(sa.select(fields.c.id))}
            return [p for p in folder.iterdir() if p.name.isdigit() and p.name not in known]
        return []


def covers(field: Field, finished: Sequence[Region]) -> bool:
    """Whether finished regions leave nothing of a field unknown (to a pixel's corner)."""
    if not finished:
        return False
    for region in finished:
        if region.shape.is_rectangle:
            x, y, w, h = region.shape.coords
            if x <= 0.5 and y <= 0.5 and x + w >= field.width - 0.5 and y + h >= field.height - 0.5:
                return True
    area = field.width * field.height
    if sum(region.shape.geometry.area for region in finished) < 0.999 * area:
        return False
    import shapely

    return bool(shapely.union_all([region.shape.geometry for region in finished]).area >= 0.999 * area)


def _original_beside(staged: Path) -> Path:
    """Say where a file's own bytes wait beside its pixels."""
    return staged.with_name(f"{staged.name}.original")


def described(path: Path, pattern: re.Pattern[str] | None) -> Incoming:
    """Make an incoming file, with what its name says of patient, slide and domain."""
    return Incoming(path, **read_name(path, pattern))  # type: ignore[arg-type]


def clean_name_of(item: Incoming) -> str:
    """Give the name that a field would have, were no other called so."""
    return validation.clean_name(item.name or item.path.name)


def free_name(item: Incoming, taken: set[str]) -> str:
    """Choose a name that no field has: the file's, else with its folder's before it, else numbered."""
    name = clean_name_of(item)
    if name not in taken:
        return name
    if item.name is None:
        longer = validation.clean_name(f"{item.path.absolute().parent.name}/{item.path.name}")
        if longer not in taken:
            return longer
    stem, dot, suffix = name.rpartition(".")
    base, end = (stem, f".{suffix}") if dot else (name, "")
    number = 2
    while f"{base} ({number}){end}" in taken:
        number += 1
    return f"{base} ({number}){end}"


def _source(item: _Prepared, secret: str) -> str:
    """Return what is kept of where a field came from: a slide's path, else hashed folders and the name."""
    path = item.incoming.source or str(item.incoming.path.absolute())
    return path if item.source_bytes is not None else path_pseudonym(secret, path)


def _field_row(field_id: int, name: str, item: _Prepared, secret: str) -> dict[str, Any]:
    incoming = item.incoming
    row = {
        "id": field_id,
        "name": name,
        "width": item.width,
        "height": item.height,
        "content_hash": item.content_hash,
        "suffix": item.suffix,
        "source_path": _source(item, secret).encode("utf-8", "replace").decode(),
        "patient": incoming.patient,
        "slide": incoming.slide,
        "domain": incoming.domain,
        "pixel_size_um": incoming.pixel_size_um or item.facts.pixel_size_um,
        "magnification": incoming.magnification or item.facts.magnification,
        "kind": (FieldKind.IMAGE if item.source_bytes is None else FieldKind.SLIDE).value,
        "source_bytes": item.source_bytes,
        "note": validation.text(incoming.note, "note"),
        "added": history.now(),
    }
    # all rows of a batch need the same columns
    more = dict.fromkeys(("quality", "microscope", "camera", "stain"))
    return {**more, **row, **{k: v for k, v in incoming.about.items() if not row.get(k)}}
