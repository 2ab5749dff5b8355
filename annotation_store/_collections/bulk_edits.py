"""Edit many cells and suggestions at once: list them for a gallery, label them, undo it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import sqlalchemy as sa

from annotation_store._collections.cells import Cells
from annotation_store._collections.marks import CellRows
from annotation_store._collections.regions import Regions
from annotation_store._collections.suggestion_rows import SuggestionRows
from annotation_store._db import history, row_mappers
from annotation_store._db.history import Change, Scope
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import cells, edits, suggestions
from annotation_store._db.tables import history as history_rows
from annotation_store.errors import EditError
from annotation_store.geometry import SAME_CELL
from annotation_store.records import (
    KEEP,
    Box,
    Edit,
    Keep,
    Origin,
    Proposal,
    Suggestion,
    SuggestionState,
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A cell or a suggestion as a gallery lists it, with what a model thinks of it.

    Attributes
    ----------
    cell_class, attributes
        Labels that a person gives the cell; empty for a suggestion.
    confidence, class_probabilities, attribute_probabilities, novelty, unchecked, sets
        A suggestion's own; of a cell those of the suggestion it came from, else of the newest one on the
        same place. ``None`` and empty if no model saw it.
    state
        Of a suggestion; ``None`` for a cell.
    renewed
        Whether that was predicted again from labels given since (`Suggestions.renew`).
    cut, comment, origin
        A cell's own.
    annotator
        Who changed a cell last.
    """

    kind: Literal["cell", "suggestion"]
    id: int
    field_id: int
    box: Box
    cell_class: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    artefact_kind: str | None = None
    bookmark: bool = False
    second_opinion: bool = False
    confidence: float | None = None
    class_probabilities: Mapping[str, float] = field(default_factory=dict)
    attribute_probabilities: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    novelty: float | None = None
    unchecked: bool = False
    sets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    state: SuggestionState | None = None
    model_id: int | None = None
    renewed: bool = False
    cut: bool = False
    comment: str = ""
    origin: Origin | None = None
    annotator: str = ""

    @property
    def proposal(self) -> Proposal | None:
        """What a model predicts here, or ``None`` if none saw it."""
        if self.confidence is None:
            return None
        return Proposal(
            self.box,
            self.confidence,
            self.class_probabilities,
            self.attribute_probabilities,
            self.novelty,
            self.unchecked,
            self.sets,
        )


