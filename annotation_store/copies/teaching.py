"""Write the training data of a project without names: a database on which another computer trains."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

import sqlalchemy as sa

from annotation_store._collections.pixels import FieldPixels
from annotation_store._db import migrate
from annotation_store._db.engine import make_engine, plain_errors, transaction
from annotation_store._db.history import insert_many
from annotation_store._db.pseudonyms import domain_pseudonym, pseudonym
from annotation_store._db.tables import (
    cells,
    fields,
    ignore_areas,
    models,
    readings,
    regions,
    reserve,
    suggestions,
    words,
)
from annotation_store._db.tables import project as project_table
from annotation_store.copies.other import Other, read_project
from annotation_store.files.layout import DATABASE, MODELS, PIXELS
from annotation_store.images.zarr_writer import create_root, write_windows
from annotation_store.records import Box, Field, FieldKind

_SLIDES = "slides"
_AT_ONCE = 20_000
"""Rows."""
_NOTHING: Mapping[str, Any] = {
    "note": "",
    "microscope": None,
    "camera": None,
    "stain": None,
    "quality": None,
    "overlaps": None,
    "source_bytes": None,
}
"""Of a field: what says nothing to a training, and may name somebody."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of the project, which stays here and by which names are hashed, and of the copy."""

    own: str
    copy: str

    def hashed(self, name: str) -> str:
        """Return the hash of the name of a patient, a slide or a file in the copy."""
        return pseudonym(self.own, name)

    def in_copy(self, text: str) -> str:
        """Return the pseudonym that the copy gives (`Project.pseudonyms.of`)."""
        return pseudonym(self.copy, text)


def copy_to_teach(folder: Path, target: Path, card: Callable[[Keys, int, Any], Mapping[str, Any]]) -> Keys:
    """Write the database of a copy of a project that holds what a training reads, and no name.

    Ids of fields, cells and models are the project's own. Patients, slides, fields and domains have hashes
    in the place of their names, so that what belonged together still does. Comments, notes, suggestions that
    nobody settled, and the history stay behind; pixels and the files of models are not copied.

    Parameters
    ----------
    target
        A folder, which is made.
    card
        Given the keys, a model's number and its card, returns the card that it has in the copy.

    Returns
    -------
    Keys
        By which its names were hashed.

    Raises
    ------
    ProjectError
        The project is damaged, or the disk is full.
    """
    (target / MODELS).mkdir(parents=True)
    create_root(target / PIXELS)
    with read_project(folder) as other:
        engine = make_engine(target / DATABASE)
        try:
            migrate.upgrade(engine, target)
            with plain_errors(target), engine.connect() as connection:
                filling = _Filling(other, connection, card)
                with transaction(connection, target):
                    filling.run()
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                connection.exec_driver_sql("PRAGMA journal_mode = DELETE")
        finally:
            engine.dispose()
        return filling.keys


class _Filling:
    """Copy rows from one database into another."""

    def __init__(
        self,
        other: Other,
        connection: sa.Connection,
        card: Callable[[Keys, int, Any], Mapping[str, Any]],
    ) -> None:
        self._other, self._connection, self._card = other, connection, card
        self._project = dict(other.connection.execute(sa.select(project_table)).one()._mapping)
        self.keys = Keys(self._project["secret"], secrets.token_hex(32))

    def run(self) -> None:
        replaced = {"secret": self.keys.copy, "patient_rule": None, "schema_version": 1}
        insert_many(self._connection, project_table, [{**self._project, **replaced}])
        self._copy(words, sa.select(words))
        self._copy(
            models,
            sa.select(models).where(models.c.ready),
            lambda row: {**row, "card": dict(self._card(self.keys, row["id"], row["card"]))},
        )
        self._copy(
            readings,
            sa.select(readings),
            lambda row: {
                **row,
                "name": f"reading {row['id']}",
                "annotator": self._hash(row["annotator"]),
            },
        )
        self._copy(fields, sa.select(fields), self._field)
        self._copy(reserve, sa.select(reserve))
        for table in (regions, ignore_areas, cells):
            self._copy(table, sa.select(table).where(sa.not_(table.c.deleted)), _bare)
        rejected = sa.select(suggestions).where(suggestions.c.state == "rejected")
        self._copy(suggestions, rejected, lambda row: {**row, "model_id": None})

    def _copy(
        self, table: sa.Table, query: Any, change: Callable[[dict[str, Any]], dict[str, Any]] = dict
    ) -> None:
        for rows in self._other.connection.execute(query).partitions(_AT_ONCE):
            insert_many(self._connection, table, [change(dict(row._mapping)) for row in rows])

    def _hash(self, name: str | None) -> str | None:
        return self.keys.hashed(name) if name else name

    def _field(self, row: Mapping[str, Any]) -> dict[str, Any]:
        # fields of one file name in several folders are one unit (`annotation_store.splits`)
        path = PurePosixPath(row["name"].replace(chr(92), "/"))
        suffix = PurePath(row["name"]).suffix.lower()
        short = suffix if suffix.isascii() and len(suffix) <= 5 else ".png"
        name = f"{row['id']}/{self.keys.hashed(path.stem)}{short}"
        new = {**row, **_NOTHING, "name": name, "source_path": name, "suffix": short}
        new |= {"patient": self._hash(row["patient"]), "slide": self._hash(row["slide"])}
        if row["domain"]:
            new["domain"] = domain_pseudonym(self.keys.own, row["domain"])
        new["withheld"] = row["kind"] == FieldKind.IMAGE
        return new


def _bare(row: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what a person wrote, and what points at rows that stay behind."""
    nothing = {"comment": "", "extra": None, "suggestion_id": None, "confirmed": None}
    return {**row, **{name: value for name, value in nothing.items() if name in row}}


def write_slide(target: Path, pixels: FieldPixels, slide: Field, windows: Iterable[Box]) -> None:
    """Write an image as large as a slide into a copy, of which only these windows have pixels."""
    parts = ((int(box[0]), int(box[1]), pixels.read_area(slide.id, box)) for box in windows)
    write_windows(target / _SLIDES / f"{slide.id}.zarr", (slide.width, slide.height), parts)


def place_slides(folder: Path) -> None:
    """Record the paths of slides in a copy's database, once the copy is in its final place."""
    engine = make_engine(folder / DATABASE)
    try:
        with plain_errors(folder), engine.connect() as connection, transaction(connection, folder):
            slides = sa.select(fields.c.id).where(fields.c.kind == FieldKind.SLIDE.value)
            for row in list(connection.execute(slides)):
                path = str((folder / _SLIDES / f"{row.id}.zarr").absolute())
                connection.execute(fields.update().where(fields.c.id == row.id).values(source_path=path))
    finally:
        engine.dispose()
