"""Predict class and attributes of given boxes, without the detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from annotation_store.records import Box, Proposal
from training.inference.predict import RawProposals, describe_features, to_proposals
from training.models.model import LearnedModel
from training.networks.scale import domain_of
from training.protocol import Progress
from training.worker.annotated_fields import AnnotatedField, slide_sides
from training.worker.channel import Channel
from training.worker.embedded import vectors_of
from training.worker.films import Films

if TYPE_CHECKING:
    from annotation_store.project import Project


class BoxPredictor:
    """Predicts class and attributes of boxes; create one per request, since it reads the project once."""

    def __init__(
        self, project: Project, model: LearnedModel, known: Sequence[AnnotatedField], channel: Channel
    ) -> None:
        self._project, self._model, self._channel = project, model, channel
        self.films = Films(project, model, known)
        self._film_of = {field.id: domain_of(field) for field in project.fields.all()}
        self._sides: dict[int, float | None] = {item.field.id: item.cell_side for item in known}
        self._sides |= slide_sides(project)  # also of slides without annotations
        self._vectors = vectors_of(project, model)

    @property
    def damaged(self) -> set[str]:
        """Names of the fields whose pixels could not be read."""
        return self._vectors.damaged

    def of(self, boxes: Sequence[tuple[int, Box]], confidences: np.ndarray) -> list[Proposal | None]:
        """Return the predictions of boxes; ``None`` if the field cannot be read.

        Parameters
        ----------
        boxes
            Field id and box of each.
        """
        model, films = self._model, self.films
        vectors = self._vectors.of(
            self._project, model, boxes, sides=self._sides, on_field=tell_looking(self._channel)
        )
        readable = np.flatnonzero(np.isfinite(vectors).all(1)).tolist()
        proposals: list[Proposal | None] = [None] * len(boxes)
        if not readable:
            return proposals
        names = [self._film_of[boxes[i][0]] for i in readable]
        moves = {name: films.move(name) for name in set(names)}
        unchecked = np.array([films.is_unchecked(name) for name in names])
        device = next(model.describer.parameters()).device
        logits, _, novelty = describe_features(
            model, torch.from_numpy(vectors[readable]).to(device), [moves[name] for name in names]
        )
        coordinates = np.array([boxes[i][1] for i in readable], np.float64).reshape(-1, 4)
        for is_unchecked in (False, True):
            rows = np.flatnonzero(unchecked == is_unchecked).tolist()
            raw = RawProposals(
                coordinates, np.zeros(len(coordinates)), logits, novelty=novelty, unchecked=is_unchecked
            )
            for row, proposal in zip(
                rows, to_proposals(model, raw, confidences[readable], rows), strict=True
            ):
                proposals[readable[row]] = proposal
        return proposals


def tell_looking(channel: Channel) -> Callable[[int, int], None]:
    """Return a callback for after each embedded field: it reports progress, and raises if cancelled."""

    def report(done: int, total: int) -> None:
        channel.check()
        channel.send(Progress(stage="look", done=done, total=total))

    return report
