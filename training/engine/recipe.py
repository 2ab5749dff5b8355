"""Teach the describer's heads on frozen features, with a memory of what the parents were taught.

Twenty cells of a new class are too few for gradients, and gradients forget what a project does not show.
Features of a trunk that has seen thousands of white cells tell a new class from its neighbours by a linear
discriminant, in seconds. It is fitted on the project's cells together with the vectors that the parents
remember (`training.models.memory`). Among the values that the parent's own heads were taught, the heads go
on deciding, as far as cells that the discriminant was not fitted on say that they are better at it
(``docs/adr/0007``).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import log_softmax
from torch import nn

from training.engine.augment import OTHER_LOOKS, jitter
from training.engine.data import Labels, TrainingField, each_cell, labelled_cells
from training.engine.new_attribute import Lines, fit_lines
from training.engine.within_class import classes_of, fit_shift
from training.models.memory import OUTSIDE, Memory, single_labels
from training.models.model import LearnedModel, adapted
from training.networks.describer import NEVER, Discriminant, cut_crop, features_of
from training.networks.devices import to_tensor
from training.networks.vocabulary import Vocabulary
from training.similarity.space import Space

FOLDS = 5
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares of the discriminant among the values that the parent was taught; the least that serves is taken."""

_SERVES = 0.005
"""A share whose loss is this close to the best serves as well."""

MIN_CELLS_TO_SELECT = 10
USUAL_TEMPERATURE = 4.0
"""With fewer cells there is nothing to choose on, and scores are divided by what is usual."""

_TEMPERATURES = np.geomspace(0.5, 64, 43)
MAX_PER_VALUE = 1500
"""Cells of each value that are looked at: more would hardly move the mean of a class."""


_SHOWN, _LOOKS_OF_A_CELL, _AXES = 240, 4, 64
"""Cells that are shown in how many other looks, and the directions that are kept: 95% of the moves."""


@dataclass
class Cells:
    """A project's labelled cells as features.

    Attributes
    ----------
    features
        ``(n, F)`` float32.
    labels
        Of these cells.
    units
        ``(n,)`` str: which unit (`annotation_store.splits.units`) each is of.
    places
        Of each the number of its field, and its place among that field's cells.
    """

    features: np.ndarray
    labels: Labels
    units: np.ndarray
    places: list[tuple[int, int]]


def look_at_cells(
    model: LearnedModel,
    fields: Sequence[TrainingField],
    *,
    most: int = MAX_PER_VALUE,
    seed: int = 0,
    on_field: Callable[[int], None] | None = None,
    look: Callable[[Sequence[tuple[TrainingField, list[int]]]], list[np.ndarray]] | None = None,
) -> Cells:
    """Return the features of all labelled cells, or of `most` of each value if there are more.

    Pixels of one field at a time are held in memory.

    Parameters
    ----------
    look
        Gives the features of the cells of fields by their places; ``None`` = they are computed here.
    """
    model.evaluating()  # batch norms of a few cells would say something of the others
    places, labels = labelled_cells(fields, model.vocabulary, most=most, seed=seed)
    features = [np.zeros((0, model.describer.features), np.float32)]
    if look is not None:
        features += look(list(zip(fields, places, strict=True)))
    for i, field in enumerate(fields if look is None else ()):
        cells = list(each_cell(field, places[i], cut_crop))
        seen = features_of(model.describer, [crop for crop, _ in cells], [size for _, size in cells])
        features.append(seen.cpu().numpy())
        if on_field is not None:
            on_field(i + 1)
    of = [(i, place) for i, some in enumerate(places) for place in some]
    units = np.array([fields[i].patient or fields[i].name for i, _ in of], str)
    return Cells(np.concatenate(features), labels, units, of)


def joined(one: Cells, other: Cells, fields: int) -> Cells:
    """Append cells of other fields to those of the first `fields`."""
    return Cells(
        np.concatenate((one.features, other.features)),
        one.labels.joined(other.labels, len(one.units)),
        np.concatenate((one.units, other.units)),
        [*one.places, *((fields + i, place) for i, place in other.places)],
    )


def remember(model: LearnedModel, cells: Cells, *, seed: int = 0) -> None:
    """Store the cells that a trunk was trained on; other cells have embeddings of another trunk."""
    nothing = Memory.empty(model.describer.features, len(model.vocabulary.heads))
    model.memory = _remembering(nothing, cells, single_labels(cells.labels.allowed), model.source, seed)


