"""A model as ONNX: run by the example, it says what `training.inference.predict` says."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import torch

from annotation_store.errors import LLDError
from annotation_store.project import Project
from napari_lld import sample
from training.evaluation.open_set import given_taught
from training.inference.onnx_export import OnnxError, _compare, _Whole, describe_export, export_onnx
from training.inference.predict import calibrated, cell_sides, propose_raw
from training.models.model import LearnedModel, adapt, new_model, read_model, starter_place
from training.networks.vocabulary import Vocabulary
from training.protocol import ExportModelRequest
from training.worker.channel import Channel
from training.worker.run import run


@pytest.fixture(scope="module")
def example() -> ModuleType:
    file = Path(__file__).parents[2] / "examples" / "run_onnx.py"
    spec = importlib.util.spec_from_file_location("run_onnx", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model() -> LearnedModel:
    """The starter in other words: one attribute bears the name of an output, one was taught nothing."""
    starter = read_model(starter_place())
    known = starter.vocabulary
    first, second = list(known.attributes)[:2]
    words = Vocabulary(
        classes=(*known.classes, "Blast"),
        groups={},
        attributes={first: known.attributes[first], "boxes": known.attributes[second], "new": ("no", "yes")},
    )
    renamed = Vocabulary(
        known.classes, {}, {first: known.attributes[first], "boxes": words.attributes["boxes"]}
    )
    between = adapt(starter, Vocabulary(known.classes, {}, dict(list(known.attributes.items())[:2])))
    between.vocabulary = renamed
    between.taught["boxes"] = between.taught[second]
    child = adapt(between, words).eval()
    child.calibration = starter.calibration
    return child


@pytest.fixture(scope="module")
def exported(model: LearnedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    file = tmp_path_factory.mktemp("onnx") / "model.onnx"
    file.write_bytes(export_onnx(model))
    return file


@pytest.mark.parametrize("factor", [1.0, 2.0, 0.3], ids=["ordinary", "large cells", "small cells"])
def test_onnx_runtime_gives_the_boxes_and_probabilities_of_predict(
    factor: float, model: LearnedModel, exported: Path, example: ModuleType
) -> None:
    images = [example.read(file) for file in sample.fields()[:2]]
    images = [cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA) for image in images]
    pixels = [lambda image=image: image for image in images]
    sides = cell_sides(model, pixels, ["one"] * len(images))
    raws = propose_raw(model, pixels, cell_sides=sides)
    expected = [calibrated(model, raw, min_confidence=0.25) for raw in raws]
    given = example.Model(exported).predict(images)
    assert sum(map(len, expected)) > 10
    assert [len(cells) for cells in given] == [len(cells) for cells in expected]
    for cells, others in zip(given, expected, strict=True):
        for cell in cells:  # some are equally sure: their order may differ
            other = min(others, key=lambda one: float(np.abs(np.subtract(one.box, cell["box"])).max()))
            np.testing.assert_allclose(cell["box"], other.box, atol=0.5)
            assert cell["confidence"] == pytest.approx(other.confidence, abs=1e-3)
            among = given_taught(other.class_probabilities, other.novelty)
            assert cell["class"] == pytest.approx(among, abs=1e-3)
            assert cell["attributes"].keys() == other.attribute_probabilities.keys()
            for name, values in other.attribute_probabilities.items():
                assert cell["attributes"][name] == pytest.approx(values, abs=1e-3)


def test_the_file_says_what_its_outputs_mean(model: LearnedModel, exported: Path) -> None:
    graph = onnx.load(exported)
    (about,) = (json.loads(one.value) for one in graph.metadata_props if one.key == "napari_lld")
    assert about == json.loads(json.dumps(describe_export(model)))
    names = [output.name for output in graph.graph.output]
    assert names == ["boxes", "confidence", *(head["output"] for head in about["heads"])]
    heads = {head["name"]: head["values"] for head in about["heads"]}
    assert "Blast" not in heads["class"], "what nobody taught has no probability"
    assert "new" not in heads
    assert (about["field"]["size"], about["crop"]["side"]) == (model.size, 112)
    for one in graph.graph.output[2:]:
        assert one.type.tensor_type.shape.dim[1].dim_value == len(heads[one.name.removeprefix("attribute.")])


def test_a_model_without_words_and_with_another_detector_is_a_detector_alone() -> None:
    model = new_model(Vocabulary((), {}, {}), size=96, architecture="yolov8n").eval()
    graph = onnx.load_from_string(export_onnx(model))
    assert [one.name for one in graph.graph.input] == ["pixels"]
    assert [one.name for one in graph.graph.output] == ["boxes", "confidence"]


def test_a_graph_that_gives_other_results_is_not_written(model: LearnedModel, exported: Path) -> None:
    whole = _Whole(model).eval()
    whole.intercept += 1
    inputs = {"pixels": torch.rand(1, 3, 32, 32), "crops": torch.rand(1, 3, 112, 112), "sizes": torch.rand(1)}
    with pytest.raises(OnnxError, match="different results"):
        _compare(exported.read_bytes(), whole, inputs)


# --- the worker --------------------------------------------------------------------------------------------


class Quiet(Channel):
    def send(self, message: Any) -> None:
        pass


@pytest.fixture
def request_(tmp_path: Path) -> ExportModelRequest:
    Project.create(tmp_path / "project", "lld").close()
    return ExportModelRequest(project=str(tmp_path / "project"), out=str(tmp_path / "model.onnx"))


def test_the_worker_writes_the_file_and_says_what_is_in_it(
    request_: ExportModelRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.inference.onnx_export.export_onnx", lambda _: b"graph")
    done = run(request_, Quiet(), 0.0)
    assert Path(request_.out).read_bytes() == b"graph"
    assert (done.model_id, done.result["detector"]) == (None, "YOLO26n")
    assert "Neutrophil" in done.result["heads"]["class"]
    with pytest.raises(LLDError, match="already exists"):
        run(request_, Quiet(), 0.0)
    run(request_.model_copy(update={"overwrite": True}), Quiet(), 0.0)


@pytest.mark.parametrize(("origin", "leans"), [("yolo26s.pt", True), ("scratch", True), ("starter", False)])
def test_a_file_says_that_its_model_leaves_cells_to_the_stain(
    model: LearnedModel, monkeypatch: pytest.MonkeyPatch, origin: str, leans: bool
) -> None:
    monkeypatch.setattr(model, "card", {**model.card, "origin": origin})
    missing = describe_export(model)["missing"]
    assert (missing is not None and "boxes from the stain" in missing) == leans


def test_without_the_packages_it_says_what_to_install(
    request_: ExportModelRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "training.worker.export_model.find_spec", lambda name: None if name == "onnxruntime" else name
    )
    with pytest.raises(LLDError, match=r"needs onnxruntime: .*pip install onnxruntime"):
        run(request_, Quiet(), 0.0)
    assert not Path(request_.out).exists()
