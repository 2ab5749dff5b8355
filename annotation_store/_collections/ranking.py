"""Embeddings of fields, the ranking computed from them, and the random sample of fields.

Nothing here is truth. Looks and rankings can be made again and have no history; only which fields were
drawn at random cannot, and is never forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sqlalchemy as sa

from annotation_store._db.engine import plain_errors
from annotation_store._db.history import now
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import fields, looks, rankings, reserve
from annotation_store.errors import EditError
from annotation_store.records import Box, Proposal


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """What a model saw on a field, besides its suggestions.

    Attributes
    ----------
    vector
        ``(d,)`` float32: the whole field in numbers; fields that look alike lie close together.
    opinions
        What it proposes where the truth is known: of cells that are there, and inside finished regions.
    cells
        By a labelled cell's id, the prediction of a model that was not trained on that cell (nor from
        others of its patient); the box is the cell's as it was then.
    """

    vector: np.ndarray
    predictions: tuple[Proposal, ...] = ()
    cells: Mapping[int, Proposal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoredRanking:
    """An order in which to look next, as it was last worked out.

    Attributes
    ----------
    source
        The model whose looks it was made from (see `Embeddings.save`).
    about
        What holds for the whole project and is needed again for each field.
    items
        Best first; what an item holds is `training.ranking`'s business.
    """

    id: int
    source: str
    about: Mapping[str, Any]
    items: tuple[Mapping[str, Any], ...]


class Embeddings:
    """`Project.embeddings`: what models saw on fields."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    def save(self, source: str, embeddings: Mapping[int, Embedding]) -> None:
        """Store a model's embeddings of some fields, replacing earlier ones.

        Parameters
        ----------
        source
            A model's number, ``"starter"``, or ``"stain"`` (no model).
        found
            Field id to look.
        """
        rows = [
            {
                "field_id": field_id,
                "maker": str(source),
                "vector": np.asarray(embedding.vector, "<f2").tobytes(),
                "opinions": [_prediction(prediction) for prediction in embedding.predictions]
                + [
                    {"cell": int(cell), **_prediction(prediction)}
                    for cell, prediction in embedding.cells.items()
                ],
            }
            for field_id, embedding in embeddings.items()
        ]
        if not rows:
            return
        with self._db.writing() as connection:
            connection.execute(looks.insert().prefix_with("OR REPLACE"), rows)

    def of(
        self, source: str, *, field_id: int | None = None, predictions: bool = False
    ) -> dict[int, Embedding]:
        """Return a model's embeddings by field, in one statement; rows that cannot be read are left out.

        Parameters
        ----------
        opinions
            Whether to read these too; they are large.
        """
        columns: list[sa.ColumnElement[Any]] = [looks.c.field_id, looks.c.vector]
        if predictions:
            columns.append(sa.cast(looks.c.opinions, sa.Text).label("opinions"))
        query = sa.select(*columns).where(looks.c.maker == str(source)).order_by(looks.c.field_id)
        if field_id is not None:
            query = query.where(looks.c.field_id == field_id)
        by_field = {}
        for row in self._db.rows(query):
            try:
                vector = np.frombuffer(row.vector, "<f2").astype(np.float32)
                stored = json.loads(row.opinions) if predictions else ()
                of_field = tuple(_proposal(content) for content in stored if "cell" not in content)
                of_cells = {
                    int(content["cell"]): _proposal(content) for content in stored if "cell" in content
                }
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
            if len(vector) and np.isfinite(vector).all():
                by_field[row.field_id] = Embedding(vector, of_field, of_cells)
        return by_field

    def fields(self, source: str) -> list[int]:
        """List the fields that a model saw."""
        query = sa.select(looks.c.field_id).where(looks.c.maker == str(source)).order_by(looks.c.field_id)
        return [row.field_id for row in self._db.rows(query)]

    def count_by_source(self) -> dict[str, int]:
        """Count the fields with embeddings, per source."""
        query = sa.select(looks.c.maker, sa.func.count().label("n")).group_by(looks.c.maker)
        return {row.maker: row.n for row in self._db.rows(query)}

    def delete(self, *, keep: Iterable[str]) -> None:
        """Delete the embeddings of all other models."""
        with self._db.writing() as connection:
            connection.execute(looks.delete().where(looks.c.maker.not_in([str(source) for source in keep])))


