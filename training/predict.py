"""Proposals for pixels: detector, suppression, describer, calibration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from annotation_store.records import Box, Proposal, Shape
from training.engine.describer import cut_crop, size_feature
from training.engine.detector import detect_and_pool, letterbox
from training.engine.devices import autocast
from training.engine.model import LearnedModel
from training.evaluate import iou_matrix

MOST_PER_FIELD = 300
_SAME_CELL = 0.5
"""A proposal that overlaps a cell this much proposes that cell again."""

Pixels = Callable[[], np.ndarray]


@dataclass
class RawProposals:
    """What a model says of one field before calibration.

    Attributes
    ----------
    boxes
        ``(n, 4)`` x, y, width, height in the field's pixels, inside the field.
    scores
        ``(n,)`` raw detection scores, highest first.
    logits
        Per head ``(n, K)``.
    vector
        The whole field in numbers; see `detect_and_pool`.
    """

    boxes: np.ndarray
    scores: np.ndarray
    logits: list[np.ndarray]
    vector: np.ndarray | None = None


def propose_raw(
    model: LearnedModel,
    fields: Sequence[Pixels],
    *,
    min_score: float = 0.01,
    batch: int = 8,
    on_field: Callable[[int], None] | None = None,
) -> list[RawProposals]:
    """Run a model over fields.

    Parameters
    ----------
    fields
        Each gives ``(H, W, 3)`` uint8; called once, a batch at a time.
    min_score
        Raw score below which nothing is proposed.
    on_field
        Called with the number of fields done; what it raises ends the run.
    """
    model.evaluating()
    results: list[RawProposals] = []
    for start in range(0, len(fields), batch):
        images = [load() for load in fields[start : start + batch]]
        results += _propose_batch(model, images, min_score)
        if on_field is not None:
            on_field(len(results))
    return results


def _propose_batch(model: LearnedModel, images: Sequence[np.ndarray], min_score: float) -> list[RawProposals]:
    device = next(model.detector.parameters()).device
    boxed = [letterbox(image, model.size) for image in images]
    found: list[np.ndarray] = [np.zeros((0, 5), np.float32)] * len(images)
    vectors: dict[int, np.ndarray] = {}
    for shape in sorted({canvas.shape for canvas, _ in boxed}):
        rows = [i for i, (canvas, _) in enumerate(boxed) if canvas.shape == shape]
        with autocast(device):
            detections, pooled = detect_and_pool(
                model.detector,
                _tensor([boxed[i][0] for i in rows], device),
                min_score=min_score,
                most=MOST_PER_FIELD,
            )
        for i, one in zip(rows, detections, strict=True):
            found[i] = one
        vectors.update(zip(rows, pooled, strict=True))
    crops, sizes, counts, kept = [], [], [], []
    for image, (_, scale), one in zip(images, boxed, found, strict=True):
        height, width = image.shape[:2]
        corners = (one[:, :4] / scale).clip(0, [width, height, width, height])
        boxes = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)
        inside = (boxes[:, 2:] >= 1).all(1)
        boxes, scores = boxes[inside], one[inside, 4]
        crops += [cut_crop(image, tuple(box)) for box in boxes]
        sizes += [size_feature(float(max(box[2:])), max(width, height)) for box in boxes]
        counts.append(len(boxes))
        kept.append((boxes, scores))
    logits = describe(model, crops, sizes)
    results, start = [], 0
    for i, ((boxes, scores), n) in enumerate(zip(kept, counts, strict=True)):
        said = [head[start : start + n] for head in logits]
        results.append(RawProposals(boxes, scores, said, vectors[i]))
        start += n
    return results


@torch.inference_mode()
def describe(model: LearnedModel, crops: Sequence[np.ndarray], sizes: Sequence[float]) -> list[np.ndarray]:
    """Give logits per head ``(n, K)`` for crops ``(CROP, CROP, 3)`` uint8 and their size features."""
    device = next(model.describer.parameters()).device
    parts: list[list[np.ndarray]] = [[] for _ in model.vocabulary.heads]
    if model.vocabulary.heads:
        for start in range(0, len(crops), 64):
            with autocast(device):
                out = model.describer(
                    _tensor(crops[start : start + 64], device),
                    torch.tensor(sizes[start : start + 64], device=device),
                )
            for part, head in zip(parts, out, strict=True):
                part.append(head.float().cpu().numpy())
    return [
        np.concatenate(part) if part else np.zeros((0, len(values)), np.float32)
        for part, values in zip(parts, model.vocabulary.heads, strict=True)
    ]


def _tensor(images: Sequence[np.ndarray], device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(np.stack(images)).to(device).permute(0, 3, 1, 2).float() / 255
    return tensor.contiguous(memory_format=torch.channels_last)


def calibrated(model: LearnedModel, raw: RawProposals, *, min_confidence: float = 0.0) -> list[Proposal]:
    """Turn raw proposals into records with probabilities, most confident first.

    A class or value that nobody taught is absent, which is not the same as improbable, and a head that knows
    fewer than two says nothing (see `LearnedModel.speaks`).
    """
    confidences = model.calibration.confidence(raw.scores)
    heads = list(zip(model.vocabulary.head_names, model.vocabulary.heads, model.speaks(), strict=True))
    probabilities = [
        None
        if known is None
        else _softmax(np.where(known, logits / model.calibration.temperatures.get(name, 1.0), -np.inf))
        for (name, _, known), logits in zip(heads, raw.logits, strict=True)
    ]
    proposals = []
    for i in np.argsort(-confidences, kind="stable"):
        if confidences[i] < min_confidence:
            break
        said = [
            {}
            if head is None or known is None
            else {v: float(p) for v, p, k in zip(values, head[i], known, strict=True) if k}
            for (_, values, known), head in zip(heads, probabilities, strict=True)
        ]
        x, y, w, h = (float(v) for v in raw.boxes[i])
        classes = said.pop(0) if model.vocabulary.classes else {}
        attributes = {a: p for a, p in zip(model.vocabulary.attributes, said, strict=True) if p}
        proposals.append(Proposal((x, y, w, h), float(confidences[i]), classes, attributes))
    return proposals


def propose(
    model: LearnedModel,
    fields: Sequence[Pixels],
    *,
    min_confidence: float = 0.25,
    on_field: Callable[[int], None] | None = None,
) -> list[list[Proposal]]:
    """Propose white cells on fields; see `propose_raw`."""
    least = max(0.001, model.calibration.raw(min_confidence))
    raw = propose_raw(model, fields, min_score=least, on_field=on_field)
    return [calibrated(model, one, min_confidence=min_confidence) for one in raw]


def suggestible(
    proposals: Sequence[Proposal],
    *,
    regions: Sequence[Shape] = (),
    ignore: Sequence[Shape] = (),
    taken: Sequence[Box] = (),
    most: int = MOST_PER_FIELD,
) -> list[Proposal]:
    """Keep what is worth showing.

    Parameters
    ----------
    regions, ignore
        Finished regions and ignore areas: nothing is suggested where its centre lies in one.
    taken
        Boxes of cells, and boxes rejected as not a cell: nothing is suggested there again.
    """
    kept = [p for p in proposals if not any(shape.contains_centre(p.box) for shape in (*regions, *ignore))]
    if taken and kept:
        again = iou_matrix(np.array([p.box for p in kept]), np.array(taken)).max(1) > _SAME_CELL
        kept = [p for p, is_again in zip(kept, again, strict=True) if not is_again]
    return sorted(kept, key=lambda p: -p.confidence)[:most]


def _softmax(logits: np.ndarray) -> np.ndarray:
    z = np.exp(logits - logits.max(1, keepdims=True)) if len(logits) else logits
    return np.asarray(z / z.sum(1, keepdims=True)) if len(logits) else logits
