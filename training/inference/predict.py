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

MOST_PER_FIELD = 300
_LOOKED_AT = 6
"""How many fields of a domain are searched for its scale."""

FAINT = 0.1
"""Raw score under which a proposal is hardly ever shown."""

_REDUCED = 0.5
_MAGNIFIED = 3.0
"""How much larger than usual they are shown where cells are large, or small."""
_TRIED = 2
"""How many of them are magnified first: nine times the pixels take nine times as long."""

_DIGITS = 4
"""Of p-values."""

LIKELY = 0.5
"""Least confidence of cells by which the scale of fields is judged."""

Pixels = Callable[[], np.ndarray]

Find = Callable[[Sequence[Pixels], float], list[tuple[int, np.ndarray]]]
"""Takes fields and how much larger than usual they are to be shown; gives of each its longer side in pixels,
and the boxes ``(n, 4)`` of likely cells."""


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
        The whole field in numbers; see `detect_and_pool`.
    places, novelty
        ``(n, d)`` and ``(n,)``: places and p-values of `similarity.novelty`, ``None`` if the model
        cannot tell what is new to it.
    unchecked
        Whether the model has not learnt from the film: see `training.worker.films.Films`.
    features
        ``(m, F)`` float16: what the describer's trunk sees of the first, those that are not `FAINT`.
    """

    boxes: np.ndarray
    scores: np.ndarray
    logits: list[np.ndarray]
    vector: np.ndarray | None = None
    places: np.ndarray | None = None
    novelty: np.ndarray | None = None
    unchecked: bool = False
    features: np.ndarray | None = None


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
        Each gives ``(H, W, 3)`` uint8; called once, a batch at a time.
    cell_sides
        Median side of a white cell on each, in its pixels, if known: see `training.networks.scale`.
    moves
        How far the cells of each are moved, see `similarity.novelty`: taken off before it is asked what
        is new.
    min_score
        Raw score below which nothing is proposed.
    describe
        Whether to look at the class and the attributes too; if not, all logits are zero.
    on_field
        Called with the number of fields done; what it raises ends the run.
    networks
        Of the model, where it is asked again and again.
    """
    networks = networks or Networks(model)
    results: list[RawProposals] = []
    sides: list[float | None] = list(cell_sides) if cell_sides is not None else [None] * len(fields)
    for start in range(0, len(fields), batch):
        some = slice(start, start + batch)
        seen = _see(networks, fields[some], sides[some], min_score, describe=describe)
        moved = [0.0] * len(seen) if moves is None else moves[some]
        results += _described(model, seen, moved, describe=describe)
        if on_field is not None:
            on_field(len(results))
    return results


class _Seen(NamedTuple):
    """What the networks give of a field.

    Attributes
    ----------
    boxes, scores, vector
        As `RawProposals` has them.
    features
        ``(n, F)`` of all boxes; ``None`` if they are not to be described.
    """

    boxes: np.ndarray
    scores: np.ndarray
    vector: np.ndarray
    features: torch.Tensor | None = None


def _see(
    networks: Networks,
    fields: Sequence[Pixels],
    cell_sides: Sequence[float | None],
    min_score: float,
    *,
    describe: bool,
) -> list[_Seen]:
    """Run both networks over fields, and return what they give."""
    images: list[np.ndarray] = []
    model, engine = networks.model, networks.engine(len(fields))
    if engine is not None:
        alone = len(fields) < engine.threads

        def tasks(engine: Engine) -> Iterator[Callable[[], _Seen]]:
            for load, side in zip(fields, cell_sides, strict=True):
                images.append(load())
                yield partial(
                    _see_with, engine, model, images[-1], side, min_score, describe=describe, alone=alone
                )

        try:
            return engine.each(tasks(engine))
        except _EngineFailedError:
            networks.leave_engine()
    images += [load() for load in fields[len(images) :]]
    with _torch:
        found = _find(model, images, cell_sides, min_score)
        return _with_features(model, images, cell_sides, found) if describe else found


_torch = threading.Lock()
"""Held where torch computes a batch with all its threads: two batches would only wait for each other."""


class _EngineFailedError(Exception):
    """ONNX Runtime gave up on a field."""


