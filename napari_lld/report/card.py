"""The parts of models' cards that people read. Cards name held-out patients and paths: those never show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from annotation_store.records import Model
from annotation_store.schema import Schema
from napari_lld.report.numbers import CardPart
from napari_lld.report.words import Words, counted, listed
from training.evaluation.units import of_units

INTENDED_USE = "Suggesting white cells that a person reviews. Research use only, not for diagnosis."


@cache
def starter_card() -> Mapping[str, Any]:
    """Read the card of the bundled starter; empty if there is none that can be read."""
    try:
        content = json.loads(
            (files("training.models") / "starter" / "starter.json").read_text(encoding="utf-8")
        )
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def starter_limits() -> list[str]:
    """Return the limits of the starter as its card states them."""
    return [str(limit) for limit in CardPart(starter_card()).list("limits")]


def starter_rows() -> dict[str, str]:
    """Describe what the bundled starter learned from, and its limits."""
    card = CardPart(starter_card())
    sets = [CardPart(item) for item in card.list("data")]
    learned = card.part("trained_on")
    rows = {
        "Starter: data": "; ".join(
            f"{item.text('what') or item.text('name')} ({item.text('licence') or 'licence not stated'})"
            for item in sets
        ),
        "Starter: training data": ", ".join(
            f"{learned.count(name):,} {name.replace('_', ' ')}" for name in learned if learned.count(name)
        ),
        "Starter: limits": " ".join(starter_limits()),
    }
    return {name: text for name, text in rows.items() if text}


def starter_card_rows() -> dict[str, str]:
    """Return the card of the bundled starter, for a project without a model; empty if it cannot be read."""
    return {"Model": "Starter", "Intended use": INTENDED_USE, **rows} if (rows := starter_rows()) else {}


def never_seen_by_starter(schema: Schema, card: Mapping[str, Any]) -> set[str]:
    """Return the classes of a schema that the bundled starter was not trained on, but no artefacts.

    Empty if its card cannot be read.

    Parameters
    ----------
    card
        The starter's, with the present names of its classes (`card_now`).
    """
    taught = CardPart(card).part("taught", "class")
    known = {schema.find_class(name) for name in taught if taught.count(name)}
    if not known:
        return set()
    return {one.name for one in schema.classes if not one.artefact and one.name not in known}


def model_rows(model: Model) -> dict[str, str]:
    """Summarise a model's card; missing entries are left out."""
    part = CardPart(model.card)
    config, versions, learnt = part.part("config"), part.part("versions"), part.part("learnt_from")
    learned = (
        f"{counted(learnt.count('cells'), 'annotated cell')} on {counted(learnt.count('fields'), 'field')} "
        f"{of_units(learnt.count('patients'), learnt.count_or_none('of_fields'))}"
    )
    rows = {
        "Model": str(model.id),
        "Intended use": INTENDED_USE,
        "Started from": _parent(model.parent),
        "Learned from": learned if learnt else "",
        "Pseudo-labels outside the regions": _beyond(part.part("metrics", "pseudo_cells")),
        "Epochs": _epochs(config),
        "Field's longer side": f"{part.count('size')} pixels" if part.count("size") else "",
        "Seed": str(part.count("seed")) if part.number("seed") is not None else "",
        "Calibration": part.part("calibration").text("note"),
        "Software": ", ".join(f"{name} {versions.text(name)}" for name in versions if versions.text(name)),
        "Weights, SHA-256": part.text("sha256"),
    }
    return {name: text for name, text in rows.items() if text}


def card_rows(model: Model, words: Words) -> dict[str, str]:
    """Return the card of a project's model, and of the starter where it began there."""
    rows = model_rows(model)
    taught = CardPart(model.card).part("taught")
    if taught:
        taught_classes = [words.cell_class(n) for n in taught.part("class") if taught.part("class").count(n)]
        missing = [
            words.cell_class(cell_class.name)
            for cell_class in words.schema.classes
            if not cell_class.artefact and not taught.part("class").count(cell_class.name)
        ]
        rows["Training classes"] = listed(taught_classes, 30)
        rows["Classes without training data"] = listed(missing, 30)
    if model.card.get("origin", model.parent) == "starter":
        rows |= starter_rows()
    return rows


def _parent(parent: str) -> str:
    names = {"starter": "the bundled starter", "scratch": "COCO weights, without the starter"}
    if parent in names:
        return names[parent]
    return f"model {parent}" if parent.isdecimal() else "a model from outside the project"


def _beyond(part: CardPart) -> str:
    if not part:
        return ""
    verdict = "kept" if part.truth("kept") else "not used: the model without them was no worse"
    others = part.count("unannotated_fields")
    elsewhere = f", also on {counted(others, 'field')} without annotations" if others else ""
    return f"{counted(part.count('cells'), 'cell')} predicted with high confidence{elsewhere}: {verdict}"


def _epochs(config: CardPart) -> str:
    trained, planned = config.count("epochs_done"), config.count("epochs")
    if not trained or not planned:
        return str(trained or planned or "")
    return (
        str(trained)
        if trained == planned
        else f"{trained} of {planned} planned; the time limit ended the training"
    )
