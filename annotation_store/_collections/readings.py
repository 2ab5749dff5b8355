"""Readings: whose they are, which one is in use, and who may mark in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._db import history, row_mappers
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import annotators, cells, ignore_areas, readings, regions
from annotation_store.errors import EditError
from annotation_store.records import Reading


class Readings:
    """`Project.readings`: the readings, whose they are, and which one is in use.

    A reading belongs to its reader. Whoever has none in a project is asked for one before anything is marked;
    only a project's first reading, while it is the only one and empty, becomes theirs by their first mark.
    """

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db
        self._undecided = self._unclaimed = False
        db.claim_reading = self._claim

    def all(self) -> list[Reading]:
        """List the readings; a project starts with one."""
        return [
            row_mappers.reading(row) for row in self._db.rows(sa.select(readings).order_by(readings.c.id))
        ]

    def add(self, name: str, *, blind: bool = False, annotator: str | None = None) -> Reading:
        """Add a reading; it starts empty. Use it with `use`.

        Parameters
        ----------
        annotator
            Its annotator; by default the current one. Empty for a reading without one, such as a consensus.
        """
        clean = validation.clean_name(validation.text(name, "name"))
        reader = (
            self._db.annotator
            if annotator is None
            else annotator.strip() and validation.clean_name(annotator)
        )
        with self._db.writing() as connection:
            if connection.execute(sa.select(readings.c.id).where(readings.c.name == clean)).first():
                raise EditError(f"A reading called {clean!r} already exists: choose another name.")
            row = {"name": clean, "annotator": reader, "blind": blind}
            reading_id = history.next_id(connection, readings)
            connection.execute(readings.insert(), [{"id": reading_id, **row}])
        return Reading(reading_id, clean, reader, blind)

    def use(self, reading_id: int, *, remember: bool = False) -> None:
        """Switch to another reading: regions, cells and ignore areas are then its own.

        Parameters
        ----------
        remember
            Whether the annotator begins here when the project is opened next. Who has readings of their own
            always begins in one of those.
        """
        readings = self.all()
        reading = next((r for r in readings if r.id == reading_id), None)
        if reading is None:
            raise EditError(f"There is no reading {reading_id}.")
        self._db.reading = reading
        self._undecided = self._unclaimed = False
        own_ids = {r.id for r in readings if r.annotator == self._db.annotator}
        if remember and not self._db.read_only and (reading.id in own_ids or not own_ids):
            with self._db.writing() as connection:
                mine = annotators.update().where(annotators.c.name == self._db.annotator)
                connection.execute(mine.values(reading_id=reading.id))

    @contextmanager
    def within(self, reading_id: int) -> Iterator[None]:
        """Work in another reading within a ``with`` block; who may mark where is afterwards as before."""
        before = self._db.reading, self._undecided, self._unclaimed
        self.use(reading_id)
        try:
            yield
        finally:
            self._db.reading, self._undecided, self._unclaimed = before

    @property
    def undecided(self) -> bool:
        """Whether the annotator has no reading here and has not chosen to continue another's.

        `Project.reading` then belongs to another annotator and is read-only until `use` is called. Only an
        annotator named by the account may edit it, if the project has no other reading.
        """
        return self._undecided

    @property
    def unclaimed(self) -> bool:
        """Whether the reading in use becomes the annotator's own by their first mark in it.

        It still has another annotator's name, but it is empty and the only one.
        """
        return self._unclaimed and self._db.reading.annotator != self._db.annotator

    def choose(self) -> None:
        """Take the annotator's own reading, else the one they went on with, else the first."""
        readings = self.all()
        own_readings = [r for r in readings if r.annotator == self._db.annotator]
        query = sa.select(annotators.c.reading_id).where(annotators.c.name == self._db.annotator)
        last = next((row.reading_id for row in self._db.rows(query)), None)
        remembered = [r for r in (own_readings or readings) if r.id == last]
        self._db.reading = (remembered or own_readings or readings)[0]
        self._unclaimed = not own_readings and len(readings) == 1 and not self._touched(self._db.reading.id)
        self._undecided = not (own_readings or remembered or self._unclaimed)

    def _touched(self, reading_id: int) -> bool:
        """Return whether anything was ever marked in a reading; rows are never removed."""
        marks = (cells, regions, ignore_areas)
        any_marks = [sa.select(t.c.id).where(t.c.reading_id == reading_id).exists() for t in marks]
        return bool(self._db.rows(sa.select(sa.or_(*any_marks)))[0][0])

    def _claim(self, connection: sa.Connection) -> None:
        """Raise an error if the reading is another's; own the empty one that is everybody's so far."""
        if self._unclaimed:
            owner = connection.execute(
                sa.select(readings.c.annotator).where(readings.c.id == self._db.reading.id)
            ).scalar_one()
            if self._touched(
                self._db.reading.id
            ):  # since this project was opened, by this annotator or another
                self._unclaimed = False
                self._undecided = owner != self._db.annotator
            elif owner != self._db.annotator:
                mine = readings.update().where(readings.c.id == self._db.reading.id)
                connection.execute(mine.values(annotator=self._db.annotator))
                owner = self._db.annotator
            self._db.reading = replace(self._db.reading, annotator=owner)
        if self._undecided and (self._db.named or len(self.all()) > 1):
            reading, annotator = self._db.reading, self._db.annotator
            raise EditError(
                f"The reading {reading.name!r} belongs to {reading.annotator or 'no one'}, and {annotator} "
                "has none in this project: start a new one, or continue that one "
                "(in the window: ☰ › Readings; in the terminal: --reading)."
            )
