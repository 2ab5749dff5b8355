"""``napari-lld models``: what models are worth, which one suggests, one step back."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from annotation_store import Project

MEASURED = {"cells": 40, "ap50": 0.91, "precision": 0.9, "recall": 0.8, "class_f1": 0.5, "attribute_f1": None}


def add_model(project: Path, *, active: bool, parent: str = "starter", **card: Any) -> int:
    with Project.open(project) as opened:
        number = opened.models.reserve_id()
        folder = opened.models.folder(number)
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_bytes(b"weights")
        whole = {
            "format": "napari-lld model",
            "version": 1,
            "sha256": hashlib.sha256(b"weights").hexdigest(),
            "size": 448,
            "vocabulary": {"classes": ["Monocyte"], "groups": {}, "attributes": {}},
            "calibration": {"slope": 1, "intercept": 0},
            **card,
        }
        (folder / "model.json").write_text(json.dumps(whole))
        opened.models.add(number, parent=parent, card=whole, activate=active)
    return number


@pytest.fixture
def three(project: Path) -> Path:
    """Model 1 unmeasured, 2 active, 3 refused."""
    note = {"held_out": None, "note": "Not yet measured: too few cells."}
    add_model(project, active=True, metrics=note)
    add_model(project, active=True, parent="1", metrics={"held_out": MEASURED})
    add_model(project, active=False, metrics={"held_out": MEASURED}, why_not_active="It is worse.")
    return project


def active(project: Path) -> int | None:
    with Project.open(project) as opened:
        model = opened.models.active()
        return model.id if model is not None else None


def test_models_are_listed_with_what_they_are_worth(cli, three: Path) -> None:
    told = cli("models", three, "--json").json
    assert told["active"] == 2
    first, second, third = told["models"]
    assert (first["held_out"], first["note"]) == (None, "Not yet measured: too few cells.")
    assert second["held_out"]["ap50"] == 0.91
    assert second["parent"] == "1"
    assert third["why_not_active"] == "It is worse."
    text = cli("models", three).out
    assert "2 active" in text
    assert "0.910" in text
    assert "It is worse." in text
    assert "too few cells" in text


def test_a_project_without_models_says_that_the_starter_suggests(cli, project: Path) -> None:
    assert "starter" in cli("models", project).out
    assert cli("models", project, "--json").json["active"] == "starter"
    cli("models", project, "--roll-back").refuses("already uses the starter")


def test_another_model_is_made_active_and_taken_back_one_step_at_a_time(cli, three: Path) -> None:
    assert "Model 3 is active now" in cli("models", three, "--activate", "3").out
    assert active(three) == 3
    assert cli("models", three, "--activate", "2").code == 0
    assert cli("models", three, "--roll-back", "--json").json["active"] == 1
    assert cli("models", three, "--roll-back", "--json").json["active"] == "starter"
    assert active(three) is None
    cli("models", three, "--roll-back").refuses("already uses the starter")
    assert cli("models", three, "--activate", "2").code == 0
    assert "starter is active now" in cli("models", three, "--activate", "starter").out


def test_a_model_that_is_not_there_or_was_changed_is_not_activated(cli, three: Path) -> None:
    cli("models", three, "--activate", "7").refuses("no model 7")
    cli("models", three, "--activate", "newest").refuses("newest")
    cli("models", three, "--activate", "1", "--roll-back").refuses("one of them")
    (three / "models" / "1" / "model.safetensors").write_bytes(b"foreign")
    cli("models", three, "--activate", "1").refuses("changed or damaged", "was not changed")
    (three / "models" / "1" / "model.json").write_text("[]")
    cli("models", three, "--roll-back").refuses("not the model card")
    (three / "models" / "1" / "model.safetensors").unlink()
    cli("models", three, "--activate", "1").refuses("missing")
    assert active(three) == 2


def test_a_damaged_model_is_marked_and_its_way_out_named(cli, three: Path) -> None:
    (three / "models" / "2" / "model.safetensors").write_bytes(b"foreign")
    told = cli("models", three, "--json").json["models"]
    assert [model["damaged"] is None for model in told] == [True, False, True]
    text = cli("models", three).out
    assert "2 active damaged" in text
    assert "changed or damaged" in text
    assert "--roll-back" in text
