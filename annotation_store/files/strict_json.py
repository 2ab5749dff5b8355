"""Strict JSON for foreign files: every fault raises a `ValueError`, and numbers are finite."""

from __future__ import annotations

import json
import math
from typing import Any

_MAX_DIGITS = 400


def loads(text: str, *, nan_as_null: bool = False) -> Any:
    """Parse JSON; NaN, infinities, and numbers that become infinite are refused.

    Parameters
    ----------
    nan_as_null
        Take NaN, infinities and endless numbers for null: some programs write them for nothing measured.

    Raises
    ------
    json.JSONDecodeError
        It is not JSON.
    ValueError
        It nests too deeply, or contains an invalid number; the text continues after "the file …".
    """
    try:
        if nan_as_null:
            return _lenient(text)
        return json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"holds {name}, which is not a number")


def _lenient(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_null, parse_float=_finite_or_null)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python reads no whole number of more than 4,300 digits
        return json.loads(text, parse_constant=_null, parse_float=_finite_or_null, parse_int=_whole_or_null)


def _null(_: str) -> None:
    return None


def _finite_or_null(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _whole_or_null(text: str) -> int | None:
    return int(text) if len(text) <= _MAX_DIGITS else None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"holds {text[:20]}, which is too large a number")
    return value
