"""Searches of whole slides: suggestions tile by tile, and which tiles are searched."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from annotation_store import validation
from annotation_store._collections.search_progress import Searched, progress
from annotation_store._collections.suggestion_rows import OPEN, SuggestionRows
from annotation_store._db import history
from annotation_store._db.history import Change
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import fields, searched_tiles, searches, suggestions
from annotation_store.records import Box, FieldKind, Proposal, SuggestionState

_AT_ONCE = 10_000


class TileState(StrEnum):
    """What became of a tile: it was searched, there was nothing to search, or it could not be read."""

    SEARCHED = "searched"
    EMPTY = "empty"
    DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Search:
    """A model's search of a slide.

    Attributes
    ----------
    model_id
        ``None`` = the starter.
    about
        How the slide is cut into tiles, and what is searched with: whoever searches writes and reads it.
    """

    id: int
    field_id: int
    model_id: int | None
    about: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SearchedTile:
    """A tile with the suggestions found in it: their ids are `first` and those that follow."""

    tile: int
    state: TileState
    first: int
    count: int


class Searches:
    """`Project.searches`: how far the searches of whole slides are.

    A tile and its suggestions are one transaction: whenever the process dies, a tile is searched and its
    suggestions are there, or neither.
    """

    def __init__(self, db: DatabaseSession, pending: SuggestionRows) -> None:
        self._db, self._pending = db, pending

    def latest(self, field_id: int) -> Search | None:
        """Return the last search of a slide that was begun, if any."""
        query = sa.select(searches).where(searches.c.field_id == int(field_id))
        rows = self._db.rows(query.order_by(searches.c.id.desc()).limit(1))
        if not rows:
            return None
        about = rows[0].about if isinstance(rows[0].about, dict) else {}
        return Search(rows[0].id, rows[0].field_id, rows[0].model_id, about)

    def left(self, model_id: int | None) -> list[int]:
        """List the slides that were never searched, by another model last, or in part; none skipped.

        Parameters
        ----------
        model_id
            ``None`` = the starter.
        """
        slides = sa.select(fields.c.id).where(
            fields.c.kind == FieldKind.SLIDE.value, sa.not_(fields.c.skipped)
        )
        ids = [row.id for row in self._db.rows(slides.order_by(fields.c.id))]
        by = self.progress() if ids else {}
        return [
            slide_id
            for slide_id in ids
            if slide_id not in by or by[slide_id].model_id != model_id or by[slide_id].share < 1
        ]

    def progress(self) -> dict[int, Searched]:
        """Return how far the last search of each slide is, by the slide's id."""
        return progress(self._db)

    def begin(self, field_id: int, *, model_id: int | None, about: Mapping[str, Any]) -> Search:
        """Begin a search; the tiles of earlier ones of the slide are forgotten, their suggestions stay."""
        self._db.field(field_id)
        earlier = sa.select(searches.c.id).where(searches.c.field_id == field_id)
        with self._db.writing() as connection:
            number = history.next_id(connection, searches)
            connection.execute(searched_tiles.delete().where(searched_tiles.c.search_id.in_(earlier)))
            row = {"id": number, "field_id": field_id, "model_id": model_id, "about": dict(about)}
            connection.execute(searches.insert(), [{**row, "created": history.now()}])
        return Search(number, field_id, model_id, dict(about))

    def tiles(self, search: Search) -> dict[int, SearchedTile]:
        """Return the tiles of a search by their number."""
        rows = self._db.rows(sa.select(searched_tiles).where(searched_tiles.c.search_id == search.id))
        return {row.tile: SearchedTile(row.tile, TileState(row.state), row.first, row.count) for row in rows}

    def boxes(self, tiles: Collection[SearchedTile]) -> list[Box]:
        """Return the boxes that were found in tiles, in any state."""
        s = suggestions.c
        boxes: list[Box] = []
        for searched in sorted(tiles, key=lambda tile: tile.first):
            if searched.count:
                query = sa.select(s.x, s.y, s.w, s.h).where(
                    s.id >= searched.first, s.id < searched.first + searched.count
                )
                boxes += [(row.x, row.y, row.w, row.h) for row in self._db.rows(query.order_by(s.id))]
        return boxes

    def pending(self, search: Search) -> dict[int, tuple[float, float]]:
        """Return the centres of suggestions that were pending before a search, by suggestion id."""
        s = suggestions.c
        query = sa.select(s.id, s.x, s.y, s.w, s.h).where(
            s.field_id == search.field_id, s.state == SuggestionState.PENDING.value
        )
        found_ids: set[int] = set()
        for tile in self.tiles(search).values():
            found_ids.update(range(tile.first, tile.first + tile.count))
        return {
            row.id: (row.x + row.w / 2, row.y + row.h / 2)
            for row in self._db.rows(query)
            if row.id not in found_ids
        }

    def add(
        self,
        search: Search,
        tile: int,
        proposals: Sequence[Proposal],
        *,
        replaces: Collection[int] = (),
    ) -> list[int]:
        """Store the suggestions of a tile and mark it as searched; return the suggestions' ids.

        Runs in one transaction. Nothing is stored for a tile that was searched already.

        Parameters
        ----------
        replaces
            Ids of suggestions from before: those that are still pending are superseded.

        Raises
        ------
        EditError
            A box lies outside the slide, or names something that the schema lacks.
        """
        field = self._db.field(search.field_id)
        rows = [validation.proposal(self._db.schema, field, proposal) for proposal in proposals]
        is_this_tile = (searched_tiles.c.search_id == search.id, searched_tiles.c.tile == int(tile))
        with self._db.writing() as connection:
            before = connection.execute(sa.select(searched_tiles.c.state).where(*is_this_tile)).scalar()
            if before == TileState.SEARCHED.value:
                return []
            edit = self._supersede(connection, search, replaces)
            first = history.next_id(connection, suggestions)
            ids = self._pending.insert(connection, search.field_id, rows, search.model_id, first)
            connection.execute(searched_tiles.delete().where(*is_this_tile))
            new = self._row(search, tile, TileState.SEARCHED, first, len(ids))
            connection.execute(searched_tiles.insert(), [new])
        self._announce(search, ids, edit)
        return ids

    def mark(
        self,
        search: Search,
        tiles: Sequence[int],
        state: TileState,
        *,
        replaces: Collection[int] = (),
    ) -> None:
        """Record tiles in which nothing was searched: empty ones, or those that could not be read."""
        with self._db.writing() as connection:
            edit = self._supersede(connection, search, replaces)
            new = [self._row(search, tile, state, 0, 0) for tile in tiles]
            if new:
                connection.execute(searched_tiles.insert().prefix_with("OR IGNORE"), new)
        self._announce(search, [], edit)

    def _supersede(self, connection: sa.Connection, search: Search, ids: Collection[int]) -> Any:
        waiting: list[int] = []
        sorted_ids = sorted(ids)
        for start in range(0, len(sorted_ids), _AT_ONCE):
            query = sa.select(suggestions.c.id).where(
                suggestions.c.id.in_(sorted_ids[start : start + _AT_ONCE]),
                suggestions.c.field_id == search.field_id,
                suggestions.c.state == SuggestionState.PENDING.value,
            )
            waiting += [row.id for row in connection.execute(query)]
        if not waiting:
            return None
        after = {**OPEN, "state": SuggestionState.SUPERSEDED.value}
        changes = [Change("suggestion", i, OPEN, after) for i in waiting]
        return self._db.write_edit(connection, search.field_id, "New suggestions", changes, system=True)

    def _row(self, search: Search, tile: int, state: TileState, first: int, count: int) -> dict[str, Any]:
        return {
            "search_id": search.id,
            "tile": int(tile),
            "state": state.value,
            "first": first,
            "count": count,
        }

    def _announce(self, search: Search, ids: Sequence[int], edit: Any) -> None:
        self._db.own["suggestions"].update(ids)
        if edit is not None:
            self._db.own["edits"].add(edit.id)
            self._db.events.edited.emit(edit)
        if edit is not None or ids:
            self._db.events.suggestions_changed.emit([search.field_id])
