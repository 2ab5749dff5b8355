"""Ultralytics' own files: read without running them; whatever is no detector is refused in a sentence."""

from __future__ import annotations

import copy
import functools
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from training.engine.losses import MaskedDetectionLoss
from training.models.model import ModelError, adapt, new_model, read_model, write_model
from training.models.pretrained import load_weights, with_coco_weights
from training.models.ultralytics_checkpoints import read_checkpoint
from training.networks.architectures import ARCHITECTURES
from training.networks.describer import TRUNK_LAYERS
from training.networks.detector import build_detector, detect_and_pool, raw_predictions
from training.networks.ultralytics_api import DetectionModel, layout_of
from training.networks.vocabulary import Vocabulary


def save(model: nn.Module, file: Path, *, part: str = "model") -> Path:
    """Save as Ultralytics does, with half floats and what stands beside the model."""
    both = {"model": None, "ema": None, part: model}
    torch.save({"epoch": -1, **both, "train_args": {"imgsz": 64}, "best_fitness": np.float64(0.1)}, file)
    return file


def built(name: str, *, classes: int, end2end: bool = False) -> nn.Module:
    return copy.deepcopy(_built(name, classes, end2end))


@functools.cache
def _built(name: str, classes: int, end2end: bool) -> nn.Module:
    layout = {**layout_of(ARCHITECTURES[name]), "nc": classes, "end2end": end2end}
    return DetectionModel(layout, ch=3, nc=classes, verbose=False).half()


@pytest.fixture(scope="module")
def fine_tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YOLO11n that was taught one class."""
    torch.manual_seed(1)
    return save(built("yolo11n", classes=1), tmp_path_factory.mktemp("pt") / "best.pt", part="ema")


@pytest.mark.parametrize(
    ("name", "classes", "part"), [("yolo26n", 80, "model"), ("yolo26s", 3, "ema"), ("yolov8n", 2, "ema")]
)
def test_a_file_holds_the_weights_that_torch_would_load(
    tmp_path: Path, name: str, classes: int, part: str
) -> None:
    model = built(name, classes=classes, end2end=name.startswith("yolo26"))
    read = read_checkpoint(save(model, tmp_path / "best.pt", part=part))
    assert (read.architecture.name, read.classes) == (name, classes)
    for key, tensor in model.state_dict().items():
        np.testing.assert_array_equal(read.weights[key], tensor.numpy())


def test_a_tensor_is_read_in_whatever_order_its_axes_lie(tmp_path: Path) -> None:
    model = built("yolo26n", classes=1).to(memory_format=torch.channels_last)
    read = read_checkpoint(save(model, tmp_path / "best.pt"))
    name = "model.1.conv.weight"
    assert not model.state_dict()[name].is_contiguous()
    np.testing.assert_array_equal(read.weights[name], model.state_dict()[name].numpy())


def test_a_detector_of_one_class_is_taken_whole(fine_tuned: Path) -> None:
    detector = build_detector("yolo11n")
    checkpoint = read_checkpoint(fine_tuned)
    load_weights(detector, checkpoint)
    for name, tensor in detector.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), checkpoint.weights[name].astype(np.float32))


def test_of_a_detector_of_many_classes_all_but_the_scores_is_taken(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(save(built("yolov8n", classes=80), tmp_path / "x.pt"))
    detector = build_detector("yolov8n")
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    load_weights(detector, checkpoint)
    for name, tensor in detector.state_dict().items():
        scores = name.startswith("model.22.cv3.") and checkpoint.weights[name].shape != tuple(tensor.shape)
        expected = before[name].numpy() if scores else checkpoint.weights[name].astype(np.float32)
        np.testing.assert_array_equal(tensor.numpy(), expected)


def test_a_starter_is_made_from_a_yolo26n_and_nothing_else(
    tmp_path: Path, fine_tuned: Path, words: Vocabulary
) -> None:
    model = with_coco_weights(new_model(words), save(built("yolo26n", classes=80), tmp_path / "x.pt"))
    trunk = [p for layer in model.describer.trunk for p in layer.state_dict().values()]
    layers: Any = model.detector.model
    copied = [p for layer in layers[:TRUNK_LAYERS] for p in layer.state_dict().values()]
    assert all(torch.equal(a, b) for a, b in zip(trunk, copied, strict=True))
    with pytest.raises(ModelError, match="a YOLO11n, not a YOLO26n"):
        with_coco_weights(new_model(words), fine_tuned)


# --- what is refused ---------------------------------------------------------------------------------------


class Harm:
    """Writes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.file),)


