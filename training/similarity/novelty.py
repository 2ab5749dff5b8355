"""Whether a cell is like those that a model was taught: a p-value from the vectors that it remembers.

Four things tell a cell of another class, each where the others fail (``docs/adr/0010``, ``0030``):

- *Place*: what the discriminants of the taught classes say of its features, in units of the spread within a
  class. In these few directions the taught classes differ, and so do most others from all of them.
- *Company*: how like its nearest remembered cells it is in all features, by `Space.directions`.
- *Doubt*: how sure the model is of the class that it says. Where a discriminant alone decides, which was
  fitted on the very cells that are remembered, each is judged by one that was fitted on others
  (``docs/adr/0029``).
- *Kind*: how much rather it is one of the cells that are known to be of none of these classes, if any are
  remembered and no project has taught a class of its own, which theirs may be.

Each is compared with those of the remembered cells: the share of these that stand out as much is a p-value
(conformal prediction: Vovk, Gammerman & Shafer 2005, chapter 2). They are multiplied, as Fisher's method
does, and the product is compared with theirs again, so that it is one p-value whatever they have in common.

*Another film* moves all of its cells alike. The move is read off the film's cells that a person has labelled,
and taken off their features. Cells without labels cannot tell it: on a film of blasts it would be they that
look ordinary. They only tell that a film looks unlike those that were learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from scipy.special import softmax

from training.models.memory import NO_SOURCE, Memory
from training.networks.describer import Describer
from training.similarity.space import Space

FOLDS = 5

FEWEST = 40
"""With fewer remembered cells there is no p-value: the rarest twentieth of them would be one or two cells."""

FEWEST_ON_A_FILM = 10
"""Minimum number of cells to judge a film."""

UNLIKE = 1.0
"""A film whose cells lie farther off than this, in units of the spread within a class, looks unlike those
that were learnt from: cells of the same laboratory lie 0.2 off, those of another 0.8 (10 cells) to 2.4."""

_NEAR = 0.5
"""Share of a film's cells by which its look is judged: the others may be of other classes."""

_LIKE_OTHERS = 5.0
"""What the assumption that a film looks like others weighs, in cells without labels."""

_AT_HOME = 1.0
"""The same, in cells with labels: one label is believed by half."""

_TURNS = 15


_COOLING = 4.0
"""What scores of a discriminant are divided by, where they alone tell how sure a class is."""

_COMPANY = 5
"""Nearest remembered cells that are a cell's company."""


