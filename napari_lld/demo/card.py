"""What the report says of the last model and of the starter: the parts of their cards that people read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from annotation_store import Model


def summary(model: Model, *, cells: int, fields: int) -> dict[str, str]:
    """Sum up a model's card; what a card does not say is left out."""
    card = model.card
    config, versions = _part(card, "config"), _part(card, "versions")
    rows = {
        "Model": str(model.id),
        "Intended use": "Suggesting white cells that a person reviews. Research use only, not for diagnosis.",
        "Started from": model.parent,
        "Learned from": f"{cells} annotated cells on {fields} fields; nothing held out, the truth measures",
        "Epochs": _epochs(config),
        "Field's longer side": f"{card['size']} pixels" if "size" in card else "",
        "Seed": str(card.get("seed", "")),
        "Calibration": str(_part(card, "calibration").get("note", "")),
        "Software": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "Weights, SHA-256": str(card.get("sha256", "")),
    }
    return {name: text for name, text in (rows | starter()).items() if text}


def _epochs(config: Mapping[str, Any]) -> str:
    done, planned = config.get("epochs_done"), config.get("epochs")
    if done is None or planned is None:
        return str(done or planned or "")
    return str(done) if done == planned else f"{done} of {planned} planned; the time allowed ended it"


def starter() -> dict[str, str]:
    """Say what the bundled starter learned from, and its limits."""
    try:
        card = json.loads((files("training") / "starter" / "starter.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    sets = "; ".join(
        f"{one.get('what', one.get('name', ''))} ({one.get('licence', 'licence not stated')})"
        for one in card.get("data", ())
    )
    learned = _part(card, "trained_on")
    return {
        "Starter: data": sets,
        "Starter: learned from": ", ".join(
            f"{value:,} {name.replace('_', ' ')}" for name, value in learned.items() if isinstance(value, int)
        ),
        "Starter: limits": " ".join(str(limit) for limit in card.get("limits", ())),
    }


def _part(card: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = card.get(name)
    return part if isinstance(part, Mapping) else {}
