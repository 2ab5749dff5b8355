"""A model is two files; what is not ours, or was changed, is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from training.models.calibration import Calibration
from training.models.model import (
    LearnedModel,
    ModelError,
    adapt,
    new_model,
    read_model,
    starter_place,
    write_model,
)
from training.networks.describer import CROP, POOLED, Describer
from training.networks.vocabulary import Vocabulary


@pytest.fixture
def saved(tmp_path: Path, words: Vocabulary) -> Path:
    model = new_model(words, seed=3, size=96)
    model.calibration = Calibration(0.8, -0.1, {"size": 1.5}, "fitted")
    model.card = {"parent": "scratch", "metrics": {"ap50": 0.5}}
    write_model(model, tmp_path / "model.safetensors", tmp_path / "model.json")
    return tmp_path


def test_a_model_comes_back_as_it_was(saved: Path, words: Vocabulary) -> None:
    model = read_model(saved)
    assert model.size == 96
    assert model.vocabulary.same_words(words)
    assert model.vocabulary.groups == words.groups
    assert model.calibration == Calibration(0.8, -0.1, {"size": 1.5}, "fitted")
    assert model.card["metrics"] == {"ap50": 0.5}
    original = dict(new_model(words, seed=3).tensors())
    for name, tensor in model.tensors():
        assert torch.allclose(tensor.float(), original[name].float(), atol=1e-3, rtol=1e-3), name


@pytest.mark.parametrize("file", ["model.safetensors", "model.json"])
def test_a_model_is_read_from_either_of_its_files_too(saved: Path, file: str) -> None:
    assert read_model(saved / file).size == 96


def test_a_json_file_beside_no_weights_is_said_to_be_no_model(tmp_path: Path) -> None:
    (tmp_path / "cells.json").write_text("{}")
    with pytest.raises(ModelError, match=r"no model at .*cells.json: cells.safetensors is missing"):
        read_model(tmp_path / "cells.json")


def test_changed_weights_are_refused(saved: Path) -> None:
    file = saved / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ModelError, match="changed or damaged"):
        read_model(saved)


def test_a_foreign_card_is_refused(saved: Path) -> None:
    card = saved / "model.json"
    for content in ("{}", "[]", "not json", json.dumps({"format": "other", "version": 1})):
        card.write_text(content)
        with pytest.raises(ModelError, match="not the model card"):
            read_model(saved)


def test_a_later_version_is_refused(saved: Path) -> None:
    card = saved / "model.json"
    content = json.loads(card.read_text())
    card.write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(ModelError, match="newer"):
        read_model(saved)


def test_weights_that_do_not_fit_the_card_are_refused(saved: Path) -> None:
    card = saved / "model.json"
    content = json.loads(card.read_text())
    content["vocabulary"]["classes"].append("Monocyte")
    card.write_text(json.dumps(content))
    with pytest.raises(ModelError, match="do not fit"):
        read_model(saved)


def without_colours(words: Vocabulary) -> LearnedModel:
    """Make a model as they were before features contained colours."""
    model = new_model(words, seed=3, size=96)
    describer = Describer(words, model.detector, with_colours=False)
    return LearnedModel(model.detector, describer, words, 96)


def test_a_model_of_before_its_cells_had_colours_opens_and_has_heirs_like_itself(
    tmp_path: Path, words: Vocabulary
) -> None:
    earlier = without_colours(words)
    card = write_model(earlier, tmp_path / "model.safetensors", tmp_path / "model.json")
    assert (card["version"], card["describer"]) == (1, "trunk")
    crops, sizes = torch.rand(2, 3, CROP, CROP), torch.zeros(2)
    for model in (read_model(tmp_path), adapt(read_model(tmp_path), words)):
        assert model.describer.features == POOLED + 1
        assert [len(logits) for logits in model.describer(crops, sizes)] == [2] * len(words.heads)
    assert new_model(words, seed=3).trunk_digest() != earlier.trunk_digest()


def test_a_missing_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model at"):
        read_model(tmp_path)


def test_the_starter_is_bundled_small_and_sound() -> None:
    place = starter_place()
    assert place.stat().st_size < 10e6
    model = read_model(place)
    assert {"limits", "data", "metrics", "weights_licence"} <= set(model.card)
    assert "Neutrophil" in model.vocabulary.classes
    assert len(model.vocabulary.attributes) == 7
