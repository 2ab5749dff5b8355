"""Change the schema of a project: new names at once, removed ones only with a mapping."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from annotation_store._db import history
from annotation_store._db.engine import damaged
from annotation_store._db.history import Change, Scope
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import cells, old_schemas, suggestions, words
from annotation_store._db.tables import project as project_table
from annotation_store.errors import EditError, ProjectError, SchemaError
from annotation_store.records import Edit, OldSchema, Proposal, SchemaChange
from annotation_store.schema import Schema
from annotation_store.schema.mapping import Translation
from annotation_store.schema.renaming import Renamings
from annotation_store.schema.reserved import UNSURE

Mapped = Mapping[str, str | None]


def words_of(schema: Schema) -> list[dict[str, str]]:
    """List the rows of ``words``: the values that the database accepts."""
    pairs = [("", name) for name in (*schema.class_names, *(g.name for g in schema.groups), UNSURE)]
    for attribute in schema.attributes:
        pairs += [(attribute.name, value) for value in (*attribute.value_names, UNSURE)]
    return [{"attribute": attribute, "value": value} for attribute, value in pairs]


class SchemaVersions:
    """`Project.schema_versions`: the schemas that a project had, and how it gets another one."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    @property
    def current(self) -> int:
        """How often the project's schema has been changed, plus one."""
        return self._db.schema_version

    def load(self) -> bool:
        """Read the schema again if another program has changed it; return whether it did."""
        version = self._db.rows(sa.select(project_table.c.schema_version))
        if version and version[0][0] == self._db.schema_version:
            return False
        rows = self._db.rows(sa.select(project_table.c.schema, project_table.c.schema_version))
        try:
            self._db.schema = Schema.model_validate(rows[0].schema)
            self._db.schema_version = int(rows[0].schema_version)
        except (IndexError, ValidationError, ValueError, TypeError) as error:
            raise ProjectError(damaged(self._db.path)) from error
        return True

    def previous(self) -> list[OldSchema]:
        """List the schemas that the project had before, oldest first; models name theirs by digest."""
        return [
            OldSchema(
                version=row.version,
                digest=row.digest,
                schema=Schema.model_validate(row.schema),
                replaced=datetime.fromisoformat(row.replaced),
                annotator=row.annotator,
                mapping=row.mapping,
            )
            for row in self._db.rows(sa.select(old_schemas).order_by(old_schemas.c.version))
        ]

    def renamings(self) -> Renamings:
        """Return how words of former schemas became those of the present one.

        Versions before one that cannot be read are left out.
        """
        versions: list[tuple[str, Schema, Mapped]] = []
        for row in self._db.rows(sa.select(old_schemas).order_by(old_schemas.c.version)):
            try:
                versions.append((row.digest, Schema.model_validate(row.schema), dict(row.mapping)))
            except (ValidationError, ValueError, TypeError):
                versions = []
        return Renamings(versions, self._db.schema)

    def change(self, new: Schema, mapping: Mapped | None = None) -> SchemaChange:
        """Replace the project's schema, in one transaction.

        New classes, groups, attributes and values, other titles, colours and keys touch no label. A word
        that is gone from the schema, and that cells use, needs a mapping.

        Parameters
        ----------
        mapping
            Vanished word to its successor, or to ``None``: its labels become missing. A class or group by
            its name; a value as ``"attribute:value"``; an attribute by its name (its values keep theirs); a
            kind of artefact as ``"kind:name"``.

        Returns
        -------
        SchemaChange
            The number of cells changed, and of pending suggestions that propose another word now. The history
            keeps their previous values; undo does not restore removed words.

        Raises
        ------
        EditError
            A vanished word is in use and not mapped; the text names each, and how often. Nothing changed.
        SchemaError
            The schema breaks its own rules, as one changed by `model_copy` may. Nothing changed.
        """
        try:
            new = Schema.model_validate(new.model_dump())
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise SchemaError(f"The schema cannot be used: {reason}.") from error
        mapped = dict(mapping or {})
        if new.digest() == self._db.schema.digest():
            return SchemaChange(self._db.schema_version, 0, 0)
        edits: list[Edit] = []
        with self._db.writing() as connection:
            row = connection.execute(sa.select(project_table.c.schema, project_table.c.schema_version)).one()
            if row.schema_version != self._db.schema_version:
                raise EditError(
                    "Another program changed the schema in the meantime: check it, then try again."
                )
            translation = Translation(self._db.schema, new, mapped)
            changes = self._translate_cells(connection, translation)
            changed_cells = sum(map(len, changes.values()))
            if translation.unmapped:
                raise EditError(_describe_unmapped(translation.unmapped, new))
            waiting, changed_suggestions = self._translate_suggestions(connection, translation)
            for place, more in waiting.items():
                changes.setdefault(place, []).extend(more)
            connection.execute(words.insert().prefix_with("OR IGNORE"), words_of(new))
            for (field_id, reading_id), group in changes.items():
                scope = Scope(field_id, self._db.annotator, reading_id)
                # cannot be undone: that would restore labels that the schema no longer has
                edits.append(
                    history.write(connection, scope, command="Change schema", changes=group, system=True)
                )
            connection.execute(words.delete())
            connection.execute(words.insert(), words_of(new))
            old = {
                "version": self._db.schema_version,
                "digest": self._db.schema.digest(),
                "schema": row.schema,
                "replaced": history.now(),
                "annotator": self._db.annotator,
                "mapping": mapped,
            }
            connection.execute(old_schemas.insert(), [old])
            connection.execute(
                project_table.update().values(
                    schema=json.loads(new.model_dump_json()), schema_version=self._db.schema_version + 1
                )
            )
        self._db.schema = new
        self._db.schema_version += 1
        self._db.events.schema_changed.emit()
        self._db.announce(edits)
        return SchemaChange(self._db.schema_version, changed_cells, changed_suggestions)

    def _translate_cells(
        self, connection: sa.Connection, translation: Translation
    ) -> dict[tuple[int, int], list[Change]]:
        changes: dict[tuple[int, int], list[Change]] = {}
        query = sa.select(
            cells.c.id,
            cells.c.field_id,
            cells.c.reading_id,
            cells.c.cell_class,
            cells.c.attributes,
            cells.c.kind,
        ).where(sa.not_(cells.c.deleted))
        for row in connection.execute(query.order_by(cells.c.id)):
            before = {"cell_class": row.cell_class, "attributes": row.attributes, "kind": row.kind}
            after = translation.cell(**before)
            names = [name for name in before if before[name] != after[name]]
            if names:
                change = Change("cell", row.id, {n: before[n] for n in names}, {n: after[n] for n in names})
                changes.setdefault((row.field_id, row.reading_id), []).append(change)
        return changes

    def _translate_suggestions(
        self, connection: sa.Connection, translation: Translation
    ) -> tuple[dict[tuple[int, int], list[Change]], int]:
        """Reduce pending suggestions to what can be accepted; decided ones are not changed.

        Returns
        -------
        tuple
            The changes, and how many suggestions no longer propose what they proposed (the others have a
            changed word among their less probable ones).
        """
        changes: dict[tuple[int, int], list[Change]] = {}
        proposing_otherwise = 0
        query = sa.select(suggestions).where(suggestions.c.state == "pending").order_by(suggestions.c.id)
        for row in connection.execute(query):
            before: dict[str, Any] = {
                "class_probabilities": row.class_probabilities,
                "attribute_probabilities": row.attribute_probabilities,
            }
            after = translation.probabilities(**before)
            proposing_otherwise += _proposed(**before) != _proposed(**after)
            before["probability"], before["sets"] = row.probability, row.sets
            same = all(before[name] == after[name] for name in after)
            after["sets"] = row.sets if same else {}  # of other words nothing was measured
            box = (row.x, row.y, row.w, row.h)
            after["probability"] = Proposal(
                box, row.confidence, after["class_probabilities"], novelty=row.novelty
            ).probability
            names = [name for name in before if before[name] != after[name]]
            if names:
                change = Change(
                    "suggestion", row.id, {n: before[n] for n in names}, {n: after[n] for n in names}
                )
                changes.setdefault((row.field_id, self._db.reading.id), []).append(change)
        return changes, proposing_otherwise


def _proposed(
    class_probabilities: Mapping[str, float], attribute_probabilities: Mapping[str, Mapping[str, float]]
) -> dict[str, str | None]:
    """Return the most probable class, under no name, and value of each attribute."""
    heads = {"": class_probabilities, **attribute_probabilities}
    return {
        name: max(shares, key=lambda value: shares[value], default=None) for name, shares in heads.items()
    }


def _describe_unmapped(used: Counter[str], new: Schema) -> str:
    listed = ", ".join(f"{word} ({n} cell{'s' if n > 1 else ''})" for word, n in used.most_common(8))
    more = f" and {len(used) - 8} more" if len(used) > 8 else ""
    return (
        f"The schema {new.name} lacks labels that cells of this project have: {listed}{more}. "
        "Map each of them (--map OLD=NEW, or OLD= for missing). Nothing was changed."
    )
