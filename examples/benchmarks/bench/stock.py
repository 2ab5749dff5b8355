"""Train stock Ultralytics on fields, and published variants: crops, a masked loss, SLA-Det's rule.

All training uses Ultralytics' own trainer with its own settings (including mosaic); only validation and
saving between epochs are omitted, and the number of threads is that of the benchmark.
"""

from __future__ import annotations

import copy
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import matplotlib
import numpy as np
import torch
from PIL import Image

from annotation_store.files.temporary import keep_until_exit
from annotation_store.geometry import iou_matrix
from annotation_store.records import Proposal
from bench.data import Field, whole
from training.evaluation.ground_truth import TrueCell

# offline and quiet, with its settings in a folder of this process: read at import
os.environ.update(
    dict.fromkeys(("YOLO_CONFIG_DIR", "MPLCONFIGDIR"), str(keep_until_exit("stock"))),
    YOLO_OFFLINE="true",
    YOLO_AUTOINSTALL="false",
    YOLO_VERBOSE="false",
)
_threads_asked_for = "OMP_NUM_THREADS" in os.environ

from ultralytics import YOLO  # noqa: E402
from ultralytics.data.dataset import YOLODataset  # noqa: E402
from ultralytics.models.yolo.detect import DetectionTrainer  # noqa: E402
from ultralytics.nn.tasks import DetectionModel  # noqa: E402
from ultralytics.utils import LOGGER, SETTINGS, USER_CONFIG_DIR  # noqa: E402
from ultralytics.utils.loss import E2ELoss, v8DetectionLoss  # noqa: E402
from ultralytics.utils.nms import non_max_suppression  # noqa: E402

if not _threads_asked_for:
    # it sets one thread in the environment, which workers started by a benchmark would inherit
    os.environ.pop("OMP_NUM_THREADS", None)
LOGGER.setLevel(logging.ERROR)
for _name, _value in dict(SETTINGS).items():
    if isinstance(_value, bool) and _value:  # sync and every integration
        dict.__setitem__(SETTINGS, _name, False)

# its trainer looks for a font, and would download one
shutil.copy(matplotlib.get_data_path() + "/fonts/ttf/DejaVuSans.ttf", USER_CONFIG_DIR / "Arial.ttf")

UNKNOWN = 255
MIN_SCORE = 0.001
STRIDE, PAD_GREY = 32, 114


class _Masked(v8DetectionLoss):
    """Stock loss whose score term skips anchors that are neither known nor assigned (no rim rule)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stock, self._known = self.bce, None

        def masked(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            counts = self._known | (target.sum(-1) > 0)
            return stock(logits, target) * counts.unsqueeze(-1)

        self.bce = masked

    def get_assigned_targets_and_loss(self, preds: Any, batch: Any, **kwargs: Any) -> Any:
        parts = []
        known = (batch["semantic_mask"] != UNKNOWN).float().unsqueeze(1)
        for level in preds["feats"]:  # the pixel under each anchor
            parts.append(
                torch.nn.functional.interpolate(known, level.shape[2:], mode="nearest").flatten(1) > 0
            )
        self._known = torch.cat(parts, 1)
        return super().get_assigned_targets_and_loss(preds, batch, **kwargs)


class _MaskedModel(DetectionModel):
    def init_criterion(self) -> Any:
        return E2ELoss(self, _Masked)


class _MaskedFields(YOLODataset):
    """Carries the known area as Ultralytics' semantic mask, which its augmentations move with the pixels."""

    known: dict[str, np.ndarray]

    def update_labels_info(self, label: dict[str, Any]) -> dict[str, Any]:
        height, width = label["resized_shape"]
        known = Image.fromarray(self.known[Path(label["im_file"]).stem])
        known = np.asarray(known.resize((width, height), Image.Resampling.NEAREST))
        label = super().update_labels_info(label)
        label["semantic_mask"] = np.where(known > 0, 0, UNKNOWN).astype(np.uint8)
        return label

    def __getitem__(self, index: int) -> dict[str, Any]:
        item = super().__getitem__(index)
        item["semantic_mask"] = torch.from_numpy(np.ascontiguousarray(item["semantic_mask"]))
        return item


class _Trainer(DetectionTrainer):
    """Ultralytics' trainer without validation and saving."""

    known: dict[str, np.ndarray] | None = None

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:  # noqa: ARG002
        model = super().get_model(cfg, weights, verbose=False)
        if self.known is not None:
            model.__class__ = _MaskedModel
        return model

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        dataset = super().build_dataset(img_path, mode, batch)
        if self.known is not None and mode == "train":
            dataset.__class__ = _MaskedFields
            dataset.known = self.known
        return dataset

    def validate(self) -> Any:
        return {}, 0.0

    def save_model(self) -> bool:
        return False

    def final_eval(self) -> None:
        return


