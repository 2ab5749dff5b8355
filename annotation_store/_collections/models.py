"""Models and runs: what the worker records."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from annotation_store._db import row_mappers
from annotation_store._db.history import next_id, now
from annotation_store._db.session import DatabaseSession
from annotation_store._db.tables import models, runs
from annotation_store.errors import EditError, ProjectError
from annotation_store.files.disk import sync_tree, why_not_written
from annotation_store.files.layout import MODELS, inside, refuse_links_below, set_aside
from annotation_store.records import Model, Run


class Models:
    """`Project.models`: the models that were trained on a project, and which of them is active."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    def all(self) -> list[Model]:
        """List the project's models, oldest first."""
        return [
            row_mappers.model(r)
            for r in self._db.rows(sa.select(models).where(models.c.ready).order_by(models.c.id))
        ]

    def get(self, model_id: int) -> Model:
        """Return one model."""
        rows = self._db.rows(sa.select(models).where(models.c.ready, models.c.id == model_id))
        if not rows:
            model_ids = ", ".join(str(m.id) for m in self.all()) or "none yet"
            raise EditError(f"The project has no model {model_id} (it has: {model_ids}).")
        return row_mappers.model(rows[0])

    def active(self) -> Model | None:
        """Return the model that makes the suggestions, if any."""
        rows = self._db.rows(sa.select(models).where(models.c.active))
        return row_mappers.model(rows[0]) if rows else None

    def reserve_id(self) -> int:
        """Reserve the number of a new model; a number once given is not given again."""
        with self._db.writing() as connection:
            model_id = next_id(connection, models)
            connection.execute(models.insert(), [{"id": model_id, "created": now(), "card": {}}])
            left = self.folder(model_id)
            if left.exists():  # of a model that the database knew before a backup was restored
                set_aside(self._db.path, left)
        return model_id

    def folder(self, model_id: int) -> Path:
        """Return the folder of a model's files (``models/N``); the worker makes it."""
        folder = inside(self._db.path, MODELS, str(int(model_id)))
        refuse_links_below(folder)
        return folder

    def add(self, model_id: int, *, parent: str, card: Mapping[str, Any], activate: bool) -> Model:
        """Record a model whose folder is complete on disk.

        Numbers in the card that are not finite become ``null``: JSON has none.
        """
        if not self.folder(model_id).is_dir():
            raise EditError(
                f"The files of model {model_id} are missing: write {self.folder(model_id)} first."
            )
        plain = _plain(card)
        try:
            sync_tree(self.folder(model_id))
        except OSError as error:
            raise ProjectError(
                why_not_written(f"Model {model_id} of the project {self._db.path}", error)
            ) from error
        with self._db.writing() as connection:
            if activate:
                connection.execute(models.update().where(models.c.active).values(active=False))
            result = connection.execute(
                models.update()
                .where(models.c.id == model_id, sa.not_(models.c.ready))
                .values(parent=str(parent), card=plain, created=now(), ready=True, active=activate)
            )
            if result.rowcount != 1:
                raise EditError(f"The number {model_id} was not reserved for a new model.")
        self._db.events.models_changed.emit()
        return self.get(model_id)

    def activate(self, model_id: int | None) -> None:
        """Make a model the one that suggests; ``None`` = the bundled starter again.

        Raises
        ------
        EditError
            There is no such model, or a repair retired it.
        """
        if model_id is not None:
            self.get(model_id).refuse_retired()
        with self._db.writing() as connection:
            connection.execute(models.update().where(models.c.active).values(active=False))
            connection.execute(models.update().where(models.c.id == model_id).values(active=True))
        self._db.events.models_changed.emit()


class Runs:
    """`Project.runs`: the trainings of a project, as they went."""

    def __init__(self, db: DatabaseSession) -> None:
        self._db = db

    def start(self, config: Mapping[str, Any]) -> int:
        """Record that a run began; give its id."""
        row = {
            "started": now(),
            "annotator": self._db.annotator,
            "config": _plain(config),
            "state": "running",
        }
        with self._db.writing() as connection:
            run_id = next_id(connection, runs)
            connection.execute(runs.insert(), [{"id": run_id, **row}])
        return run_id

    def finish(self, run_id: int, state: str, *, model_id: int | None = None, message: str = "") -> None:
        """Record how a run ended: ``done``, ``cancelled`` or ``failed``."""
        with self._db.writing() as connection:
            result = connection.execute(
                runs.update()
                .where(runs.c.id == run_id)
                .values(state=str(state), finished=now(), model_id=model_id, message=str(message))
            )
            if result.rowcount != 1:
                raise EditError(f"There is no run {run_id}.")

    def all(self) -> list[Run]:
        """List the runs, oldest first."""
        return [row_mappers.run(row) for row in self._db.rows(sa.select(runs).order_by(runs.c.id))]


def _plain(value: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a card or configuration to plain JSON."""
    try:
        plain = _plain_part(value)
        json.dumps(plain, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise EditError(f"The description cannot be stored as JSON: {error}.") from error
    return dict(plain)


def _plain_part(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain_part(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_part(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):  # numpy
        return _plain_part(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