def nameless(kind: str) -> nn.Module:
    """A model of another task: only its name is looked at."""
    from ultralytics.nn import tasks

    of = getattr(tasks, kind)
    model = of.__new__(of)
    nn.Module.__init__(model)
    return model


def repacked(source: Path, file: Path, compression: int, **changes: bytes) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(file, "w", compression) as new:
        for part in old.namelist():
            new.writestr(part, changes.get(part.partition("/")[2].replace(".", "_"), old.read(part)))


def with_weights(change: Callable[[nn.Module], None]) -> Callable[[Path, Path], None]:
    def make(_: Path, file: Path) -> None:
        model = built("yolo26n", classes=1)
        change(model)
        save(model, file)

    return make


def _spoil(model: nn.Module) -> None:
    with torch.no_grad():
        model.get_parameter("model.4.cv1.conv.weight")[0, 0] = float("nan")


def _swell(model: nn.Module) -> None:
    """Claim 16 GB for a weight that is two bytes of the file."""
    model.get_submodule("model.4").register_buffer("extra", torch.zeros(1).half().expand(2**33))


def _fuse(model: nn.Module) -> None:
    model.get_submodule("model.0")._modules.pop("bn")


def _circle(model: nn.Module) -> None:
    model.get_submodule("model.4")._modules["again"] = model


def _many_parts(_: Path, file: Path) -> None:
    with zipfile.ZipFile(file, "w") as made:
        for i in range(1_100):
            made.writestr(f"best/data/{i:02000d}", b"")


def _sparse(_: Path, file: Path) -> None:
    file.touch()
    os.truncate(file, 10 * 2**30)