def _see_with(
    engine: Engine,
    model: LearnedModel,
    image: np.ndarray,
    side: float | None,
    min_score: float,
    *,
    describe: bool,
    alone: bool,
) -> _Seen:
    """Run an engine's networks over a field."""
    canvas, scale = letterbox(image, model.size, side, model.sides)
    try:
        decoded, vector = engine.decode(canvas, alone=alone)
    except Exception as error:  # whatever ONNX Runtime raises
        raise _EngineFailedError from error
    seen = _Seen(*_in_field(image, choose(decoded, min_score=min_score, most=MOST_PER_FIELD), scale), vector)
    if not describe:
        return seen
    crops, sizes = _crops_of(image, side, seen.boxes)
    if not engine.has_trunk:
        return seen._replace(features=features_of(model.describer, crops, sizes))
    features = np.zeros((len(crops), model.describer.features), np.float32)
    for once, rows in _by_score(seen.scores):
        try:
            features[rows] = engine.features([crops[i] for i in rows], [sizes[i] for i in rows], once=once)
        except Exception as error:
            raise _EngineFailedError from error
    return seen._replace(features=torch.from_numpy(features))


def _described(
    model: LearnedModel, seen: Sequence[_Seen], moves: Sequence[Move], *, describe: bool
) -> list[RawProposals]:
    """Return what the heads say of the boxes that were seen."""
    heads = model.vocabulary.heads
    if not describe:
        return [
            RawProposals(
                one.boxes, one.scores, [np.zeros((len(one.boxes), len(v))) for v in heads], one.vector
            )
            for one in seen
        ]
    features = torch.cat([one.features for one in seen if one.features is not None])
    moved = [move for move, one in zip(moves, seen, strict=True) for _ in one.boxes]
    logits, places, unlike = describe_features(model, features, moved)
    results, start = [], 0
    for boxes, scores, vector, _ in seen:
        some = slice(start, start + len(boxes))
        start = some.stop
        clear = features[some][: int((scores >= FAINT).sum())].half().cpu().numpy()
        of_heads = [head[some] for head in logits]
        new = RawProposals(boxes, scores, of_heads, vector, features=clear)
        if places is not None and unlike is not None:
            new.places, new.novelty = places[some], unlike[some]
        results.append(new)
    return results


def _with_features(
    model: LearnedModel,
    images: Sequence[np.ndarray],
    cell_sides: Sequence[float | None],
    found: Sequence[_Seen],
) -> list[_Seen]:
    """Add what torch's trunk sees of the boxes."""
    crops, sizes = [], []
    for image, side, one in zip(images, cell_sides, found, strict=True):
        of_crops, of_sizes = _crops_of(image, side, one.boxes)
        crops += of_crops
        sizes += of_sizes
    describer = model.describer
    features = torch.zeros((len(crops), describer.features), device=next(describer.parameters()).device)
    for once, rows in _by_score(np.concatenate([one.scores for one in found])):
        some, of = [crops[i] for i in rows], [sizes[i] for i in rows]
        features[rows] = features_of(describer, some, of, once=once)
    parts = torch.split(features, [len(one.boxes) for one in found])
    return [one._replace(features=part) for one, part in zip(found, parts, strict=True)]


def _by_score(scores: np.ndarray) -> Iterator[tuple[bool, list[int]]]:
    """Yield rows that are looked at alike: what is `FAINT` once, and not from eight sides."""
    for once, rows in ((False, np.flatnonzero(scores >= FAINT)), (True, np.flatnonzero(scores < FAINT))):
        if len(rows):
            yield once, rows.tolist()


def _crops_of(
    image: np.ndarray, side: float | None, boxes: np.ndarray
) -> tuple[list[np.ndarray], list[float]]:
    """Cut boxes ``(n, 4)`` out of a field, and return their sizes too, as the describer takes both."""
    height, width = image.shape[:2]
    against = field_side(width, height, side)
    crops = [cut_crop(image, tuple(box)) for box in boxes]
    return crops, [size_feature(float(max(box[2:])), against) for box in boxes]


