"""Proposals for pixels: detector, suppression, describer, calibration."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from annotation_store.geometry import SAME_CELL, iou_matrix
from annotation_store.records import Box, Proposal, Shape
from training.evaluation.open_set import mix_with_uniform, probability_taught
from training.evaluation.unchecked_films import MAX_UNCHECKED_PROBABILITY
from training.inference.engine import Engine, Networks
from training.inference.sources import read
from training.models.model import LearnedModel
from training.networks.describer import cut_crop, features_of, size_feature
from training.networks.detector import choose, detect_and_pool, letterbox
from training.networks.devices import to_tensor
from training.networks.scale import MAX_PIXELS, MIN_ATTRIBUTE_SIDE, field_side, zooming_side
from training.similarity.novelty import Novelty

MAX_PER_FIELD = 300
_MAX_FIELDS = 6
"""Maximum number of fields of a domain that estimate its scale."""

FAINT = 0.1
"""Raw score below which a proposal is hardly ever shown."""

_REDUCTION = 0.5
_MAGNIFICATION = 3.0
"""Zoom factors for fields with large and with small cells."""
_TRIED = 2
"""Number of fields that are magnified first: nine times the pixels take nine times as long."""

_DIGITS = 4
"""Digits of p-values."""

LIKELY = 0.5
"""Minimum confidence of cells that estimate the scale of fields."""

Pixels = Callable[[], np.ndarray]

Find = Callable[[Sequence[Pixels], float], list[tuple[int, np.ndarray]]]
"""Takes fields and a zoom factor; returns the longer side in pixels of each, and the boxes ``(n, 4)`` of
likely cells."""


@dataclass
class RawProposals:
    """The raw prediction of a model for one field, before calibration.

    Attributes
    ----------
    boxes
        ``(n, 4)`` x, y, width, height in the field's pixels, inside the field.
    scores
        ``(n,)`` raw detection scores, highest first.
    logits
        Per head ``(n, K)``.
    vector
        Embedding of the field; see `detect_and_pool`.
    places, novelty
        ``(n, d)`` and ``(n,)``: transformed features and p-values of `similarity.novelty`, ``None`` if the
        model has no novelty detector.
    unchecked
        Whether predictions on the film were not validated: see `training.worker.films.Films`.
    features
        ``(m, F)`` float16: the describer's features of the first m proposals, those above `FAINT`.
    nuclei
        ``(k, 4)`` float64: boxes from the stain, if the model finds nothing (`training.inference.predictor`);
        ``None`` if the stain was not analysed.
    """

    boxes: np.ndarray
    scores: np.ndarray
    logits: list[np.ndarray]
    vector: np.ndarray | None = None
    places: np.ndarray | None = None
    novelty: np.ndarray | None = None
    unchecked: bool = False
    features: np.ndarray | None = None
    nuclei: np.ndarray | None = None


Move = np.ndarray | float
"""Shift of a film's features, ``(F,)``; 0 if unknown."""


def propose_raw(
    model: LearnedModel,
    fields: Sequence[Pixels],
    *,
    cell_sides: Sequence[float | None] | None = None,
    moves: Sequence[Move] | None = None,
    min_score: float = 0.01,
    batch: int = 8,
    describe: bool = True,
    on_field: Callable[[int], None] | None = None,
    networks: Networks | None = None,
) -> list[RawProposals]:
    """Run a model over fields.

    Parameters
    ----------
    fields
        Each returns ``(H, W, 3)`` uint8; called once, a batch at a time.
    cell_sides
        Median side of a white cell on each, in its pixels, if known: see `training.networks.scale`.
    moves
        Domain shift of each, see `similarity.novelty`, subtracted for the novelty detection.
    min_score
        Minimum raw score of a proposal.
    describe
        Whether to predict class and attributes too; if not, all logits are zero.
    on_field
        Called with the number of fields done; it may raise to cancel.
    networks
        The model's networks, if they are reused.
    """
    networks = networks or Networks(model)
    results: list[RawProposals] = []
    sides: list[float | None] = list(cell_sides) if cell_sides is not None else [None] * len(fields)
    for start in range(0, len(fields), batch):
        batch_slice = slice(start, start + batch)
        outputs = _run_networks(
            networks, fields[batch_slice], sides[batch_slice], min_score, describe=describe
        )
        shifts = [0.0] * len(outputs) if moves is None else moves[batch_slice]
        results += _describe(model, outputs, shifts, describe=describe)
        if on_field is not None:
            on_field(len(results))
    return results


