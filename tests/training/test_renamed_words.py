"""What was learned as one word is predicted as the word that it was renamed to."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from annotation_store import Project, Schema
from training.cluster.model_files import read_files
from training.evaluation.prediction_sets import HeadSets, Sets
from training.models.folder import CARD, WEIGHTS
from training.models.model import LearnedModel, read_model, starter_place, write_model
from training.models.renaming import card_now
from training.worker.films import Films
from training.worker.models import initial_model, resolve

METRICS = {
    "held_out": {
        "ap50_of": {"Monocyte": 0.9},
        "classes": {"Monocyte": {"truths": 12}, "Neutrophil": {"truths": 3}},
        "attributes": {"cell_size": {"f1": 0.8, "values": {"small": {"n": 4}}}},
        "calibration": {"class": {"n": 3}, "attributes": {"cell_size": {"n": 5}}},
        "confusion": {
            "class": {"truth": ["Monocyte"], "said": ["Monocyte", None], "counts": [[1, 2]]},
            "attributes": {"cell_size": {"truth": ["small"], "said": ["small", None], "counts": [[1, 2]]}},
        },
    },
    "bulk": {"least": 0.9, "classes": {"Monocyte": [5, 6], "": [1, 2]}},
}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Make a project whose active model 1 is the starter with sets and metrics."""
    with Project.create(tmp_path / "project", schema="lld") as made:
        number = made.models.reserve_id()
        folder = made.models.folder(number)
        folder.mkdir(parents=True)
        model = read_model(starter_place())
        model.sets = Sets({"class": HeadSets(0.97, 100, 30), "cell_size": HeadSets(0.96, 100, 30)})
        model.card = {"metrics": METRICS}
        card = write_model(model, folder / WEIGHTS, folder / CARD)
        made.models.add(number, parent="starter", card=card, activate=True)
        yield made


def rename(project: Project, names: Mapping[str, str], *, add: str | None = None) -> None:
    """Rename classes, attributes and values; a class that two become is there once."""
    data = project.schema.model_dump(mode="json")
    data["groups"] = []
    if add:
        data["classes"].insert(2, {"id": 99, "name": add, "colour": "#123456", "letter": "Zz"})
    for item in data["classes"]:
        item["name"] = names.get(item["name"], item["name"])
    data["classes"] = list({item["name"]: item for item in data["classes"]}.values())
    for item in data["attributes"]:
        for value in item["values"]:
            value["name"] = names.get(f"{item['name']}:{value['name']}", value["name"])
        item["name"] = names.get(item["name"], item["name"])
    project.schema_versions.change(Schema.model_validate(data), names)


def probabilities(model: LearnedModel) -> dict[str, dict[str, float]]:
    """Return what a model predicts of some features, by the names of what it was trained on."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn((1, model.describer.features), generator=generator)
    with torch.inference_mode():
        logits = model.eval().describer.combined_logits(features)
    heads = zip(
        model.vocabulary.head_names, model.vocabulary.heads, logits, model.trained_values(), strict=True
    )
    return {
        head: {v: round(float(x), 4) for v, x, k in zip(values, of_head[0], known, strict=True) if k}
        for head, values, of_head, known in heads
        if known is not None
    }


def renamed(content: Any, names: Mapping[str, str]) -> Any:
    text = json.dumps(content)
    for old, new in names.items():
        text = text.replace(json.dumps(old.split(":")[-1]), json.dumps(new))
    return json.loads(text)


NAMES = {"Monocyte": "Monozyt", "cell_size:small": "klein"}


@pytest.mark.parametrize("choice", ["starter", "active"])
@pytest.mark.parametrize("add", [None, "New"])
def test_what_was_renamed_is_predicted_under_its_new_name(
    project: Project, choice: str, add: str | None
) -> None:
    before, _ = resolve(project, choice)
    rename(project, NAMES, add=add)
    after, _ = resolve(project, choice)
    assert "Monozyt" in after.vocabulary.classes
    assert probabilities(after) == renamed(probabilities(before), NAMES)
    assert after.taught == renamed(before.taught, NAMES)
    assert after.calibration == before.calibration
    was, now = before.vocabulary.classes, after.vocabulary.classes
    labels = [NAMES.get(was[k], was[k]) for k in before.memory.majority_labels(0) if k >= 0]
    assert [now[k] for k in after.memory.majority_labels(0) if k >= 0] == labels


@pytest.mark.parametrize("init", ["starter", "active", "file"])
def test_training_starts_from_what_was_learned_under_the_old_name(project: Project, init: str) -> None:
    before, _ = resolve(project, "active")
    rename(project, NAMES)
    start = str(starter_place()) if init == "file" else init
    child, _ = initial_model(project, start, size=448, seed=0)
    assert probabilities(child) == renamed(probabilities(before), NAMES)


def test_an_attribute_takes_its_temperature_and_its_sets_along(project: Project) -> None:
    before, _ = resolve(project, "active")
    rename(project, {"cell_size": "size"})
    after, _ = resolve(project, "active")
    assert after.calibration.temperatures["size"] == before.calibration.temperatures["cell_size"]
    assert after.sets.heads["size"] == before.sets.heads["cell_size"]
    assert probabilities(after) == renamed(probabilities(before), {"cell_size": "size"})


def test_the_old_name_can_come_back(project: Project) -> None:
    before, _ = resolve(project, "active", keep=True)
    expected = probabilities(before)
    rename(project, {"Monocyte": "Monozyt"})
    assert "Monozyt" in probabilities(resolve(project, "active", keep=True)[0])["class"]
    rename(project, {"Monozyt": "Monocyte"})
    assert probabilities(resolve(project, "active", keep=True)[0]) == expected


def test_what_a_card_lists_by_name_follows(project: Project) -> None:
    card = project.models.get(1).card
    assert card_now(project, card) is card
    rename(project, NAMES)
    now = card_now(project, card)
    assert now["metrics"] == renamed(METRICS, NAMES)
    assert now["taught"] == renamed(card["taught"], NAMES)
    assert card["metrics"] == METRICS


@pytest.mark.parametrize("broken", [None, 1, "x", {}, {"classes": 1}, {"classes": [1], "groups": 1}])
def test_a_card_that_cannot_be_read_stays_as_it_is(project: Project, broken: Any) -> None:
    rename(project, NAMES)
    card = {**project.models.get(1).card, "vocabulary": broken}
    assert card_now(project, card) is card


def test_a_class_that_several_became_is_said_not_to_be_predicted(project: Project) -> None:
    rename(project, {"Myeloblast": "Blast", "Lymphoblast": "Blast"})
    model, _ = resolve(project, "active")
    assert "Blast" not in probabilities(model)["class"]
    assert Films(project, model, []).joined_in_vain() == ["Blast"]


def test_a_worker_of_a_cluster_predicts_under_the_new_name(project: Project, tmp_path: Path) -> None:
    pytest.importorskip("distributed")
    from training.cluster import remote

    rename(project, NAMES, add="New")
    for choice in ("active", "starter"):
        model, _ = resolve(project, choice)
        sent = read_files(model, device="cpu", proof=None)
        there = remote.read_sent(sent.described, sent.weights)
        assert probabilities(there) == probabilities(model)
        assert "Monozyt" in probabilities(there)["class"]