def _find(
    model: LearnedModel, images: Sequence[np.ndarray], cell_sides: Sequence[float | None], min_score: float
) -> list[_Seen]:
    """Detect on fields with torch."""
    device = next(model.detector.parameters()).device
    boxed = [
        letterbox(image, model.size, side, model.sides)
        for image, side in zip(images, cell_sides, strict=True)
    ]
    found: list[np.ndarray] = [np.zeros((0, 5), np.float32)] * len(images)
    vectors: dict[int, np.ndarray] = {}
    for shape in sorted({canvas.shape for canvas, _ in boxed}):
        rows = [i for i, (canvas, _) in enumerate(boxed) if canvas.shape == shape]
        together = max(1, MAX_PIXELS // (shape[0] * shape[1]))  # a magnified field fills the memory alone
        for start in range(0, len(rows), together):
            some = rows[start : start + together]
            detections, pooled = detect_and_pool(
                model.detector,
                to_tensor([boxed[i][0] for i in some], device),
                min_score=min_score,
                most=MOST_PER_FIELD,
            )
            for i, one in zip(some, detections, strict=True):
                found[i] = one
            vectors.update(zip(some, pooled, strict=True))
    return [
        _Seen(*_in_field(image, one, scale), vectors[i])
        for i, (image, (_, scale), one) in enumerate(zip(images, boxed, found, strict=True))
    ]


def _in_field(image: np.ndarray, found: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Return boxes ``(n, 4)`` x, y, w, h inside a field, in its pixels, and scores, of what was detected."""
    height, width = image.shape[:2]
    corners = (found[:, :4] / scale).clip(0, [width, height, width, height])
    boxes = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)
    inside = (boxes[:, 2:] >= 1).all(1)
    return boxes[inside], found[inside, 4]


def seen_side(model: LearnedModel, fields: Sequence[Pixels], find: Find | None = None) -> float | None:
    """Estimate the size of a white cell on fields of one domain of which nothing is known.

    A few of them are searched at half of the ordinary scale, which costs a quarter and is enough where cells
    are large; if it finds less than a cell on two fields, or small ones, at the ordinary scale. Where that
    finds too few or too small cells as well, they are searched three times magnified, as under a low
    magnification; that is believed only where it finds far more, since a magnified platelet or red cell
    resembles a small white one. Where the first two show no more, the others are not magnified.

    Parameters
    ----------
    find
        Finds likely cells elsewhere; ``None`` = here.

    Returns
    -------
    float
        The median side in the fields' pixels, or ``None``. Damaged images show nothing.
    """
    step = max(1, len(fields) // _LOOKED_AT)
    some = fields[::step][:_LOOKED_AT]
    if find is None:
        images = [image for load in some if (image := read(load)) is not None]
        some, find = at_hand(images), partial(_likely, model)
    for zoom, most in ((_REDUCED, model.sides[1]), (1.0, np.inf)):
        found = find(some, zoom)
        sides = _sides_of(found)
        shown = [zoom * side / longer for longer, boxes in found for side in _sides_of([(longer, boxes)])]
        if len(shown) >= max(1, len(some) / 2) and model.sides[0] <= float(np.median(shown)) <= most:
            return float(np.median(sides))
    more = _sides_of(find(some[:_TRIED], _MAGNIFIED))
    if len(more) > len(_sides_of(found[:_TRIED])):
        more += _sides_of(find(some[_TRIED:], _MAGNIFIED))
        if len(more) >= 3 * max(1, len(sides)):
            sides = more
    return float(np.median(sides)) if sides else None


def _sides_of(found: Sequence[tuple[int, np.ndarray]]) -> list[float]:
    """Return the longer sides of boxes, in pixels."""
    return [float(side) for _, boxes in found for side in boxes[:, 2:].max(1)]


def _likely(model: LearnedModel, fields: Sequence[Pixels], zoom: float) -> list[tuple[int, np.ndarray]]:
    """Find likely cells, as `Find` does."""
    if not fields:
        return []
    least = model.calibration.raw(LIKELY)
    longer = [max(load().shape[:2]) for load in fields]
    sides = [zooming_side(side, zoom, model.sides) for side in longer]
    found = _see(Networks(model), fields, sides, least, describe=False)
    return [(side, one.boxes) for side, one in zip(longer, found, strict=True)]


def cell_sides(
    model: LearnedModel,
    fields: Sequence[Pixels],
    domains: Sequence[str],
    known: Sequence[float | None] | None = None,
    *,
    look: Callable[[LearnedModel, Sequence[Pixels]], float | None] | None = None,
) -> list[float | None]:
    """Return the median side of a white cell on each field: what is known, else what the model sees.

    Parameters
    ----------
    domains
        Fields of one domain are taken to be of one scale: see `training.networks.scale.domain_of`.
    known
        What the project knows: see `training.networks.scale.CellSides`.
    look
        Who looks, as `seen_side` does; ``None`` = this process.
    """
    look = look or seen_side
    sides: list[float | None] = list(known) if known is not None else [None] * len(fields)
    for domain in sorted({d for d, side in zip(domains, sides, strict=True) if side is None}):
        rows = [i for i, d in enumerate(domains) if d == domain and sides[i] is None]
        seen = look(model, [fields[i] for i in rows])
        for i in rows:
            sides[i] = seen
    return sides


def at_hand(images: Sequence[np.ndarray]) -> list[Pixels]:
    """Return pixels that are in memory as `propose_raw` takes fields."""
    return [partial(_same, image) for image in images]


def _same(image: np.ndarray) -> np.ndarray:
    return image


@torch.inference_mode()
def describe_features(
    model: LearnedModel, features: torch.Tensor, moves: Sequence[Move] | None = None
) -> tuple[list[np.ndarray], np.ndarray | None, np.ndarray | None]:
    """Return logits per head ``(n, K)``, and places and p-values as `RawProposals` has them.

    Parameters
    ----------
    features
        ``(n, F)`` as `features_of` gives them.
    moves
        Of each cell's film.
    """
    novelty = novelty_of(model)
    logits = [head.cpu().numpy() for head in model.describer.combined_logits(features)]
    if novelty is None:
        return logits, None, None
    seen = features.float().cpu().numpy()
    if moves is None or not any(np.any(move) for move in moves):
        return logits, *novelty.assess(seen, logits[0])
    seen = seen - np.stack([np.broadcast_to(move, seen.shape[1:]) for move in moves])
    return logits, *novelty.assess(seen)


def novelty_of(model: LearnedModel) -> Novelty | None:
    """Return the novelty detector of a model; ``None`` if it has none."""
    return Novelty.from_memory(model.memory, 0, model.describer) if model.vocabulary.classes else None


def calibrated(model: LearnedModel, raw: RawProposals, *, min_confidence: float = 0.0) -> list[Proposal]:
    """Convert raw proposals into records with probabilities, most confident first; see `stated`."""
    confidences = model.calibration.confidence(raw.scores)
    order = np.argsort(-confidences, kind="stable")
    return stated(model, raw, confidences, order[confidences[order] >= min_confidence].tolist())


def stated(
    model: LearnedModel, raw: RawProposals, confidences: np.ndarray, rows: Sequence[int]
) -> list[Proposal]:
    """Convert some raw proposals, with the confidence ``(n,)`` of each, into records with probabilities.

    An untrained class or value is absent, which is not the same as improbable, and a head that knows fewer
    than two says nothing (see `LearnedModel.trained_values`). A cell of fewer pixels than
    `MIN_ATTRIBUTE_SIDE` gets no attributes. A class is only as probable as it is that the cell is of any that
    was taught (`training.evaluation.open_set`). Of a film where nothing was checked all probabilities are
    drawn towards even ones instead, so that none is above `MAX_UNCHECKED_PROBABILITY` and the order stays.
    """
    unlike: list[float | None] = [None] * len(raw.boxes)
    if raw.novelty is not None:
        unlike = [round(float(p), _DIGITS) for p in raw.novelty]
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
        predicted = [
            {}
            if head is None or known is None
            else {v: float(p) for v, p, k in zip(values, head[i], known, strict=True) if k}
            for (_, values, known), head in zip(heads, probabilities, strict=True)
        ]
        x, y, w, h = (float(v) for v in raw.boxes[i])
        classes = predicted.pop(0) if model.vocabulary.classes else {}
        attributes = {a: p for a, p in zip(model.vocabulary.attributes, predicted, strict=True) if p}
        if max(w, h) < MIN_ATTRIBUTE_SIDE:
            attributes = {}
        one = Proposal((x, y, w, h), float(confidences[i]), classes, attributes, unlike[i], raw.unchecked)
        proposals.append(replace(one, sets=model.sets.predict(one)))
    return proposals


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
        again = iou_matrix(np.array([p.box for p in kept]), np.array(taken)).max(1) > SAME_CELL
        kept = [p for p, is_again in zip(kept, again, strict=True) if not is_again]
    return sorted(kept, key=lambda p: -p.confidence)[:most]


def _softmax(logits: np.ndarray) -> np.ndarray:
    z = np.exp(logits - logits.max(1, keepdims=True)) if len(logits) else logits
    return np.asarray(z / z.sum(1, keepdims=True)) if len(logits) else logits
