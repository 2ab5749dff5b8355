"""Merge other copies of a project, or other projects, into one: each completely or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import ValidationError

from annotation_store._collections.ingest import Ingest, original_beside
from annotation_store._collections.schema_change import words_of
from annotation_store._db import history, migrate
from annotation_store._db.engine import damaged, plain_errors
from annotation_store._db.tables import conflicts, fields, old_schemas
from annotation_store._db.tables import project as project_table
from annotation_store._db.tables import words as words_table
from annotation_store.copies.bring import Bring
from annotation_store.copies.files import copy_field, copy_model
from annotation_store.copies.other import Other, read_project
from annotation_store.copies.replica import Replica
from annotation_store.copies.report import Brought, MergeReport
from annotation_store.copies.schemas import join_schemas, words
from annotation_store.errors import ProjectError
from annotation_store.files.disk import sync, why_not_written
from annotation_store.files.layout import BACKUPS, DATABASE, MODELS, inside, original_path, set_aside
from annotation_store.project import Project
from annotation_store.schema import Schema

Progress = Callable[[int, int], None]


def merge(
    folder: str | Path,
    others: Sequence[str | Path],
    *,
    annotator: str | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> MergeReport:
    """Bring other projects into one: fields by their pixels, readings side by side, with their history.

    The order does not matter, and doing it twice changes nothing. The others are read, never written. Each of
    them comes in by one transaction; the database from before is kept in ``backups``.

    Parameters
    ----------
    folder
        The project that receives.
    others
        The folders of those that are brought in.
    dry_run
        Only report what would come in.
    progress
        Called with (fields done, fields in all) of one project after the other.

    Raises
    ------
    ProjectError
        One is not a project, damaged, of a newer version, or cannot be read or written.
    SchemaError
        One side took words away that the other has. Nothing was changed by that project.
    """
    here = Path(folder)
    sources = [Path(other) for other in others]
    with Project.open(here, annotator=annotator) as project:
        for source in sources:  # none of them is brought in if one cannot be
            if not _same(here, source):
                with read_project(source) as other:
                    _joined_schema(project, other)
        brought: list[Brought] = []
        backup: Path | None = None
        for source in sources:
            if _same(here, source):
                brought.append(Brought(source))
                continue
            with read_project(source) as other:
                report, copy = _merge_one(
                    project, other, dry_run=dry_run, keep_backup=backup is None, progress=progress
                )
            brought.append(report)
            backup = backup or copy
        count = sa.select(sa.func.count()).select_from(conflicts).where(conflicts.c.state == "open")
        with plain_errors(here):
            waiting = int(project.edit_writer.session.connection.execute(count).scalar_one())
    return MergeReport(brought, backup, waiting)


def _same(here: Path, there: Path) -> bool:
    with suppress(OSError):
        return (here / DATABASE).samefile(there / DATABASE)
    return False


def _merge_one(
    project: Project, other: Other, *, dry_run: bool, keep_backup: bool, progress: Progress | None
) -> tuple[Brought, Path | None]:
    """Merge one project; return the report, and the backup of the database."""
    session, ingest = project.edit_writer.session, project.edit_writer.ingest
    there = Replica(other.connection, other.folder)
    report = Brought(other.folder)
    backup: Path | None = None
    with _stage(project, other, there, dry_run=dry_run) as staging:
        moved: list[Path] = []
        with session.writing(keep=not dry_run) as connection:
            try:
                if keep_backup and not dry_run:
                    # the lock is held, and nothing is written yet: another reader sees what was there before
                    backup = migrate.back_up(project.path / DATABASE, project.path / BACKUPS, "before-merge")
                schema = _joined_schema(project, other)
                bring = Bring(connection, session, Replica(connection, project.path), there, schema, report)
                if staging is not None:
                    bring.files = _Files(ingest, staging, moved, project.path)
                if schema.digest() != project.schema.digest():
                    _take_schema(connection, project, schema)
                    report.words += sorted(set(words(schema)) - set(words(project.schema))) or [
                        "other titles"
                    ]
                bring.run(progress)
            except BaseException as error:
                ingest.unmake(moved)
                if isinstance(error, OSError):
                    raise ProjectError(why_not_written(f"The project {project.path}", error)) from error
                raise
    if backup is not None and report.nothing:
        backup.unlink(missing_ok=True)
        backup = None
    if not dry_run and not report.nothing:
        project.refresh()
    return report, backup


def _joined_schema(project: Project, other: Other) -> Schema:
    row = other.connection.execute(sa.select(project_table.c.schema)).one()
    past = sa.select(old_schemas.c.schema).order_by(old_schemas.c.version)
    try:
        theirs = [Schema.model_validate(old.schema) for old in other.connection.execute(past)]
        theirs.append(Schema.model_validate(row.schema))
    except ValidationError as error:
        raise ProjectError(damaged(other.folder)) from error
    ours = [version.schema for version in project.schema_versions.previous()] + [project.schema]
    base: Schema | None = None
    for mine, yours in zip(ours, theirs, strict=False):
        if mine.digest() != yours.digest():
            break
        base = mine
    return join_schemas(project.schema, theirs[-1], base, other=other.folder)


def _take_schema(connection: sa.Connection, project: Project, schema: Schema) -> None:
    """Write a schema that has every word of the present one, and more."""
    connection.execute(words_table.insert().prefix_with("OR IGNORE"), words_of(schema))
    row = connection.execute(sa.select(project_table.c.schema, project_table.c.schema_version)).one()
    old = {
        "version": row.schema_version,
        "digest": project.schema.digest(),
        "schema": row.schema,
        "replaced": history.now(),
        "annotator": project.annotator,
        "mapping": {},
    }
    connection.execute(old_schemas.insert(), [old])
    new = {"schema": json.loads(schema.model_dump_json()), "schema_version": row.schema_version + 1}
    connection.execute(project_table.update().values(new))


# -- files ---------------------------------------------------------------------------------------


class _Files:
    """Moves the copied files into the project, in the transaction that records them."""

    def __init__(self, ingest: Ingest, staging: Path, moved: list[Path], project: Path) -> None:
        self._ingest, self._staging, self._moved, self._project = ingest, staging, moved, project

    def field(self, row: Mapping[str, Any], field_id: int) -> None:
        """Move the pixels of a field, and its original."""
        staged = self._staging / row["content_hash"]
        has_original = original_beside(staged).exists()
        original = (row["content_hash"], row["suffix"]) if has_original else None
        self._ingest.move_in(staged, field_id, self._moved, original=original)

    def model(self, uid: str, model_id: int) -> None:
        """Move the files of a model."""
        target = inside(self._project, MODELS, str(model_id))
        if target.exists():  # of a model that the database knew before a backup was restored
            set_aside(self._project, target)
        self._moved.append(target)
        (self._staging / f"model-{uid}").replace(target)

    def done(self) -> None:
        """Write the names of what was moved to the disk."""
        for name in {path.parent.name for path in self._moved}:
            sync(self._project / name)


@contextmanager
def _stage(project: Project, other: Other, there: Replica, *, dry_run: bool) -> Iterator[Path | None]:
    """Copy the pixels and models that are not here yet, before anything is locked."""
    if dry_run:
        yield None
        return
    here = Replica(project.edit_writer.session.connection, project.path)
    known_contents, models_here = set(here.fields.values()), set(here.models.values())
    with project.edit_writer.ingest.staging() as staging:
        query = sa.select(fields).order_by(fields.c.id)
        for row in [dict(found._mapping) for found in other.connection.execute(query)]:
            if row["content_hash"] not in known_contents:
                original_path(other.folder, row["content_hash"], row["suffix"])  # refuses to lead out
                copy_field(other.folder, row, staging / row["content_hash"])
        for model_id, uid in there.models.items():
            if uid not in models_here:
                retired = model_id in there.retired
                copy_model(other.folder, model_id, staging / f"model-{uid}", retired=retired)
                models_here.add(uid)
        yield staging
