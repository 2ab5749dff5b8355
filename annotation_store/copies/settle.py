"""Compute the state of a row after several people changed it, each without knowing of the others.

The answer depends on the changes and on what each of them knew, never on the order in which they came
together nor on a clock. A later change takes the place of those it knew. Of changes that did not know of each
other the deepest holds (more was done to get there), between equals the one whose name comes first;
whatever else was said is returned as a conflict. A row that one deleted and another went on with stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from annotation_store.copies.replica import Columns, Operation, Uid

Unit = tuple[str, ...]
"""What is changed as one: columns that belong together, or one attribute."""

_TOGETHER: dict[str, tuple[tuple[str, ...], ...]] = {
    "cell": (("x", "y", "w", "h"), ("cell_class", "kind")),
    # a finished region promises something about its area: neither is taken without the other
    "region": (("shape", "state"),),
    "suggestion": (("state", "reason", "cell_id"),),
}
_KEYED = ("attributes", "overlaps")
"""Columns of which each key is a matter of its own."""
_FIXED = frozenset({"field_id", "reading_id"})
_DELETED: Unit = ("deleted",)
_SILENT = frozenset({"suggestion_id", "origin", "extra", "confirmed", "cut", "model_id"})
"""Differences here are nobody's disagreement."""


@dataclass(slots=True)
class Settled:
    """The merged state of a row.

    Attributes
    ----------
    columns
        Those of which something is known.
    conflicts
        Change to what it says otherwise, as ``{column: (here, there)}``.
    """

    columns: dict[str, Any]
    deleted: bool
    conflicts: dict[Uid, dict[str, tuple[Any, Any]]] = field(default_factory=dict)


def settle(kind: str, operations: Sequence[Operation]) -> Settled:
    """Return what a row says after all of these changes.

    Parameters
    ----------
    kind
        The history's word for it.
    """
    return _RowHistory(kind, operations).resolve()


class _RowHistory:
    """The changes of one row, and which knew of which."""

    def __init__(self, kind: str, operations: Iterable[Operation]) -> None:
        self._kind = kind
        self._ops = {op.uid: op for op in sorted(operations, key=lambda op: (op.depth, op.uid))}
        self._before: dict[Uid, frozenset[Uid]] = {}
        self._writes: dict[Uid, dict[Unit, Any]] = {}
        for uid, op in self._ops.items():
            parents = [p for p in op.parents if p in self._before]
            self._before[uid] = frozenset(parents).union(*(self._before[p] for p in parents))
            self._writes[uid] = self._writes_of(op)

    def _writes_of(self, op: Operation) -> dict[Unit, Any]:
        if op.after is None:
            return {_DELETED: True}
        written: dict[Unit, Any] = {_DELETED: False} if op.before is None else {}
        for name, value in op.after.items():
            if name in _FIXED:
                continue
            if name in _KEYED:
                old = (op.before or {}).get(name) or {}
                new = value or {}
                for key in {*old, *new}:
                    if old.get(key) != new.get(key) or op.before is None:
                        written[name, key] = new.get(key)
                continue
            unit = _unit(self._kind, name)
            if unit in written:
                continue
            if len(unit) == 1:
                written[unit] = value
            else:
                # a column that this change did not set has the value that it knew
                missing = any(column not in op.after for column in unit)
                previous = self._value(unit, self._before[op.uid]) if missing else None
                base = dict(zip(unit, previous, strict=True)) if previous is not None else {}
                written[unit] = tuple(op.after.get(column, base.get(column)) for column in unit)
        return written

    def _latest(self, unit: Unit, among: Iterable[Uid]) -> list[Uid]:
        """Return the changes of a unit that no other of them knew, the winning one first."""
        writers = [uid for uid in self._ops if uid in among and unit in self._writes[uid]]
        superseded = frozenset[Uid]().union(*(self._before[uid] for uid in writers))
        latest = [uid for uid in writers if uid not in superseded]
        return sorted(latest, key=lambda uid: (_empty(self._writes[uid][unit]), -self._ops[uid].depth, uid))

    def _value(self, unit: Unit, among: Iterable[Uid]) -> Any:
        latest = self._latest(unit, among)
        return self._writes[latest[0]][unit] if latest else None

    def resolve(self) -> Settled:
        all_uids = frozenset(self._ops)
        units = dict.fromkeys(unit for writes in self._writes.values() for unit in writes)
        result = Settled({}, False)
        for unit in units:
            latest = self._latest(unit, all_uids)
            here = self._writes[latest[0]][unit]
            if unit == _DELETED:
                continue
            _put(result.columns, unit, here)
            for uid in latest[1:]:
                there = self._writes[uid][unit]
                if there != here and unit[0] not in _SILENT:
                    _differ(result.conflicts.setdefault(uid, {}), unit, here, there)
        self._settle_deletion(result, all_uids)
        for columns in (result.columns,):
            for name in _KEYED:
                if name in columns:
                    columns[name] = {k: v for k, v in sorted(columns[name].items()) if v is not None}
        return result

    def _settle_deletion(self, result: Settled, all_uids: frozenset[Uid]) -> None:
        latest = self._latest(_DELETED, all_uids)
        deleters = [uid for uid in latest if self._writes[uid][_DELETED]]
        if not deleters:
            return
        known_to_deleters = frozenset(deleters).union(*(self._before[uid] for uid in deleters))
        unknown = [uid for uid in self._ops if uid not in known_to_deleters]
        if not unknown:
            result.deleted = True
            result.conflicts.clear()
            return
        for uid in deleters:
            result.conflicts.setdefault(uid, {})["deleted"] = (False, True)


def _empty(value: Any) -> bool:
    """Return whether a value is missing: a missing value never replaces another."""
    return all(v is None for v in value) if isinstance(value, tuple) else value in (None, "", False)


@lru_cache(maxsize=1024)
def _unit(kind: str, column: str) -> Unit:
    return next((unit for unit in _TOGETHER.get(kind, ()) if column in unit), (column,))


def _put(columns: dict[str, Any], unit: Unit, value: Any) -> None:
    if len(unit) == 2 and unit[0] in _KEYED:
        columns.setdefault(unit[0], {})[unit[1]] = value
    elif len(unit) == 1:
        columns[unit[0]] = value
    else:
        columns.update(zip(unit, value, strict=True))


def _differ(conflict: dict[str, tuple[Any, Any]], unit: Unit, here: Any, there: Any) -> None:
    if len(unit) == 2 and unit[0] in _KEYED:
        mine, theirs = conflict.setdefault(unit[0], ({}, {}))
        mine[unit[1]], theirs[unit[1]] = here, there
    elif unit == ("x", "y", "w", "h"):
        conflict["box"] = (list(here), list(there))
    elif len(unit) == 1:
        conflict[unit[0]] = (here, there)
    else:
        for name, mine, theirs in zip(unit, here, there, strict=True):
            if mine != theirs or name == "cell_class":
                conflict[name] = (mine, theirs)


def in_words(values: Columns | Mapping[str, tuple[Any, Any]], side: int) -> dict[str, Any]:
    """Return one side of a conflict."""
    return {name: pair[side] for name, pair in sorted(values.items())}
