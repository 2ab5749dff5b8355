"""Readings: whose they are, which one is in use, and who may mark in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._db import history, row_mappers
from annotation_store._db.history import Change
from annotation_store._db.session import ProjectBase
from annotation_store._db.tables import annotators, cells, ignore_areas, readings, regions
from annotation_store.errors import EditError
from annotation_store.records import Edit, Reading


class Readings(ProjectBase):
    """The part of `Project` that knows whose reading is whose.

    A reading belongs to its reader. Whoever has none in a project is asked for one before anything is marked;
    only a project's first reading, while it is the only one and empty, becomes theirs by their first mark.
    """

    _named: bool
    """Whether somebody said who annotates; otherwise it is the account."""
    _undecided: bool
    _unclaimed: bool

    def readings(self) -> list[Reading]:
        """List the readings; a project starts with one."""
        return [row_mappers.reading(row) for row in self._rows(sa.select(readings).order_by(readings.c.id))]

    def add_reading(self, name: str, *, blind: bool = False, annotator: str | None = None) -> Reading:
        """Add a reading; it starts empty. Use it with `use_reading`.

        Parameters
        ----------
        annotator
            Whose it is; by default the current annotator's. Empty: nobody's, as a consensus is.
        """
        clean = validation.clean_name(validation.text(name, "name"))
        reader = (
            self.annotator if annotator is None else annotator.strip() and validation.clean_name(annotator)
        )
        with self._writing() as connection:
            if connection.execute(sa.select(readings.c.id).where(readings.c.name == clean)).first():
                raise EditError(f"There is a reading called {clean!r} already: choose another name.")
            row = {"name": clean, "annotator": reader, "blind": blind}
            reading_id = history.next_id(connection, readings)
            connection.execute(readings.insert(), [{"id": reading_id, **row}])
        return Reading(reading_id, clean, reader, blind)

    def use_reading(self, reading_id: int, *, remember: bool = False) -> None:
        """Switch to another reading: regions, cells and ignore areas are then its own.

        Parameters
        ----------
        remember
            Whether the annotator begins here when the project is opened next. Who has readings of their own
            always begins in one of those.
        """
        found = self.readings()
        reading = next((r for r in found if r.id == reading_id), None)
        if reading is None:
            raise EditError(f"There is no reading {reading_id}.")
        self.reading = reading
        self._undecided = self._unclaimed = False
        own = {r.id for r in found if r.annotator == self.annotator}
        if remember and not self.read_only and (reading.id in own or not own):
            with self._writing() as connection:
                mine = annotators.update().where(annotators.c.name == self.annotator)
                connection.execute(mine.values(reading_id=reading.id))

    @contextmanager
    def in_reading(self, reading_id: int) -> Iterator[None]:
        """Work in another reading within a ``with`` block; who may mark where is afterwards as before."""
        before = self.reading, self._undecided, self._unclaimed
        self.use_reading(reading_id)
        try:
            yield
        finally:
            self.reading, self._undecided, self._unclaimed = before

    @property
    def reading_undecided(self) -> bool:
        """Whether the annotator has no reading here and has not chosen to continue another's.

        `reading` is then somebody else's: for reading only, until `use_reading` is called. Only the account
        that nobody named may mark in it, where the project has no other.
        """
        return self._undecided

    def _choose_reading(self) -> None:
        """Take the annotator's own reading, else the one they went on with, else the first."""
        found = self.readings()
        own = [r for r in found if r.annotator == self.annotator]
        query = sa.select(annotators.c.reading_id).where(annotators.c.name == self.annotator)
        last = next((row.reading_id for row in self._rows(query)), None)
        remembered = [r for r in (own or found) if r.id == last]
        self.reading = (remembered or own or found)[0]
        self._unclaimed = not own and len(found) == 1 and not self._touched(self.reading.id)
        self._undecided = not (own or remembered or self._unclaimed)

    def _touched(self, reading_id: int) -> bool:
        """Whether anything was ever marked in a reading; rows are never removed."""
        marks = (cells, regions, ignore_areas)
        there = [sa.select(t.c.id).where(t.c.reading_id == reading_id).exists() for t in marks]
        return bool(self._rows(sa.select(sa.or_(*there)))[0][0])

    def _write_edit(
        self,
        connection: sa.Connection,
        field_id: int,
        command: str,
        changes: Sequence[Change],
        *,
        system: bool = False,
    ) -> Edit:
        # what is said of a field as a whole belongs to no reading
        if not system and any(change.entity != "field" for change in changes):
            self._take_reading(connection)
        return super()._write_edit(connection, field_id, command, changes, system=system)

    def _take_reading(self, connection: sa.Connection) -> None:
        """Refuse to mark in a reading that is another's; own the empty one that is everybody's so far."""
        if self._unclaimed:
            owner = connection.execute(
                sa.select(readings.c.annotator).where(readings.c.id == self.reading.id)
            ).scalar_one()
            if self._touched(self.reading.id):  # since this project was opened, by this annotator or another
                self._unclaimed = False
                self._undecided = owner != self.annotator
            elif owner != self.annotator:
                mine = readings.update().where(readings.c.id == self.reading.id)
                connection.execute(mine.values(annotator=self.annotator))
                owner = self.annotator
            self.reading = replace(self.reading, annotator=owner)
        if self._undecided and (self._named or len(self.readings()) > 1):
            reading = self.reading
            raise EditError(
                f"The reading {reading.name!r} is {reading.annotator or 'nobody'}'s, and {self.annotator} "
                "has none in this project: begin one, or choose to continue that one "
                "(in the window: ☰ › Readings; in the terminal: --reading)."
            )
