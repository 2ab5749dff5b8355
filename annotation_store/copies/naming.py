"""Names and numbers that are the same whichever way copies came together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from annotation_store._collections.ingest import add_number
from annotation_store._db.tables import cells, fields, ignore_areas, origins, regions, suggestions
from annotation_store.copies.replica import Replica

if TYPE_CHECKING:
    from annotation_store.project import Project

_NUMBERED = {
    "field": fields,
    "cell": cells,
    "region": regions,
    "ignore_area": ignore_areas,
    "suggestion": suggestions,
}


def named_apart(connection: sa.Connection, here: Replica) -> None:
    """Rename fields that have the same name: the first keeps it, whichever copy it came from."""
    query = (
        sa.select(fields.c.id, fields.c.name, fields.c.content_hash, origins.c.number, origins.c.about)
        .outerjoin(origins, sa.and_(origins.c.entity == "field", origins.c.row_id == fields.c.id))
        .order_by(sa.func.coalesce(origins.c.number, fields.c.id), fields.c.content_hash)
    )
    used: set[str] = set()
    renamed: dict[int, str] = {}
    unstored: list[int] = []
    for row in connection.execute(query):
        roots = (row.about or {}).get("roots")
        own_name = min(roots, key=lambda root: root["uid"])["name"] if roots else row.name
        name = add_number(own_name, used.__contains__) if own_name in used else own_name
        used.add(name)
        if name != row.name:
            renamed[row.id] = name
            if not roots:
                unstored.append(row.id)
    for field_id in unstored:  # its own name is what it is called by, once it has another one
        entity, roots, _ = here.describe(field_id)
        connection.execute(origins.delete().where(origins.c.entity == "field", origins.c.row_id == field_id))
        origin = {"entity": "field", "row_id": field_id, "uid": entity.uid, "number": entity.number}
        connection.execute(origins.insert(), [{**origin, "about": {**entity.about, "roots": roots}}])
    for field_id in renamed:  # out of each other's way first
        aside = fields.update().where(fields.c.id == field_id)
        connection.execute(aside.values(name=f"\x00{field_id}"))
    for field_id, name in renamed.items():
        connection.execute(fields.update().where(fields.c.id == field_id).values(name=name))


@dataclass(frozen=True, slots=True)
class Numbers:
    """The numbers of rows in exports: by their id here, the same in every copy that holds the same."""

    by_kind: Mapping[str, Mapping[int, int]]

    def __getitem__(self, kind: str) -> Mapping[int, int]:
        return self.by_kind[kind]


def numbers_of(project: Project) -> Numbers | None:
    """Return the numbers for an export; ``None``: nothing came from elsewhere, and rows keep their ids."""
    session = project.edit_writer.session
    if not session.rows(sa.select(sa.literal(1)).where(sa.select(origins.c.row_id).exists()))[0:1]:
        return None
    replica: Replica | None = None
    by_kind: dict[str, dict[int, int]] = {}
    named: dict[int, dict[tuple[str, int], str]] = {}
    for kind, table in _NUMBERED.items():
        field_column = table.c.id if kind == "field" else table.c.field_id
        query = sa.select(
            table.c.id, field_column.label("field_id"), origins.c.number, origins.c.uid
        ).outerjoin(origins, sa.and_(origins.c.entity == kind, origins.c.row_id == table.c.id))
        rows = [(row.number or row.id, row.uid, row.id, row.field_id) for row in session.rows(query)]
        twice = _repeated(number for number, *_ in rows)
        keys: list[tuple[int, str, int]] = []
        for number, uid, row_id, field_id in rows:
            if uid is None and number in twice:
                replica = replica or Replica(session.connection, project.path)
                if kind == "field":
                    uid = replica.fields[row_id]
                else:
                    if field_id not in named:
                        named[field_id] = replica.log(field_id).ids
                    uid = named[field_id][kind, row_id]
            keys.append((number, uid or "", row_id))
        by_kind[kind] = {row_id: place for place, (_, _, row_id) in enumerate(sorted(keys), 1)}
    return Numbers(by_kind)


def _repeated(numbers: Iterable[int]) -> set[int]:
    seen: set[int] = set()
    twice: set[int] = set()
    for number in numbers:
        (twice if number in seen else seen).add(number)
    return twice