class KnownEntries:
    """A cache of the entries that were read last: unchanged rows get no new record.

    A cache belongs to one project and reading; the store does not keep it.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[tuple[Any, ...], Entry]] = {}

    def read(self, rows: Sequence[Any]) -> list[Entry]:
        """Return the entries of rows; a row that did not change keeps its entry."""
        current: dict[tuple[str, int], tuple[tuple[Any, ...], Entry]] = {}
        for row in rows:
            content = tuple(row)
            key = content[:2]
            before = self._known.get(key)
            current[key] = before if before is not None and before[0] == content else (content, _entry(row))
        self._known = current
        return [entry for _, entry in current.values()]


class BulkEdits:
    """`Project.bulk_edits`: many cells and suggestions at once."""

    def __init__(
        self,
        db: DatabaseSession,
        rows: CellRows,
        pending: SuggestionRows,
        regions: Regions,
        cells: Cells,
    ) -> None:
        self._db, self._rows, self._pending = db, rows, pending
        self._regions, self._cells = regions, cells

    def entries(
        self,
        field_ids: Collection[int] | None = None,
        *,
        states: Iterable[SuggestionState] = (SuggestionState.PENDING, SuggestionState.REJECTED),
        known: KnownEntries | None = None,
    ) -> list[Entry]:
        """List cells of the current reading and suggestions, by field; one statement (blind: two).

        A blind reading sees suggestions, and what a model thinks of cells, only in its finished regions.

        Parameters
        ----------
        field_ids
            Of these fields only.
        states
            Which suggestions.
        known
            What was read before, of the same project and reading.
        """
        state_names = sorted({SuggestionState(s).value for s in states})
        mine, theirs = self._cell_entries(), _suggestion_entries(state_names)
        if field_ids is not None:
            among = [int(i) for i in field_ids]
            mine = mine.where(cells.c.field_id.in_(among))
            theirs = theirs.where(suggestions.c.field_id.in_(among))
        both = sa.union_all(mine, theirs).subquery()
        # as text, JSON can be compared before it is read
        columns = [sa.type_coerce(c, sa.Text).label(c.name) if c.name in _OF_JSON else c for c in both.c]
        rows = self._db.rows(sa.select(*columns).order_by(both.c.field_id, both.c.entity, both.c.id))
        entries = (KnownEntries() if known is None else known).read(rows)
        return self._hide_from_blind(entries) if self._db.reading.blind else entries

    def _cell_entries(self) -> sa.Select[Any]:
        predicted = suggestions.alias("said")
        about = sa.func.coalesce(cells.c.suggestion_id, _newest_about_cell())
        return (
            sa.select(
                sa.literal("cell").label("entity"),
                *(cells.c[name] for name in ("id", "field_id", "x", "y", "w", "h")),
                cells.c.cell_class,
                cells.c.attributes,
                cells.c.kind,
                cells.c.bookmark,
                cells.c.second_opinion,
                predicted.c.confidence,
                predicted.c.class_probabilities,
                predicted.c.attribute_probabilities,
                predicted.c.novelty,
                predicted.c.unchecked,
                predicted.c.sets,
                sa.null().label("state"),
                predicted.c.model_id,
                predicted.c.renewed,
                *(cells.c[name] for name in ("cut", "comment", "origin")),
                _last_annotator().label("annotator"),
            )
            .join_from(cells, predicted, predicted.c.id == about, isouter=True)
            .where(cells.c.reading_id == self._db.reading.id, sa.not_(cells.c.deleted))
        )

    def _hide_from_blind(self, entries: Sequence[Entry]) -> list[Entry]:
        uncovered, visible = self._regions.uncovered(), []
        for entry in entries:
            if uncovered.shows(entry.field_id, entry.box):
                visible.append(entry)
            elif entry.kind == "cell":
                visible.append(
                    Entry(
                        "cell",
                        entry.id,
                        entry.field_id,
                        entry.box,
                        entry.cell_class,
                        entry.attributes,
                        entry.artefact_kind,
                        entry.bookmark,
                        entry.second_opinion,
                        cut=entry.cut,
                        comment=entry.comment,
                        origin=entry.origin,
                        annotator=entry.annotator,
                    )
                )
        return visible

    def label(
        self,
        cell_ids: Iterable[int] = (),
        suggestion_ids: Iterable[int] = (),
        *,
        cell_class: str | Keep | None = KEEP,
        attributes: Mapping[str, str | None] | None = None,
    ) -> list[Edit]:
        """Set the same class or values on several cells; suggestions become cells with that change.

        One transaction, all or nothing; it is one edit per field. Cells that have these values already are
        not changed.

        Raises
        ------
        EditError
            One of them was deleted or already decided, or the schema lacks the class or value.
        """
        columns = self._rows.columns(cell_class, attributes)
        proposed = list(dict.fromkeys(suggestion_ids))
        by_field: dict[int, list[Change]] = {}
        counts: dict[int, int] = {}
        with self._db.writing() as connection:
            for row in self._cells.marks.rows(list(dict.fromkeys(cell_ids)), connection):
                change = self._rows.change(row, columns)
                if change is not None:
                    by_field.setdefault(row.field_id, []).append(change)
                    counts[row.field_id] = counts.get(row.field_id, 0) + 1
            if proposed:

                def cell_of(suggestion: Suggestion) -> tuple[SuggestionState, dict[str, Any]]:
                    return self._pending.correct(suggestion, columns)

                for field_id, changes in self._pending.settle(connection, proposed, cell_of).items():
                    by_field.setdefault(field_id, []).extend(changes)
                    counts[field_id] = counts.get(field_id, 0) + sum(c.entity == "cell" for c in changes)
            written_edits = [
                self._db.write_edit(
                    connection,
                    field_id,
                    "Label cell" if counts[field_id] == 1 else f"Label {counts[field_id]} cells",
                    changes,
                )
                for field_id, changes in by_field.items()
            ]
        self._db.announce(written_edits)
        return written_edits

    def take(
        self,
        field_id: int,
        command: str,
        *,
        new: Sequence[Mapping[str, Any]] = (),
        changed: Mapping[int, Mapping[str, Any]] = MappingProxyType({}),
    ) -> Edit | None:
        """Add and change cells of one field as one edit, all or nothing; ``None`` if nothing is new.

        Parameters
        ----------
        command
            What history calls the edit.
        new
            What `Cells.add` takes of each: ``box``, ``cell_class``, ``attributes``, ``kind``, ``comment``.
        changed
            The cells to change, each with what changes: ``box``, ``cell_class``, ``attributes``.

        Raises
        ------
        EditError
            A box is empty or outside the field, the schema lacks a class or value, or a cell is gone.
        """
        rows = [self._rows.new(field_id, **cell, origin=Origin.IMPORTED) for cell in new]
        columns_by_cell: dict[int, dict[str, Any]] = {}
        for cell_id, change in changed.items():
            place = self._rows.box(field_id, change["box"]) if "box" in change else {}
            labels = self._rows.columns(change.get("cell_class", KEEP), change.get("attributes"))
            columns_by_cell[cell_id] = {**place, **labels}

        def build(connection: sa.Connection) -> tuple[int, list[Change]]:
            changes = [Change("cell", None, None, row) for row in rows]
            for row in self._cells.marks.rows(list(columns_by_cell), connection):
                if row.field_id != field_id:
                    raise EditError(f"The cell {row.id} lies on another field. Nothing was changed.")
                change = self._rows.change(row, columns_by_cell[row.id])
                changes += [] if change is None else [change]
            return field_id, changes

        return self._db.edit(command, build)

    def undo(self, edit_ids: Iterable[int]) -> list[Edit]:
        """Undo edits of several fields in one transaction, each the latest of its field.

        Raises
        ------
        EditError
            Something was done on one of the fields since, or one is not this annotator's: nothing is undone.
        """
        ids = list(dict.fromkeys(edit_ids))
        undone: list[Edit] = []
        with self._db.writing() as connection:
            query = sa.select(edits.c.id, edits.c.field_id, edits.c.annotator, edits.c.reading_id)
            rows = {row.id: row for row in connection.execute(query.where(edits.c.id.in_(ids)))}
            for edit_id in ids:
                row = rows.get(edit_id)
                scope = None if row is None or row.field_id is None else self._db.scope(row.field_id)
                if (
                    row is None
                    or scope != Scope(row.field_id, row.annotator, row.reading_id)
                    or (history.undo_top(connection, scope) != edit_id)
                ):
                    name = (
                        self._db.field(row.field_id).name if row is not None and row.field_id else "a field"
                    )
                    raise EditError(
                        f"The field {name} was edited after that: undo the later edit first. Nothing was "
                        "undone."
                    )
                edit = history.undo(connection, scope)
                assert edit is not None
                undone.append(edit)
        self._db.announce(undone)
        return undone


def _newest_about_cell() -> sa.ScalarSelect[Any]:
    """Return the newest suggestion on the place of a row of cells, in any state."""
    s = suggestions.alias("about")
    width = sa.func.min(cells.c.x + cells.c.w, s.c.x + s.c.w) - sa.func.max(cells.c.x, s.c.x)
    height = sa.func.min(cells.c.y + cells.c.h, s.c.y + s.c.h) - sa.func.max(cells.c.y, s.c.y)
    union = cells.c.w * cells.c.h + s.c.w * s.c.h - width * height
    return (
        sa.select(sa.func.max(s.c.id))
        .where(
            s.c.field_id == cells.c.field_id,
            width > 0,
            height > 0,
            width * height >= SAME_CELL * union,
        )
        .correlate(cells)
        .scalar_subquery()
    )


def _last_annotator() -> sa.ScalarSelect[Any]:
    """Return who changed a row of cells last."""
    return (
        sa.select(edits.c.annotator)
        .join_from(history_rows, edits, edits.c.id == history_rows.c.edit_id)
        .where(history_rows.c.entity == "cell", history_rows.c.entity_id == cells.c.id)
        .order_by(history_rows.c.id.desc())
        .limit(1)
        .correlate(cells)
        .scalar_subquery()
    )


def _suggestion_entries(states: Sequence[str]) -> sa.Select[Any]:
    s = suggestions
    return sa.select(
        sa.literal("suggestion").label("entity"),
        *(s.c[name] for name in ("id", "field_id", "x", "y", "w", "h")),
        sa.null().label("cell_class"),
        sa.literal("{}").label("attributes"),
        sa.null().label("kind"),
        sa.literal(0).label("bookmark"),
        sa.literal(0).label("second_opinion"),
        s.c.confidence,
        s.c.class_probabilities,
        s.c.attribute_probabilities,
        s.c.novelty,
        s.c.unchecked,
        s.c.sets,
        s.c.state,
        s.c.model_id,
        s.c.renewed,
        sa.literal(0).label("cut"),
        sa.literal("").label("comment"),
        sa.null().label("origin"),
        sa.literal("").label("annotator"),
    ).where(s.c.state.in_(states))


_OF_JSON = ("attributes", "class_probabilities", "attribute_probabilities", "sets")


def _of_json(text: str | None) -> Any:
    return {} if text is None or text == "{}" else json.loads(text) or {}


def _entry(row: Any) -> Entry:
    return Entry(
        kind=row.entity,
        id=row.id,
        field_id=row.field_id,
        box=(row.x, row.y, row.w, row.h),
        cell_class=row.cell_class,
        attributes=_of_json(row.attributes),
        artefact_kind=row.kind,
        bookmark=bool(row.bookmark),
        second_opinion=bool(row.second_opinion),
        confidence=row.confidence,
        class_probabilities=_of_json(row.class_probabilities),
        attribute_probabilities=_of_json(row.attribute_probabilities),
        novelty=row.novelty,
        unchecked=bool(row.unchecked),
        sets=row_mappers.sets(_of_json(row.sets)),
        state=None if row.state is None else SuggestionState(row.state),
        model_id=row.model_id,
        renewed=bool(row.renewed),
        cut=bool(row.cut),
        comment=row.comment,
        origin=None if row.origin is None else Origin(row.origin),
        annotator=row.annotator or "",
    )
