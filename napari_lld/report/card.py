"""The parts of models' cards that people read. Cards name held-out patients and paths: those never show."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from annotation_store.records import Model
from napari_lld.report.numbers import CardPart
from napari_lld.report.words import Words, counted, listed
from training.evaluation.units import of_units

INTENDED_USE = "Suggesting white cells that a person reviews. Research use only, not for diagnosis."


@cache
def starter_card() -> Mapping[str, Any]:
    """Read the card of the bundled starter; empty if there is none that can be read."""
    try:
        found = json.loads(
            (files("training.models") / "starter" / "starter.json").read_text(encoding="utf-8")
        )
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def starter_limits() -> list[str]:
    """Describe the starter's blind spots, in its card's words."""
    return [str(limit) for limit in CardPart(starter_card()).list("limits")]


def starter_rows() -> dict[str, str]:
    """Describe what the bundled starter learned from, and its limits."""
    card = CardPart(starter_card())
    sets = [CardPart(one) for one in card.list("data")]
    learned = card.part("trained_on")
    rows = {
        "Starter: data": "; ".join(
            f"{one.text('what') or one.text('name')} ({one.text('licence') or 'licence not stated'})"
            for one in sets
        ),
        "Starter: learned from": ", ".join(
            f"{learned.count(name):,} {name.replace('_', ' ')}" for name in learned if learned.count(name)
        ),
        "Starter: limits": " ".join(starter_limits()),
    }
    return {name: text for name, text in rows.items() if text}


def model_rows(model: Model) -> dict[str, str]:
    """Sum up a model's card; what a card does not say is left out."""
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
        "Learned beyond the regions": _beyond(part.part("metrics", "pseudo_cells")),
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
        known = [words.cell_class(n) for n in taught.part("class") if taught.part("class").count(n)]
        missing = [
            words.cell_class(one.name)
            for one in words.schema.classes
            if not one.artefact and not taught.part("class").count(one.name)
        ]
        rows["Classes it was taught"] = listed(known, 30)
        rows["Classes it was never taught"] = listed(missing, 30)
    if model.card.get("origin", model.parent) == "starter":
        rows |= starter_rows()
    return rows


def _parent(parent: str) -> str:
    known = {"starter": "the bundled starter", "scratch": "COCO weights, without the starter"}
    if parent in known:
        return known[parent]
    return f"model {parent}" if parent.isdecimal() else "a model from outside the project"


def _beyond(part: CardPart) -> str:
    if not part:
        return ""
    kept = "kept" if part.truth("kept") else "not kept: without them it was no worse"
    others = part.count("unannotated_fields")
    where = f", also on {counted(others, 'field')} without annotation" if others else ""
    return f"{counted(part.count('cells'), 'cell')} that it was sure of{where}: {kept}"


def _epochs(config: CardPart) -> str:
    done, planned = config.count("epochs_done"), config.count("epochs")
    if not done or not planned:
        return str(done or planned or "")
    return str(done) if done == planned else f"{done} of {planned} planned; the time allowed ended it"
