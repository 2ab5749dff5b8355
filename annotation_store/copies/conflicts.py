"""What copies say differently, kept as conflicts for a person to decide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from annotation_store._db import history as writer
from annotation_store._db.history import insert_many, next_id
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import conflicts, fields, origins
from annotation_store.copies.replica import (
    DESCRIBED,
    Columns,
    Entity,
    FieldLog,
    Operation,
    Replica,
    Uid,
    digest,
)
from annotation_store.copies.report import Brought, Difference
from annotation_store.copies.settle import Settled
from annotation_store.geometry import SAME_BOX, iou

Local = Callable[[Columns, Mapping[tuple[str, Uid], int]], dict[str, Any]]


class Disagreements:
    """Write the conflicts of the rows that came together, and close those that are settled by now."""

    def __init__(
        self,
        connection: sa.Connection,
        session: DatabaseSession,
        here: Replica,
        report: Brought,
        local: Local,
    ) -> None:
        self._connection, self._session, self._here = connection, session, here
        self._report, self._local = report, local

    def of_field(
        self,
        field_id: int,
        log: FieldLog,
        operations: Mapping[Uid, Sequence[Operation]],
        said: Mapping[Uid, tuple[Entity, Settled]],
        theirs: FieldLog,
        before: set[Uid],
    ) -> list[writer.Change]:
        """Write those of cells and regions; return the changes that close others."""
        changes: list[writer.Change] = []
        for uid, (entity, settled) in said.items():
            if entity.kind in ("cell", "region"):
                found = self._found(entity.uid, settled.conflicts)
                about = {op.uid: op for op in operations[uid]}
                changes += self._keep(field_id, log, entity, found, about, said)
        return changes + self._doubles(field_id, log, said, theirs, before)

    def _found(
        self, of: Uid, differences: Mapping[Uid, dict[str, tuple[Any, Any]]]
    ) -> dict[Uid, tuple[Uid, dict[str, tuple[Any, Any]]]]:
        return {
            digest("conflict", of, by, _side(differ, 0), _side(differ, 1)): (by, differ)
            for by, differ in differences.items()
        }

    def of_description(
        self, field_id: int, entity: Entity, settled: Settled, operations: Sequence[Operation]
    ) -> list[writer.Change]:
        """Write those of a field as a whole."""
        described = {
            by: kept
            for by, differ in settled.conflicts.items()
            if (kept := {name: pair for name, pair in differ.items() if name in DESCRIBED})
        }
        found = self._found(entity.uid, described)
        log = self._here.log(field_id)
        return self._keep(field_id, log, entity, found, {op.uid: op for op in operations}, {})

    def _keep(
        self,
        field_id: int,
        log: FieldLog,
        entity: Entity,
        found: Mapping[Uid, tuple[Uid, dict[str, tuple[Any, Any]]]],
        about: Mapping[Uid, Operation],
        said: Mapping[Uid, tuple[Entity, Settled]],
    ) -> list[writer.Change]:
        """Add the conflicts of a row that are new; close those that what came in has settled."""
        known = {
            uid: one
            for uid, one in log.entities.items()
            if one.kind == "conflict" and one.about.get("of") == entity.uid
        }
        changes = []
        for uid, one in known.items():
            state = said[uid][1].columns.get("state") if uid in said else one.row["state"]
            if uid not in found and state == "open":
                changes.append(self._move(one, "open", "superseded"))
            elif uid in found and state == "superseded":
                changes.append(self._move(one, "superseded", "open"))
        for uid, (by, differ) in found.items():
            if uid not in known:
                self._add(field_id, entity, uid, about.get(by), differ, {"of": entity.uid})
        return changes

    def _move(self, one: Entity, old: str, new: str) -> writer.Change:
        self._connection.execute(conflicts.update().where(conflicts.c.id == one.id).values(state=new))
        return writer.Change("conflict", one.id, {"state": old}, {"state": new})

    def _add(
        self,
        field_id: int,
        entity: Entity,
        uid: Uid,
        operation: Operation | None,
        differ: Mapping[str, tuple[Any, Any]],
        about: Mapping[str, Any],
    ) -> None:
        here, there = _side(differ, 0), _side(differ, 1)
        by = (operation.annotator if operation is not None else "") or "another copy"
        row: dict[str, Any] = {
            "id": next_id(self._connection, conflicts),
            "at": writer.now(),
            "annotator": self._session.annotator,
            "source": by,
            "place": (operation.command if operation is not None else "") or "Boxed on both sides",
            "field_id": field_id,
            "reading_id": entity.row.get("reading_id"),
            "cell_id": entity.id if entity.kind == "cell" else None,
            "region_id": entity.id if entity.kind == "region" else None,
            "here": here,
            "there": there,
            "state": "open",
        }
        insert_many(self._connection, conflicts, [row])
        origin = {"entity": "conflict", "row_id": row["id"], "uid": uid, "number": row["id"]}
        insert_many(self._connection, origins, [{**origin, "about": about}])
        name = self._connection.execute(sa.select(fields.c.name).where(fields.c.id == field_id)).scalar_one()
        self._report.differences.append(Difference(name, entity.kind, by, here, there))

    def _doubles(
        self,
        field_id: int,
        log: FieldLog,
        said: Mapping[Uid, tuple[Entity, Settled]],
        theirs: FieldLog,
        before: set[Uid],
    ) -> list[writer.Change]:
        """List cells that both sides boxed at one place in one reading; close what is double no longer."""

        def lives(uid: Uid) -> bool:
            one = log.entities[uid]
            return not (said[uid][1].deleted if uid in said else one.row["deleted"])

        def same(a: Uid, b: Uid) -> bool:
            return iou(_box(log.entities[a], said), _box(log.entities[b], said)) >= SAME_BOX

        changes = []
        for one in log.entities.values():
            pair = one.about.get("pair") if one.kind == "conflict" else None
            known = pair and one.row["state"] == "open" and all(uid in log.entities for uid in pair)
            if pair and known and not (all(map(lives, pair)) and same(*pair)):
                changes.append(self._move(one, "open", "superseded"))
        boxed = [uid for uid, one in log.entities.items() if one.kind == "cell" and lives(uid)]
        for uid in (uid for uid in boxed if uid in said):
            for other in boxed:
                first, second = sorted(
                    (log.entities[uid], log.entities[other]), key=lambda one: (one.number, one.uid)
                )
                name = digest("double", first.uid, second.uid)
                apart = (uid in before) != (other in before) and not (
                    uid in theirs.entities and other in theirs.entities
                )
                if (
                    apart
                    and name not in log.entities
                    and first.row["reading_id"] == second.row["reading_id"]
                    and same(uid, other)
                ):
                    differ = {"deleted": (False, True)}
                    self._add(field_id, second, name, None, differ, {"pair": [first.uid, second.uid]})
                    log.entities[name] = second
        return changes


def _box(entity: Entity, said: Mapping[Uid, tuple[Entity, Settled]]) -> tuple[float, float, float, float]:
    row = {**entity.row, **(said[entity.uid][1].columns if entity.uid in said else {})}
    return row["x"], row["y"], row["w"], row["h"]


def _side(differ: Mapping[str, tuple[Any, Any]], side: int) -> dict[str, Any]:
    return {name: pair[side] for name, pair in sorted(differ.items())}
