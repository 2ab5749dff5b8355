"""Fit the describer's heads on frozen features, together with the memory of the parents.

Twenty cells of a new class are too few for gradient descent, which also forgets the classes that a project
does not show. A linear discriminant on the features of a trunk that was trained on thousands of white cells
separates a new class from its neighbours, and is fitted in seconds: on the project's cells together with the
feature vectors that the parents remember (`training.models.memory`). Among the values that the parent's own
heads were trained on, the heads are interpolated with the discriminant, by a share that is selected by
cross-fitting (``docs/adr/0007``).
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import log_softmax
from torch import nn

from training.engine.cell_features import Cells, add_to_memory
from training.engine.new_attribute import LogisticFit, fit_logistic
from training.engine.within_class import classes_of, fit_shift
from training.models.memory import Memory, single_labels
from training.models.model import LearnedModel, adapt
from training.networks.describer import NEVER, Discriminant
from training.networks.vocabulary import Vocabulary
from training.similarity.space import Space

FOLDS = 5
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Candidate shares of the discriminant among the parent's values; the smallest good enough is used."""

_TOLERANCE = 0.005
"""A share is good enough if its loss is this close to the best."""

MIN_CELLS_TO_SELECT = 10
DEFAULT_TEMPERATURE = 4.0
"""Temperature of a discriminant if there are fewer cells than `MIN_CELLS_TO_SELECT`."""

_TEMPERATURES = np.geomspace(0.5, 64, 43)


@dataclass(frozen=True)
class Mixing:
    """How a discriminant and its head are interpolated, selected by cross-fitting.

    Attributes
    ----------
    temperature
        Temperature of the discriminant's scores.
    head_temperature
        Temperature of the head's logits.
    share
        Interpolation weight of the discriminant among the head's own values.
    shift
        Log-odds added in a cell of each class (`training.engine.within_class`); ``None`` = the parent's.
    """

    temperature: float
    head_temperature: float
    share: float
    shift: np.ndarray | None = dataclasses.field(default=None, compare=False)

    def write_to(self, discriminant: nn.Module) -> Discriminant:
        """Write the parameters to a discriminant; return it."""
        assert isinstance(discriminant, Discriminant)
        if self.shift is not None:
            discriminant.shift.copy_(torch.from_numpy(self.shift))
        discriminant.share.fill_(self.share)
        discriminant.temperature.fill_(1.0)
        discriminant.used.fill_(1.0)
        return discriminant


def fit_heads(
    model: LearnedModel, cells: Cells, *, seed: int = 0, mixing: Mapping[int, Mixing] | None = None
) -> dict[int, Mixing]:
    """Fit a discriminant for each head, and remember the cells.

    Trunk and heads stay as they are. An attribute that no parent's head was trained on gets a logistic
    regression instead (`training.engine.new_attribute`). A head with fewer than two values among cells and
    memory gets no discriminant. The label of a group counts as the member that a discriminant of the other
    cells predicts; if no cell has any member's label, it is ignored.

    Parameters
    ----------
    model
        Made by `adapt` for the project: the cells of the same project in its memory are not used.
    cells
        The project's, from `embed_cells`.
    mixing
        Head index to its mixing, if it was selected on nearly the same cells: selecting takes five times as
        long as fitting. If any head is missing, all are selected.

    Returns
    -------
    dict
        Head index to its mixing.
    """
    model.eval()
    memory = model.memory.without_source(model.source)
    rows = _join_memory(cells, memory, seed)
    own_labels = rows.labels[: len(cells.labels.cell_ids)]
    mixed: dict[int, Mixing] = {}
    if (rows.labels >= 0).any():
        _resolve_groups(rows, cells.labels.allowed, memory)
        mixed = _fit_discriminants(model, rows, cells.labels.cell_ids, memory, mixing or {})
    model.memory = add_to_memory(memory, cells, own_labels, model.source, seed)
    # a group without a label of any member counts for none of them
    model.record_training(
        [own_labels[:, i, None] == np.arange(len(values)) for i, values in enumerate(model.vocabulary.heads)],
        cells.labels.weights,
    )
    return mixed


