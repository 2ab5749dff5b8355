"""Progress of the searches of whole slides: the model, and the share of a slide that it has searched."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import fields, searched_tiles, searches


@dataclass(frozen=True, slots=True)
class Searched:
    """The last search of a slide.

    Attributes
    ----------
    model_id
        ``None`` = the starter.
    share
        What was searched of all that is not known to be empty, 0 to 1; what cannot be read counts as
        searched. 1 = the search is complete.
    """

    model_id: int | None
    share: float


def progress(db: DatabaseSession, field_ids: Collection[int] | None = None) -> dict[int, Searched]:
    """Return how far the last search of each slide is, by its id; two statements.

    A search that does not say how its slide is cut counts as complete.

    Parameters
    ----------
    field_ids
        Only of these; ``None`` = of all.
    """
    newest = sa.select(sa.func.max(searches.c.id)).group_by(searches.c.field_id)
    if field_ids is not None:
        newest = newest.where(searches.c.field_id.in_(sorted(field_ids)))
    of_slide = sa.select(
        searches.c.id,
        searches.c.field_id,
        searches.c.model_id,
        searches.c.about,
        fields.c.width,
        fields.c.height,
    ).join(fields, fields.c.id == searches.c.field_id)
    counted = sa.select(searched_tiles.c.search_id, searched_tiles.c.state, sa.func.count().label("tiles"))
    counted = counted.where(searched_tiles.c.search_id.in_(newest))
    tiles: dict[int, dict[str, int]] = defaultdict(dict)
    for row in db.rows(counted.group_by(searched_tiles.c.search_id, searched_tiles.c.state)):
        tiles[row.search_id][row.state] = row.tiles
    return {
        row.field_id: Searched(row.model_id, _share(_tiles(row.width, row.height, row.about), tiles[row.id]))
        for row in db.rows(of_slide.where(searches.c.id.in_(newest)))
    }


def _tiles(width: int, height: int, about: Any) -> int | None:
    """Return into how many tiles a search has cut its slide (`training.inference.slide_tiles.Tiling`)."""
    try:
        core = int(about["tiling"]["core"])
    except (KeyError, TypeError, ValueError):
        return None
    return math.ceil(width / core) * math.ceil(height / core) if core > 0 else None


def _share(tile_count: int | None, done: dict[str, int]) -> float:
    empty = done.get("empty", 0)
    if tile_count is None or tile_count <= empty:
        return 1.0
    return min((sum(done.values()) - empty) / (tile_count - empty), 1.0)
