"""Mending a project: what can be made again is, what cannot be is said; nothing of the user's is deleted."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from PIL import Image

from annotation_store._base import (
    BACKUPS,
    DATABASE,
    MODELS,
    ORIGINALS,
    PIXELS,
    STAGING,
    THUMBNAILS,
)
from annotation_store._check import hash_of
from annotation_store._db.engine import plain_errors
from annotation_store._db.migrate import back_up
from annotation_store._db.tables import fields, models
from annotation_store._intake import Intake
from annotation_store.errors import ImageError, LLDError, ProjectError
from annotation_store.images import open_slide, write_pixels
from annotation_store.images.read import decode_with_facts, read_original
from annotation_store.images.zarr_store import OVERVIEW_SIDE, create_root, write_overview
from annotation_store.records import FieldKind

LOST = "lost+found"
"""Where files go that belong to nothing, or were damaged: for people to look at."""


@dataclass(frozen=True, slots=True)
class RepairReport:
    """What `Project.repair` did, and what it could not: a sentence each."""

    mended: list[str]
    left: list[str]


class Repair(Intake):
    """The part of `Project` that mends what `check` finds."""

    check: Callable[[], list[str]]
    _sound_pixels: Callable[[Any], bool]
    _sound_overview: Callable[[Any], bool]

    def repair(self) -> RepairReport:
        """Mend what can be mended.

        Pixels are made again from the originals, originals are taken again from where they came from (if
        the content is still the same), files that belong to nothing move to ``lost+found``, leftovers of
        interrupted work go, indexes are rebuilt. Annotations, history and models are never touched.

        Returns
        -------
        RepairReport
            What was mended, and what `check` still finds.
        """
        self._refuse_read_only()
        mended: list[str] = []
        try:
            mended += self._mend_database()
            create = [n for n in (ORIGINALS, MODELS) if not (self.path / n).is_dir()]
            for name in create:
                (self.path / name).mkdir()
                mended.append(f"The folder {name} was missing: made anew.")
            if not (self.path / PIXELS / "zarr.json").is_file():
                create_root(self.path / PIXELS)
                mended.append(f"{PIXELS} had lost its root: made anew.")
            mended += self._mend_originals()
            mended += self._mend_pixels()
            mended += self._set_strays_aside()
            mended += self._mend_thumbnails()
            mended += self._mend_models()
        except OSError as error:
            raise ProjectError(
                f"The project {self.path} cannot be mended ({error.strerror or error}): "
                "free space, or check the permissions."
            ) from error
        self._fields.clear()
        return RepairReport(mended, self.check())

    def _mend_database(self) -> list[str]:
        """Rebuild indexes: the one damage of a database that loses nothing. A copy is made first."""
        with plain_errors(self.path):
            ask = self._connection.exec_driver_sql
            if ask("PRAGMA quick_check").scalars().all() == ["ok"] and (
                ask("PRAGMA integrity_check").scalars().all() == ["ok"]
            ):
                return []
            copy = back_up(self.path / DATABASE, self.path / BACKUPS, "before-repair")
            ask("REINDEX")
            if ask("PRAGMA integrity_check").scalars().all() == ["ok"]:
                return [f"The database's indexes were damaged: made anew (a copy is {copy})."]
        return []

    def _mend_originals(self) -> list[str]:
        """Find the bytes of each field again: under another name in the project, or where they came from."""
        mended: list[str] = []
        rows = self._rows(sa.select(fields).where(fields.c.kind == FieldKind.IMAGE.value))
        known = {f"{row.content_hash}{row.suffix}": row for row in rows}
        lost = [(n, r) for n, r in known.items() if not self._is_original(self.path / ORIGINALS / n, r)]
        if not lost:
            return []
        here = [p for p in (self.path / ORIGINALS).iterdir() if p.is_file() and p.name not in known]
        here += [p for p in (self.path / LOST).rglob("*") if p.is_file()]
        by_hash = {hash_of(path): path for path in here}
        for name, row in lost:
            target = self.path / ORIGINALS / name
            data = self._bytes_of(row, by_hash)
            if data is None:
                continue  # `check` says so
            if target.exists():
                self._set_aside(target)
            temporary = target.with_name(f".{name}.{uuid.uuid4().hex}")
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            mended.append(f"The original file of the field {row.name} was found again.")
        return mended

    def _is_original(self, path: Path, row: Any) -> bool:
        return path.is_file() and hash_of(path) == row.content_hash

    def _bytes_of(self, row: Any, by_hash: dict[str, Path]) -> bytes | None:
        if (path := by_hash.get(row.content_hash)) is not None:
            return path.read_bytes()
        try:
            given = read_original(Path(row.source_path))
        except (LLDError, OSError, ValueError):
            return None
        return given.data if given.content_hash == row.content_hash else None

    def _mend_pixels(self) -> list[str]:
        """Decode originals again where the pixels made of them are missing or damaged."""
        mended: list[str] = []
        for row in self._rows(sa.select(fields).order_by(fields.c.id)):
            slide = row.kind == FieldKind.SLIDE.value
            if self._sound_overview(row) if slide else self._sound_pixels(row):
                continue
            staged = self.path / STAGING / uuid.uuid4().hex
            try:
                if not (self._overview_again if slide else self._pixels_again)(row, staged):
                    continue
                target = self.path / PIXELS / str(row.id)
                with self._writing():  # nobody is adding fields meanwhile
                    if target.exists():
                        self._set_aside(target)
                    staged.replace(target)
            except ImageError:
                continue  # `check` says so
            finally:
                shutil.rmtree(staged, ignore_errors=True)
            what = "overview of the slide" if slide else "pixels of the field"
            mended.append(f"The {what} {row.name} were made again.")
        return mended

    def _pixels_again(self, row: Any, staged: Path) -> bool:
        original = self.path / ORIGINALS / f"{row.content_hash}{row.suffix}"
        if not self._is_original(original, row):
            return False
        decoded = decode_with_facts(original.read_bytes(), original)
        if decoded.pixels.shape[:2] != (row.height, row.width):
            return False
        write_pixels(staged, decoded.pixels, name=row.name, pixel_size_um=row.pixel_size_um)
        return True

    def _overview_again(self, row: Any, staged: Path) -> bool:
        path = Path(row.source_path)
        if not path.exists():
            return False
        with open_slide(path) as slide:
            if (slide.width, slide.height) != (row.width, row.height):
                return False
            overview = slide.overview(OVERVIEW_SIDE)
            scale = slide.width / overview.shape[1]
        write_overview(staged, overview, name=row.name, scale=scale, pixel_size_um=row.pixel_size_um)
        return True

    def _set_strays_aside(self) -> list[str]:
        """Move what belongs to no field out of the way, and drop what interrupted work left."""
        mended: list[str] = []
        with self._writing():  # between a field's files and its row there is only this lock
            rows = self._rows(sa.select(fields.c.id, fields.c.content_hash, fields.c.suffix))
            originals = {f"{row.content_hash}{row.suffix}" for row in rows}
            for path in sorted((self.path / ORIGINALS).iterdir()):
                if path.name not in originals and not path.name.startswith("."):
                    self._set_aside(path)
                    mended.append(f"{path.name} in {ORIGINALS} belongs to no field: moved to {LOST}.")
            ids = {str(row.id) for row in rows}
            for path in sorted((self.path / PIXELS).iterdir()):
                if path.name not in ids and path.name != "zarr.json":
                    self._set_aside(path)
                    mended.append(f"{path.name} in {PIXELS} belongs to no field: moved to {LOST}.")
        self._sweep()
        return mended

    def _mend_thumbnails(self) -> list[str]:
        removed = 0
        for path in (self.path / THUMBNAILS).glob("*"):
            try:
                with Image.open(path, formats=("JPEG",)) as image:
                    image.load()
            except Exception:  # whatever a damaged file makes Pillow raise: it is made again when asked for
                path.unlink(missing_ok=True)
                removed += 1
        return [f"{removed} damaged thumbnails were removed: they are made again."] if removed else []

    def _mend_models(self) -> list[str]:
        """Let no model be active whose files are gone: predictions would fail until somebody notices."""
        active = self._rows(sa.select(models.c.id).where(models.c.active))
        for row in active:
            folder = self.path / MODELS / str(row.id)
            if not folder.is_dir() or not any(folder.iterdir()):
                with self._writing() as connection:
                    connection.execute(models.update().where(models.c.id == row.id).values(active=False))
                self.events.models_changed.emit()
                return [f"Model {row.id} has lost its files: it is no longer the active one."]
        return []

    def _set_aside(self, path: Path) -> Path:
        folder = self.path / LOST
        folder.mkdir(exist_ok=True)
        target, number = folder / path.name, 2
        while target.exists():
            target = folder / f"{path.name} ({number})"
            number += 1
        path.replace(target)
        return target
