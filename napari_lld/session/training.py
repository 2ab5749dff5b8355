"""Training and prediction in a separate process: started, cancelled, queued; no Qt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psygnal import Signal

from annotation_store.records import Field
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.cluster import Cluster
from napari_lld.session.fields import Fields
from napari_lld.session.open_project import OpenProject
from napari_lld.session.preferences import Preferences
from napari_lld.session.project_log import log_error
from napari_lld.session.rounds import Rounds
from napari_lld.session.training_state import Trainer, TrainingState


class Training:
    """The process that learns and predicts, what it is at, and what waits for it.

    Attributes
    ----------
    process
        Who runs the worker; ``None`` where there is no window.
    """

    slides_changed = Signal()

    def __init__(self, opened: OpenProject, fields: Fields, preferences: Preferences) -> None:
        self._opened, self._fields = opened, fields
        self._preferences = preferences
        self.process: Trainer | None = None
        self.state = TrainingState()
        self.cluster = Cluster(preferences)
        self.slides_left: list[int] = []
        """Whole slides that the active model has not searched in full: a training does not, minutes each."""
        self.rounds = Rounds(opened, preferences, self.state, self.start, lambda: self.process is not None)

    def start(self, **options: Any) -> bool:
        """Start a training; options are the fields of the train request."""
        project = self._opened.project
        if project is None or self.state.busy:
            return False
        if self.process is None:
            self._opened.notify("error", tr("This window has no training process."))
            return False
        if not self._fields.has_annotated:
            self._opened.notify(
                "warning",
                tr(
                    "No finished region yet. Draw one ([tool.region]), box its white cells ([tool.box]), "
                    "then train: a region tells the model where it may learn what is background."
                ),
            )
            return False
        from training.protocol import TrainRequest

        where = self.cluster.of_training
        request = TrainRequest(
            project=str(project.path),
            annotator=project.annotator,
            reading=project.reading.id,
            **{**where, **options},
        )
        self.state.begin("train", where.get("scheduler", ""))
        self.process.start(request)
        return True

    def suggest(self, **options: Any) -> None:
        """Let the active model (or the starter) propose cells, without training."""
        project = self._opened.project
        if project is None or self.state.busy or self.process is None:
            return
        from training.protocol import PredictRequest

        where = self.cluster.of_prediction
        self.state.begin("predict", where.get("scheduler", ""))
        request = PredictRequest(
            project=str(project.path),
            annotator=project.annotator,
            reading=project.reading.id,
            **{"device": self._preferences.device, **where, **options},
        )
        self.process.start(request)

    def embed_slides_by_stain(self) -> None:
        """Ask which slides the active model has not searched in full."""
        project = self._opened.project
        left: list[int] = []
        if project is not None:
            active = project.models.active()
            left = project.searches.left(None if active is None else active.id)
        if left != self.slides_left:
            self.slides_left = left
            self.slides_changed.emit()

    def search_slides(self) -> None:
        """Search the slides that the active model has not searched in full, each from where it was."""
        self.embed_slides_by_stain()
        if self.slides_left:
            self.suggest(fields=list(self.slides_left))

    @property
    def why_search(self) -> str:
        """How many slides wait for a search with the active model; nothing where none does."""
        return (
            trn(
                "{count} slide was not searched completely with this model: [slides.search] does this.",
                "{count} slides were not searched completely with this model: [slides.search] does this.",
                len(self.slides_left),
            )
            if self.slides_left
            else ""
        )

    def count_slide(self, field_id: int, to: int) -> bool:
        """Search the monolayer of a slide until so many white cells are there; False where it could not."""
        project = self._opened.project
        if project is None or self.state.busy or self.process is None:
            return False
        from training.protocol import DifferentialRequest

        where = self.cluster.of_prediction
        self.state.begin("differential", where.get("scheduler", ""))
        request = DifferentialRequest(
            project=str(project.path),
            field=field_id,
            to=to,
            annotator=project.annotator,
            reading=project.reading.id,
            device=self._preferences.device,
            **where,
        )
        self.process.start(request)
        return True

    def cancel(self) -> None:
        """Stop the training; the worker is gone within seconds."""
        if self.state.busy and self.process is not None:
            self.state.cancelling()
            self.process.cancel()

    def keep_details(self, message: Any, fields: Iterable[Field]) -> str:
        """Store the details of a failed worker in the project; return a sentence with the file's name.

        Parameters
        ----------
        known
            The fields whose names are replaced in the log.
        """
        project = self._opened.project
        if project is None or not message.details:
            return ""
        file = log_error(project.path, "training", self.state.message, message.details, fields)
        return (
            " " + tr("Details: {file} in the project's folder.", file=f"{file.parent.name}/{file.name}")
            if file
            else ""
        )