def _write(folder: Path, fields: Sequence[Field], classes: Sequence[str]) -> Path:
    """Write fields as a YOLO data set."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for i, field in enumerate(fields):
        pixels = field.pixels()
        height, width = pixels.shape[:2]
        Image.fromarray(pixels).save(folder / f"images/{i:05}.png", compress_level=1)
        lines = []
        for cell in field.cells:
            x, y, w, h = cell.box
            x1, y1, x2, y2 = max(0, x), max(0, y), min(width, x + w), min(height, y + h)
            if cell.cell_class in classes and x2 > x1 and y2 > y1:
                row = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
                lines.append(f"{classes.index(cell.cell_class)} " + " ".join(f"{v:.6f}" for v in row))
        (folder / f"labels/{i:05}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    names = "".join(f"  {i}: {name}\n" for i, name in enumerate(classes))
    file = folder / "data.yaml"
    file.write_text(f"path: {folder}\ntrain: images\nval: images\nnames:\n{names}", encoding="utf-8")
    return file


def train_stock(
    fields: Sequence[Field],
    classes: Sequence[str],
    weights: Path | str,
    *,
    epochs: int,
    size: int,
    seed: int,
    masked: bool = False,
    device: str = "cpu",
    **settings: Any,
) -> torch.nn.Module:
    """Train a stock YOLO26n with K classes; return it with its averaged weights.

    Parameters
    ----------
    masked
        Exclude the area outside the fields' regions from the loss; otherwise it is background.
    settings
        Settings of Ultralytics, besides batch 8 and AdamW at 1e-3.
    """
    with tempfile.TemporaryDirectory(prefix="lld-stock-") as place:
        data = _write(Path(place) / "set", fields, classes)
        overrides = {
            "model": str(weights),
            "data": str(data),
            "epochs": epochs,
            "imgsz": size,
            "seed": seed,
            "batch": min(8, len(fields)),
            "optimizer": "AdamW",
            "lr0": 1e-3,
            "device": device,
            "workers": 0,
            "cache": "ram",
            "val": False,
            "plots": False,
            "project": place,
            "name": "run",
            "verbose": False,
            "mixup": 0.0,
            **settings,
        }
        trainer = _Trainer(overrides=overrides)
        threads = torch.get_num_threads()
        trainer.add_callback("on_train_start", lambda _: torch.set_num_threads(threads))
        if masked:
            trainer.known = {f"{i:05}": known_area(field) for i, field in enumerate(fields)}
        trainer.train()
        model = copy.deepcopy(trainer.ema.ema).float().cpu().eval()
        model.criterion = None
        return model


def known_area(field: Field) -> np.ndarray:
    """Return a mask ``(h, w)`` uint8 of a field's regions: 1 inside."""
    known = np.zeros((field.height, field.width), np.uint8)
    for x, y, w, h in field.regions:
        x1, y1, x2, y2 = (max(0, int(np.ceil(v - 0.5))) for v in (x, y, x + w, y + h))
        known[y1:y2, x1:x2] = 1
    return known