def _remembering(memory: Memory, cells: Cells, labels: np.ndarray, source: int | None, seed: int) -> Memory:
    """Add a project's cells, with the label that each row of theirs has by now, to a memory."""
    of = cells.labels.of
    return memory.with_cells(
        cells.features[of], labels, source, seed=seed, weights=cells.labels.weights, cell_ids=of
    )


def learn_looks(model: LearnedModel, fields: Sequence[TrainingField], *, seed: int = 0) -> None:
    """Learn how other laboratories' looks move features, and keep it with the memory.

    Some cells are shown as other stains, lamps and cameras might show them. What a trunk makes of the
    difference is no property of a cell.
    """
    rng = np.random.default_rng(seed)
    crops, sizes = _some_cells(fields, _SHOWN, rng)
    if not crops:
        return
    plain = features_of(model.describer, crops, sizes).cpu().numpy()
    moves = []
    for _ in range(_LOOKS_OF_A_CELL):
        shown = jitter(to_tensor(crops, torch.device("cpu")), rng, **OTHER_LOOKS)
        pixels = (shown.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
        moves.append(features_of(model.describer, list(pixels), sizes).cpu().numpy() - plain)
    every = np.concatenate(moves).astype(np.float64)
    lengths, axes = np.linalg.svd(every / max(1, len(every)) ** 0.5, full_matrices=False)[1:]
    looks = (lengths[:, None] * axes)[:_AXES].astype(np.float16)
    model.memory = replace(model.memory, looks=looks)


def remember_outside(model: LearnedModel, fields: Sequence[TrainingField], *, seed: int = 0) -> None:
    """Remember the cells of fields as of classes that the model's words lack, `OUTSIDE` of them at most."""
    crops, sizes = _some_cells(fields, OUTSIDE, np.random.default_rng(seed))
    seen = features_of(model.describer, crops, sizes).cpu().numpy()
    model.memory = replace(model.memory, outside=seen.astype(np.float16))


def _some_cells(
    fields: Sequence[TrainingField], most: int, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[float]]:
    """Draw cells of fields, labelled or not; return their crops and sizes."""
    cut = [one for field in fields for one in each_cell(field, range(len(field.cells)), cut_crop)]
    chosen = [cut[i] for i in rng.permutation(len(cut))[:most]]
    return [crop for crop, _ in chosen], [size for _, size in chosen]


@dataclass(frozen=True)
class Mixing:
    """How a discriminant and its head are mixed, as chosen on cells that it was not fitted on.

    Attributes
    ----------
    cooling
        The temperature that its scores are divided by.
    of_head
        The same of the head's logits.
    share
        What the discriminant's word weighs among the head's own values.
    shift
        What is added to the result in a cell of each class (`training.engine.within_class`); ``None`` = as
        the parents have it.
    """

    cooling: float
    of_head: float
    share: float
    shift: np.ndarray | None = dataclasses.field(default=None, compare=False)

    def keep(self, lines: nn.Module) -> Discriminant:
        """Write into a discriminant how it is to be mixed with its head."""
        assert isinstance(lines, Discriminant)
        if self.shift is not None:
            lines.shift.copy_(torch.from_numpy(self.shift))
        lines.share.fill_(self.share)
        lines.temperature.fill_(1.0)
        lines.used.fill_(1.0)
        return lines


def teach_heads(
    model: LearnedModel, cells: Cells, *, seed: int = 0, mixing: Mapping[int, Mixing] | None = None
) -> dict[int, Mixing]:
    """Fit a discriminant beside each head, and remember the cells.

    Trunk and heads stay as they are. An attribute that no parent's head was taught gets lines of its own kind
    (`training.engine.new_attribute`). A head of which cells and memory show fewer than two values gets no
    discriminant. A group's label counts for the member that a discriminant of the other cells finds most
    probable; where no cell shows any member, it teaches nothing.

    Parameters
    ----------
    model
        Made by `adapted` for the project: what its memory holds of the same project is not used.
    cells
        The project's, from `look_at_cells`.
    mixing
        By a head's index how its discriminant is mixed with it, where that was chosen on nearly the same
        cells: choosing takes five times as long as fitting. Of heads that it lacks it is chosen.

    Returns
    -------
    dict
        By a head's index how its discriminant is mixed with it.
    """
    model.evaluating()
    memory = model.memory.without(model.source)
    shown = _with_memory(cells, memory, seed)
    own = shown.labels[: len(cells.labels.of)]
    mixed: dict[int, Mixing] = {}
    if (shown.labels >= 0).any():
        _resolve_groups(shown, cells.labels.allowed, memory.looks)
        mixed = _fit_discriminants(model, shown, cells.labels.of, memory.looks, mixing or {})
    model.memory = _remembering(memory, cells, own, model.source, seed)
    # a group of which no member was ever shown teaches none of them
    model.teach(
        [own[:, i, None] == np.arange(len(values)) for i, values in enumerate(model.vocabulary.heads)],
        cells.labels.weights,
    )
    return mixed


def out_of_fold(model: LearnedModel, cells: Cells, source: int, *, seed: int = 0) -> list[np.ndarray | None]:
    """Predict each cell with discriminants fitted on other patients' cells only.

    Where all cells are of one patient (or field), each is judged by what the others teach. The heads never
    learnt from the project, nor does a cell that the parents remember of it count.

    Parameters
    ----------
    cells
        All labelled cells of a project.
    source
        The project, as memories know it.

    Returns
    -------
    list
        Per head probabilities ``(n, K)``, 0 of what no other cell shows; ``None`` if `MIN_CELLS_TO_SELECT`
        cells have no label of it.
    """
    probe = adapted(model, model.vocabulary, source).evaluating()
    if len(np.unique(cells.units)) < 2:
        cells = replace(cells, units=np.arange(len(cells.units)).astype(str))
    memory = probe.memory.without(source)
    shown = _with_memory(cells, memory, seed)
    predictions: list[np.ndarray | None] = [None] * shown.labels.shape[1]
    if not (shown.labels >= 0).any():
        return predictions
    _resolve_groups(shown, cells.labels.allowed, memory.looks)
    first = np.searchsorted(cells.labels.of, np.arange(len(cells.units)))  # what is said of all rows is alike
    for i, crossed in _cross_fit(probe, shown, memory.looks).items():
        if shown.counts(i) < MIN_CELLS_TO_SELECT:
            continue
        lines = crossed.mixing.keep(probe.describer.lines[i])
        logits, of_lines = crossed.logits[first], crossed.scores[first]
        mixed = lines.mixed(torch.from_numpy(logits), torch.from_numpy(of_lines))
        predictions[i] = np.where(of_lines > NEVER, mixed.exp().numpy(), 0.0)
    return predictions


@dataclass
class _Shown:
    """What discriminants are fitted on: the rows of a project's labels, and those of a memory behind them.

    Attributes
    ----------
    features
        ``(n, F)`` float64.
    labels, weights
        ``(n, heads)``: see `training.models.memory.Memory`.
    folds
        ``(n,)``: they cut no unit in two.
    cells
        ``(n,)``: which cell each is of, ascending.
    """

    features: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    folds: np.ndarray
    cells: np.ndarray

    def of(self, rows: np.ndarray) -> _Shown:
        """Return some rows."""
        return _Shown(
            self.features[rows], self.labels[rows], self.weights[rows], self.folds[rows], self.cells[rows]
        )

    def classes(self, vocabulary: Vocabulary) -> np.ndarray:
        """Return the class of each row's cell: ``(n,)``, -1 = none."""
        if not vocabulary.classes:
            return np.full(len(self.labels), -1)
        return classes_of(self.labels[:, 0], self.cells)

    def counts(self, head: int) -> float:
        """Count the cells that have a label of a head."""
        return float(self.weights[self.labels[:, head] >= 0, head].sum())

    def space(self, looks: np.ndarray) -> Space:
        """Return the space in which they lie."""
        return Space(self.features, self.labels, looks, self.weights)


def _with_memory(cells: Cells, memory: Memory, seed: int) -> _Shown:
    """Append a memory's cells to those of a project."""
    of = cells.labels.of
    rng = np.random.default_rng(seed)
    names, units = np.unique(cells.units, return_inverse=True)
    folds = rng.permutation(max(1, len(names)))[units][of] % FOLDS
    return _Shown(
        np.concatenate((cells.features[of], memory.features.astype(np.float32))).astype(np.float64),
        np.concatenate((single_labels(cells.labels.allowed), memory.labels)).astype(int),
        np.concatenate((cells.labels.weights, memory.weights)).astype(np.float64),
        np.concatenate((folds, rng.integers(FOLDS, size=len(memory)))),
        np.concatenate((of, len(cells.units) + np.arange(len(memory)))),
    )


def _resolve_groups(shown: _Shown, allowed: Sequence[np.ndarray], looks: np.ndarray) -> None:
    """Write the most probable member that other cells have shown into the labels of cells of a group."""
    several = [np.flatnonzero(head.sum(1) > 1) for head in allowed]
    if not any(len(rows) for rows in several):
        return
    features, labels = shown.features, shown.labels
    space = shown.space(looks)
    for i, rows in enumerate(several):
        weight, bias, met = space.discriminant(labels[:, i], allowed[i].shape[1], shown.weights[:, i])
        scores = np.where(allowed[i][rows] & met, features[rows] @ weight.T + bias, -np.inf)
        known = np.isfinite(scores).any(1)
        labels[rows[known], i] = scores[known].argmax(1)


@dataclass
class _Crossed:
    """One head's discriminant, judged on cells that it was not fitted on.

    Attributes
    ----------
    scores
        ``(n, K)`` its scores, divided by `Mixing.cooling`; `NEVER` of what no other cell shows.
    logits
        ``(n, K)`` the head's logits alone, divided by `Mixing.of_head`.
    """

    scores: np.ndarray
    logits: np.ndarray
    mixing: Mixing


def _fitted(shown: _Shown, sizes: Sequence[int]) -> list[int]:
    """List the heads of which cells show two values or more."""
    columns = shown.labels.T
    return [i for i in range(len(sizes)) if len(np.unique(columns[i][columns[i] >= 0])) >= 2]


def _is_new(model: LearnedModel, head: int) -> bool:
    """Return whether a head is of an attribute that no parent's own head was taught."""
    if model.vocabulary.classes and not head:
        return False
    return model.describer.own_values(head) < 2  # of one alone there is nothing to say


def _new_lines(shown: _Shown, head: int, vocabulary: Vocabulary) -> Lines:
    return fit_lines(
        shown.features,
        shown.labels[:, head],
        shown.classes(vocabulary),
        shown.weights[:, head],
        values=len(vocabulary.heads[head]),
        of_classes=len(vocabulary.classes),
    )


def _cross_fit(model: LearnedModel, shown: _Shown, looks: np.ndarray) -> dict[int, _Crossed]:
    """Evaluate each head's discriminant on cells of other folds; one of fewer than two values has none."""
    describer, calibration, words = model.describer, model.calibration, model.vocabulary
    features, labels, weights, folds = shown.features, shown.labels, shown.weights, shown.folds
    names, sizes, classes = words.head_names, [len(values) for values in words.heads], shown.classes(words)
    used = _fitted(shown, sizes)
    if not used:
        return {}
    scores = {i: np.full((len(labels), sizes[i]), NEVER) for i in used}
    for fold in np.unique(folds):
        held, rest = folds == fold, folds != fold
        if not (labels[rest] >= 0).any():
            continue
        taught_by = shown.of(rest)
        space = taught_by.space(looks)
        for i in used:
            if _is_new(model, i):
                scores[i][held] = _new_lines(taught_by, i, words).scores(features[held], classes[held])
                continue
            weight, bias, met = space.discriminant(labels[rest, i], sizes[i], weights[rest, i])
            scores[i][held] = np.where(met, features[held] @ weight.T + bias, NEVER)
    with torch.inference_mode():
        device = next(describer.parameters()).device
        heads = describer.head_logits(torch.from_numpy(features.astype(np.float32)).to(device))
    crossed = {}
    for i in used:
        lines = describer.lines[i]
        assert isinstance(lines, Discriminant)
        cooling = _temperature(scores[i], labels[:, i], weights[:, i])
        of_head = float(lines.temperature) if lines.used else calibration.temperatures.get(names[i], 1.0)
        own = lines.own.cpu().numpy() > 0
        logits = heads[i].cpu().numpy().astype(np.float64) / of_head
        cooled = np.where(scores[i] > NEVER, scores[i] / cooling, NEVER)
        share = _share(cooled, logits, own, labels[:, i], weights[:, i])
        crossed[i] = _Crossed(cooled, logits, Mixing(cooling, of_head, share))
    return crossed


def _shift(
    model: LearnedModel, head: int, crossed: _Crossed, shown: _Shown, of: np.ndarray
) -> np.ndarray | None:
    """Fit an attribute's shift within classes on a project's rows, the first of what was shown.

    Of what parents remember there are as many cells of a rare value as of others: they do not show what is
    usual.

    Parameters
    ----------
    of
        Which cell each of these rows is of.
    """
    lines = model.describer.lines[head]
    assert isinstance(lines, Discriminant)
    if not len(lines.shift) or _is_new(model, head):
        return None
    own = len(of)
    mixed = crossed.mixing.keep(copy.deepcopy(lines).cpu()).mixed(
        torch.from_numpy(crossed.logits[:own]), torch.from_numpy(crossed.scores[:own])
    )
    return fit_shift(
        mixed.numpy(),
        classes_of(shown.labels[:own, 0], of),
        shown.labels[:own, head],
        shown.weights[:own, head],
        lines.shift_before.cpu().numpy(),
    )


def _fit_discriminants(
    model: LearnedModel, shown: _Shown, of: np.ndarray, looks: np.ndarray, mixing: Mapping[int, Mixing]
) -> dict[int, Mixing]:
    heads = _fitted(shown, [len(values) for values in model.vocabulary.heads])
    if not heads:
        return {}
    if not all(i in mixing for i in heads):
        crossed = _cross_fit(model, shown, looks)
        mixing = {
            i: replace(one.mixing, shift=_shift(model, i, one, shown, of)) for i, one in crossed.items()
        }
    mixing = {i: mixing[i] for i in heads}
    space = shown.space(looks)
    for i, one in mixing.items():
        lines = one.keep(model.describer.lines[i])
        if _is_new(model, i):
            weight, bias, met, shift = _new_lines(shown, i, model.vocabulary)
            lines.shift.copy_(torch.from_numpy(shift / one.cooling))
        else:
            weight, bias, met = space.discriminant(shown.labels[:, i], len(lines.bias), shown.weights[:, i])
        lines.weight.copy_(torch.from_numpy(weight / one.cooling))
        lines.bias.copy_(torch.from_numpy(np.where(met, bias / one.cooling, NEVER)))
        lines.temperature.fill_(one.of_head)
    # what comes out by now are probabilities: cross-fitting has chosen how sure they are
    calibration, names = model.calibration, model.vocabulary.head_names
    still = {n: t for n, t in calibration.temperatures.items() if n not in {names[i] for i in mixing}}
    model.calibration = replace(calibration, temperatures=still)
    return mixing


def _temperature(outputs: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Choose what to divide a discriminant's scores by, on cells that it was not fitted on."""
    rows = np.flatnonzero(labels >= 0)
    rows = rows[outputs[rows, labels[rows]] > NEVER]  # its value had other cells
    if weights[rows].sum() < MIN_CELLS_TO_SELECT:
        return USUAL_TEMPERATURE
    losses = [_loss(outputs[rows] / t, labels[rows], weights[rows]) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def _share(
    outputs: np.ndarray, logits: np.ndarray, own: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> float:
    """Choose the discriminant's share among a head's own values, on cells that it was not fitted on."""
    rows = np.flatnonzero((labels >= 0) & np.append(own, False)[labels])
    rows = rows[outputs[rows, labels[rows]] > NEVER]
    if not own.any():
        return 1.0
    if own.sum() < 2 or weights[rows].sum() < MIN_CELLS_TO_SELECT:
        return 0.0
    one, other = (log_softmax(np.where(own, x[rows], NEVER), axis=1) for x in (logits, outputs))
    losses = np.array(
        [_loss((1 - share) * one + share * other, labels[rows], weights[rows]) for share in SHARES]
    )
    return float(SHARES[int(np.flatnonzero(losses <= losses.min() + _SERVES)[0])])


def _loss(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Return the mean negative log of the probability of the labels, none below one in a thousand."""
    likely = log_softmax(scores, axis=1)[np.arange(len(labels)), labels]
    return float(-np.average(np.maximum(likely, np.log(1e-3)), weights=weights))
