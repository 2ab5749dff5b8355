"""What workers give back, looked at before anything of it is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.cluster.arrays import array_of, checked
from training.cluster.errors import GarbageError
from training.inference.predict import MAX_PER_FIELD, RawProposals
from training.models.model import LearnedModel

_MOST_SIDE = 10**6


def read_proposals(given: Any, model: LearnedModel) -> tuple[tuple[int, int], RawProposals]:
    """Read a prediction, and the size of what was predicted.

    Raises
    ------
    GarbageError
        Something in it is of another shape, not finite, or out of bounds.
    """
    if not isinstance(given, Mapping):
        raise GarbageError("not a field's prediction")
    width, height = _size(given.get("size"))
    boxes = array_of(given, "boxes", (None, 4))
    n = len(boxes)
    scores = array_of(given, "scores", (n,))
    if n > MAX_PER_FIELD:
        raise GarbageError(f"{n} boxes on a field")
    corners = np.concatenate((boxes[:, :2], boxes[:, :2] + boxes[:, 2:]), 1)
    if n and not ((corners >= -1).all() and (corners <= np.array([width, height] * 2) + 1).all()):
        raise GarbageError("boxes outside the field")
    if n and not ((boxes[:, 2:] > 0).all() and (scores >= 0).all() and (scores <= 1).all()):
        raise GarbageError("boxes without a side, or scores that are none")
    heads = model.vocabulary.heads
    logits = given.get("logits")
    if not isinstance(logits, Sequence) or len(logits) != len(heads):
        raise GarbageError("other classes and attributes")
    features = array_of(given, "features", (None, model.describer.features), optional=True)
    raw = RawProposals(
        boxes,
        scores,
        [checked(one, "logits", (n, len(values))) for one, values in zip(logits, heads, strict=True)],
        array_of(given, "vector", (None,), optional=True),
        features=features,
    )
    if features is not None and len(features) > n:
        raise GarbageError("features without boxes")
    raw.places = array_of(given, "places", (n, None), optional=True)
    raw.novelty = array_of(given, "novelty", (n,), optional=True)
    if raw.novelty is not None and n and not ((raw.novelty >= 0).all() and (raw.novelty <= 1).all()):
        raise GarbageError("p-values that are none")
    return (width, height), raw


def read_features(given: Any, *, width: int) -> np.ndarray:
    """Read the features ``(n, width)`` of boxes."""
    if not isinstance(given, Mapping):
        raise GarbageError("not a field's features")
    features: np.ndarray = array_of(given, "features", (None, width))
    if len(features) != given.get("count"):
        raise GarbageError("features of other boxes")
    return features


def _size(given: Any) -> tuple[int, int]:
    if (
        not isinstance(given, Sequence)
        or len(given) != 2
        or not all(isinstance(one, int) and 0 < one <= _MOST_SIDE for one in given)
    ):
        raise GarbageError("no size")
    return given[0], given[1]
