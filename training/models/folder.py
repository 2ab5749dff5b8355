"""Find the two files of a model and check that they belong together; no torch."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from training.models import card as model_card
from training.models.card import ModelError

WEIGHTS = "model.safetensors"
CARD = "model.json"


def model_files(place: Path) -> tuple[Path, Path]:
    """Find weights and card: `place` is a model's folder, or either of the two files."""
    if place.is_dir():
        return place / WEIGHTS, place / CARD
    if place.suffix == ".json":
        return place.with_suffix(".safetensors"), place
    return place, place.with_suffix(".json")


def starter_place() -> Path:
    """Return the path of the bundled starter's weights."""
    return Path(__file__).parent / "starter" / "starter.safetensors"


def read_card(place: Path) -> dict[str, Any]:
    """Read and validate a model's card.

    Raises
    ------
    ModelError
        If it is missing, foreign, or has an invalid entry.
    """
    weights, card = model_files(place)
    for file in (weights, card):
        if not file.is_file():
            raise ModelError(f"There is no model at {place}: {file.name} is missing.")
    return model_card.read_card(card)


def damage(folder: Path) -> str | None:
    """Explain in a sentence why a model's files cannot be used; ``None`` if they are intact."""
    weights, card = folder / WEIGHTS, folder / CARD
    for file in (weights, card):
        if not file.is_file():
            return f"{file} is missing."
    try:
        expected = model_card.read_card(card)["sha256"]
    except ModelError as error:
        return str(error)
    with weights.open("rb") as file_object:
        if hashlib.file_digest(file_object, "sha256").hexdigest() != expected:
            return f"{weights} is not the file its card describes: it was changed or damaged."
    return None
