"""Repair of a project: recreate what can be recreated, report the rest, delete nothing of the user's."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import sqlalchemy as sa
from PIL import Image

from annotation_store._collections.ingest import Ingest
from annotation_store._db.engine import plain_errors
from annotation_store._db.migrate import back_up
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import fields, models
from annotation_store.errors import LLDError, ProjectError
from annotation_store.files.disk import hash_of, make_folder, move, sync, sync_tree, why_not_written
from annotation_store.files.layout import (
    BACKUPS,
    DATABASE,
    LOST,
    MODELS,
    ORIGINALS,
    PIXELS,
    STAGING,
    THUMBNAILS,
    inside,
    is_link,
    original_path,
    refuse_links,
    set_aside,
)
from annotation_store.files.outputs import is_place_beside
from annotation_store.files.temporary import sweep
from annotation_store.images import open_slide, write_pixels
from annotation_store.images.read import decode_with_facts, read_original
from annotation_store.images.slide_files import is_same
from annotation_store.images.zarr_writer import (
    OVERVIEW_SIDE,
    create_root,
    is_root,
    slide_options,
    write_overview,
)
from annotation_store.maintenance.check import Check
from annotation_store.records import RETIRED, FieldKind

_THUMBNAIL = re.compile(r"\.?\d+-\d+\.jpg(\.[0-9a-f]{32})?")
"""The names of thumbnails, those half-written too."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What `Project.repair` did, and what it could not: a sentence each."""

    mended: list[str]
    left: list[str]