class Novelty:
    """What the remembered cells of the taught classes are like.

    Attributes
    ----------
    values
        ``(k,)`` int: the values of the head that two remembered cells or more have.
    """

    def __init__(self, memory: Memory, head: int, describer: Describer, *, seed: int = 0) -> None:
        labels = memory.settled(head)
        self.values = np.flatnonzero(np.bincount(labels[labels >= 0]) >= 2)
        rows = np.flatnonzero(np.isin(labels, self.values))
        others = _outside(memory, labels, self.values)
        features, labels = memory.features[rows].astype(np.float64), labels[rows]
        of = np.searchsorted(self.values, labels)
        self._describer, self._head, self._looks = describer, head, memory.looks
        self._by_discriminant = describer.is_by_discriminant(head)
        self._typical = np.stack([features[of == k].mean(0) for k in range(len(self.values))])
        folds = _folds(of, seed)
        lines, lonely = np.zeros((len(rows), len(self.values))), np.zeros(len(rows))
        outside = np.zeros(len(rows))
        for fold in np.unique(folds):
            held, rest = folds == fold, folds != fold
            space = Space(features[rest], labels[rest, None], self._looks)
            fitted = self._fit(space, labels[rest])
            weight, bias = _less_their_means(fitted)
            lines[held] = features[held] @ weight.T + bias
            company = space.directions(features[rest])
            lonely[held] = _loneliness(space.directions(features[held]).likeness(company))
            some = others[np.arange(len(others)) % FOLDS != fold]
            outside[held] = _leaning(features[held], _with_others(fitted, space, some))
        means = np.stack([lines[of == k].mean(0) for k in range(len(self.values))])
        scatter = lines - means[of]
        spread, axes = np.linalg.eigh(scatter.T @ scatter / max(1, len(rows) - len(means)))
        kept = spread > 1e-6 * spread.max()  # the lines sum to nothing: one direction has no spread
        self._axes = axes[:, kept] / np.sqrt(np.maximum(spread[kept], 1e-2 * spread.mean()))
        self._means = means @ self._axes
        self._room = 1 + 1 / np.bincount(of)  # the mean of few cells may be wrong
        self._space = Space(features, labels[:, None], self._looks)
        fitted = self._fit(self._space, labels)
        self._lines = _less_their_means(fitted)
        self._against = _with_others(fitted, self._space, others)
        self._company = self._space.directions(features)
        # what was fitted on these very cells is surer of them than of any other
        doubt = _doubt_of(lines / _COOLING) if self._by_discriminant else self._doubt(features)
        known = (self._distances(lines @ self._axes), lonely, doubt, outside)
        self._known = [np.sort(one) for one in known]
        self._together = np.sort(self._standing_out(known))

    @staticmethod
    @lru_cache(maxsize=4)
    def of(memory: Memory, head: int, describer: Describer) -> Novelty | None:
        """Create it from a memory; ``None`` if that has too few cells, or cells of one value of the head."""
        labels = memory.settled(head)
        labels = labels[labels >= 0]
        counts = np.bincount(labels, minlength=1) if len(labels) else np.zeros(1, int)
        if counts[counts >= 2].sum() < FEWEST or (counts >= 2).sum() < 2:
            return None
        return Novelty(memory, head, describer)

    @property
    def directions(self) -> int:
        """How many numbers a place has: d."""
        return int(self._means.shape[1])

    def places(self, features: np.ndarray) -> np.ndarray:
        """Return places ``(n, d)`` of features ``(n, F)``."""
        weight, bias = self._lines
        return np.asarray((features.astype(np.float64) @ weight.T + bias) @ self._axes)

    def p_values(self, features: np.ndarray) -> np.ndarray:
        """Return ``(n,)`` for features ``(n, F)``: the share of known cells that stand out as much."""
        lonely = _loneliness(self._space.directions(features).likeness(self._company))
        leaning = _leaning(features.astype(np.float64), self._against)
        measures = (self._distances(self.places(features)), lonely, self._doubt(features), leaning)
        together = self._standing_out(measures)
        return _p_values(self._together, together)

    def move(self, features: np.ndarray, labels: Sequence[int]) -> np.ndarray:
        """Estimate the shift of a film's features, ``(F,)``, to be subtracted from them.

        Parameters
        ----------
        features
            ``(n, F)`` of the film's labelled cells.
        labels
            ``(n,)``: the value of the head that each has; those that were not taught say nothing.
        """
        rows = np.flatnonzero(np.isin(labels, self.values))
        rest = features[rows] - self._typical[np.searchsorted(self.values, np.asarray(labels, int)[rows])]
        return np.asarray(rest.sum(0) / (len(rows) + _AT_HOME))

    def looks_unlike(self, places: np.ndarray) -> bool:
        """Return whether a film's cells ``(n, d)`` as a whole lie elsewhere than the training cells."""
        if len(places) < FEWEST_ON_A_FILM:
            return False
        move = np.zeros(places.shape[1])
        for _ in range(_TURNS):
            squares = self._squares(places - move)
            away, nearest = squares.min(1), squares.argmin(1)
            near = away <= np.quantile(away, _NEAR)
            move = (places - self._means[nearest])[near].sum(0) / (near.sum() + _LIKE_OTHERS)
        return float(np.linalg.norm(move)) > UNLIKE

    def _squares(self, places: np.ndarray) -> np.ndarray:
        return np.asarray(((places[:, None] - self._means[None]) ** 2).sum(2))

    def _distances(self, places: np.ndarray) -> np.ndarray:
        """Return the squared distances ``(n,)`` of places to the nearest class."""
        return np.asarray((self._squares(places) / self._room).min(1, initial=np.inf))

    @torch.inference_mode()
    def _doubt(self, features: np.ndarray) -> np.ndarray:
        """Return how unsure the model is of the class: ``(n,)``."""
        if self._by_discriminant:
            weight, bias = self._lines
            return _doubt_of((features.astype(np.float64) @ weight.T + bias) / _COOLING)
        device = next(self._describer.parameters()).device
        tensor = torch.from_numpy(features.astype(np.float32)).to(device)
        outputs = self._describer.decide(tensor)[self._head][:, self.values]
        return np.asarray((1 - torch.softmax(outputs, 1).amax(1)).double().cpu().numpy())

    def _standing_out(self, measures: Sequence[np.ndarray]) -> np.ndarray:
        """Return less the log of the product of what is as rare of each measure: ``(n,)``."""
        each = (_p_values(known, one) for known, one in zip(self._known, measures, strict=True))
        return np.asarray(-sum(np.log(one) for one in each))

    def _fit(self, space: Space, labels: np.ndarray) -> _Lines:
        """Fit the discriminant of the taught classes."""
        weight, bias, _ = space.discriminant(labels, int(self.values.max()) + 1)
        return weight[self.values], bias[self.values]


