"""Check the files of a model: read to the end, compared with their hash, every number finite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from annotation_store.errors import ProjectError
from annotation_store.files.disk import hash_of
from annotation_store.files.layout import is_link, refuse_links_below

WEIGHTS = "model.safetensors"
CARD = "model.json"
_FLOATS = ("F16", "F32", "F64")


def damage_of(folder: Path, card: Mapping[str, Any], *, quick: bool = False) -> str | None:
    """Describe what is wrong with a model's files; ``None`` if they are sound.

    Parameters
    ----------
    card
        The model's row in the database; with the hash of its weights, if it was made by the worker.
    quick
        Look only whether the files are there.
    """
    if is_link(folder) or not folder.is_dir() or not any(folder.iterdir()):
        return f"its files are missing ({folder})"
    expected = card.get("sha256")
    names = [WEIGHTS, CARD] if isinstance(expected, str) else []
    for name in names:
        if not (folder / name).is_file():
            return f"a file is missing ({folder / name})"
    try:
        refuse_links_below(folder)
    except ProjectError as error:
        return str(error).rstrip(".")
    if quick:
        return None
    for path in sorted(folder.rglob("*.safetensors")):
        if path.name == WEIGHTS and isinstance(expected, str) and hash_of(path) != expected:
            return f"its weights have been altered or damaged ({path})"
        if not _sound(path):
            return f"its weights cannot be read ({path})"
    return _card_damage(folder, expected)


def _card_damage(folder: Path, expected: object) -> str | None:
    """Compare the card beside the weights with them: that is what a prediction will do."""
    file = folder / CARD
    if not file.is_file():
        return None
    try:
        card = json.loads(file.read_text(encoding="utf-8"))["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return f"its card cannot be read ({file})"
    if card != (expected if isinstance(expected, str) else hash_of(folder / WEIGHTS)):
        return f"its card and its weights do not belong together ({file})"
    return None


def _sound(path: Path) -> bool:
    """Return whether every tensor of a file can be read, and holds numbers."""
    import numpy as np  # only needed for a check
    import safetensors

    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 - it is not a mapping
                is_float = file.get_slice(name).get_dtype() in _FLOATS
                if is_float and not np.isfinite(file.get_tensor(name)).all():
                    return False
    except (safetensors.SafetensorError, OSError, ValueError, TypeError):
        return False
    return True