class Repair:
    """Mend what `Check` finds in a project."""

    def __init__(self, db: DatabaseSession, ingest: Ingest) -> None:
        self._db, self._ingest = db, ingest
        self._check = Check(db)

    def run(self, *, originals: Path | None = None) -> RepairReport:
        """Repair what can be mended.

        Pixels are made again from the originals, originals are taken again from a folder (if
        the content is still the same), indexes are rebuilt. Nothing is deleted but damaged thumbnails: what
        belongs to nothing or was damaged moves to ``lost+found``. Annotations, history and the files of
        models are never touched; a damaged model no longer suggests, and is retired until they are back.

        Parameters
        ----------
        originals
            Where to look for originals that the project has lost: a folder, its subfolders included.

        Returns
        -------
        RepairReport
            What was mended, and what `check` still finds.
        """
        self._db.refuse_read_only()
        refuse_links(self._db.path)
        mended: list[str] = []
        try:
            mended += self._mend_database()
            mended += self._mend_folders()
            mended += self._mend_originals(originals)
            mended += self._mend_pixels()
            mended += self._set_strays_aside()
            mended += self._mend_thumbnails()
            damage = self._damage_of_models()
            mended += self._mend_models(damage)
            mended += self._retire_models(damage)
        except OSError as error:
            raise ProjectError(why_not_written(f"The project {self._db.path}", error)) from error
        self._db.cached_fields.clear()
        return RepairReport(mended, self._check.run())

    def _mend_folders(self) -> list[str]:
        mended: list[str] = []
        for name in (ORIGINALS, MODELS, PIXELS):
            if not (self._db.path / name).is_dir():
                make_folder(self._db.path / name)
                mended.append(f"The folder {name} was missing: created again.")
        root = self._db.path / PIXELS
        if not is_root(root):
            if (root / "zarr.json").exists():
                set_aside(self._db.path, root / "zarr.json")
            create_root(root)
            mended.append(f"{PIXELS} had no root: created again.")
        return mended

    def _mend_database(self) -> list[str]:
        """Rebuild indexes: the one damage of a database that loses nothing. A copy is made first."""
        with plain_errors(self._db.path):
            ask = self._db.connection.exec_driver_sql
            if ask("PRAGMA quick_check").scalars().all() == ["ok"] and (
                ask("PRAGMA integrity_check").scalars().all() == ["ok"]
            ):
                return []
            copy = back_up(self._db.path / DATABASE, self._db.path / BACKUPS, "before-repair")
            ask("REINDEX")
            if ask("PRAGMA integrity_check").scalars().all() == ["ok"]:
                return [f"The database's indexes were damaged: rebuilt (a copy is {copy})."]
        return []

    def _mend_originals(self, originals: Path | None) -> list[str]:
        """Find the bytes of each field again: under another name in the project, or in a folder."""
        mended: list[str] = []
        rows = self._db.rows(sa.select(fields).where(fields.c.kind == FieldKind.IMAGE.value))
        rows_by_name = {path.name: row for row in rows if (path := self._place_of(row)) is not None}
        lost = [
            (name, row)
            for name, row in rows_by_name.items()
            if not row.withheld and self._original_of(row) is None
        ]
        if not lost:
            return []
        places = (self._db.path / ORIGINALS, inside(self._db.path, LOST))
        files = [p for place in places for p in place.rglob("*") if p.is_file() and not is_link(p)]
        by_hash = {hash_of(path): path for path in files if path.name not in rows_by_name}
        for name, row in lost:
            data = self._bytes_of(row, by_hash, originals)
            if data is None:
                continue  # `check` reports it
            target = self._db.path / ORIGINALS / name
            if target.exists():
                set_aside(self._db.path, target)
            with self._ingest.staging() as staging:
                (staging / name).write_bytes(data)
                sync(staging / name)
                move(staging / name, target)
            mended.append(f"The original file of the field {row.name} was found again.")
        return mended

    def _place_of(self, row: Any) -> Path | None:
        """Return where the original of a field belongs; nowhere, where the database names no such place."""
        try:
            return original_path(self._db.path, row.content_hash, row.suffix)
        except ProjectError:
            return None

    def _original_of(self, row: Any) -> Path | None:
        """Return the original of a field, if its bytes are there and unaltered."""
        path = self._place_of(row)
        return path if path is not None and path.is_file() and hash_of(path) == row.content_hash else None

    def _bytes_of(self, row: Any, by_hash: dict[str, Path], originals: Path | None) -> bytes | None:
        if (path := by_hash.get(row.content_hash)) is not None:
            return path.read_bytes()
        named = originals.rglob(glob.escape(PurePath(row.source_path).name)) if originals is not None else ()
        for path in named:
            with suppress(LLDError, OSError, ValueError):
                original = read_original(path)
                if original.content_hash == row.content_hash:
                    return original.data
        return None

    def _mend_pixels(self) -> list[str]:
        """Decode originals again where the pixels made of them are missing or damaged."""
        mended: list[str] = []
        for row in self._db.rows(sa.select(fields).order_by(fields.c.id)):
            slide = row.kind == FieldKind.SLIDE.value
            if self._check.sound_overview(row) if slide else self._check.sound_pixels(row):
                continue
            with self._ingest.staging() as staging:
                staged = staging / "again"
                try:
                    if not (self._overview_again if slide else self._pixels_again)(row, staged):
                        continue
                except LLDError:
                    continue  # `check` reports it
                sync_tree(staged)
                target = self._db.path / PIXELS / str(int(row.id))
                with self._db.writing():  # no process adds fields in the meantime
                    if target.exists() or is_link(target):
                        set_aside(self._db.path, target)
                    move(staged, target)
            what = "overview of the slide" if slide else "pixels of the field"
            mended.append(f"The {what} {row.name} were created again.")
        return mended

    def _pixels_again(self, row: Any, staged: Path) -> bool:
        original = self._original_of(row)
        if original is None:
            return False
        decoded = decode_with_facts(original.read_bytes(), original)
        if decoded.pixels.shape[:2] != (row.height, row.width):
            return False
        write_pixels(staged, decoded.pixels, name=row.name, pixel_size_um=row.pixel_size_um)
        return True

    def _overview_again(self, row: Any, staged: Path) -> bool:
        path = Path(row.source_path)
        if not path.exists() or not is_same(path, row.content_hash, row.source_bytes):
            return False
        options = slide_options(inside(self._db.path, PIXELS, str(row.id)))
        with open_slide(path, options) as slide:
            if (slide.width, slide.height) != (row.width, row.height):
                return False
            overview = slide.overview(OVERVIEW_SIDE)
            scale = slide.width / overview.shape[1]
        write_overview(
            staged, overview, name=row.name, scale=scale, pixel_size_um=row.pixel_size_um, options=options
        )
        return True

    def _set_strays_aside(self) -> list[str]:
        """Move unused files to ``lost+found``, and remove staged files of interrupted work."""
        with self._db.writing() as connection:  # between a field's files and its row there is only this lock
            rows = self._db.rows(sa.select(fields.c.id, fields.c.content_hash, fields.c.suffix))
            used_names = {
                ORIGINALS: {f"{row.content_hash}{row.suffix}" for row in rows},
                PIXELS: {"zarr.json", *(str(row.id) for row in rows)},
            }
            strays = [
                p
                for n in used_names
                for p in sorted((self._db.path / n).iterdir())
                if p.name not in used_names[n]
            ]
            numbers = {str(row.id) for row in connection.execute(sa.select(models.c.id))}
            folders = sorted((self._db.path / MODELS).iterdir())
            strays += [p for p in folders if p.name.isdigit() and p.name not in numbers]
            for path in strays:
                set_aside(self._db.path, path)
        self._ingest.sweep()
        mended = [f"{p.name} in {p.parent.name} is not used: moved to {LOST}." for p in strays]
        for path in inside(self._db.path, STAGING).glob("*"):
            if not (path / ".lock").exists():  # of an older version
                set_aside(self._db.path, path)
                mended.append(f"An interrupted import was left in {STAGING}: moved to {LOST}.")
        return mended

    def _mend_thumbnails(self) -> list[str]:
        removed, mended = 0, []
        sweep(inside(self._db.path, THUMBNAILS), ".")
        for path in inside(self._db.path, THUMBNAILS).glob("*"):
            if is_place_beside(path):  # of a program that lives: `sweep` has removed the others
                continue
            if not _THUMBNAIL.fullmatch(path.name) or is_link(path) or not path.is_file():
                set_aside(self._db.path, path)
                mended.append(f"{path.name} in {THUMBNAILS} is not a thumbnail: moved to {LOST}.")
                continue
            try:
                with Image.open(path, formats=("JPEG",)) as image:
                    image.load()
            except Exception:  # whatever a damaged file makes Pillow raise: it is made again when asked for
                path.unlink(missing_ok=True)
                removed += 1
        if removed:
            mended.append(f"{removed} damaged thumbnails were removed: they are created again.")
        return mended

    def _damage_of_models(self) -> dict[int, str | None]:
        """Read the files of every model, which are large, once: what is wrong with them, by its number."""
        query = sa.select(models.c.id, models.c.card).where(models.c.ready | models.c.active)
        rows = self._db.rows(query.order_by(models.c.id))
        return {row.id: self._check.model_damage(row) for row in rows}

    def _mend_models(self, damage: Mapping[int, str | None]) -> list[str]:
        """Deactivate a damaged model: predictions with it would fail."""
        active = self._db.rows(sa.select(models.c.id).where(models.c.active))
        if not active or (why := damage[active[0].id]) is None:
            return []
        damaged = active[0].id
        ready = {row.id for row in self._db.rows(sa.select(models.c.id).where(models.c.ready))}
        sound = max((number for number in ready if number < damaged and damage[number] is None), default=None)
        with self._db.writing() as connection:
            connection.execute(models.update().where(models.c.active).values(active=False))
            connection.execute(models.update().where(models.c.id == sound).values(active=True))
        self._db.events.models_changed.emit()
        instead = "the starter" if sound is None else f"model {sound}"
        return [f"Model {damaged} cannot be used ({why}): {instead} is now in use."]

    def _retire_models(self, damage: Mapping[int, str | None]) -> list[str]:
        """Mark the models whose files are gone or damaged, so that they are not complained of for ever."""
        mended: list[str] = []
        query = sa.select(models.c.id, models.c.card).where(models.c.ready).order_by(models.c.id)
        for row in self._db.rows(query):
            card = dict(row.card) if isinstance(row.card, dict) else {}
            why = damage[row.id]
            if (why is None) == (RETIRED not in card):
                continue
            if why is None:
                del card[RETIRED]
                mended.append(f"The files of model {row.id} are whole again: it can be used.")
            else:
                card[RETIRED] = why
                mended.append(
                    f"Model {row.id} cannot be used ({why}): it is retired, and what it suggested stays. Put "
                    "its files back and repair again to use it."
                )
            with self._db.writing() as connection:
                connection.execute(models.update().where(models.c.id == row.id).values(card=card))
        if mended:
            self._db.events.models_changed.emit()
        return mended
