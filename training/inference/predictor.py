"""Run a model over pixels: in this process, or in many (`training.cluster`).

A task uses both in the same way: it takes batches in their order and writes each as it comes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from annotation_store.records import Box
from training.inference.ahead import ahead
from training.inference.engine import Networks
from training.inference.predict import Move, Pixels, RawProposals, in_memory, propose_raw, seen_side
from training.inference.sources import read
from training.models.model import LearnedModel
from training.networks.describer import cut_crop, features_of, size_feature
from training.networks.scale import field_side

T = TypeVar("T")
Part = TypeVar("Part")

_BATCH = 8
_MUCH = 100_000_000
"""Bytes of pixels from which no other batch is worked on beside a batch."""


class View(NamedTuple):
    """A field, or a tile of a slide, that is to be predicted.

    Attributes
    ----------
    pixels
        Preferably one of `training.inference.sources`: other machines can then read them directly.
    side
        Median side of a white cell there, in its pixels, if known.
    move
        Domain shift of its cells: see `training.similarity.novelty`.
    """

    pixels: Pixels
    side: float | None = None
    move: Move = 0.0


class Boxes(NamedTuple):
    """Boxes on a field that are to be embedded.

    Attributes
    ----------
    boxes
        x, y, width, height in its pixels.
    against
        Reference side of their sizes, see `training.networks.scale.field_side`; ``None`` = computed from the
        size of the pixels and `side`.
    side
        Median side of a white cell there, if known.
    """

    pixels: Pixels
    boxes: Sequence[Box]
    against: float | None = None
    side: float | None = None


class Predictor(Protocol):
    """Runs a model over pixels.

    Attributes
    ----------
    domains_at_once
        Preferred number of domains whose cell size is estimated at a time, each in a thread.
    """

    @property
    def domains_at_once(self) -> int:
        """Return the preferred number of domains whose cell size is estimated at a time."""

    def batch(self, remaining: int) -> int:
        """Return the preferred number of fields of the next batch, of those that remain."""

    def propose(
        self,
        model: LearnedModel,
        batches: Iterable[tuple[T, Sequence[View]]],
        *,
        min_score: float,
        stain_below: float | None = None,
    ) -> Iterator[tuple[T, list[RawProposals | None]]]:
        """Yield the predictions of batches, in their order; ``None`` for unreadable fields.

        Parameters
        ----------
        batches
            A key of each, which is returned with its result, and the views to predict. The iterable is
            consumed lazily.
        stain_below
            Confidence of a find: see `add_nuclei`; ``None`` = the stain is not analysed.
        """

    def features(
        self, model: LearnedModel, batches: Iterable[tuple[T, Sequence[Boxes]]]
    ) -> Iterator[tuple[T, list[np.ndarray | None]]]:
        """Yield features ``(n, F)`` of boxes, batches in their order; ``None`` for unreadable fields."""

    def seen_side(self, model: LearnedModel, fields: Sequence[Pixels]) -> float | None:
        """Estimate the size of a white cell, as `training.inference.predict.seen_side` does."""


class ThisProcess:
    """Predicts in this process.

    Parameters
    ----------
    looks_ahead
        Whether the next two batches are predicted while the caller is busy with the last; if not, a batch is
        asked for only once the last is done, so that it is known how long that took.
    """

    def __init__(self, *, looks_ahead: bool = True) -> None:
        self._looks_ahead = looks_ahead

    domains_at_once = 1

    def batch(self, remaining: int) -> int:
        """Return the number of fields that suits the networks."""
        return min(_BATCH, remaining)

    def propose(
        self,
        model: LearnedModel,
        batches: Iterable[tuple[T, Sequence[View]]],
        *,
        min_score: float,
        stain_below: float | None = None,
    ) -> Iterator[tuple[T, list[RawProposals | None]]]:
        """Predict batches, each begun while the last fields of the one before are in the networks."""
        networks, large = Networks(model), threading.Lock()

        def predicted(batch: tuple[T, Sequence[View]]) -> tuple[T, list[RawProposals | None]]:
            with ExitStack() as held:
                return predict(*batch, held)

        def predict(key: T, views: Sequence[View], held: ExitStack) -> tuple[T, list[RawProposals | None]]:
            images: list[np.ndarray | None] = []
            for view in views:
                images.append(read(view.pixels))
                if len(images) == 1 and images[0] is not None and images[0].nbytes * len(views) > _MUCH:
                    held.enter_context(large)  # the memory is for one such batch at a time
            readable = [i for i, image in enumerate(images) if image is not None]
            pixels = [image for image in images if image is not None]
            raws = propose_raw(
                model,
                in_memory(pixels),
                cell_sides=[views[i].side for i in readable],
                moves=[views[i].move for i in readable],
                min_score=min_score,
                networks=networks,
            )
            add_nuclei(model, pixels, raws, below=stain_below)
            by_index = dict(zip(readable, raws, strict=True))
            return key, [by_index.get(i) for i in range(len(views))]

        yield from ahead(batches, predicted, most=2) if self._looks_ahead else map(predicted, batches)

    def features(
        self, model: LearnedModel, batches: Iterable[tuple[T, Sequence[Boxes]]]
    ) -> Iterator[tuple[T, list[np.ndarray | None]]]:
        """Embed the boxes of one batch after the other."""
        model.eval()
        for key, batch in batches:
            yield key, [_features(model, boxes) for boxes in batch]

    def seen_side(self, model: LearnedModel, fields: Sequence[Pixels]) -> float | None:
        """Search a few of the fields in this process."""
        return seen_side(model, fields)


def add_nuclei(
    model: LearnedModel, images: Sequence[np.ndarray], raws: Sequence[RawProposals], *, below: float | None
) -> None:
    """Add boxes from the stain (`RawProposals.nuclei`) on images where the model finds nothing.

    Parameters
    ----------
    below
        Confidence that no proposal on such an image reaches; ``None`` = add none.
    """
    if below is None:
        return
    for image, raw in zip(images, raws, strict=True):
        if not (model.calibration.confidence(raw.scores) >= below).any():
            from training.inference.stain import propose_if_nuclei  # importing it takes a second

            boxes = [proposal.box for proposal in propose_if_nuclei(image)]
            raw.nuclei = np.array(boxes, np.float64).reshape(-1, 4)


def parts(items: Sequence[Part], batch: Callable[[int], int]) -> Iterator[Sequence[Part]]:
    """Yield items in batches, of the sizes that `Predictor.batch` prefers."""
    start = 0
    while start < len(items):
        size = batch(len(items) - start)
        yield items[start : start + size]
        start += size


def _features(model: LearnedModel, boxes: Boxes) -> np.ndarray | None:
    if (image := read(boxes.pixels)) is None:
        return None
    return boxes_seen(model, image, boxes.boxes, against=boxes.against, side=boxes.side)


def boxes_seen(
    model: LearnedModel,
    image: np.ndarray,
    boxes: Sequence[Box],
    *,
    against: float | None,
    side: float | None,
) -> np.ndarray:
    """Return the features ``(n, F)`` float32 of boxes on an image; see `Boxes`."""
    if against is None:
        against = field_side(image.shape[1], image.shape[0], side)
    crops = [cut_crop(image, box) for box in boxes]
    sizes = [size_feature(max(box[2:]), against) for box in boxes]
    return np.asarray(features_of(model.describer, crops, sizes).float().cpu().numpy())
