"""Whether a cell is like those that a model was taught: a p-value from the vectors that it remembers.

A cell's *place* is what the discriminants of the taught classes say of its features, in units of the spread
within a class. In these few directions the taught classes differ, and so do cells of other classes from all
of them; in the many others laboratories differ. The distance of a place to the nearest class is compared
with the distances of remembered cells, each placed by discriminants of the others: the share of these that
lie farther off is the p-value (conformal prediction: Vovk, Gammerman & Shafer 2005, chapter 2).

*Another film* moves all of its cells alike. The move is read off the film's cells that a person has labelled,
and taken off before distances are measured. Cells without labels cannot tell it: on a film of blasts it would
be they that look ordinary. They only tell that a film looks unlike those that were learnt from.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from training.engine.memory import Memory
from training.engine.space import Space

FOLDS = 5

FEWEST = 40
"""With fewer remembered cells there is no p-value: the rarest twentieth of them would be one or two cells."""

FEWEST_ON_A_FILM = 10
"""With fewer cells nothing is said of how a film looks."""

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


class Novelty:
    """Places of the cells that a model remembers.

    Attributes
    ----------
    values
        ``(k,)`` int: the values of the head that two remembered cells or more have.
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray, *, seed: int = 0) -> None:
        self.values = np.flatnonzero(np.bincount(labels) >= 2)
        rows = np.flatnonzero(np.isin(labels, self.values))
        features, labels = features[rows].astype(np.float64), labels[rows]
        of = np.searchsorted(self.values, labels)
        folds = _folds(of, seed)
        lines = np.zeros((len(rows), len(self.values)))
        for fold in np.unique(folds):
            held, rest = folds == fold, folds != fold
            weight, bias = self._matrix(features[rest], labels[rest])
            lines[held] = features[held] @ weight.T + bias
        means = np.stack([lines[of == k].mean(0) for k in range(len(self.values))])
        scatter = lines - means[of]
        spread, axes = np.linalg.eigh(scatter.T @ scatter / max(1, len(rows) - len(means)))
        kept = spread > 1e-6 * spread.max()  # the lines sum to nothing: one direction has no spread
        self._axes = axes[:, kept] / np.sqrt(np.maximum(spread[kept], 1e-2 * spread.mean()))
        self._means = means @ self._axes
        self._room = 1 + 1 / np.bincount(of)  # the mean of few cells may be wrong
        self._known = np.sort(self.distances(lines @ self._axes))
        self._lines = self._matrix(features, labels)

    @staticmethod
    @lru_cache(maxsize=4)
    def of(memory: Memory, head: int) -> Novelty | None:
        """Make it of a memory; ``None`` where that has too few cells, or cells of one value of the head."""
        labels = memory.labels[:, head]
        labels = labels[labels >= 0]
        counts = np.bincount(labels, minlength=1) if len(labels) else np.zeros(1, int)
        if counts[counts >= 2].sum() < FEWEST or (counts >= 2).sum() < 2:
            return None
        known = memory.of(np.flatnonzero(memory.labels[:, head] >= 0))
        return Novelty(known.features, known.labels[:, head].astype(int))

    @property
    def directions(self) -> int:
        """How many numbers a place has: d."""
        return int(self._means.shape[1])

    def places(self, features: np.ndarray) -> np.ndarray:
        """Give places ``(n, d)`` of features ``(n, F)``."""
        weight, bias = self._lines
        return np.asarray((features.astype(np.float64) @ weight.T + bias) @ self._axes)

    def distances(self, places: np.ndarray) -> np.ndarray:
        """Give the squared distances ``(n,)`` of places to the nearest class."""
        return np.asarray((self._squares(places) / self._room).min(1, initial=np.inf))

    def p_values(self, places: np.ndarray) -> np.ndarray:
        """Give ``(n,)``: the share of known cells that lie as far from the classes as each place does."""
        farther = len(self._known) - np.searchsorted(self._known, self.distances(places), side="left")
        return np.asarray((1 + farther) / (1 + len(self._known)))

    def move(self, places: np.ndarray, labels: Sequence[int]) -> np.ndarray:
        """Estimate how far a film's cells are moved: ``(d,)``, to be taken off their places.

        Parameters
        ----------
        places
            ``(n, d)`` of the film's labelled cells.
        labels
            ``(n,)``: the value of the head that each has; those that were not taught say nothing.
        """
        rows = np.flatnonzero(np.isin(labels, self.values))
        rest = places[rows] - self._means[np.searchsorted(self.values, np.asarray(labels, int)[rows])]
        return np.asarray(rest.sum(0) / (len(rows) + _AT_HOME))

    def looks_unlike(self, places: np.ndarray) -> bool:
        """Say whether a film's cells ``(n, d)`` as a whole lie elsewhere than those that were learnt from."""
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

    def _matrix(self, features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fit weights ``(k, F)`` and biases ``(k,)``, less their means: what moves all says nothing."""
        space = Space(features, labels[:, None])
        weight, bias, _ = space.discriminant(labels, int(self.values.max()) + 1)
        weight, bias = weight[self.values], bias[self.values]
        return weight - weight.mean(0), bias - bias.mean()


def _folds(of: np.ndarray, seed: int) -> np.ndarray:
    """Share cells out, those of each class evenly: of each there are some in two folds at least."""
    rng, folds = np.random.default_rng(seed), np.zeros(len(of), int)
    for k in np.unique(of):
        rows = rng.permutation(np.flatnonzero(of == k))
        folds[rows] = np.arange(len(rows)) % FOLDS
    return folds
