"""The two files of a model and whether they belong together; no torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

WEIGHTS = "model.safetensors"
CARD = "model.json"


def damage(folder: Path) -> str | None:
    """Say in a sentence why a model's files cannot be used; ``None`` where they are as they were written."""
    weights, card = folder / WEIGHTS, folder / CARD
    for file in (weights, card):
        if not file.is_file():
            return f"{file} is missing."
    try:
        expected = json.loads(card.read_text(encoding="utf-8"))["sha256"]
    except (ValueError, KeyError, TypeError):
        return f"{card} is not the card of a napari-lld model."
    with weights.open("rb") as file_object:
        if hashlib.file_digest(file_object, "sha256").hexdigest() != expected:
            return f"{weights} is not the file its card describes: it was changed or damaged."
    return None