class _NetworkOutput(NamedTuple):
    """Output of the networks for a field.

    Attributes
    ----------
    boxes, scores, vector
        As in `RawProposals`.
    features
        ``(n, F)`` of all boxes; ``None`` if they are not described.
    """

    boxes: np.ndarray
    scores: np.ndarray
    vector: np.ndarray
    features: torch.Tensor | None = None


def _run_networks(
    networks: Networks,
    fields: Sequence[Pixels],
    cell_sides: Sequence[float | None],
    min_score: float,
    *,
    describe: bool,
) -> list[_NetworkOutput]:
    """Run both networks over fields."""
    images: list[np.ndarray] = []
    model, engine = networks.model, networks.engine(len(fields))
    if engine is not None:
        alone = len(fields) < engine.threads

        def tasks(engine: Engine) -> Iterator[Callable[[], _NetworkOutput]]:
            for load, side in zip(fields, cell_sides, strict=True):
                images.append(load())
                yield partial(
                    _run_engine, engine, model, images[-1], side, min_score, describe=describe, alone=alone
                )

        try:
            return engine.each(tasks(engine))
        except _EngineFailedError:
            networks.leave_engine()
    images += [load() for load in fields[len(images) :]]
    with _torch:
        detections = _find(model, images, cell_sides, min_score)
        return _add_features(model, images, cell_sides, detections) if describe else detections


_torch = threading.Lock()
"""Held while torch computes a batch with all its threads: two batches would only wait for each other."""


class _EngineFailedError(Exception):
    """ONNX Runtime failed on a field."""


def _run_engine(
    engine: Engine,
    model: LearnedModel,
    image: np.ndarray,
    side: float | None,
    min_score: float,
    *,
    describe: bool,
    alone: bool,
) -> _NetworkOutput:
    """Run an engine's networks over a field."""
    canvas, scale = letterbox(image, model.size, side, model.sides)
    try:
        decoded, vector = engine.decode(canvas, alone=alone)
    except Exception as error:  # whatever ONNX Runtime raises
        raise _EngineFailedError from error
    output = _NetworkOutput(
        *_to_field(image, choose(decoded, min_score=min_score, most=MAX_PER_FIELD), scale), vector
    )
    if not describe:
        return output
    crops, sizes = _crops_of(image, side, output.boxes)
    if not engine.has_trunk:
        return output._replace(features=features_of(model.describer, crops, sizes))
    features = np.zeros((len(crops), model.describer.features), np.float32)
    for once, rows in _by_score(output.scores):
        try:
            batch, batch_sizes = [crops[i] for i in rows], [sizes[i] for i in rows]
            features[rows] = engine.features(model.describer, batch, batch_sizes, once=once)
        except Exception as error:
            raise _EngineFailedError from error
    return output._replace(features=torch.from_numpy(features))


def _describe(
    model: LearnedModel, outputs: Sequence[_NetworkOutput], moves: Sequence[Move], *, describe: bool
) -> list[RawProposals]:
    """Predict the heads for the boxes of the networks' output."""
    heads = model.vocabulary.heads
    if not describe:
        return [
            RawProposals(
                output.boxes,
                output.scores,
                [np.zeros((len(output.boxes), len(v))) for v in heads],
                output.vector,
            )
            for output in outputs
        ]
    features = torch.cat([output.features for output in outputs if output.features is not None])
    shifts = [move for move, output in zip(moves, outputs, strict=True) for _ in output.boxes]
    logits, transformed, p_values = describe_features(model, features, shifts)
    results, start = [], 0
    for boxes, scores, vector, _ in outputs:
        rows = slice(start, start + len(boxes))
        start = rows.stop
        stored_features = features[rows][: int((scores >= FAINT).sum())].half().cpu().numpy()
        head_logits = [head[rows] for head in logits]
        proposals = RawProposals(boxes, scores, head_logits, vector, features=stored_features)
        if transformed is not None and p_values is not None:
            proposals.places, proposals.novelty = transformed[rows], p_values[rows]
        results.append(proposals)
    return results