def out_of_fold(model: LearnedModel, cells: Cells, source: int, *, seed: int = 0) -> list[np.ndarray | None]:
    """Predict each cell out of fold: with discriminants fitted on other patients' cells only.

    If all cells are of one patient (or field), the folds are of cells. Neither the heads nor the memory used
    here contain the project's cells.

    Parameters
    ----------
    cells
        All labelled cells of a project.
    source
        The project's number in memories.

    Returns
    -------
    list
        Per head probabilities ``(n, K)``, 0 for values without any other cell; ``None`` if fewer than
        `MIN_CELLS_TO_SELECT` cells have a label.
    """
    probe = adapt(model, model.vocabulary, source).eval()
    if len(np.unique(cells.units)) < 2:
        cells = replace(cells, units=np.arange(len(cells.units)).astype(str))
    memory = probe.memory.without_source(source)
    rows = _join_memory(cells, memory, seed)
    predictions: list[np.ndarray | None] = [None] * rows.labels.shape[1]
    if not (rows.labels >= 0).any():
        return predictions
    _resolve_groups(rows, cells.labels.allowed, memory)
    # all rows of a cell have the same prediction
    first = np.searchsorted(cells.labels.cell_ids, np.arange(len(cells.units)))
    for i, crossed in _cross_fit(probe, rows, memory).items():
        if rows.counts(i) < MIN_CELLS_TO_SELECT:
            continue
        discriminant = crossed.mixing.write_to(probe.describer.lines[i])
        logits, scores = crossed.logits[first], crossed.scores[first]
        mixed = discriminant.mixed(torch.from_numpy(logits), torch.from_numpy(scores))
        predictions[i] = np.where(scores > NEVER, mixed.exp().numpy(), 0.0)
    return predictions


