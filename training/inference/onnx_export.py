"""A model as one ONNX file: detector, describer, calibration, and in its metadata how pixels are prepared.

The graph gives what `training.inference.predict` gives: probabilities, not raw scores, and only of what the
model was taught. ``docs/onnx.md`` says how to run it, ``examples/run_onnx.py`` does so.
"""

from __future__ import annotations

import copy
import io
import json
import warnings
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from annotation_store.errors import LLDError
from training.inference.predict import MAX_PER_FIELD
from training.models.calibration import MIN_PROBABILITY
from training.models.ultralytics_checkpoints import is_checkpoint
from training.networks.architectures import ARCHITECTURES
from training.networks.describer import CONTEXT, CROP
from training.networks.detector import CANDIDATES, IOU, PAD_GREY, STRIDE
from training.networks.scale import (
    INSIDE,
    MAX_MAGNIFICATION,
    MAX_PIXELS,
    MIN_ATTRIBUTE_SIDE,
    ORDINARY_SIDE,
    SAME_SCALE,
)

if TYPE_CHECKING:
    from training.models.model import LearnedModel

FORMAT = "napari-lld onnx"
FORMAT_VERSION = 1
METADATA = "napari_lld"
"""Key of the metadata, a JSON object."""

STAIN = (
    "The detector began without having been taught a white cell. Where it finds nothing, napari-lld shows "
    "boxes from the stain, which this file does not give."
)
"""What a file says of itself whose model leaves much to the stain."""

_OPSET = 17
_MOST_OFF = 1e-3


class OnnxError(LLDError):
    """A model cannot be written as ONNX."""

    cure = "Please report it, with the details that --debug prints."


class NoTrunkError(OnnxError):
    """A model has no network for cells that could be written."""

    cure = "Train one from the bundled starter (napari-lld train PROJECT --init starter) and export that."


class _Whole(nn.Module):
    """Detector and describer side by side, with what turns their outputs into probabilities."""

    def __init__(self, model: LearnedModel) -> None:
        super().__init__()
        self.detector = copy.deepcopy(model.detector).float().cpu()
        head: Any = self.detector.model[-1]  # type: ignore[index]
        head.xyxy, head.dynamic = True, True
        self.describer = copy.deepcopy(model.describer).float().cpu()
        self.slope, self.intercept = model.calibration.slope, model.calibration.intercept
        self.limit = float(torch.logit(torch.tensor(1 - MIN_PROBABILITY, dtype=torch.float64)))
        names = model.vocabulary.head_names
        self.temperatures = [model.calibration.temperatures.get(name, 1.0) for name in names]
        self.known = [
            None if k is None else torch.from_numpy(k).nonzero()[:, 0] for k in model.trained_values()
        ]

    def forward(
        self, pixels: torch.Tensor, crops: torch.Tensor | None = None, sizes: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, ...]:
        decoded, raw = self.detector(pixels)
        logits = raw["scores"][:, 0].clamp(-self.limit, self.limit)
        detections = (decoded[:, :4].transpose(1, 2), torch.sigmoid(self.slope * logits + self.intercept))
        if crops is None:
            return detections
        heads = zip(self.describer(crops, sizes), self.temperatures, self.known, strict=True)
        return *detections, *(torch.softmax(x[:, known] / t, 1) for x, t, known in heads if known is not None)


def describe_export(model: LearnedModel) -> dict[str, Any]:
    """Return what an exported file says of itself: how to prepare pixels, and what its outputs mean."""
    heads: list[dict[str, Any]] = []
    vocabulary = model.vocabulary
    for name, values, known in zip(
        vocabulary.head_names, vocabulary.heads, model.trained_values(), strict=True
    ):
        if known is not None:
            is_class = bool(vocabulary.classes) and not heads and name == vocabulary.head_names[0]
            taught = [value for value, k in zip(values, known, strict=True) if k]
            output = "class" if is_class else f"attribute.{name}"
            heads.append({"output": output, "name": name, "values": taught})
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "use": "Research use only, not for diagnosis.",
        "model": model.card.get("sha256"),
        "detector": ARCHITECTURES[model.architecture].title,
        "calibration": model.calibration.note,
        "field": {
            "colours": "RGB",
            "divide_by": 255,
            "size": model.size,
            "stride": STRIDE,
            "pad": PAD_GREY,
            "cell_sides": list(model.sides),
            "inside": INSIDE,
            "most_magnified": MAX_MAGNIFICATION,
            "most_pixels": MAX_PIXELS,
        },
        "suppression": {"iou": IOU, "candidates": CANDIDATES, "most": MAX_PER_FIELD},
        "crop": {
            "side": CROP,
            "context": CONTEXT,
            "ordinary_side": ORDINARY_SIDE,
            "same_scale": SAME_SCALE,
            "least_attribute_side": MIN_ATTRIBUTE_SIDE,
        },
        "heads": heads,
        "missing": STAIN if _leans_on_stain(model) else None,
    }


