"""What workers give back, looked at before anything of it is believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.cluster.errors import KEPT, ClusterError
from training.inference.predict import MOST_PER_FIELD, RawProposals
from training.models.model import LearnedModel

_MOST_NUMBERS = 65_536
"""Of a vector: far more than any network here has."""
_MOST_SIDE = 10**6


class GarbageError(ClusterError):
    """What a worker gave back is not what it was asked for."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"A worker of the cluster gave back something that is no prediction ({what}). {KEPT} Check which "
            "program the scheduler's workers run, then start again."
        )
        self.what = what

    def __reduce__(self) -> tuple[type[GarbageError], tuple[str]]:
        return type(self), (self.what,)


def results_of(answer: Any, count: int) -> list[Any]:
    """Return what was given back for each item of a unit.

    Raises
    ------
    GarbageError
        It is not that.
    """
    results = answer.get("results") if isinstance(answer, Mapping) else None
    if not isinstance(results, list) or len(results) != count:
        raise GarbageError("another number of fields than asked for")
    return results


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
    boxes = _array(given, "boxes", (None, 4))
    n = len(boxes)
    scores = _array(given, "scores", (n,))
    if n > MOST_PER_FIELD:
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
    features = _array(given, "features", (None, model.describer.features), optional=True)
    raw = RawProposals(
        boxes,
        scores,
        [_checked(one, "logits", (n, len(values))) for one, values in zip(logits, heads, strict=True)],
        _array(given, "vector", (None,), optional=True),
        features=features,
    )
    if features is not None and len(features) > n:
        raise GarbageError("features without boxes")
    raw.places = _array(given, "places", (n, None), optional=True)
    raw.novelty = _array(given, "novelty", (n,), optional=True)
    if raw.novelty is not None and n and not ((raw.novelty >= 0).all() and (raw.novelty <= 1).all()):
        raise GarbageError("p-values that are none")
    return (width, height), raw


def _size(given: Any) -> tuple[int, int]:
    if (
        not isinstance(given, Sequence)
        or len(given) != 2
        or not all(isinstance(one, int) and 0 < one <= _MOST_SIDE for one in given)
    ):
        raise GarbageError("no size")
    return given[0], given[1]


def _array(
    given: Mapping[str, Any], name: str, shape: tuple[int | None, ...], *, optional: bool = False
) -> Any:
    if given.get(name) is None and optional:
        return None
    return _checked(given.get(name), name, shape)


def _checked(array: Any, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Check kind, shape and values of an array."""
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise GarbageError(f"{name} are not numbers")
    fits = array.ndim == len(shape) and all(
        size == wanted or (wanted is None and size <= _MOST_NUMBERS)
        for size, wanted in zip(array.shape, shape, strict=False)
    )
    if not fits:
        raise GarbageError(f"{name} of the shape {array.shape}")
    if not np.isfinite(array).all():
        raise GarbageError(f"{name} that are not finite")
    return array
