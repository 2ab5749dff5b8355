"""Patient, slide and domain from the name of an image file."""

from __future__ import annotations

import re
from pathlib import Path

from annotation_store import validation
from annotation_store.errors import FormatError


def name_pattern(expression: str | None) -> re.Pattern[str] | None:
    """Compile the regular expression that finds the patient in a file's name; ``None`` finds nothing.

    Raises
    ------
    FormatError
        It is not a regular expression.
    """
    if not expression:
        return None
    try:
        return re.compile(expression)
    except re.error as error:
        raise FormatError(f"{expression!r} is not a regular expression ({error}): correct it.") from error


def read_name(path: Path, pattern: re.Pattern[str] | None) -> dict[str, str]:
    """Return ``patient``, ``slide`` and ``domain`` as read from a file's name; missing parts are absent.

    The pattern is searched in the name; with a ``/`` in it, in the whole path. Its groups of these names say
    it, or else its first group, or else all that matched, is the patient.
    """
    if pattern is None:
        return {}
    match = pattern.search(path.as_posix() if "/" in pattern.pattern else path.name)
    if match is None:
        return {}
    named = match.groupdict() or {"patient": match.group(1 if pattern.groups else 0)}
    return {
        name: validation.clean_name(value)
        for name in ("patient", "slide", "domain")
        if (value := named.get(name))
    }
