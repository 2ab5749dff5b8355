"""Add image files as fields, and remove what an interrupted addition left behind."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from itertools import repeat
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._collections.pixels import THUMBNAIL_SIDES, thumbnail_file
from annotation_store._db import history
from annotation_store._db.pseudonyms import path_pseudonym
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import fields
from annotation_store.errors import ImageError, LLDError, ProjectError
from annotation_store.file_names import read_name
from annotation_store.files.disk import hash_of, sync, sync_tree, why_not_written
from annotation_store.files.layout import ORIGINALS, PIXELS, STAGING, inside, original_path, set_aside
from annotation_store.files.temporary import locked_folder, sweep
from annotation_store.images import Slide, write_pixels
from annotation_store.images.metadata import ImageMetadata, shown
from annotation_store.images.read import read_original
from annotation_store.images.slide import SlideOptions, find_slide
from annotation_store.images.slide_files import fingerprint
from annotation_store.images.zarr_writer import OVERVIEW_SIDE, write_overview
from annotation_store.records import (
    FieldKind,
)

_BATCH = 8
_ASKED = 250
"""Images that one statement asks about."""
_BY_NAME = sa.select(fields.c.id).where(fields.c.name == sa.bindparam("name"))
_WORKERS = 2
_NEW_SLIDE = SlideOptions(colour_profile=True)
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
    slide_options: SlideOptions = _NEW_SLIDE


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
    facts: ImageMetadata
    source_bytes: int | None = None  # of a slide


class Ingest:
    """Take image files into a project: a field is recorded only when its files are on disk."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    def take_in(
        self,
        incoming: Sequence[Incoming],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Outcome]:
        """Add files, one transaction per batch: a field is recorded only when its files are on disk."""
        outcomes: list[Outcome] = []
        ids_by_hash = self.known_hashes()
        with self.staging() as staging:
            for batch in self.prepare(incoming, staging, ids_by_hash):
                if any(isinstance(item, _Prepared) for item in batch):
                    with self.admit(batch) as (_connection, results):
                        outcomes += results
                    ids_by_hash |= {
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
    def staging(self) -> Iterator[Path]:
        """Yield a hidden folder for incoming files, and remove it afterwards."""
        self._db.refuse_read_only()
        self._db.check_present()
        try:
            self.sweep()
            with locked_folder(inside(self._db.path, STAGING)) as staging:
                yield staging
        except OSError as error:
            self._db.check_present()  # the better reason, if it is one
            raise ProjectError(why_not_written(f"The project {self._db.path}", error)) from error

    def prepare(
        self, incoming: Sequence[Incoming], staging: Path | None, ids_by_hash: Mapping[str, int]
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
                yield list(pool.map(self._prepare, batch, targets, repeat(ids_by_hash)))

    def known_hashes(self) -> dict[str, int]:
        rows = self._db.rows(sa.select(fields.c.content_hash, fields.c.id))
        return {row.content_hash: row.id for row in rows}

    def _prepare(
        self, item: Incoming, staged: Path | None, ids_by_hash: Mapping[str, int]
    ) -> _Prepared | Outcome:
        """Read a file and put its pixels and bytes on disk; one that fails keeps no other out."""
        try:
            return self._prepare_one(item, staged, ids_by_hash)
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
        self, item: Incoming, staged: Path | None, ids_by_hash: Mapping[str, int]
    ) -> _Prepared | Outcome:
        """Read a file and put its pixels and bytes on disk, not yet visible to readers."""
        try:
            slide = find_slide(item.path, item.slide_options)
            if slide is not None:
                with slide:
                    return self._prepare_slide(item, slide, staged, ids_by_hash)
            image_file = read_original(item.path)
            content_hash = image_file.content_hash
            if content_hash in ids_by_hash:
                return Outcome(ids_by_hash[content_hash])
            decoded = image_file.decode()
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
            original = original_beside(staged)
            original.write_bytes(image_file.data)
            sync(original)
        return _Prepared(item, content_hash, image_file.suffix, width, height, staged, facts)

    def _prepare_slide(
        self, item: Incoming, slide: Slide, staged: Path | None, ids_by_hash: Mapping[str, int]
    ) -> _Prepared | Outcome:
        """Read a slide through once for its hash, and keep its overview; the slide stays where it is."""
        try:
            str(item.path.absolute()).encode()
        except UnicodeEncodeError as error:  # a path that the database could not give back
            raise ImageError(
                f"The name of the slide {shown(item.path)} cannot be stored: rename the file."
            ) from error
        content_hash, size = fingerprint(item.path)
        if content_hash in ids_by_hash:
            return Outcome(ids_by_hash[content_hash])
        if staged is not None:
            overview = slide.overview(OVERVIEW_SIDE)
            write_overview(
                staged,
                overview,
                name=clean_name_of(item),
                scale=slide.width / overview.shape[1],
                pixel_size_um=item.pixel_size_um or slide.facts.pixel_size_um,
                options=slide.options,
            )
            sync_tree(staged)
        return _Prepared(
            item, content_hash, "", slide.width, slide.height, staged, slide.facts, source_bytes=size
        )

    @contextmanager
    def admit(
        self, prepared: Sequence[_Prepared | Outcome], *, keep: bool = True
    ) -> Iterator[tuple[sa.Connection, list[Outcome]]]:
        """Make fields of what was prepared, in a transaction in which more may be written.

        Whatever is raised within leaves the project as it was, its folders too; so does the end without
        `keep`.
        """
        moved: list[Path] = []
        with self._db.writing(keep=keep) as connection:
            try:
                outcomes = self._admit(connection, prepared, moved)
                yield connection, outcomes
            except BaseException:
                self.unmake(moved)
                raise
            if not keep:
                self.unmake(moved)
                return
        new = [o.field_id for o in outcomes if o.added and o.field_id is not None]
        if new:
            self._db.own["fields"].update(new)
            self._db.events.fields_added.emit(new)

    def unmake(self, moved: Iterable[Path]) -> None:
        """Remove files that were moved in, while the write lock is held: nothing refers to them yet."""
        for path in moved:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        self._db.cached_fields.clear()

    def _admit(
        self, connection: sa.Connection, prepared: Sequence[_Prepared | Outcome], moved: list[Path]
    ) -> list[Outcome]:
        """Add the rows of fields and move their files into the project; `moved` lists the files."""
        outcomes: list[Outcome] = []
        rows: list[dict[str, Any]] = []
        ids_by_hash: dict[str, int] = {}
        used_names: set[str] = set()
        looked_up: set[str] = set()
        new_items = [item for item in prepared if isinstance(item, _Prepared)]
        for start in range(0, len(new_items), _ASKED):
            part = new_items[start : start + _ASKED]
            part_names = {name for item in part for name in _first_names(item.incoming)}
            query = sa.select(fields.c.content_hash, fields.c.id, fields.c.name).where(
                sa.or_(
                    fields.c.content_hash.in_([item.content_hash for item in part]),
                    fields.c.name.in_(part_names),
                )
            )
            looked_up |= part_names
            for row in connection.execute(query):
                ids_by_hash[row.content_hash] = row.id
                used_names.add(row.name)

        def taken(name: str) -> bool:
            if name not in looked_up:
                looked_up.add(name)
                if connection.execute(_BY_NAME, {"name": name}).first() is not None:
                    used_names.add(name)
            return name in used_names

        next_field = history.next_id(connection, fields)
        for item in prepared:
            if isinstance(item, Outcome):
                outcomes.append(item)
                continue
            if item.content_hash in ids_by_hash:  # twice among these, or another program was faster
                outcomes.append(Outcome(ids_by_hash[item.content_hash]))
                continue
            if item.staged is not None:
                original = None if item.source_bytes is not None else (item.content_hash, item.suffix)
                self.move_in(item.staged, next_field, moved, original=original)
            name = free_name(item.incoming, taken)
            used_names.add(name)
            ids_by_hash[item.content_hash] = next_field
            rows.append(_field_row(next_field, name, item, self._db.secret))
            outcomes.append(Outcome(next_field, added=True))
            next_field += 1
        if moved:
            sync(self._db.path / PIXELS)
            sync(self._db.path / ORIGINALS)
        if rows:
            connection.execute(fields.insert(), rows)
        return outcomes

    def move_in(
        self, staged: Path, field_id: int, moved: list[Path], *, original: tuple[str, str] | None
    ) -> None:
        """Move a field's pixels and original to where they belong; within the transaction that adds it.

        Parameters
        ----------
        staged
            The pixels; `original_beside` them the file's own bytes.
        moved
            Gets what was moved, for `unmake`.
        original
            The hash and suffix of the original, if it comes along.
        """
        target = inside(self._db.path, PIXELS, str(field_id))
        if target.exists():  # of a field that the database knew before a backup was restored, or never
            set_aside(self._db.path, target)
        for side in THUMBNAIL_SIDES:
            thumbnail_file(self._db.path, field_id, side).unlink(missing_ok=True)
        moved.append(target)
        staged.replace(target)
        if original is None:
            return
        file = original_path(self._db.path, *original)
        if file.exists() and hash_of(file) != original[0]:
            set_aside(self._db.path, file)
        if not file.exists():
            moved.append(file)
            original_beside(staged).replace(file)

    def sweep(self) -> None:
        """Remove what interrupted intakes staged; set pixels aside that belong to no field."""
        sweep(inside(self._db.path, STAGING))
        if not self._strays():
            return
        # with the write lock held, no other process is between moving pixels in and committing their field
        with self._db.writing():
            for stray in self._strays():
                set_aside(self._db.path, stray)

    def _strays(self) -> list[Path]:
        folder = inside(self._db.path, PIXELS)
        # plain names: 100,000 paths take a third of a second
        with suppress(OSError), os.scandir(folder) as entries:
            names = {entry.name for entry in entries if entry.name.isdigit()}
            return [folder / name for name in sorted(names.difference(map(str, self._db.field_ids())))]
        return []


def original_beside(staged: Path) -> Path:
    """Return the path of a staged original, beside its pixels."""
    return staged.with_name(f"{staged.name}.original")


def describe_file(path: Path, pattern: re.Pattern[str] | None) -> Incoming:
    """Create an incoming file, with the patient, slide and domain from its name."""
    return Incoming(path, **read_name(path, pattern))  # type: ignore[arg-type]


def clean_name_of(item: Incoming) -> str:
    """Return the name that a field would have, were no other called so."""
    return validation.clean_name(item.name or item.path.name)


def _first_names(item: Incoming) -> list[str]:
    """List the names that a field may have before it is numbered."""
    names = [clean_name_of(item)]
    if item.name is None:
        names.append(validation.clean_name(f"{item.path.absolute().parent.name}/{item.path.name}"))
    return names


def free_name(item: Incoming, taken: Callable[[str], bool]) -> str:
    """Choose an unused field name: the file's, else with its folder's before it, else with a number."""
    name, *others = _first_names(item)
    for candidate in (name, *others):
        if not taken(candidate):
            return candidate
    return add_number(name, taken)


def add_number(name: str, taken: Callable[[str], bool]) -> str:
    """Return a name that is taken with the first free number before its suffix, from 2 on."""
    stem, dot, suffix = name.rpartition(".")
    base, end = (stem, f".{suffix}") if dot else (name, "")
    number = 2
    while taken(f"{base} ({number}){end}"):
        number += 1
    return f"{base} ({number}){end}"


def _source(item: _Prepared, secret: str) -> str:
    """Return the stored origin of a field: a slide's path, else hashed folders and the name."""
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
