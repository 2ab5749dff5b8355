"""Store the differences of copies as conflicts for a person to decide."""

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
    """Write the conflicts of merged rows, and close those that are resolved."""

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
        results: Mapping[Uid, tuple[Entity, Settled]],
        theirs: FieldLog,
        before: set[Uid],
    ) -> list[writer.Change]:
        """Write the conflicts of cells and regions; return the changes that close others."""
        changes: list[writer.Change] = []
        for uid, (entity, result) in results.items():
            if entity.kind in ("cell", "region"):
                differences = self._identify(entity.uid, result.conflicts)
                about = {op.uid: op for op in operations[uid]}
                changes += self._keep(field_id, log, entity, differences, about, results)
        return changes + self._doubles(field_id, log, results, theirs, before)

    def _identify(
        self, of: Uid, differences: Mapping[Uid, dict[str, tuple[Any, Any]]]
    ) -> dict[Uid, tuple[Uid, dict[str, tuple[Any, Any]]]]:
        return {
            digest("conflict", of, by, _side(differ, 0), _side(differ, 1)): (by, differ)
            for by, differ in differences.items()
        }

    def of_description(
        self, field_id: int, entity: Entity, result: Settled, operations: Sequence[Operation]
    ) -> list[writer.Change]:
        """Write the conflicts of a field's description."""
        of_description = {
            by: own
            for by, differ in result.conflicts.items()
            if (own := {name: pair for name, pair in differ.items() if name in DESCRIBED})
        }
        differences = self._identify(entity.uid, of_description)
        log = self._here.log(field_id)
        return self._keep(field_id, log, entity, differences, {op.uid: op for op in operations}, {})

    def _keep(
        self,
        field_id: int,
        log: FieldLog,
        entity: Entity,
        differences: Mapping[Uid, tuple[Uid, dict[str, tuple[Any, Any]]]],
        about: Mapping[Uid, Operation],
        results: Mapping[Uid, tuple[Entity, Settled]],
    ) -> list[writer.Change]:
        """Add the new conflicts of a row; close those that the merge has resolved."""
        known_conflicts = {
            uid: conflict
            for uid, conflict in log.entities.items()
            if conflict.kind == "conflict" and conflict.about.get("of") == entity.uid
        }
        changes = []
        for uid, conflict in known_conflicts.items():
            state = results[uid][1].columns.get("state") if uid in results else conflict.row["state"]
            if uid not in differences and state == "open":
                changes.append(self._move(conflict, "open", "superseded"))
            elif uid in differences and state == "superseded":
                changes.append(self._move(conflict, "superseded", "open"))
        for uid, (by, differ) in differences.items():
            if uid not in known_conflicts:
                self._add(field_id, entity, uid, about.get(by), differ, {"of": entity.uid})
        return changes

    def _move(self, conflict: Entity, old: str, new: str) -> writer.Change:
        self._connection.execute(conflicts.update().where(conflicts.c.id == conflict.id).values(state=new))
        return writer.Change("conflict", conflict.id, {"state": old}, {"state": new})

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
        results: Mapping[Uid, tuple[Entity, Settled]],
        theirs: FieldLog,
        before: set[Uid],
    ) -> list[writer.Change]:
        """Find cells that both sides boxed at one place in one reading; close outdated conflicts."""

        def lives(uid: Uid) -> bool:
            entity = log.entities[uid]
            return not (results[uid][1].deleted if uid in results else entity.row["deleted"])

        def same(a: Uid, b: Uid) -> bool:
            return iou(_box(log.entities[a], results), _box(log.entities[b], results)) >= SAME_BOX

        changes = []
        for conflict in log.entities.values():
            pair = conflict.about.get("pair") if conflict.kind == "conflict" else None
            is_open = pair and conflict.row["state"] == "open" and all(uid in log.entities for uid in pair)
            if pair and is_open and not (all(map(lives, pair)) and same(*pair)):
                changes.append(self._move(conflict, "open", "superseded"))
        boxed = [
            uid for uid, boxed_entity in log.entities.items() if boxed_entity.kind == "cell" and lives(uid)
        ]
        for uid in (uid for uid in boxed if uid in results):
            for other in boxed:
                first, second = sorted(
                    (log.entities[uid], log.entities[other]), key=lambda both: (both.number, both.uid)
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


def _box(entity: Entity, results: Mapping[Uid, tuple[Entity, Settled]]) -> tuple[float, float, float, float]:
    row = {**entity.row, **(results[entity.uid][1].columns if entity.uid in results else {})}
    return row["x"], row["y"], row["w"], row["h"]


def _side(differ: Mapping[str, tuple[Any, Any]], side: int) -> dict[str, Any]:
    return {name: pair[side] for name, pair in sorted(differ.items())}