def _add_features(
    model: LearnedModel,
    images: Sequence[np.ndarray],
    cell_sides: Sequence[float | None],
    outputs: Sequence[_NetworkOutput],
) -> list[_NetworkOutput]:
    """Add the features of the boxes, computed by torch."""
    crops, sizes = [], []
    for image, side, output in zip(images, cell_sides, outputs, strict=True):
        field_crops, field_sizes = _crops_of(image, side, output.boxes)
        crops += field_crops
        sizes += field_sizes
    describer = model.describer
    features = torch.zeros((len(crops), describer.features), device=next(describer.parameters()).device)
    for once, rows in _by_score(np.concatenate([output.scores for output in outputs])):
        batch, batch_sizes = [crops[i] for i in rows], [sizes[i] for i in rows]
        features[rows] = features_of(describer, batch, batch_sizes, once=once)
    parts = torch.split(features, [len(output.boxes) for output in outputs])
    return [output._replace(features=part) for output, part in zip(outputs, parts, strict=True)]


def _by_score(scores: np.ndarray) -> Iterator[tuple[bool, list[int]]]:
    """Yield the rows with and without test-time augmentation: `FAINT` proposals have none."""
    for once, rows in ((False, np.flatnonzero(scores >= FAINT)), (True, np.flatnonzero(scores < FAINT))):
        if len(rows):
            yield once, rows.tolist()


def _crops_of(
    image: np.ndarray, side: float | None, boxes: np.ndarray
) -> tuple[list[np.ndarray], list[float]]:
    """Crop boxes ``(n, 4)`` from a field; return the crops and size features of the describer."""
    height, width = image.shape[:2]
    against = field_side(width, height, side)
    crops = [cut_crop(image, tuple(box)) for box in boxes]
    return crops, [size_feature(float(max(box[2:])), against) for box in boxes]


