"""A model's two networks as ONNX graphs for our own prediction, made by a process beside it.

Other than an exported model (`training.inference.onnx_export`) these graphs hold networks only: no heads, no
calibration, nothing that changes between rounds. So all models of one detector and one trunk share them. They
take pixels as they are, bytes with the colour last, and give what is decided on outside.

``python -P -m training.inference.engine_graph MODEL FOLDER DIGEST`` makes them of a model's files.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import io
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save as save_safetensors
from torch import nn

from annotation_store.errors import LLDError
from annotation_store.files.locks import open_to_lock, try_lock
from annotation_store.files.outputs import write_file
from training.networks.describer import CROP, TAPS
from training.networks.detector import STRIDE
from training.networks.ultralytics_api import VERSION as ULTRALYTICS_VERSION

if TYPE_CHECKING:
    from training.models.model import LearnedModel

ENGINE_VERSION = 1
"""Part of every digest: another number where the graphs take or give something else."""

PARTS = ("detector", "trunk")

_OPSET = 17
_PATIENCE = 120.0
"""Seconds to wait for another process that makes the same."""
_KEPT = 6
"""Files of graphs in a folder: the newest; each is about 13 MB."""


def digest_of(model: LearnedModel) -> str:
    """Return what a model's graphs are known by: its architecture and the exact weights of both networks."""
    digest = hashlib.sha256(f"graphs {ENGINE_VERSION} {model.architecture} {ULTRALYTICS_VERSION}".encode())
    for part, network in zip(PARTS, (model.detector, model.describer.trunk), strict=True):
        for name, tensor in sorted(network.state_dict().items()):
            digest.update(f"{part} {name} {tuple(tensor.shape)} {tensor.dtype}".encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def graph_file(folder: Path, digest: str) -> Path:
    """Return where a folder keeps the graphs of a digest."""
    return folder / f"{digest}.graphs"


class _Finder(nn.Module):
    """The detector from bytes ``(B, H, W, 3)`` to boxes ``(B, A, 5)`` and a vector a field."""

    def __init__(self, model: LearnedModel) -> None:
        super().__init__()
        detector: Any = copy.deepcopy(model.detector).float().cpu()
        detector.model[-1].xyxy, detector.model[-1].dynamic = True, True
        _take_bytes(detector.model[0])
        self.maps: list[torch.Tensor] = []
        last = detector.model[len(detector.yaml["backbone"]) - 1]
        last.register_forward_hook(lambda _, __, out: self.maps.append(out))
        self.detector = detector

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.maps.clear()
        decoded = self.detector(pixels.permute(0, 3, 1, 2).float())[0]
        return decoded.transpose(1, 2), self.maps[0].mean((2, 3))


class _Trunk(nn.Module):
    """The describer's trunk from bytes ``(N, CROP, CROP, 3)`` to what `Describer.embed` pools."""

    def __init__(self, model: LearnedModel) -> None:
        super().__init__()
        self.trunk = copy.deepcopy(model.describer.trunk).float().cpu()
        _take_bytes(self.trunk[0])

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        x, pooled = crops.permute(0, 3, 1, 2).float(), []
        for number, layer in enumerate(self.trunk):
            x = layer(x)
            if number in TAPS:
                pooled += [x.mean((2, 3)), x.amax((2, 3))]
        return torch.cat(pooled, 1)


def _take_bytes(first: Any) -> None:
    """Let the first convolution divide by 255."""
    with torch.no_grad():
        first.conv.weight /= 255


def build_graphs(model: LearnedModel, digest: str) -> bytes:
    """Write both networks as ONNX, in one file of safetensors that says of what they were made.

    Of a model that sees cells by their stain there is no trunk: its part is empty.
    """
    pixels = torch.zeros(2, STRIDE * 3, STRIDE * 2, 3, dtype=torch.uint8)
    crops = torch.zeros(3, CROP, CROP, 3, dtype=torch.uint8)
    dynamic_axes = {0: "fields", 1: "height", 2: "width"}
    of_trunk = {"crops": {0: "views"}, "features": {0: "views"}}
    parts = {
        "detector": _graph(
            _Finder(model),
            pixels,
            {"pixels": dynamic_axes, "boxes": {0: "fields", 1: "anchors"}, "vector": {0: "fields"}},
        ),
        "trunk": _graph(_Trunk(model), crops, of_trunk) if model.sees_by_trunk else b"",
    }
    content: bytes = save_safetensors(
        {name: torch.from_numpy(np.frombuffer(part, np.uint8).copy()) for name, part in parts.items()},
        metadata={"about": f"{digest} {content_hash(parts)}"},
    )
    return content


def content_hash(parts: dict[str, bytes]) -> str:
    """Return the SHA-256 of both graphs."""
    return hashlib.sha256(b"".join(parts[name] for name in PARTS)).hexdigest()


def _graph(network: nn.Module, example: torch.Tensor, axes: dict[str, dict[int, str]]) -> bytes:
    file: Any = io.BytesIO()
    first, *outputs = axes
    with warnings.catch_warnings(), torch.inference_mode():
        # torch's newer exporter takes eight times as long; the bound on torch's version keeps this one
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (example,),
            file,
            input_names=[first],
            output_names=outputs,
            dynamic_axes=axes,
            opset_version=_OPSET,
            dynamo=False,
        )
    return bytes(file.getvalue())


def make(path: Path, folder: Path, digest: str) -> bool:
    """Build the graphs of a model's files and keep them in a folder; once, if several processes do.

    Returns
    -------
    bool
        Whether they are there now.
    """
    from training.models.model import read_model

    file = graph_file(folder, digest)
    before = _changed(file)
    folder.mkdir(exist_ok=True)  # not those above it: the project may be gone
    with open_to_lock(file.with_suffix(".lock"), make=True) as lock:
        end = time.monotonic() + _PATIENCE
        while try_lock(lock) is False:
            if time.monotonic() > end:
                return False
            time.sleep(0.2)
        if _changed(file) != before:
            return True  # another process made them meanwhile
        model = read_model(path)
        if digest_of(model) != digest:
            return False  # it was replaced by another since
        graphs = build_graphs(model, digest)
        if not folder.is_dir():
            return False  # the project was deleted meanwhile
        write_file(file, graphs, durable=False, parents=False)
    tidy(folder)
    return True


def _changed(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None


def tidy(folder: Path) -> None:
    """Delete all graphs but the newest, and locks without graphs."""
    with contextlib.suppress(OSError):
        files = sorted(folder.glob("*.graphs"), key=lambda one: one.stat().st_mtime, reverse=True)
        for file in files[_KEPT:]:
            file.unlink()
        for lock in folder.glob("*.lock"):
            if not lock.with_suffix(".graphs").exists():
                lock.unlink()


def main(arguments: list[str]) -> int:
    """Make graphs in one thread; return the exit code."""
    torch.set_num_threads(1)
    path, folder, digest = arguments
    try:
        return 0 if make(Path(path), Path(folder), digest) else 1
    except (LLDError, OSError):
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