@dataclass
class _TrainingRows:
    """Training data of discriminants: the rows of a project's labels, then those of a memory.

    Attributes
    ----------
    features
        ``(n, F)`` float64.
    labels, weights
        ``(n, heads)``: see `training.models.memory.Memory`.
    folds
        ``(n,)``: the fold of each; all rows of a unit are in one.
    cells
        ``(n,)``: the cell of each, ascending.
    """

    features: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    folds: np.ndarray
    cells: np.ndarray

    def select(self, rows: np.ndarray) -> _TrainingRows:
        """Select rows."""
        return _TrainingRows(
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

    def space(self, memory: Memory) -> Space:
        """Fit the whitened space of the features; one cell of each class is lent that of others."""
        return Space(self.features, self.labels, memory.looks, self.weights, lent=memory.outside)


def _join_memory(cells: Cells, memory: Memory, seed: int) -> _TrainingRows:
    """Append a memory's cells to those of a project."""
    cell_ids = cells.labels.cell_ids
    rng = np.random.default_rng(seed)
    names, units = np.unique(cells.units, return_inverse=True)
    folds = rng.permutation(max(1, len(names)))[units][cell_ids] % FOLDS
    return _TrainingRows(
        np.concatenate((cells.features[cell_ids], memory.features.astype(np.float32))).astype(np.float64),
        np.concatenate((single_labels(cells.labels.allowed), memory.labels)).astype(int),
        np.concatenate((cells.labels.weights, memory.weights)).astype(np.float64),
        np.concatenate((folds, rng.integers(FOLDS, size=len(memory)))),
        np.concatenate((cell_ids, len(cells.units) + np.arange(len(memory)))),
    )


def _resolve_groups(training_rows: _TrainingRows, allowed: Sequence[np.ndarray], memory: Memory) -> None:
    """Replace the labels of groups by the most probable member that other cells have."""
    group_rows = [np.flatnonzero(head.sum(1) > 1) for head in allowed]
    if not any(len(rows) for rows in group_rows):
        return
    features, labels = training_rows.features, training_rows.labels
    space = training_rows.space(memory)
    for i, rows in enumerate(group_rows):
        weight, bias, present = space.discriminant(
            labels[:, i], allowed[i].shape[1], training_rows.weights[:, i]
        )
        scores = np.where(allowed[i][rows] & present, features[rows] @ weight.T + bias, -np.inf)
        known = np.isfinite(scores).any(1)
        labels[rows[known], i] = scores[known].argmax(1)


@dataclass
class _CrossFit:
    """One head's discriminant, judged on cells that it was not fitted on.

    Attributes
    ----------
    scores
        ``(n, K)`` its scores, divided by `Mixing.temperature`; `NEVER` for values without any other cell.
    logits
        ``(n, K)`` the head's logits alone, divided by `Mixing.head_temperature`.
    """

    scores: np.ndarray
    logits: np.ndarray
    mixing: Mixing


def _heads_to_fit(training_rows: _TrainingRows, sizes: Sequence[int]) -> list[int]:
    """List the heads with at least two labelled values."""
    columns = training_rows.labels.T
    return [i for i in range(len(sizes)) if len(np.unique(columns[i][columns[i] >= 0])) >= 2]


def _is_new_attribute(model: LearnedModel, head: int) -> bool:
    """Return whether a head is of an attribute that no parent's head was trained on."""
    if model.vocabulary.classes and not head:
        return False
    return model.describer.own_values(head) < 2  # one value alone is nothing to predict


def _fit_new_attribute(training_rows: _TrainingRows, head: int, vocabulary: Vocabulary) -> LogisticFit:
    return fit_logistic(
        training_rows.features,
        training_rows.labels[:, head],
        training_rows.classes(vocabulary),
        training_rows.weights[:, head],
        n_values=len(vocabulary.heads[head]),
        n_classes=len(vocabulary.classes),
        ordered=vocabulary.head_names[head] in vocabulary.ordered,
    )


def _cross_fit(model: LearnedModel, training_rows: _TrainingRows, memory: Memory) -> dict[int, _CrossFit]:
    """Predict each fold with discriminants fitted on the others, for the heads with at least two values."""
    describer, calibration, vocabulary = model.describer, model.calibration, model.vocabulary
    features, labels, weights, folds = (
        training_rows.features,
        training_rows.labels,
        training_rows.weights,
        training_rows.folds,
    )
    names, sizes, classes = (
        vocabulary.head_names,
        [len(values) for values in vocabulary.heads],
        training_rows.classes(vocabulary),
    )
    heads = _heads_to_fit(training_rows, sizes)
    if not heads:
        return {}
    scores = {i: np.full((len(labels), sizes[i]), NEVER) for i in heads}
    for fold in np.unique(folds):
        test, train = folds == fold, folds != fold
        if not (labels[train] >= 0).any():
            continue
        training = training_rows.select(train)
        space = training.space(memory)
        for i in heads:
            if _is_new_attribute(model, i):
                scores[i][test] = _fit_new_attribute(training, i, vocabulary).scores(
                    features[test], classes[test]
                )
                continue
            weight, bias, present = space.discriminant(labels[train, i], sizes[i], weights[train, i])
            scores[i][test] = np.where(present, features[test] @ weight.T + bias, NEVER)
    with torch.inference_mode():
        device = next(describer.parameters()).device
        logits_of_heads = describer.head_logits(torch.from_numpy(features.astype(np.float32)).to(device))
    crossed = {}
    for i in heads:
        discriminant = describer.lines[i]
        assert isinstance(discriminant, Discriminant)
        temperature = _select_temperature(scores[i], labels[:, i], weights[:, i])
        head_temperature = (
            float(discriminant.temperature)
            if discriminant.used
            else calibration.temperatures.get(names[i], 1.0)
        )
        own = discriminant.own.cpu().numpy() > 0
        logits = logits_of_heads[i].cpu().numpy().astype(np.float64) / head_temperature
        scaled = np.where(scores[i] > NEVER, scores[i] / temperature, NEVER)
        share = _select_share(scaled, logits, own, labels[:, i], weights[:, i])
        crossed[i] = _CrossFit(scaled, logits, Mixing(temperature, head_temperature, share))
    return crossed


def _fit_shift(
    model: LearnedModel, head: int, crossed: _CrossFit, training_rows: _TrainingRows, cell_ids: np.ndarray
) -> np.ndarray | None:
    """Fit an attribute's shift within classes on the project's rows, which come first.

    The memory of the parents is balanced over the values, so it does not show their frequencies.

    Parameters
    ----------
    cell_ids
        The cell of each of these rows.
    """
    discriminant = model.describer.lines[head]
    assert isinstance(discriminant, Discriminant)
    if not len(discriminant.shift) or _is_new_attribute(model, head):
        return None
    n = len(cell_ids)
    mixed = crossed.mixing.write_to(copy.deepcopy(discriminant).cpu()).mixed(
        torch.from_numpy(crossed.logits[:n]), torch.from_numpy(crossed.scores[:n])
    )
    return fit_shift(
        mixed.numpy(),
        classes_of(training_rows.labels[:n, 0], cell_ids),
        training_rows.labels[:n, head],
        training_rows.weights[:n, head],
        discriminant.shift_before.cpu().numpy(),
    )


def _fit_discriminants(
    model: LearnedModel,
    training_rows: _TrainingRows,
    cell_ids: np.ndarray,
    memory: Memory,
    mixing: Mapping[int, Mixing],
) -> dict[int, Mixing]:
    heads = _heads_to_fit(training_rows, [len(values) for values in model.vocabulary.heads])
    if not heads:
        return {}
    if not all(i in mixing for i in heads):
        crossed = _cross_fit(model, training_rows, memory)
        mixing = {
            i: replace(mix.mixing, shift=_fit_shift(model, i, mix, training_rows, cell_ids))
            for i, mix in crossed.items()
        }
    mixing = {i: mixing[i] for i in heads}
    space = training_rows.space(memory)
    for i, mix in mixing.items():
        discriminant = mix.write_to(model.describer.lines[i])
        if _is_new_attribute(model, i):
            weight, bias, present, shift = _fit_new_attribute(training_rows, i, model.vocabulary)
            discriminant.shift.copy_(torch.from_numpy(shift / mix.temperature))
        else:
            weight, bias, present = space.discriminant(
                training_rows.labels[:, i], len(discriminant.bias), training_rows.weights[:, i]
            )
        discriminant.weight.copy_(torch.from_numpy(weight / mix.temperature))
        discriminant.bias.copy_(torch.from_numpy(np.where(present, bias / mix.temperature, NEVER)))
        discriminant.temperature.fill_(mix.head_temperature)
    # the output is calibrated already: the temperatures were selected by cross-fitting
    calibration, names = model.calibration, model.vocabulary.head_names
    remaining = {n: t for n, t in calibration.temperatures.items() if n not in {names[i] for i in mixing}}
    model.calibration = replace(calibration, temperatures=remaining)
    return mixing


def _select_temperature(outputs: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Select the temperature of a discriminant on out-of-fold scores."""
    rows = np.flatnonzero(labels >= 0)
    rows = rows[outputs[rows, labels[rows]] > NEVER]  # its value has other cells
    if weights[rows].sum() < MIN_CELLS_TO_SELECT:
        return DEFAULT_TEMPERATURE
    losses = [_loss(outputs[rows] / t, labels[rows], weights[rows]) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def _select_share(
    outputs: np.ndarray, logits: np.ndarray, own: np.ndarray, labels: np.ndarray, weights: np.ndarray
) -> float:
    """Select the discriminant's share among a head's own values on out-of-fold scores."""
    rows = np.flatnonzero((labels >= 0) & np.append(own, False)[labels])
    rows = rows[outputs[rows, labels[rows]] > NEVER]
    if not own.any():
        return 1.0
    if own.sum() < 2 or weights[rows].sum() < MIN_CELLS_TO_SELECT:
        return 0.0
    log_p_head, log_p_discriminant = (
        log_softmax(np.where(own, x[rows], NEVER), axis=1) for x in (logits, outputs)
    )
    losses = np.array(
        [
            _loss((1 - share) * log_p_head + share * log_p_discriminant, labels[rows], weights[rows])
            for share in SHARES
        ]
    )
    return float(SHARES[int(np.flatnonzero(losses <= losses.min() + _TOLERANCE)[0])])


def _loss(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted mean negative log-likelihood of the labels, probabilities clipped at 0.001."""
    log_p = log_softmax(scores, axis=1)[np.arange(len(labels)), labels]
    return float(-np.average(np.maximum(log_p, np.log(1e-3)), weights=weights))
