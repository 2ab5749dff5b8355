"""Who runs a model over pixels: this process, or many (`training.cluster`).

What a task does with the result is the same for both: it takes batches in their order, one after the other,
and writes each as it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from annotation_store.errors import ImageError, ProjectError
from training.inference.predict import Move, Pixels, RawProposals, at_hand, propose_raw, seen_side
from training.models.model import LearnedModel

T = TypeVar("T")


class View(NamedTuple):
    """A field, or a tile of a slide, that is to be predicted.

    Attributes
    ----------
    pixels
        Best one of `training.inference.sources`: other machines may then read them where they lie.
    side
        Median side of a white cell there, in its pixels, if known.
    move
        How far its cells are moved: see `training.similarity.novelty`.
    """

    pixels: Pixels
    side: float | None = None
    move: Move = 0.0


class Predictor(Protocol):
    """Runs a model over pixels.

    Attributes
    ----------
    batch
        How many fields are best given at a time.
    """

    @property
    def batch(self) -> int:
        """Return how many fields are best given at a time."""

    def propose(
        self, model: LearnedModel, batches: Iterable[tuple[T, Sequence[View]]], *, min_score: float
    ) -> Iterator[tuple[T, list[RawProposals | None]]]:
        """Yield what the model gives for batches, in their order; ``None`` for what cannot be read.

        Parameters
        ----------
        batches
            Something that stands for each, which is given back, and what is to be predicted. Taken as there
            is room for them, not all at first.
        """

    def seen_side(self, model: LearnedModel, fields: Sequence[Pixels]) -> float | None:
        """Estimate the size of a white cell, as `training.inference.predict.seen_side` does."""


class ThisProcess:
    """Predicts here."""

    batch = 8

    def propose(
        self, model: LearnedModel, batches: Iterable[tuple[T, Sequence[View]]], *, min_score: float
    ) -> Iterator[tuple[T, list[RawProposals | None]]]:
        """Predict one batch after the other."""
        for what, views in batches:
            images = [read(view.pixels) for view in views]
            whole = [i for i, image in enumerate(images) if image is not None]
            raws = propose_raw(
                model,
                at_hand([image for image in images if image is not None]),
                cell_sides=[views[i].side for i in whole],
                moves=[views[i].move for i in whole],
                min_score=min_score,
            )
            found = dict(zip(whole, raws, strict=True))
            del images
            yield what, [found.get(i) for i in range(len(views))]

    def seen_side(self, model: LearnedModel, fields: Sequence[Pixels]) -> float | None:
        """Search a few of the fields here."""
        return seen_side(model, fields)


def read(pixels: Callable[[], np.ndarray]) -> np.ndarray | None:
    """Read pixels; ``None`` where the image is damaged or gone."""
    try:
        return pixels()
    except (ProjectError, ImageError):
        return None