def letterbox(pixels: np.ndarray, size: int) -> tuple[np.ndarray, float]:
    """Scale a field to `size` pixels on its longer side, and pad it to multiples of the stride."""
    scale = size / max(pixels.shape[:2])
    height, width = (max(1, round(side * scale)) for side in pixels.shape[:2])
    scaled = cv2.resize(
        pixels, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    )
    padded = np.full((-(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE, 3), PAD_GREY, np.uint8)
    padded[:height, :width] = scaled
    return padded, scale


@torch.inference_mode()
def predict_stock(
    model: torch.nn.Module, fields: Sequence[Field], classes: Sequence[str], *, size: int
) -> list[list[Proposal]]:
    """Predict fields with a stock model, like its own validator: one-to-many head, suppression at 0.7."""
    found = []
    for field in fields:
        pixels = field.pixels()
        canvas, scale = letterbox(pixels, size)
        tensor = torch.from_numpy(canvas).permute(2, 0, 1)[None].float() / 255
        raw = model(tensor)[0]
        rows = non_max_suppression(raw, MIN_SCORE, 0.7, multi_label=True, max_det=300)[0].numpy()
        height, width = pixels.shape[:2]
        proposals = []
        for x1, y1, x2, y2, score, number in rows:
            x1, x2 = (float(np.clip(v / scale, 0, width)) for v in (x1, x2))
            y1, y2 = (float(np.clip(v / scale, 0, height)) for v in (y1, y2))
            if x2 > x1 and y2 > y1:
                proposals.append(
                    Proposal((x1, y1, x2 - x1, y2 - y1), float(score), {classes[int(number)]: 1.0}, {})
                )
        found.append(sorted(proposals, key=lambda p: -p.confidence))
    return found


def as_installed(
    weights: Path | None, size: int, *, onnx_in: Path | None = None
) -> Callable[[Sequence[Path]], object]:
    """Return Ultralytics' own prediction function for files, with its defaults except for the size.

    Parameters
    ----------
    weights
        ``None`` = a YOLO26n with random weights.
    onnx_in
        Folder to which Ultralytics first exports the network as ONNX, with its defaults.
    """
    model = YOLO("yolo26n.yaml" if weights is None else str(weights))
    if onnx_in is not None:
        file = onnx_in / "stock.pt"  # the export is written next to it
        if weights is None:
            model.save(file)
        else:
            shutil.copy(weights, file)
        model = YOLO(YOLO(file).export(format="onnx", imgsz=size))
    return lambda files: model.predict([str(file) for file in files], imgsz=size, verbose=False)


def bare(batch: int, side: int, *, repeats: int) -> dict[str, float]:
    """Return the minimum seconds per batch of a YOLO26n: ``forward`` alone, a ``step`` with gradients."""
    network = YOLO("yolo26n.yaml").model.train()
    pixels = torch.rand(batch, 3, side, side)
    times: dict[str, list[float]] = {"forward": [], "step": []}
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        with torch.inference_mode():
            network(pixels)
        times["forward"].append(time.perf_counter() - begun)
        begun = time.perf_counter()
        torch.stack([one.mean() for one in _tensors(network(pixels))]).sum().backward()
        times["step"].append(time.perf_counter() - begun)
    return {name: min(some[1:]) for name, some in times.items()}


def _tensors(found: Any) -> list[torch.Tensor]:
    if isinstance(found, torch.Tensor):
        return [found]
    return [
        one for value in (found.values() if isinstance(found, dict) else found) for one in _tensors(value)
    ]


def cropped(fields: Sequence[Field]) -> list[Field]:
    """Crop the regions, at the fields' scale on a grey canvas, without anything outside."""
    pieces = []
    for field in fields:
        pixels = field.pixels()
        for number, (x, y, w, h) in enumerate(field.regions):
            x1, y1, x2, y2 = (round(v) for v in (x, y, x + w, y + h))
            canvas = np.full_like(pixels, PAD_GREY)
            canvas[y1:y2, x1:x2] = pixels[y1:y2, x1:x2]
            pieces.append(replace(field, name=f"{field.name}:{number}", drawn=canvas))
    return pieces


def train_sla(
    fields: Sequence[Field],
    classes: Sequence[str],
    weights: Path | str,
    *,
    epochs: int,
    size: int,
    seed: int,
    device: str = "cpu",
    threshold: float = 0.5,
) -> torch.nn.Module:
    """Train with SLA-Det's rule: first with the loss inside the patch only, then with pseudo-labels.

    The first half of the epochs trains inside the regions. Then detections above `threshold` that overlap no
    label become labels (also inside the regions, as in its public code), and the second half continues with
    the loss on the whole field. No augmentation, as in its code.
    """
    off = ("mosaic", "hsv_h", "hsv_s", "hsv_v", "translate", "scale", "fliplr", "erasing")
    plain: dict[str, Any] = {**dict.fromkeys(off, 0.0), "auto_augment": None}
    plain |= {"size": size, "seed": seed, "device": device}
    first = train_stock(fields, classes, weights, epochs=epochs // 2, masked=True, **plain)
    taught = [
        own_labels(field, proposals, threshold)
        for field, proposals in zip(fields, predict_stock(first, fields, classes, size=size), strict=True)
    ]
    with tempfile.TemporaryDirectory(prefix="lld-sla-") as place:
        file = Path(place) / "first.pt"
        torch.save({"model": first}, file)
        return train_stock(taught, classes, file, epochs=epochs - epochs // 2, **plain)


def own_labels(field: Field, proposals: Sequence[Proposal], threshold: float) -> Field:
    """Add confident proposals that overlap no label as labels, and mark the whole field as annotated."""
    cells = list(field.cells)
    for one in proposals:
        overlap = iou_matrix(np.array([one.box]), np.array([c.box for c in cells]))
        if one.confidence >= threshold and not (overlap > 0.5).any():
            cells.append(TrueCell(one.box, one.best_class))
    return whole(replace(field, cells=tuple(cells)))
