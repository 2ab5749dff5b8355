"""Statistics of decisions on suggestions, for the report."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from annotation_store._collections.suggestion_rows import SuggestionRows
from annotation_store._db import row_mappers
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import cells, edits, history, suggestions
from annotation_store.records import Origin, RejectionReason, Suggestion, SuggestionState

_DECIDED = (SuggestionState.ACCEPTED, SuggestionState.CORRECTED, SuggestionState.REJECTED)
_AT_ONCE = 5_000
"""Suggestions that are read by one statement: 100,000 of them with all their shares are gigabytes."""
_MOVED = 0.5
"""Pixels by which an edge must move for the box to count as changed."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A person's decision on one suggestion, in its present state.

    Attributes
    ----------
    annotator, reading_id
        Who decided, and in which reading.
    changed
        In what the cell differs from the suggestion today: ``"box"``, ``"class"``, ``"attribute:NAME"``. What
        was changed at once and what was changed later count alike: both were not right as proposed.
    deleted
        The cell was made, and removed later.
    """

    field_id: int
    model_id: int | None
    annotator: str
    reading_id: int
    state: SuggestionState
    reason: RejectionReason | None
    changed: tuple[str, ...] = ()
    deleted: bool = False

    @property
    def unchanged(self) -> bool:
        """Whether it was right as proposed."""
        return self.state is not SuggestionState.REJECTED and not self.changed and not self.deleted


@dataclass(frozen=True, slots=True)
class CellsMade:
    """How many cells that are still there an annotator made, and how; an import is whose it was."""

    annotator: str
    reading_id: int
    origin: Origin
    count: int


class ReviewStatistics:
    """`Project.review_statistics`: what became of suggestions, and who made the cells, of all readings."""

    def __init__(self, db: DatabaseSession, pending: SuggestionRows) -> None:
        self._db, self._pending = db, pending

    def decisions(self) -> Iterator[Decision]:
        """Yield the decided suggestions, in the order in which they were made.

        Predictions in finished regions that a person accepted were not suggestions, and are left out.
        Runs one statement per `_AT_ONCE` suggestions.
        """
        last_of = sa.select(sa.func.max(history.c.id)).where(
            history.c.entity == "suggestion", history.c.entity_id == suggestions.c.id
        )
        query = (
            sa.select(
                suggestions,
                edits.c.annotator,
                edits.c.reading_id,
                history.c.before,
                *(cells.c[name].label(f"cell_{name}") for name in ("x", "y", "w", "h")),
                cells.c.cell_class.label("cell_cell_class"),
                cells.c.attributes.label("cell_attributes"),
                cells.c.deleted.label("cell_deleted"),
            )
            .join(history, history.c.id == last_of.correlate(suggestions).scalar_subquery())
            .join(edits, edits.c.id == history.c.edit_id)
            .outerjoin(cells, cells.c.id == suggestions.c.cell_id)
            .where(suggestions.c.state.in_([state.value for state in _DECIDED]))
            .order_by(suggestions.c.id)
            .limit(_AT_ONCE)
        )
        last = 0
        while rows := self._db.rows(query.where(suggestions.c.id > last)):
            last = rows[-1].id
            for row in rows:
                if (row.before or {}).get("state") == SuggestionState.SUPERSEDED.value:
                    continue  # it was never shown as a suggestion: see `label_reviews`
                suggestion = row_mappers.suggestion(row)
                has_cell = row.cell_deleted is not None
                yield Decision(
                    row.field_id,
                    row.model_id,
                    row.annotator,
                    row.reading_id,
                    suggestion.state,
                    suggestion.reason,
                    self._differences(suggestion, row) if has_cell else (),
                    bool(row.cell_deleted),
                )

    def suggested_by(self, model_id: int, field_ids: Iterable[int]) -> dict[int, list[Suggestion]]:
        """Return all suggestions of a model on some fields, in any state, in one statement."""
        ids = set(field_ids)
        by_field: dict[int, list[Suggestion]] = {}
        if not ids:
            return by_field
        query = sa.select(suggestions).where(suggestions.c.model_id == model_id).order_by(suggestions.c.id)
        if len(ids) <= _AT_ONCE:
            query = query.where(suggestions.c.field_id.in_(ids))
        for row in self._db.rows(query):
            if row.field_id in ids:
                by_field.setdefault(row.field_id, []).append(row_mappers.suggestion(row))
        return by_field

    def _differences(self, suggestion: Suggestion, row: sa.Row[tuple[object, ...]]) -> tuple[str, ...]:
        proposed = self._pending.cell_of(suggestion)
        columns = row._mapping
        differences = []
        if any(abs(columns[f"cell_{name}"] - proposed[name]) > _MOVED for name in ("x", "y")) or any(
            abs(columns[f"cell_{a}"] + columns[f"cell_{b}"] - proposed[a] - proposed[b]) > _MOVED
            for a, b in (("x", "w"), ("y", "h"))
        ):
            differences.append("box")
        if columns["cell_cell_class"] != proposed["cell_class"]:
            differences.append("class")
        before, after = proposed["attributes"], columns["cell_attributes"]
        return (
            *differences,
            *(f"attribute:{n}" for n in {**before, **after} if before.get(n) != after.get(n)),
        )

    def cells_made(self) -> list[CellsMade]:
        """Count the cells that are there by who made them, in which reading and how; one statement."""
        first_of = sa.select(sa.func.min(history.c.id)).where(
            history.c.entity == "cell", history.c.entity_id == cells.c.id
        )
        query = (
            sa.select(edits.c.annotator, cells.c.reading_id, cells.c.origin, sa.func.count().label("n"))
            .join(history, history.c.id == first_of.correlate(cells).scalar_subquery())
            .join(edits, edits.c.id == history.c.edit_id)
            .where(sa.not_(cells.c.deleted))
            .group_by(edits.c.annotator, cells.c.reading_id, cells.c.origin)
            .order_by(edits.c.annotator, cells.c.reading_id, cells.c.origin)
        )
        return [CellsMade(r.annotator, r.reading_id, Origin(r.origin), r.n) for r in self._db.rows(query)]
