"""Check a project: database, pixels, originals, references."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._db.engine import plain_errors
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import cells, fields, models, suggestions
from annotation_store.errors import LLDError, ProjectError
from annotation_store.files.disk import hash_of
from annotation_store.files.layout import MODELS, PIXELS, inside, is_link, original_path
from annotation_store.images import open_slide
from annotation_store.images.metadata import shown
from annotation_store.images.slide_files import is_same
from annotation_store.images.zarr_writer import is_root, read_every_level, read_overview
from annotation_store.maintenance.audit import Audit
from annotation_store.maintenance.model_files import damage_of
from annotation_store.records import RETIRED, FieldKind


class Check:
    """Look for damage in a project: database, pixels, originals, models, references."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    def run(self, *, quick: bool = False, progress: Callable[[int, int], None] | None = None) -> list[str]:
        """Check the whole project; see `annotation_store.Project.check`."""
        if damaged := [*self._check_database(), *Audit(self._db).types()]:
            return [*damaged, *self._check_fields(quick, progress)]  # the rest would stumble over these rows
        return [
            *self._check_fields(quick, progress),
            *self._check_values(),
            *self._check_models(quick),
            *Audit(self._db).history(),
        ]

    def _check_database(self) -> list[str]:
        with plain_errors(self._db.path):
            result = self._db.connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
            broken = self._db.connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        problems = [f"The database is damaged: {text}." for text in result if text != "ok"]
        problems += [f"Row {row[1]} of {row[0]} refers to a missing row of {row[2]}." for row in broken]
        return problems

    def _check_fields(self, quick: bool, progress: Callable[[int, int], None] | None) -> list[str]:
        problems: list[str] = []
        rows = self._db.rows(sa.select(fields).order_by(fields.c.id))
        for number, row in enumerate(rows):
            if progress is not None:
                progress(number, len(rows))
            if row.kind == FieldKind.SLIDE:
                problems += self._check_slide(row, quick)
                continue
            if not (self._has_pixels(row) if quick else self.sound_pixels(row)):
                problems.append(f"The pixels of the field {row.name} are missing or damaged.")
            problems += self._check_original(row, quick)
        field_ids = {str(row.id) for row in rows}
        folder = inside(self._db.path, PIXELS)
        if not is_root(folder):
            problems.append(
                f"{folder / 'zarr.json'} is missing or damaged: other programs cannot read {PIXELS}."
            )
        strays = [p for p in folder.glob("*") if p.name.isdigit() and p.name not in field_ids]
        problems += [f"{p} contains pixels that belong to no field." for p in sorted(strays)]
        return problems

    def _check_original(self, row: Any, quick: bool) -> list[str]:
        if row.withheld:  # a copy without names never had it
            return []
        try:
            original = original_path(self._db.path, row.content_hash, row.suffix)
        except ProjectError as error:
            return [f"The original file of the field {row.name}: {error}"]
        if not original.is_file():
            return [f"The original file of the field {row.name} is missing ({original})."]
        if not quick and hash_of(original) != row.content_hash:
            return [f"The original file of the field {row.name} was changed ({original})."]
        return []

    def _has_pixels(self, row: Any) -> bool:
        folder = self._db.path / PIXELS / str(row.id)
        return not is_link(folder) and (folder / "zarr.json").is_file()

    def sound_pixels(self, row: Any) -> bool:
        """Return whether the pixels of a field can be read, and have its size."""
        try:
            pixels = read_every_level(inside(self._db.path, PIXELS, str(row.id)))
        except LLDError:
            return False
        return pixels.shape == (row.height, row.width, 3)

    def sound_overview(self, row: Any) -> bool:
        """Return whether the overview of a slide can be read."""
        try:
            read_overview(inside(self._db.path, PIXELS, str(row.id)))
        except LLDError:
            return False
        return True

    def _check_slide(self, row: Any, quick: bool) -> list[str]:
        """Check whether a slide is there, is the file that was added, and opens."""
        problems: list[str] = []
        if not self.sound_overview(row):
            problems.append(f"The overview of the slide {row.name} is missing or damaged.")
        path = Path(row.source_path)
        if not path.exists():
            problems.append(
                f"The slide {row.name} is no longer at {shown(path)}: put it back, "
                "or search for it (napari-lld check PROJECT --slides FOLDER)."
            )
            return problems
        try:
            if is_same(path, row.content_hash, row.source_bytes, quick=quick):
                open_slide(path).close()
            else:
                problems.append(
                    f"The slide {row.name} is another file than the one that was added ({shown(path)}): put "
                    "that one back, or search for it (napari-lld check PROJECT --slides FOLDER)."
                )
        except LLDError as error:
            problems.append(str(error))
        return problems

    def _check_values(self) -> list[str]:
        problems: list[str] = []
        cell_ids = {row.id for row in self._db.rows(sa.select(cells.c.id))}
        for row in self._db.rows(sa.select(cells).where(sa.not_(cells.c.deleted)).order_by(cells.c.id)):
            try:
                of_class = validation.cell_class(self._db.schema, row.cell_class)
                validation.attributes(self._db.schema, row.attributes)
                validation.kind(self._db.schema, row.kind, of_class)
            except LLDError as error:
                problems.append(f"Cell {row.id}: {error}")
        query = sa.select(suggestions.c.id, suggestions.c.cell_id).where(suggestions.c.cell_id.is_not(None))
        problems += [
            f"Suggestion {row.id} became cell {row.cell_id}, which does not exist."
            for row in self._db.rows(query)
            if row.cell_id not in cell_ids
        ]
        return problems

    def _check_models(self, quick: bool = False) -> list[str]:
        query = sa.select(models.c.id, models.c.card).where(models.c.ready).order_by(models.c.id)
        in_use = [row for row in self._db.rows(query) if RETIRED not in (row.card or {})]
        damages = ((row.id, self.model_damage(row, quick=quick)) for row in in_use)
        return [f"Model {model_id} cannot be used: {why}." for model_id, why in damages if why is not None]

    def model_damage(self, row: Any, *, quick: bool = False) -> str | None:
        """Describe what is wrong with a model's files; ``None`` if they are sound."""
        try:
            return damage_of(inside(self._db.path, MODELS, str(int(row.id))), row.card or {}, quick=quick)
        except (ProjectError, OSError) as error:
            return str(error).rstrip(".")