def _leans_on_stain(model: LearnedModel) -> bool:
    """Return whether the detector of a model began with random weights, or with those of Ultralytics."""
    origin = str(model.card.get("origin"))
    return origin == "scratch" or is_checkpoint(origin)


def export_onnx(model: LearnedModel) -> bytes:
    """Write a model as ONNX.

    Returns
    -------
    bytes
        The file's content, which ONNX Runtime was seen to run with the model's results.

    Raises
    ------
    OnnxError
        The model sees cells by their stain, or ONNX Runtime gives other results.
    """
    import onnx

    if not model.sees_by_trunk:
        raise NoTrunkError(
            "This model began without having seen a cell and describes cells by measures of their stain, "
            "which ONNX cannot hold."
        )
    metadata = describe_export(model)
    whole = _Whole(model).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        # two sizes: the second shows that nothing of the first was taken for fixed
        traced, other = _inputs(metadata, 2, (3, 2)), _inputs(metadata, 1, (4, 5))
    outputs = ["boxes", "confidence", *(f"head_{i}" for i in range(len(metadata["heads"])))]
    axes = {"pixels": {0: "fields", 2: "height", 3: "width"}, "crops": {0: "cells"}, "sizes": {0: "cells"}}
    axes |= {name: {0: "fields", 1: "anchors"} for name in outputs[:2]}
    axes |= {name: {0: "cells"} for name in outputs[2:]}
    file: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.inference_mode():
        # torch's newer exporter takes eight times as long; the bound on torch's version keeps this one
        warnings.simplefilter("ignore")
        torch.onnx.export(
            whole,
            tuple(traced.values()),
            file,
            input_names=list(traced),
            output_names=outputs,
            dynamic_axes={name: axes[name] for name in (*traced, *outputs)},
            opset_version=_OPSET,
            dynamo=False,
        )
    graph = onnx.load_from_string(file.getvalue())
    _name_outputs(graph, [head["output"] for head in metadata["heads"]])
    onnx.helper.set_model_props(graph, {METADATA: json.dumps(metadata, ensure_ascii=False)})
    graph.producer_name, graph.doc_string = "napari-lld", metadata["use"]
    onnx.checker.check_model(graph)
    content = bytes(graph.SerializeToString())
    _compare(content, whole, other)
    return content


def _inputs(metadata: dict[str, Any], fields: int, strides: tuple[int, int]) -> dict[str, torch.Tensor]:
    pixels = torch.rand(fields, 3, *(STRIDE * n for n in strides))
    if not metadata["heads"]:
        return {"pixels": pixels}
    return {"pixels": pixels, "crops": torch.rand(fields + 1, 3, CROP, CROP), "sizes": torch.rand(fields + 1)}


def _name_outputs(graph: Any, names: list[str]) -> None:
    """Name the heads' outputs by the words of the model, which need not be names for torch."""
    renamed = {f"head_{i}": name for i, name in enumerate(names)}
    for output in graph.graph.output:
        output.name = renamed.get(output.name, output.name)
    for node in graph.graph.node:
        for i, name in enumerate(node.output):
            node.output[i] = renamed.get(name, name)
        for i, name in enumerate(node.input):
            node.input[i] = renamed.get(name, name)


def _compare(content: bytes, whole: nn.Module, inputs: dict[str, torch.Tensor]) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    with torch.inference_mode():
        expected = whole(*inputs.values())
    off = [float((torch.from_numpy(a) - b).abs().max()) for a, b in zip(outputs, expected, strict=True)]
    off[0] /= float(inputs["pixels"].shape[-1])  # of boxes: as a share of the field
    if not max(off) <= _MOST_OFF:
        raise OnnxError(
            f"The exported model gives different results in ONNX Runtime (by up to {max(off):.2g})."
        )
