"""The space in which cells of a class lie closest together: where a discriminant is the nearest mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from training.networks.describer import NEVER

SHRINKAGE = 0.3
"""Share of the identity in the covariance of the standardised features within a class: there are far more
features than cells. Chosen on ``train`` (``docs/adr/0007``)."""


_LOOKS = 0.5
"""What the looks of other laboratories weigh beside the spread within a class (``docs/adr/0010``)."""


_FEWEST_OF_EACH = 3
"""Cells of each class on average from which on the class groups all cells."""


@dataclass(frozen=True)
class Directions:
    """Directions of cells in a `Space`: compared with `likeness`.

    Attributes
    ----------
    plain, shared
        ``(n, F)`` and ``(n, m)`` float32: a product is that of the one less that of the other.
    """

    plain: np.ndarray
    shared: np.ndarray

    def likeness(self, others: Directions) -> np.ndarray:
        """Return the cosine of each with each: ``(n, k)``."""
        return np.asarray(self.plain @ others.plain.T - self.shared @ others.shared.T)

    def of_length_1(self) -> Directions:
        """Divide each by its length."""
        squares = (self.plain**2).sum(1) - (self.shared**2).sum(1)
        lengths = np.sqrt(np.maximum(squares, 1e-12))[:, None]
        return Directions(self.plain / lengths, self.shared / lengths)


class Space:
    """The covariance of features within a class, shrunk: where a discriminant is the nearest mean.

    How other laboratories' looks move features (`training.models.memory.Memory.looks`) counts as spread
    within a class: a discriminant then leans on what stays as it is. A label of which readings differ counts
    by its share of the votes. The first head (the class, if there is one) that has two values and labels half
    of the cells groups them for all heads: an attribute may have more values, but only the few cells of one
    project may have it. The class does so from three cells of each value on: within a value of an attribute
    classes differ, and what tells them apart would count as spread (a schema of words that the starter was
    never taught: 90% instead of 46 to 54% of the suggestions 26 to 75 are named rightly).
    """

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        looks: np.ndarray | None = None,
        weights: np.ndarray | None = None,
    ) -> None:
        if weights is None:
            weights = np.ones(labels.shape)
        head = _grouping(labels, weights)
        grouping = labels[:, head]
        rows, weight = features[grouping >= 0], weights[grouping >= 0, head, None]
        groups = np.unique(grouping[grouping >= 0], return_inverse=True)[1]
        counts = np.bincount(groups, weight[:, 0])
        of_group = np.zeros((len(counts), len(rows)))
        of_group[groups, np.arange(len(rows))] = weight[:, 0]
        sums = of_group @ rows
        rest = rows - (sums / counts[:, None])[groups]
        total = max(1.0, float(weight.sum()))
        self._features = features
        self._centre = features.mean(0)
        moves = np.zeros((0, features.shape[1])) if looks is None else _LOOKS**0.5 * looks.astype(np.float64)
        centred = rest - (rest * weight).sum(0) / total
        spread = np.sqrt((centred**2 * weight).sum(0) / total + (moves**2).sum(0))
        self._scale = np.maximum(spread, 1e-3 * features.std(0) + 1e-6)
        rest /= self._scale
        rest *= np.sqrt(weight)
        moves /= self._scale
        # single precision is half the time, and the identity in it keeps it far from singular
        self._spread = np.concatenate((rest / total**0.5, moves)).astype(np.float32)
        self._spread *= np.float32((1 - SHRINKAGE) ** 0.5)
        self._few = len(self._spread) < features.shape[1]

    @cached_property
    def _upper(self) -> np.ndarray:
        """The upper triangle whose square is the covariance ``(F, F)``."""
        covariance = self._spread.T @ self._spread
        covariance[np.diag_indices_from(covariance)] += SHRINKAGE
        return np.asarray(cholesky(covariance, overwrite_a=True, check_finite=False))

    @cached_property
    def _small(self) -> np.ndarray:
        """The same of rows ``(n, n)``: where there are fewer rows than features it is the smaller one.

        Woodbury: the inverse of ``EᵀE + sI`` is ``(I - Eᵀ(EEᵀ + sI)⁻¹E) / s``.
        """
        rows = self._spread @ self._spread.T
        rows[np.diag_indices_from(rows)] += SHRINKAGE
        return np.asarray(cholesky(rows, overwrite_a=True, check_finite=False))

    def _solved(self, columns: np.ndarray) -> np.ndarray:
        """Return the inverse of the covariance times ``(F, k)``."""
        if not self._few:
            return np.asarray(cho_solve((self._upper, False), columns, check_finite=False))
        inner = cho_solve((self._small, False), self._spread @ columns, check_finite=False)
        return np.asarray((columns - self._spread.T @ inner) / SHRINKAGE)

    def discriminant(
        self, labels: np.ndarray, values: int, weights: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fit the discriminant of one head, all values equally probable.

        Parameters
        ----------
        labels
            ``(n,)`` of the cells that the space was made from, -1 = none.
        weights
            ``(n,)``: what each of these labels weighs; ``None`` = 1.

        Returns
        -------
        tuple
            Weights ``(K, F)``, biases ``(K,)``, and which values any cell has ``(K,)`` bool.
        """
        met = np.bincount(labels[labels >= 0], minlength=values) > 0
        weight, bias = np.zeros((values, self._features.shape[1])), np.full(values, NEVER)
        if met.any():
            weights = np.ones(len(labels)) if weights is None else weights
            means = np.stack([self._mean(labels == value, weights) for value in np.flatnonzero(met)])
            weight[met], bias[met] = self.lines(means)
        return weight, bias, met

    def lines(self, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights ``(K, F)`` and biases ``(K,)`` of the discriminant of classes with these means."""
        standard = (means - self._centre) / self._scale
        solved = self._solved(standard.T.astype(np.float32)).T
        weight = solved / self._scale
        return weight, -0.5 * (solved * standard).sum(1) - weight @ self._centre

    def axes(self, features: np.ndarray, count: int) -> np.ndarray:
        """Return the directions in which features differ most, in units of the spread within a class.

        Parameters
        ----------
        features
            ``(n, F)``: of any cells, taught or not.

        Returns
        -------
        numpy.ndarray
            ``(F, d)`` with d up to `count`: features times these are coordinates.
        """
        upper = self._upper
        scaled = ((features - features.mean(0)) / self._scale).astype(np.float32)
        main = main_axes(solve_triangular(upper, scaled.T, trans="T", check_finite=False).T, count)
        return np.asarray(solve_triangular(upper, main, check_finite=False) / self._scale[:, None])

    def directions(self, features: np.ndarray) -> Directions:
        """Return where from the mean cells ``(n, F)`` lie, in units of the spread within a class."""
        standard = ((features - self._centre) / self._scale).astype(np.float32)
        if self._few:
            shared = solve_triangular(self._small, self._spread @ standard.T, trans="T", check_finite=False).T
            return Directions(standard, shared).of_length_1()
        white = solve_triangular(self._upper, standard.T, trans="T", check_finite=False).T
        return Directions(white, white[:, :0]).of_length_1()

    def _mean(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        some = weights[rows, None]
        return np.asarray((self._features[rows] * some).sum(0) / some.sum())


def main_axes(vectors: np.ndarray, count: int) -> np.ndarray:
    """Return the principal axes ``(F, d)``, d up to `count`, of centred vectors ``(n, F)``."""
    from sklearn.utils.extmath import randomized_svd

    count = min(count, *vectors.shape)
    return np.asarray(randomized_svd(vectors, count, random_state=0)[2].T)


def _grouping(labels: np.ndarray, weights: np.ndarray) -> int:
    labelled = (weights * (labels >= 0)).sum(0)
    values = np.array([len(np.unique(column[column >= 0])) for column in labels.T])
    enough = 2 * labelled >= weights.sum(0)
    enough[0] |= labelled[0] >= _FEWEST_OF_EACH * values[0]
    for head in np.flatnonzero((values >= 2) & enough):
        return int(head)
    return int(np.argmax(labelled))
