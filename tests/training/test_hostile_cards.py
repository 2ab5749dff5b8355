"""A card is a stranger's file: whatever it claims, the answer is a sentence, with nothing allocated."""

from __future__ import annotations

import hashlib
import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from training.models.folder import damage, read_card
from training.models.model import ModelError, new_model, read_model, starter_place, write_model
from training.networks.vocabulary import Vocabulary

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def _written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    words = Vocabulary(("A", "B"), {"both": ("A", "B")}, {"size": ("small", "large")})
    write_model(new_model(words, size=96), folder / "model.safetensors", folder / "model.json")
    return folder


@pytest.fixture
def model(_written: Path, tmp_path: Path) -> Path:
    shutil.copytree(_written, tmp_path / "model")
    return tmp_path / "model"


def setting(*names: str, to: Any) -> Change:
    def change(card: dict[str, Any]) -> None:
        for name in names[:-1]:
            card = card[name]
        card[names[-1]] = to

    return change


HOSTILE: dict[str, tuple[Change | str, str]] = {
    "nested": ("[" * 10_000 + "]" * 10_000, "nested too deeply"),
    "nested within": ('{"a":' * 10_000 + "1" + "}" * 10_000, "nested too deeply"),
    "infinite version": ('{"format": "napari-lld model", "version": 1e999}', "too large a number"),
    "NaN": ('{"format": "napari-lld model", "version": NaN}', "holds NaN"),
    "many digits": ('{"format": "napari-lld model", "version": ' + "9" * 5_000 + "}", "digits"),
    "version in words": ('{"format": "napari-lld model", "version": "x"}', "not the model card"),
    "size 40,000": (setting("size", to=40_000), "size"),
    "size 10^9": (setting("size", to=10**9), "size"),
    "size 0": (setting("size", to=0), "size"),
    "size in words": (setting("size", to="big"), "size"),
    "slope 0": (setting("calibration", "slope", to=0), "calibration.slope"),
    "slope below 0": (setting("calibration", "slope", to=-1), "calibration.slope"),
    "intercept": (setting("calibration", "intercept", to=1e300), "calibration.intercept"),
    "temperature 0": (setting("calibration", "temperatures", to={"class": 0}), "temperatures"),
    "sides": (setting("cell_sides", to=[0.5, 0.1]), "cell_sides"),
    "sides without end": (setting("cell_sides", to=[0.1, 1e300]), "cell_sides"),
    "a million classes": (setting("vocabulary", "classes", to=[str(i) for i in range(10**6)]), "classes"),
    "many heads": (
        setting("vocabulary", "attributes", to={f"a{i}": [str(v) for v in range(900)] for i in range(900)}),
        "more names than a schema may have",
    ),
    "no words": (setting("vocabulary", to=[]), "vocabulary"),
    "a word twice": (setting("vocabulary", "classes", to=["A", "A"]), "twice"),
    "a word that is a number": (setting("vocabulary", "classes", to=["A", 7]), "classes"),
    "a group of strangers": (setting("vocabulary", "groups", to={"g": ["Z"]}), "group"),
    "a group called as a class": (setting("vocabulary", "groups", to={"A": ["A"]}), "two things"),
    "an attribute called class": (setting("vocabulary", "attributes", to={"class": ["A"]}), "two things"),
    "taught": (setting("taught", to={"class": {"A": -1}}), "taught"),
    "hash": (setting("sha256", to=7), "sha256"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_card_is_a_sentence_and_nothing_is_allocated(model: Path, what: str) -> None:
    change, words = HOSTILE[what]
    file = model / "model.json"
    if isinstance(change, str):
        file.write_text(change)
    else:
        card = json.loads(file.read_text("utf-8"))
        change(card)
        file.write_text(json.dumps(card))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=words) as caught:
            read_model(model)
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()
    assert "model.json" in str(caught.value)
    assert len(str(caught.value)) < 600 + len(str(model))
    assert words in (damage(model) or "")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(model: Path, value: float) -> None:
    weights, file = model / "model.safetensors", model / "model.json"
    tensors = load(weights.read_bytes())
    name = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
    tensors[name].view(-1)[0] = torch.tensor(value)
    content = save(tensors, metadata={"format": "x"})
    weights.write_bytes(content)
    card = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps({**card, "sha256": hashlib.sha256(content).hexdigest()}))
    with pytest.raises(ModelError, match="not finite"):
        read_model(model)


def test_a_card_of_absurd_size_is_not_read(model: Path) -> None:
    with (model / "model.json").open("wb") as file:
        file.truncate(2_000_000_000)
    with pytest.raises(ModelError, match="too large"):
        read_model(model)


def test_cards_of_today_and_the_starters_pass(model: Path) -> None:
    assert read_model(model).size == 96
    assert read_card(starter_place())["size"]
    assert damage(model) is None
