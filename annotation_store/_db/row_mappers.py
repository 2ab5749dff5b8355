"""Database rows to records."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import Any

from annotation_store._db.tables import fields
from annotation_store.records import (
    Cell,
    Conflict,
    Field,
    FieldKind,
    HistoryRow,
    IgnoreArea,
    Model,
    Origin,
    Proposal,
    Reading,
    Region,
    RegionState,
    RejectionReason,
    Run,
    Shape,
    Suggestion,
    SuggestionState,
)

FIELD = tuple(fields.c[item.name] for item in dataclasses.fields(Field))
"""The columns of a field's record, in its order: what to select to make one by `field`."""

_KINDS: dict[str, FieldKind] = {kind.value: kind for kind in FieldKind}
_KIND = FIELD.index(fields.c.kind)


def field(row: Any) -> Field:
    """Make a field's record of a row of `FIELD`.

    By place and not by name: a project has up to a hundred thousand.
    """
    values = list(row)
    values[_KIND] = _KINDS[values[_KIND]]
    return Field(*values)


def reading(row: Any) -> Reading:
    """Make a reading's record."""
    return Reading(row.id, row.name, row.annotator, bool(row.blind))


def region(row: Any) -> Region:
    """Make a region's record."""
    return Region(row.id, row.field_id, row.reading_id, Shape(tuple(row.shape)), RegionState(row.state))


def ignore_area(row: Any) -> IgnoreArea:
    """Make an ignore area's record."""
    return IgnoreArea(row.id, row.field_id, row.reading_id, Shape(tuple(row.shape)))


_ORIGINS: dict[str, Origin] = {origin.value: origin for origin in Origin}
_STATES: dict[str, SuggestionState] = {state.value: state for state in SuggestionState}


def cell(row: Any) -> Cell:
    """Make a cell's record."""
    return Cell(
        id=row.id,
        field_id=row.field_id,
        reading_id=row.reading_id,
        box=(row.x, row.y, row.w, row.h),
        cell_class=row.cell_class,
        attributes=row.attributes,
        kind=row.kind,
        cut=row.cut,
        comment=row.comment,
        bookmark=row.bookmark,
        second_opinion=row.second_opinion,
        suggestion_id=row.suggestion_id,
        origin=_ORIGINS[row.origin],
        confirmed=row.confirmed or {},
    )


def sets(stored: Any) -> dict[str, tuple[str, ...]]:
    """Return the sets of a suggestion as a record has them."""
    return {name: tuple(values) for name, values in (stored or {}).items()}


def suggestion(row: Any) -> Suggestion:
    """Make a suggestion's record."""
    return Suggestion(
        id=row.id,
        field_id=row.field_id,
        model_id=row.model_id,
        proposal=Proposal(
            box=(row.x, row.y, row.w, row.h),
            confidence=row.confidence,
            class_probabilities=row.class_probabilities,
            attribute_probabilities=row.attribute_probabilities,
            novelty=row.novelty,
            unchecked=bool(row.unchecked),
            sets=sets(row.sets),
        ),
        state=_STATES[row.state],
        reason=None if row.reason is None else RejectionReason(row.reason),
        cell_id=row.cell_id,
        renewed=bool(row.renewed),
    )


def model(row: Any) -> Model:
    """Make a model's record."""
    card = row.card if isinstance(row.card, dict) else {}
    return Model(row.id, row.parent, datetime.fromisoformat(row.created), bool(row.active), card)


def run(row: Any) -> Run:
    """Make a run's record."""
    return Run(
        id=row.id,
        started=datetime.fromisoformat(row.started),
        finished=None if row.finished is None else datetime.fromisoformat(row.finished),
        annotator=row.annotator,
        config=row.config,
        state=row.state,
        model_id=row.model_id,
        message=row.message,
    )


def history(row: Any) -> HistoryRow:
    """Make a history row's record from a row of history joined with its edit."""
    return HistoryRow(
        id=row.id,
        edit_id=row.edit_id,
        at=datetime.fromisoformat(row.at),
        annotator=row.annotator,
        field_id=row.field_id,
        entity=row.entity,
        entity_id=row.entity_id,
        action=row.action,
        before=row.before,
        after=row.after,
        command=row.command,
        undoes=row.undoes,
    )


def conflict(row: Any) -> Conflict:
    """Make a conflict's record."""
    return Conflict(
        id=row.id,
        at=datetime.fromisoformat(row.at),
        source=row.source,
        place=row.place,
        field_id=row.field_id,
        cell_id=row.cell_id,
        here=row.here,
        there=row.there,
        state=row.state,
        region_id=row.region_id,
    )