def _find(
    model: LearnedModel, images: Sequence[np.ndarray], cell_sides: Sequence[float | None], min_score: float
) -> list[_NetworkOutput]:
    """Detect on fields with torch."""
    device = next(model.detector.parameters()).device
    boxed = [
        letterbox(image, model.size, side, model.sides)
        for image, side in zip(images, cell_sides, strict=True)
    ]
    detected: list[np.ndarray] = [np.zeros((0, 5), np.float32)] * len(images)
    vectors: dict[int, np.ndarray] = {}
    for shape in sorted({canvas.shape for canvas, _ in boxed}):
        rows = [i for i, (canvas, _) in enumerate(boxed) if canvas.shape == shape]
        batch_size = max(1, MAX_PIXELS // (shape[0] * shape[1]))  # a magnified field is a batch by itself
        for start in range(0, len(rows), batch_size):
            batch = rows[start : start + batch_size]
            detections, pooled = detect_and_pool(
                model.detector,
                to_tensor([boxed[i][0] for i in batch], device),
                min_score=min_score,
                most=MAX_PER_FIELD,
            )
            for i, boxes in zip(batch, detections, strict=True):
                detected[i] = boxes
            vectors.update(zip(batch, pooled, strict=True))
    return [
        _NetworkOutput(*_to_field(image, boxes, scale), vectors[i])
        for i, (image, (_, scale), boxes) in enumerate(zip(images, boxed, detected, strict=True))
    ]


def _to_field(image: np.ndarray, detections: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Convert detections to boxes ``(n, 4)`` x, y, w, h inside a field, in its pixels, and scores."""
    height, width = image.shape[:2]
    corners = (detections[:, :4] / scale).clip(0, [width, height, width, height])
    boxes = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)
    inside = (boxes[:, 2:] >= 1).all(1)
    return boxes[inside], detections[inside, 4]


def seen_side(model: LearnedModel, fields: Sequence[Pixels], find: Find | None = None) -> float | None:
    """Estimate the size of a white cell on fields of one domain without annotations.

    A few of them are searched at half of the ordinary scale, which costs a quarter and is enough if cells are
    large; if it finds fewer than one cell on two fields, or small ones, at the ordinary scale. If that finds
    too few or too small cells as well, they are searched three times magnified, as for a low magnification;
    its result is used only if it finds far more, since a magnified platelet or red cell resembles a small
    white one. If the first two fields show no more cells, the others are not magnified.

    Parameters
    ----------
    find
        Finds likely cells elsewhere; ``None`` = here.

    Returns
    -------
    float
        The median side in the fields' pixels, or ``None``. Damaged images are ignored.
    """
    step = max(1, len(fields) // _MAX_FIELDS)
    sample = fields[::step][:_MAX_FIELDS]
    if find is None:
        images = [image for load in sample if (image := read(load)) is not None]
        sample, find = in_memory(images), partial(_likely, model)
    for zoom, maximum in ((_REDUCTION, model.sides[1]), (1.0, np.inf)):
        detections = find(sample, zoom)
        sides = _sides_of(detections)
        relative_sides = [
            zoom * side / longer for longer, boxes in detections for side in _sides_of([(longer, boxes)])
        ]
        if (
            len(relative_sides) >= max(1, len(sample) / 2)
            and model.sides[0] <= float(np.median(relative_sides)) <= maximum
        ):
            return float(np.median(sides))
    magnified_sides = _sides_of(find(sample[:_TRIED], _MAGNIFICATION))
    if len(magnified_sides) > len(_sides_of(detections[:_TRIED])):
        magnified_sides += _sides_of(find(sample[_TRIED:], _MAGNIFICATION))
        if len(magnified_sides) >= 3 * max(1, len(sides)):
            sides = magnified_sides
    return float(np.median(sides)) if sides else None


def _sides_of(detections: Sequence[tuple[int, np.ndarray]]) -> list[float]:
    """Return the longer sides of boxes, in pixels."""
    return [float(side) for _, boxes in detections for side in boxes[:, 2:].max(1)]


def _likely(model: LearnedModel, fields: Sequence[Pixels], zoom: float) -> list[tuple[int, np.ndarray]]:
    """Find likely cells, as `Find` does."""
    if not fields:
        return []
    min_score = model.calibration.raw(LIKELY)
    longer = [max(load().shape[:2]) for load in fields]
    sides = [zooming_side(side, zoom, model.sides) for side in longer]
    outputs = _run_networks(Networks(model), fields, sides, min_score, describe=False)
    return [(side, output.boxes) for side, output in zip(longer, outputs, strict=True)]


def cell_sides(
    model: LearnedModel,
    fields: Sequence[Pixels],
    domains: Sequence[str],
    known: Sequence[float | None] | None = None,
    *,
    estimate: Callable[[LearnedModel, Sequence[Pixels]], float | None] | None = None,
) -> list[float | None]:
    """Return the median side of a white cell on each field: the known one, or an estimate by the model.

    Parameters
    ----------
    domains
        Domain of each field, which determines its scale: see `training.networks.scale.domain_of`.
    known
        Known sides: see `training.networks.scale.CellSides`.
    estimate
        Estimates a side, as `seen_side` does; ``None`` = in this process.
    """
    estimate = estimate or seen_side
    sides: list[float | None] = list(known) if known is not None else [None] * len(fields)
    for domain in sorted({d for d, side in zip(domains, sides, strict=True) if side is None}):
        rows = [i for i, d in enumerate(domains) if d == domain and sides[i] is None]
        estimated = estimate(model, [fields[i] for i in rows])
        for i in rows:
            sides[i] = estimated
    return sides


def in_memory(images: Sequence[np.ndarray]) -> list[Pixels]:
    """Wrap images in memory as fields for `propose_raw`."""
    return [partial(_same, image) for image in images]


def _same(image: np.ndarray) -> np.ndarray:
    return image


@torch.inference_mode()
def describe_features(
    model: LearnedModel, features: torch.Tensor, moves: Sequence[Move] | None = None
) -> tuple[list[np.ndarray], np.ndarray | None, np.ndarray | None]:
    """Return logits per head ``(n, K)``, and transformed features and p-values as in `RawProposals`.

    Parameters
    ----------
    features
        ``(n, F)`` as `features_of` returns them.
    moves
        Domain shift of each cell's film.
    """
    novelty = novelty_of(model)
    logits = [head.cpu().numpy() for head in model.describer.combined_logits(features)]
    if novelty is None:
        return logits, None, None
    vectors = features.float().cpu().numpy()
    if moves is None or not any(np.any(move) for move in moves):
        return logits, *novelty.assess(vectors, logits[0])
    shifts = np.stack([np.broadcast_to(move, vectors.shape[1:]) for move in moves])
    comparable = novelty.has_comparable_colours(shifts)
    return logits, *novelty.assess(vectors - shifts, has_comparable_colours=comparable)


def novelty_of(model: LearnedModel) -> Novelty | None:
    """Return the novelty detector of a model; ``None`` if it has none."""
    return Novelty.from_memory(model.memory, 0, model.describer) if model.vocabulary.classes else None


def calibrated(model: LearnedModel, raw: RawProposals, *, min_confidence: float = 0.0) -> list[Proposal]:
    """Convert raw proposals into records with probabilities, most confident first; see `to_proposals`."""
    confidences = model.calibration.confidence(raw.scores)
    order = np.argsort(-confidences, kind="stable")
    return to_proposals(model, raw, confidences, order[confidences[order] >= min_confidence].tolist())


def to_proposals(
    model: LearnedModel, raw: RawProposals, confidences: np.ndarray, rows: Sequence[int]
) -> list[Proposal]:
    """Convert some raw proposals, with the confidence ``(n,)`` of each, to records with probabilities.

    An untrained class or value is absent, which is not the same as improbable, and a head with fewer than two
    trained values predicts nothing (see `LearnedModel.trained_values`). A cell of fewer pixels than
    `MIN_ATTRIBUTE_SIDE` gets no attributes. Class probabilities are multiplied out with the probability that
    the cell is of a taught class (`training.evaluation.open_set`). On a film that was not validated, all
    distributions are mixed with the uniform one instead, so that none is above `MAX_UNCHECKED_PROBABILITY`.
    """
    p_values: list[float | None] = [None] * len(raw.boxes)
    if raw.novelty is not None:
        p_values = [round(float(p), _DIGITS) for p in raw.novelty]
    heads = list(
        zip(model.vocabulary.head_names, model.vocabulary.heads, model.trained_values(), strict=True)
    )
    probabilities = [
        None
        if known is None
        else _softmax(np.where(known, logits / model.calibration.temperatures.get(name, 1.0), -np.inf))
        for (name, _, known), logits in zip(heads, raw.logits, strict=True)
    ]
    if raw.unchecked:
        probabilities = [
            None
            if head is None or known is None
            else mix_with_uniform(head, known, MAX_UNCHECKED_PROBABILITY)
            for head, (_, _, known) in zip(probabilities, heads, strict=True)
        ]
    elif raw.novelty is not None and probabilities[0] is not None and heads[0][2] is not None:
        taught = probability_taught(raw.novelty.round(_DIGITS))
        probabilities[0] = mix_with_uniform(probabilities[0], heads[0][2], taught)
    proposals = []
    for i in rows:
        values_of_heads = [
            {}
            if head is None or known is None
            else {v: float(p) for v, p, k in zip(values, head[i], known, strict=True) if k}
            for (_, values, known), head in zip(heads, probabilities, strict=True)
        ]
        x, y, w, h = (float(v) for v in raw.boxes[i])
        classes = values_of_heads.pop(0) if model.vocabulary.classes else {}
        attributes = {a: p for a, p in zip(model.vocabulary.attributes, values_of_heads, strict=True) if p}
        if max(w, h) < MIN_ATTRIBUTE_SIDE:
            attributes = {}
        proposal = Proposal(
            (x, y, w, h), float(confidences[i]), classes, attributes, p_values[i], raw.unchecked
        )
        proposals.append(replace(proposal, sets=model.sets.predict(proposal)))
    return proposals


def suggestible(
    proposals: Sequence[Proposal],
    *,
    regions: Sequence[Shape] = (),
    ignore: Sequence[Shape] = (),
    occupied: Sequence[Box] = (),
    most: int = MAX_PER_FIELD,
) -> list[Proposal]:
    """Filter the proposals to suggest.

    Parameters
    ----------
    regions, ignore
        Finished regions and ignore areas: proposals centred in one are dropped.
    occupied
        Boxes of cells, and boxes rejected as not a cell: proposals that overlap one are dropped.
    """
    remaining = [
        p for p in proposals if not any(shape.contains_centre(p.box) for shape in (*regions, *ignore))
    ]
    if occupied and remaining:
        overlapping = iou_matrix(np.array([p.box for p in remaining]), np.array(occupied)).max(1) > SAME_CELL
        remaining = [p for p, overlaps in zip(remaining, overlapping, strict=True) if not overlaps]
    return sorted(remaining, key=lambda p: -p.confidence)[:most]


def _softmax(logits: np.ndarray) -> np.ndarray:
    z = np.exp(logits - logits.max(1, keepdims=True)) if len(logits) else logits
    return np.asarray(z / z.sum(1, keepdims=True)) if len(logits) else logits
