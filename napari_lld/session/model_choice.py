"""The active model: activate, roll back, and cache it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from psygnal import Signal

from annotation_store.records import Model
from napari_lld.i18n.translate import tr
from napari_lld.session.model_facts import rollback
from napari_lld.session.open_project import OpenProject
from training.models.renaming import card_now


class ModelChoice:
    """The models of the project, and the active one."""

    changed = Signal()

    def __init__(self, opened: OpenProject) -> None:
        self._opened = opened
        self._active: tuple[Path, int] | None = None
        self._models_read: dict[tuple[Path, int, int], Model] = {}
        self.changed.connect(self.forget)

    def activate(self, model_id: int | None) -> None:
        """Make a model the active one; ``None`` = the bundled starter."""
        project = self._opened.project
        if project is not None and self._opened.done(lambda: project.models.activate(model_id)):
            self._opened.notify("hint", tr("It makes the suggestions from now on: press Suggest to run it."))

    def roll_back(self) -> None:
        """Go back to the model before the active one."""
        back = rollback(self._opened.project.models.all()) if self._opened.project is not None else None
        if back is None:
            self._opened.notify("hint", tr("The starter is already in use: there is nothing to go back to."))
        else:
            self.activate(back.model.id if back.model is not None else None)

    def forget(self) -> None:
        """Read the models anew when they are next asked for."""
        self._models_read.clear()
        self._active = None

    def is_older(self, model_id: int | None) -> bool:
        """Return whether a suggestion's model, or the starter, came before the active one."""
        project = self._opened.project
        if project is None:
            return False
        if self._active is None or self._active[0] != project.path:
            active = project.models.active()
            self._active = (project.path, 0 if active is None else active.id)
        return (model_id or 0) < self._active[1]

    def get(self, model_id: int | None) -> Model | None:
        """Return a model, read once until the models or the schema change: its card is large.

        What its card lists by class or value is called as the schema calls it now.
        """
        project = self._opened.project
        if model_id is None or project is None:
            return None
        key = (project.path, model_id, project.schema_versions.current)
        if key not in self._models_read:
            model = project.models.get(model_id)
            self._models_read[key] = replace(model, card=card_now(project, model.card))
        return self._models_read[key]
