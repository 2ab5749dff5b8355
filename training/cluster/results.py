"""Validation of the results that workers return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.cluster.arrays import array_of
from training.cluster.errors import GarbageError
from training.inference.predict import MAX_PER_FIELD, RawProposals
from training.models.model import LearnedModel

_MOST_SIDE = 10**6


def read_proposals(content: Any, model: LearnedModel) -> tuple[tuple[int, int], RawProposals]:
    """Read the raw proposals of a field, and its width and height in pixels.

    Raises
    ------
    GarbageError
        An array has another shape, is not finite, or is out of bounds.
    """
    if not isinstance(content, Mapping):
        raise GarbageError("not a field's prediction")
    width, height = _size(content.get("size"))
    boxes = array_of(content, "boxes", (None, 4))
    n = len(boxes)
    scores = array_of(content, "scores", (n,))
    if n > MAX_PER_FIELD:
        raise GarbageError(f"{n} boxes on a field")
    _check_inside(boxes, width, height)
    if n and not ((scores >= 0).all() and (scores <= 1).all()):
        raise GarbageError("scores that are none")
    heads = model.vocabulary.heads
    if f"logits.{len(heads)}" in content:
        raise GarbageError("other classes and attributes")
    features = array_of(content, "features", (None, model.describer.features), optional=True)
    raw = RawProposals(
        boxes,
        scores,
        [array_of(content, f"logits.{head}", (n, len(values))) for head, values in enumerate(heads)],
        array_of(content, "vector", (None,), optional=True),
        features=features,
    )
    if features is not None and len(features) > n:
        raise GarbageError("features without boxes")
    raw.places = array_of(content, "places", (n, None), optional=True)
    raw.novelty = array_of(content, "novelty", (n,), optional=True)
    if raw.novelty is not None and n and not ((raw.novelty >= 0).all() and (raw.novelty <= 1).all()):
        raise GarbageError("p-values that are none")
    raw.nuclei = array_of(content, "nuclei", (None, 4), optional=True)
    if raw.nuclei is not None:
        _check_inside(raw.nuclei, width, height)
    return (width, height), raw


def _check_inside(boxes: np.ndarray, width: int, height: int) -> None:
    corners = np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1)
    if not ((corners >= -1).all() and (corners <= np.array([width, height] * 2) + 1).all()):
        raise GarbageError("boxes outside the field")
    if not (boxes[:, 2:] > 0).all():
        raise GarbageError("boxes without a side")


def read_features(content: Any, *, width: int) -> np.ndarray:
    """Read the features ``(n, width)`` of boxes."""
    if not isinstance(content, Mapping):
        raise GarbageError("not a field's features")
    features: np.ndarray = array_of(content, "features", (None, width))
    if len(features) != content.get("count"):
        raise GarbageError("features of other boxes")
    return features


def _size(content: Any) -> tuple[int, int]:
    if (
        not isinstance(content, Sequence)
        or len(content) != 2
        or not all(isinstance(side, int) and 0 < side <= _MOST_SIDE for side in content)
    ):
        raise GarbageError("no size")
    return content[0], content[1]