_Lines = tuple[np.ndarray, np.ndarray]
"""Weights ``(k, F)`` and biases ``(k,)`` of a discriminant."""


def _less_their_means(lines: _Lines) -> _Lines:
    """Take off what all lines have in common: what moves all says nothing."""
    weight, bias = lines
    return weight - weight.mean(0), bias - bias.mean()


def _with_others(lines: _Lines, space: Space, others: np.ndarray) -> _Lines:
    """Add, last, the line of cells ``(m, F)`` of none of the classes; no lines at all without such cells."""
    if not len(others):
        return np.zeros((0, others.shape[1])), np.zeros(0)
    weight, bias = lines
    of_none, bias_of_none = space.lines(others.mean(0, keepdims=True))
    return np.concatenate((weight, of_none)), np.concatenate((bias, bias_of_none))


def _outside(memory: Memory, labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the cells ``(m, F)`` that are of none of the taught classes.

    A class that only a project has taught may be theirs. Then nothing is known of them.
    """
    given = labels[memory.sources == NO_SOURCE]
    known = len(memory.outside) >= FOLDS and np.isin(values, given).all()
    return memory.outside[: None if known else 0].astype(np.float64)


def _leaning(features: np.ndarray, kinds: _Lines) -> np.ndarray:
    """Return how much rather cells ``(n, F)`` are of none than of the best taught class: ``(n,)``."""
    weight, bias = kinds
    if not len(weight):
        return np.zeros(len(features))
    scores = features @ weight.T + bias
    return np.asarray(scores[:, -1] - scores[:, :-1].max(1))


def _doubt_of(scores: np.ndarray) -> np.ndarray:
    """Return how far the most probable value is from certain: ``(n,)`` from log-odds ``(n, k)``."""
    return np.asarray(1 - softmax(scores, axis=1).max(1))


def _loneliness(likeness: np.ndarray) -> np.ndarray:
    """Return less the mean likeness to the nearest remembered cells: ``(n,)`` from ``(n, m)``."""
    near = np.partition(likeness, -min(_COMPANY, likeness.shape[1]), 1)[:, -_COMPANY:]
    return np.asarray(-np.where(np.isfinite(near), near, -1).mean(1))


def _p_values(known: np.ndarray, measures: np.ndarray) -> np.ndarray:
    """Return the share of sorted known measures that are as great: ``(n,)``."""
    as_great = len(known) - np.searchsorted(known, measures, side="left")
    return np.asarray((1 + as_great) / (1 + len(known)))


def _folds(of: np.ndarray, seed: int) -> np.ndarray:
    """Assign cells to folds, those of each class evenly: of each there are some in two folds at least."""
    rng, folds = np.random.default_rng(seed), np.zeros(len(of), int)
    for k in np.unique(of):
        rows = rng.permutation(np.flatnonzero(of == k))
        folds[rows] = np.arange(len(rows)) % FOLDS
    return folds
