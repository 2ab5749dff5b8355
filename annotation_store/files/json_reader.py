"""Read untrusted JSON: every fault becomes one plain sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from annotation_store.errors import FormatError
from annotation_store.files import strict_json

_MAX_BYTES = 400_000_000
"""Python needs ten times as much memory for what it holds."""


def read_json(path: Path, *, nan_as_null: bool = False) -> Any:
    """Read a JSON file; NaN, infinities, and numbers that become infinite are refused.

    Parameters
    ----------
    nan_as_null
        Take NaN and infinities for null: some programs write them where they measured nothing.

    Raises
    ------
    FormatError
        The file is missing, empty, no JSON, nested too deeply, or too large.
    """
    try:
        if not path.is_file():
            raise FormatError(f"There is no file {path}: check the path.")
        size = path.stat().st_size
        if size == 0:
            raise FormatError(f"The file {path} is empty: export it again.")
        if size > _MAX_BYTES:
            raise FormatError(
                f"The file {path} is larger than {_MAX_BYTES // 1_000_000} MB: split it into smaller files."
            )
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"The file {path} is not UTF-8 text: save it as UTF-8 JSON.") from error
    except OSError as error:
        raise FormatError(
            f"The file {path} cannot be read ({error.strerror}): check its permissions."
        ) from error
    try:
        return strict_json.loads(text, nan_as_null=nan_as_null)
    except json.JSONDecodeError as error:
        raise FormatError(
            f"The file {path} is not valid JSON (line {error.lineno}: {error.msg}): export it again."
        ) from error
    except ValueError as error:
        raise FormatError(f"The file {path} {error}: export it again.") from error
