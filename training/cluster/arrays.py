"""Validation of arrays that workers return; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from training.cluster.errors import GarbageError

_MOST_NUMBERS = 65_536
"""Maximum length of a vector: far more than any network here has."""


def array_of(
    content: Mapping[str, Any], name: str, shape: tuple[int | None, ...], *, optional: bool = False
) -> Any:
    """Return an array of a result by its name, validated; see `checked`."""
    if content.get(name) is None and optional:
        return None
    return checked(content.get(name), name, shape)


def checked(array: Any, name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    """Return an array after checking its type, shape and values.

    Parameters
    ----------
    shape
        Expected shape; ``None`` = any length.

    Raises
    ------
    GarbageError
        It is not a floating-point array, has another shape, or has non-finite values.
    """
    if not isinstance(array, np.ndarray) or array.dtype.kind != "f":
        raise GarbageError(f"{name} are not numbers")
    fits = array.ndim == len(shape) and all(
        size == expected or (expected is None and size <= _MOST_NUMBERS)
        for size, expected in zip(array.shape, shape, strict=False)
    )
    if not fits:
        raise GarbageError(f"{name} of the shape {array.shape}")
    if not np.isfinite(array).all():
        raise GarbageError(f"{name} that are not finite")
    return array
