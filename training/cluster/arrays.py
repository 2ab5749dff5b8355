"""Arrays that workers return: how they are sent, and their validation; no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from training.cluster.errors import GarbageError

_MOST_NUMBERS = 65_536
"""Maximum length of a vector: far more than any network here has."""


def pack(results: Sequence[Any]) -> dict[str, Any]:
    """Return the results of a unit with all arrays in one piece.

    Dask sends each array by itself, from the worker to the scheduler and from there to the client, and a unit
    of eight fields has 130.

    Returns
    -------
    dict
        ``results``, dictionaries without their arrays, and ``arrays``, in the format of safetensors.
    """
    arrays, contents = {}, list(results)
    for number, content in enumerate(results):
        if isinstance(content, Mapping):
            own = {name for name, value in content.items() if isinstance(value, np.ndarray)}
            contents[number] = {name: value for name, value in content.items() if name not in own}
            arrays.update({f"{number}.{name}": np.ascontiguousarray(content[name]) for name in own})
    return {"results": contents, "arrays": save(arrays)}


def unpack(answer: Any, count: int) -> list[Any]:
    """Return the result of each item of a unit, with its arrays.

    Raises
    ------
    GarbageError
        The answer is invalid.
    """
    answer = answer if isinstance(answer, Mapping) else {}
    results, packed = answer.get("results"), answer.get("arrays")
    if not isinstance(results, list) or len(results) != count:
        raise GarbageError("another number of fields than asked for")
    contents = [dict(content) if isinstance(content, Mapping) else content for content in results]
    try:
        arrays = load(packed)
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise GarbageError("no arrays") from error
    for name, array in arrays.items():
        number, _, key = name.partition(".")
        content = contents[int(number)] if number.isdecimal() and int(number) < count else None
        if not isinstance(content, dict):
            raise GarbageError(f"an array {name}")
        content[key] = array
    return contents


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