REFUSED: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "a pickle that names a function": (
        lambda _, f: torch.save({"model": Harm(f.parent / "done")}, f),
        "names",
    ),
    "a function beside a sound model": (
        lambda _, f: torch.save({"model": built("yolo26n", classes=1), "x": Harm(f.parent / "done")}, f),
        "names",
    ),
    "a bare pickle": (lambda _, f: f.write_bytes(pickle.dumps(Harm(f.parent / "done"))), "damaged"),
    "segmentation": (lambda _, f: save(nameless("SegmentationModel"), f), "for segmentation, not a detector"),
    "classification": (lambda _, f: save(nameless("ClassificationModel"), f), "for classification"),
    "poses": (lambda _, f: save(nameless("PoseModel"), f), "for poses"),
    "oriented boxes": (lambda _, f: save(nameless("OBBModel"), f), "oriented boxes"),
    "an unknown detector": (lambda _, f: save(nameless("DetectionModel"), f), "another architecture"),
    "bare weights": (
        lambda _, f: torch.save({"w": torch.zeros(3)}, f),
        "does not contain an Ultralytics model",
    ),
    "one tensor": (lambda _, f: torch.save(torch.zeros(3), f), "does not contain an Ultralytics model"),
    "truncated": (lambda s, f: f.write_bytes(s.read_bytes()[:-1000]), "damaged"),
    "cut in half": (lambda s, f: f.write_bytes(s.read_bytes()[: s.stat().st_size // 2]), "damaged"),
    "10 GB": (_sparse, "too large"),
    "empty": (lambda _, f: f.touch(), "damaged"),
    "a folder": (lambda _, f: f.mkdir(), "not a file"),
    "text": (lambda _, f: f.write_text("weights " * 100), "damaged"),
    "safetensors": (lambda _, f: f.write_bytes(b"\x10\0\0\0\0\0\0\0{}" + b" " * 200), "damaged"),
    "a zip of something else": (lambda s, f: repacked_of_text(f), "damaged"),
    "compressed": (lambda s, f: repacked(s, f, zipfile.ZIP_DEFLATED), "damaged"),
    "a bomb": (lambda s, f: repacked(s, f, zipfile.ZIP_DEFLATED, data_pkl=bytes(50_000_000)), "damaged"),
    "too long a description": (
        lambda s, f: repacked(s, f, zipfile.ZIP_STORED, data_pkl=bytes(5_000_000)),
        "far more than a detector",
    ),
    "too many parts": (_many_parts, "far more parts"),
    "weights that are not numbers": (with_weights(_spoil), "not finite numbers"),
    "a model within itself": (with_weights(_circle), "far more than a detector"),
    "weights that claim 16 GB": (with_weights(_swell), "far more than a detector"),
}


def repacked_of_text(file: Path) -> None:
    with zipfile.ZipFile(file, "w") as made:
        made.writestr("readme.txt", "nothing")


@pytest.mark.parametrize("case", REFUSED)
def test_whatever_is_no_detector_is_refused_with_the_cure_and_never_run(
    case: str, fine_tuned: Path, tmp_path: Path
) -> None:
    make, says = REFUSED[case]
    file = tmp_path / "odd.pt"
    make(fine_tuned, file)
    with pytest.raises(ModelError, match=says) as caught:
        read_checkpoint(file)
    assert str(file) in str(caught.value)
    assert "YOLO11 n or s" in str(caught.value)
    assert not (tmp_path / "done").exists()


def test_a_changed_architecture_is_refused(tmp_path: Path) -> None:
    make = with_weights(_fuse)
    make(tmp_path, tmp_path / "fused.pt")
    with pytest.raises(ModelError, match="does not hold a YOLO26n as Ultralytics builds it"):
        load_weights(build_detector(), read_checkpoint(tmp_path / "fused.pt"))


def test_any_bytes_changed_are_read_or_refused_in_a_sentence(fine_tuned: Path, tmp_path: Path) -> None:
    content = fine_tuned.read_bytes()
    rng = np.random.default_rng(0)
    file = tmp_path / "changed.pt"
    described = content.index(b"data.pkl") + 8
    for _ in range(30):
        changed = bytearray(content)
        for place in rng.integers(described, described + 60_000, 3):
            changed[place] = int(rng.integers(256))
        file.write_bytes(changed)
        with pytest.raises(ModelError):  # the archive's checksum, at the latest
            read_checkpoint(file)


# --- models with such detectors ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["yolo11n", "yolov8n"])
def test_detectors_with_distributions_of_sides_learn_and_find(name: Any) -> None:
    torch.manual_seed(0)
    detector = build_detector(name).train()
    loss, parts = MaskedDetectionLoss(detector)(
        raw_predictions(detector, torch.rand(1, 3, 64, 64)),
        torch.tensor([[0.5, 0.5, 0.4, 0.4]]),
        torch.zeros(1, dtype=torch.long),
        torch.ones(1, 64, 64, dtype=torch.bool),
    )
    loss.backward()
    assert all(value > 0 for value in parts.values())
    assert all(
        p.grad is not None and bool(p.grad.isfinite().all()) for p in detector.parameters() if p.requires_grad
    )
    boxes, vectors = detect_and_pool(detector.eval(), torch.rand(1, 3, 64, 64), min_score=0.0, most=5)
    assert boxes[0].shape == (5, 5)
    assert vectors.shape == (1, 256)


def test_a_model_keeps_its_detector_through_file_copy_and_other_words(
    tmp_path: Path, words: Vocabulary
) -> None:
    model = new_model(words, size=96, architecture="yolov8n").eval()
    card = write_model(model, tmp_path / "model.safetensors", tmp_path / "model.json")
    assert card["detector"] == "yolov8n"
    read = read_model(tmp_path)
    child = adapt(read.clone(), Vocabulary(("Blast",), {}, {}))
    assert child.architecture == read.architecture == "yolov8n"
    pixels = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = model.detector.half().float()(pixels)[0]
        for one in (read, child):
            assert torch.equal(one.eval().detector(pixels)[0], expected)
    crops = torch.rand(2, 3, 112, 112)
    assert child.describer(crops, torch.zeros(2))[0].shape == (2, 1)


def test_a_card_that_names_another_detector_is_refused(tmp_path: Path, words: Vocabulary) -> None:
    model = new_model(words, size=96)
    write_model(model, tmp_path / "model.safetensors", tmp_path / "model.json")
    card = tmp_path / "model.json"
    for name, says in (("yolo11n", "do not fit"), ("yolo99x", "has an invalid entry")):
        shutil.copy(card, tmp_path / "kept")
        card.write_text(card.read_text().replace('"detector": "yolo26n"', f'"detector": "{name}"'))
        with pytest.raises(ModelError, match=says):
            read_model(tmp_path)
        shutil.copy(tmp_path / "kept", card)
