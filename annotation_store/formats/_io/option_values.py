"""Options of formats: text from the command line to values, faults as plain sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from annotation_store.errors import FormatError
from annotation_store.formats._io.text import number, shown, whole


def share(options: Mapping[str, str], name: str, default: float) -> float:
    """Read a share between 0 and 1."""
    if name not in options:
        return default
    value = number(options[name], f"the option {name}")
    if not 0 <= value <= 1:
        raise FormatError(f"The option {name} must lie between 0 and 1, not {value:g}.")
    return value


def integer(options: Mapping[str, str], name: str, default: int) -> int:
    """Read a whole number."""
    return whole(options[name], f"the option {name}") if name in options else default


def choice(options: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    """Read one of some words; the first is the default."""
    value = options.get(name, choices[0])
    if value not in choices:
        raise FormatError(f"The option {name} cannot be {shown(value)}: give {' or '.join(choices)}.")
    return value
