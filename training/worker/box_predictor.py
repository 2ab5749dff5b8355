"""Class and values of boxes that are known already: what heads say of them, without a detector."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from annotation_store.records import Box, Proposal
from training.inference.predict import RawProposals, describe_features, stated
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
    """Predicts class and values of boxes in one request: what that takes of the project is read once."""

    def __init__(
        self, project: Project, model: LearnedModel, known: Sequence[AnnotatedField], channel: Channel
    ) -> None:
        self._project, self._model, self._channel = project, model, channel
        self._films = Films(project, model, known)
        self._film_of = {one.id: domain_of(one) for one in project.fields.all()}
        self._sides: dict[int, float | None] = {one.field.id: one.cell_side for one in known}
        self._sides |= slide_sides(project)  # also of those on which nothing is annotated
        self._vectors = vectors_of(project, model)

    @property
    def damaged(self) -> set[str]:
        """Names of the fields whose pixels could not be read."""
        return self._vectors.damaged

    def of(self, places: Sequence[tuple[int, Box]], confidences: np.ndarray) -> list[Proposal | None]:
        """Return what the heads predict of boxes; ``None`` of one whose field cannot be read.

        Parameters
        ----------
        places
            Field id and box of each.
        """
        model, films = self._model, self._films
        vectors = self._vectors.of(
            self._project, model, places, sides=self._sides, on_field=tell_looking(self._channel)
        )
        whole = np.flatnonzero(np.isfinite(vectors).all(1)).tolist()
        found: list[Proposal | None] = [None] * len(places)
        if not whole:
            return found
        names = [self._film_of[places[i][0]] for i in whole]
        moves = {name: films.move(name) for name in set(names)}
        unchecked = np.array([films.is_unchecked(name) for name in names])
        device = next(model.describer.parameters()).device
        logits, _, novelty = describe_features(
            model, torch.from_numpy(vectors[whole]).to(device), [moves[name] for name in names]
        )
        boxes = np.array([places[i][1] for i in whole], np.float64).reshape(-1, 4)
        for is_unchecked in (False, True):
            rows = np.flatnonzero(unchecked == is_unchecked).tolist()
            raw = RawProposals(boxes, np.zeros(len(boxes)), logits, novelty=novelty, unchecked=is_unchecked)
            for row, one in zip(rows, stated(model, raw, confidences[whole], rows), strict=True):
                found[whole[row]] = one
        return found


def tell_looking(channel: Channel) -> Callable[[int, int], None]:
    """Return what is called after each field that was looked at: it tells, and ends where it is to stop."""

    def looked(done: int, total: int) -> None:
        channel.check()
        channel.send(Progress(stage="look", done=done, total=total))

    return looked
