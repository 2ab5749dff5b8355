"""JSON of strangers: whatever is wrong with it is a `ValueError` that says so, and no number is infinite."""

from __future__ import annotations

import json
import math
from typing import Any


def loads(text: str, *, nan_as_null: bool = False) -> Any:
    """Parse JSON; NaN, infinities, and numbers that become infinite are refused.

    Parameters
    ----------
    nan_as_null
        Take NaN and infinities for null: some programs write them where they measured nothing.

    Raises
    ------
    json.JSONDecodeError
        It is not JSON.
    ValueError
        It nests too deeply, or holds a number that is none; the text goes on from "the file …".
    """
    try:
        return json.loads(
            text, parse_constant=_null if nan_as_null else _refuse_constant, parse_float=_finite
        )
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"holds {name}, which is no number")


def _null(_: str) -> None:
    return None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"holds {text[:20]}, which is too large a number")
    return value
