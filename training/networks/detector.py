"""The detector: YOLO26n, or another of `training.networks.architectures`, with one class, "white cell".

YOLO26 is used without its end-to-end branch: all architectures predict many boxes for a cell, which
non-maximum suppression reduces to one.

It has one class, because a cell without a class must train the box as well, and because suppression between
classes then does not arise. Class and attributes are the describer's task (``docs/adr/0002``).
"""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from training.networks.architectures import ARCHITECTURES, STARTER_ARCHITECTURE, ArchitectureName
from training.networks.scale import STARTER_SIDES, working_factor
from training.networks.ultralytics_api import DetectionModel, layout_of

STRIDE = 32
"""The sides of the detector's input are multiples of this."""

CANDIDATES = 3000
"""Maximum number of boxes of a field, best first, that enter non-maximum suppression."""

IOU = 0.5
"""IoU threshold of non-maximum suppression."""

_decoding = threading.Lock()

PAD_GREY = 114
"""Padding value of Ultralytics, and so of the COCO weights."""


def build_detector(architecture: ArchitectureName = STARTER_ARCHITECTURE) -> nn.Module:
    """Build a detector with random weights, from torch's global generator."""
    model: Any = DetectionModel(layout_of(ARCHITECTURES[architecture]), ch=3, nc=1, verbose=False)
    # the loss gains of Ultralytics' default configuration, read by its loss
    model.args = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5)
    return cast(nn.Module, model)


def raw_predictions(model: nn.Module, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the raw outputs of the detector, in float32 whatever the autocast.

    Parameters
    ----------
    pixels
        ``(B, 3, H, W)``, 0 to 1, sides multiples of `STRIDE`.

    Returns
    -------
    dict
        ``boxes (B, 4 * bins, A)`` distances in strides, or their distributions, ``scores (B, 1, A)``
        logits, ``feats`` three maps.
    """
    outputs = model(pixels)
    raw = outputs[1] if isinstance(outputs, tuple) else outputs
    return {"boxes": raw["boxes"].float(), "scores": raw["scores"].float(), "feats": raw["feats"]}


def letterbox(
    pixels: np.ndarray,
    size: int,
    cell_side: float | None = None,
    sides: tuple[float, float] = STARTER_SIDES,
) -> tuple[np.ndarray, float]:
    """Scale a field to the working scale and pad it, right and below, to multiples of `STRIDE`.

    Parameters
    ----------
    pixels
        ``(H, W, 3)`` uint8.
    size, cell_side, sides
        See `training.networks.scale.working_factor`.

    Returns
    -------
    tuple
        ``(H', W', 3)`` uint8 and the scale factor from field to working pixels.
    """
    scaled, scale = to_working_scale(pixels, size, cell_side, sides)
    height, width = scaled.shape[:2]
    padded = np.full((-(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE, 3), PAD_GREY, np.uint8)
    padded[:height, :width] = scaled
    return padded, scale


def to_working_scale(
    pixels: np.ndarray,
    size: int,
    cell_side: float | None = None,
    sides: tuple[float, float] = STARTER_SIDES,
) -> tuple[np.ndarray, float]:
    """Resize by `training.networks.scale.working_factor`; ``(H', W', 3)`` uint8 and the factor."""
    import cv2

    height, width = pixels.shape[:2]
    scale = working_factor(width, height, size, cell_side, sides)
    new = (max(1, round(width * scale)), max(1, round(height * scale)))
    if new == (width, height):
        return np.ascontiguousarray(pixels), 1.0
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, new, interpolation=interpolation)), scale


@torch.inference_mode()
def detect_and_pool(
    model: nn.Module, pixels: torch.Tensor, *, min_score: float, iou: float = IOU, most: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Detect white cells, and embed each image in one vector, in the same forward pass.

    Parameters
    ----------
    model
        The detector, in evaluation mode.
    pixels
        ``(B, 3, H, W)``, 0 to 1.
    min_score
        Raw score below which nothing is returned.
    iou
        IoU threshold of non-maximum suppression.
    most
        Maximum number of boxes per image.

    Returns
    -------
    boxes
        Per image ``(n, 5)`` float32: x1, y1, x2, y2 in working pixels and raw score, best first.
    embeddings
        ``(B, channels)`` float32: the backbone's last feature map, average-pooled.
    """
    decoded, vectors = decode(model, pixels)
    return [choose(boxes, min_score=min_score, iou=iou, most=most) for boxes in decoded], vectors


@torch.inference_mode()
def decode(model: nn.Module, pixels: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return all boxes of images before suppression, and an embedding of each image.

    Returns
    -------
    tuple
        ``(B, A, 5)`` float32 x1, y1, x2, y2 in working pixels and raw score, and ``(B, channels)`` as
        `detect_and_pool` returns it.
    """
    maps: list[torch.Tensor] = []
    detector = cast(Any, model)
    last = detector.model[len(detector.yaml["backbone"]) - 1]  # neck and head follow
    with _decoding:  # another thread's images would go through this hook too
        hook = last.register_forward_hook(lambda _, __, out: maps.append(out))
        try:
            decoded = model(pixels)[0].float()  # (B, 5, A): centre x, centre y, width, height, score
        finally:
            hook.remove()
    half = decoded[:, 2:4] / 2
    corners = torch.cat((decoded[:, :2] - half, decoded[:, :2] + half, decoded[:, 4:5]), 1)
    return corners.transpose(1, 2).cpu().numpy(), maps[0].float().mean((2, 3)).cpu().numpy()


def choose(boxes: np.ndarray, *, min_score: float = 0.01, iou: float = IOU, most: int = 300) -> np.ndarray:
    """Filter the boxes of an image by score and suppression: ``(n, 5)`` float32 of ``(A, 5)``, best first.

    Parameters
    ----------
    boxes
        As `decode` returns them.
    min_score, iou, most
        See `detect_and_pool`.
    """
    candidates = boxes[boxes[:, 4] >= min_score]
    candidates = candidates[np.argsort(-candidates[:, 4], kind="stable")[:CANDIDATES]]
    return candidates[suppress(candidates[:, :4], iou, most)].astype(np.float32)


def suppress(boxes: np.ndarray, iou: float, most: int) -> list[int]:
    """Apply greedy non-maximum suppression.

    Not torchvision's: importing it more than doubles the time until the worker is ready (it loads torch's
    compiler).

    Parameters
    ----------
    boxes
        ``(n, 4)`` x1, y1, x2, y2, best first.
    iou
        Maximum intersection over union of two boxes in the result.
    most
        Maximum number of boxes.

    Returns
    -------
    list
        Indices, best first.
    """
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    remaining = np.ones(len(boxes), bool)
    kept: list[int] = []
    for i in range(len(boxes)):
        if not remaining[i]:
            continue
        kept.append(i)
        if len(kept) == most:
            break
        low = np.maximum(boxes[i, :2], boxes[:, :2])
        high = np.minimum(boxes[i, 2:], boxes[:, 2:])
        common = (high - low).clip(0).prod(1)
        remaining &= common <= iou * (area[i] + area - common)
    return kept