class Rankings:
    """`Project.rankings`: the order in which to look next, as it was last computed."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    def store(
        self, source: str, items: Sequence[Mapping[str, Any]], *, about: Mapping[str, Any] | None = None
    ) -> None:
        """Store a ranking in place of the last one."""
        try:
            row = {
                "maker": str(source),
                "at": now(),
                "about": json.loads(json.dumps(dict(about or {}), allow_nan=False)),
                "entries": json.loads(json.dumps([dict(item) for item in items], allow_nan=False)),
            }
        except (TypeError, ValueError) as error:
            raise EditError(f"The ranking cannot be stored as JSON: {error}.") from error
        with self._db.writing() as connection:
            last = connection.execute(sa.select(sa.func.coalesce(sa.func.max(rankings.c.id), 0))).scalar_one()
            connection.execute(rankings.insert(), [{"id": last + 1, **row}])
            connection.execute(rankings.delete().where(rankings.c.id <= last))
        self._db.ranking_seen = last + 1
        self._db.events.ranking_changed.emit()

    def latest(self) -> StoredRanking | None:
        """Return the last ranking; ``None`` if there is no readable one."""
        query = sa.select(
            rankings.c.id,
            rankings.c.maker,
            sa.cast(rankings.c.about, sa.Text).label("about"),
            sa.cast(rankings.c.entries, sa.Text).label("entries"),
        )
        return self._read(query)

    def latest_facts(self) -> StoredRanking | None:
        """Return the last ranking without its items, which are many."""
        query = sa.select(
            rankings.c.id,
            rankings.c.maker,
            sa.cast(rankings.c.about, sa.Text).label("about"),
            sa.literal("[]").label("entries"),
        )
        return self._read(query)

    def _read(self, query: sa.Select[Any]) -> StoredRanking | None:
        for row in self._db.rows(query.order_by(rankings.c.id.desc()).limit(1)):
            try:
                about, items = json.loads(row.about), json.loads(row.entries)
                return StoredRanking(row.id, row.maker, dict(about), tuple(dict(item) for item in items))
            except (ValueError, TypeError):
                return None  # it is made again
        return None

    def latest_id(self) -> int:
        return int(self._db.rows(sa.select(sa.func.coalesce(sa.func.max(rankings.c.id), 0)))[0][0])


class RandomSample:
    """`Project.random_sample`: the fields that were drawn at random."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    def fields(self) -> list[int]:
        """List the fields that were drawn at random, for estimates that nothing has biased."""
        return [row.field_id for row in self._db.rows(sa.select(reserve).order_by(reserve.c.field_id))]

    def add(self, field_ids: Iterable[int]) -> None:
        """Record permanently that fields were drawn at random."""
        ids = [int(field_id) for field_id in field_ids]
        rows = [{"field_id": field_id, "drawn": now()} for field_id in ids]
        if not rows:
            return
        with self._db.writing() as connection:
            field_ids_known = set(connection.execute(sa.select(fields.c.id)).scalars())
            if missing := set(ids) - field_ids_known:
                raise EditError(f"There is no field {min(missing)} in the project {self._db.path}.")
            with plain_errors(self._db.path):
                connection.execute(reserve.insert().prefix_with("OR IGNORE"), rows)


def _prediction(proposal: Proposal) -> dict[str, Any]:
    return {
        "box": [round(float(v), 2) for v in proposal.box],
        "confidence": round(float(proposal.confidence), 5),
        "classes": {name: round(float(p), 5) for name, p in proposal.class_probabilities.items()},
        "attributes": {
            name: {value: round(float(p), 5) for value, p in values.items()}
            for name, values in proposal.attribute_probabilities.items()
        },
        **({} if proposal.novelty is None else {"novelty": float(proposal.novelty)}),
        **({"unchecked": True} if proposal.unchecked else {}),
        **(
            {"sets": {name: list(members) for name, members in proposal.sets.items()}}
            if proposal.sets
            else {}
        ),
    }


def _proposal(content: Mapping[str, Any]) -> Proposal:
    x, y, w, h = (float(v) for v in content["box"])
    box: Box = (x, y, w, h)
    return Proposal(
        box,
        float(content["confidence"]),
        {str(name): float(p) for name, p in content["classes"].items()},
        {
            str(name): {str(value): float(p) for value, p in values.items()}
            for name, values in content["attributes"].items()
        },
        None if content.get("novelty") is None else float(content["novelty"]),
        content.get("unchecked") is True,
        {str(name): tuple(map(str, members)) for name, members in content.get("sets", {}).items()},
    )
