"""Features whitened by the covariance within a class: a linear discriminant is then the nearest mean."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from training.networks.describer import NEVER

SHRINKAGE = 0.3
"""Share of the identity in the pooled covariance of the standardised features: there are far more features
than cells. Chosen on ``train`` (``docs/adr/0007``)."""


_LOOKS_WEIGHT = 0.5
"""Weight of the domain shifts of other laboratories beside the spread within a class (``docs/adr/0010``)."""


_MIN_SPREAD = 1e-3
"""Minimum spread of a feature within a class over that of all cells."""

_SPREAD_SAMPLE = 500
"""Maximum number of cells that their mean distance is estimated from."""

_MAX_LEVERAGE = 0.95
"""A cell that alone spans a direction would, if left out, lie infinitely far from its mean."""

_MIN_CELLS_PER_CLASS = 3
"""Cells of each class, on average, from which on the class groups all cells."""


@dataclass(frozen=True)
class Whitened:
    """Whitened feature vectors of length 1 from a `Space`, compared with `cosine`.

    Attributes
    ----------
    plain, shared
        ``(n, F)`` and ``(n, m)`` float32: an inner product is that of `plain` less that of `shared`.
    """

    plain: np.ndarray
    shared: np.ndarray

    def cosine(self, others: Whitened) -> np.ndarray:
        """Return the cosine similarity of each with each: ``(n, k)``."""
        return np.asarray(self.plain @ others.plain.T - self.shared @ others.shared.T)

    def normalised(self) -> Whitened:
        """Divide each vector by its length."""
        squares = (self.plain**2).sum(1) - (self.shared**2).sum(1)
        lengths = np.sqrt(np.maximum(squares, 1e-12))[:, None]
        return Whitened(self.plain / lengths, self.shared / lengths)


class Space:
    """The pooled, shrunk covariance of features within a class, as of a linear discriminant analysis.

    The domain shifts between laboratories (`training.models.memory.Memory.looks`) count as spread within a
    class, so that a discriminant relies on what does not change between them. A label that the readings of a
    cell disagree on counts by its share of the votes. The first head (the class, if there is one) that has
    two values and labels half of the cells groups them for all heads: an attribute may have more values, but
    only the few cells of one project may have it. The class does so from three cells of each value on: within
    a value of an attribute classes differ, and what separates them would count as spread (a schema of words
    that the starter was never taught: 90% instead of 46 to 54% of the suggestions 26 to 75 are named
    correctly).

    Parameters
    ----------
    features
        ``(n, F)``.
    labels
        ``(n, heads)`` int, -1 = none.
    looks
        ``(r, F)``: domain shifts; ``None`` = unknown.
    weights
        ``(n, heads)``: the weight of each label; ``None`` = 1.
    lent
        ``(m, F)``: other cells, whose spread is used if each group has one cell and thus none of its own.
    """

    def __init__(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        looks: np.ndarray | None = None,
        weights: np.ndarray | None = None,
        *,
        lent: np.ndarray | None = None,
    ) -> None:
        if weights is None:
            weights = np.ones(labels.shape)
        head = _grouping_head(labels, weights)
        grouping = labels[:, head]
        rows, weight = features[grouping >= 0], weights[grouping >= 0, head, None]
        groups = np.unique(grouping[grouping >= 0], return_inverse=True)[1]
        if lent is not None and len(np.unique(groups)) == len(rows):
            groups = np.append(groups, np.full(len(lent), len(rows)))
            rows = np.concatenate((rows, lent.astype(np.float64)))
            weight = np.concatenate((weight, np.ones((len(lent), 1))))
        counts = np.bincount(groups, weight[:, 0])
        membership = np.zeros((len(counts), len(rows)))
        membership[groups, np.arange(len(rows))] = weight[:, 0]
        sums = membership @ rows
        residuals = rows - (sums / counts[:, None])[groups]
        total = max(1.0, float(weight.sum()))
        self._features = features
        self._centre = features.mean(0)
        shifts = (
            np.zeros((0, features.shape[1]))
            if looks is None
            else _LOOKS_WEIGHT**0.5 * looks.astype(np.float64)
        )
        centred = residuals - (residuals * weight).sum(0) / total
        spread = np.sqrt((centred**2 * weight).sum(0) / total + (shifts**2).sum(0))
        # a feature without any spread, as the size of one cell of each class, would outweigh all others
        least = 1.0 if len(counts) == len(rows) else _MIN_SPREAD
        self._scale = np.maximum(spread, least * features.std(0) + 1e-6)
        residuals /= self._scale
        residuals *= np.sqrt(weight)
        shifts /= self._scale
        # single precision is half the time, and the identity in it keeps it far from singular
        self._residuals = np.concatenate((residuals / total**0.5, shifts)).astype(np.float32)
        self._residuals *= np.float32((1 - SHRINKAGE) ** 0.5)
        self._n_cells, self._total_weight = len(rows), total
        self._use_dual = len(self._residuals) < features.shape[1]

    @cached_property
    def _cholesky(self) -> np.ndarray:
        """Upper Cholesky factor of the covariance ``(F, F)``."""
        covariance = self._residuals.T @ self._residuals
        covariance[np.diag_indices_from(covariance)] += SHRINKAGE
        return np.asarray(cholesky(covariance, overwrite_a=True, check_finite=False))

    @cached_property
    def _dual_cholesky(self) -> np.ndarray:
        """Upper Cholesky factor of the Gram matrix ``(n, n)``, the smaller one if there are fewer rows.

        Woodbury: the inverse of ``EᵀE + sI`` is ``(I - Eᵀ(EEᵀ + sI)⁻¹E) / s``.
        """
        gram = self._residuals @ self._residuals.T
        gram[np.diag_indices_from(gram)] += SHRINKAGE
        return np.asarray(cholesky(gram, overwrite_a=True, check_finite=False))

    @cached_property
    def _spread(self) -> float:
        """Mean squared distance of a cell from the mean of its group, as if it had been left out.

        A cell that the covariance was estimated from has half the distance of another one. Without it, the
        inverse covariance changes by a matrix of rank 1 (Sherman and Morrison).
        """
        if self._use_dual:
            inverse = cho_solve((self._dual_cholesky, False), np.eye(len(self._residuals)))
            leverage = 1 - SHRINKAGE * np.diagonal(inverse)[: self._n_cells]
        else:
            rows = self._residuals[subsample(self._n_cells, _SPREAD_SAMPLE)]
            leverage = (rows * self._solve(rows.T).T).sum(1)
        leverage = np.clip(leverage, 0, _MAX_LEVERAGE)
        return float(self._total_weight / (1 - SHRINKAGE) * np.mean(leverage / (1 - leverage)))

    def _solve(self, columns: np.ndarray) -> np.ndarray:
        """Return the inverse of the covariance times ``(F, k)``."""
        if not self._use_dual:
            return np.asarray(cho_solve((self._cholesky, False), columns, check_finite=False))
        inner = cho_solve((self._dual_cholesky, False), self._residuals @ columns, check_finite=False)
        return np.asarray((columns - self._residuals.T @ inner) / SHRINKAGE)

    def discriminant(
        self, labels: np.ndarray, values: int, weights: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Fit the linear discriminant of one head, all values equally probable.

        The mean of n cells lies apart from that of all cells of the value, by a squared distance of d/n in
        the mean if a cell lies apart by d: a value with few cells would seem far from everything. Its bias is
        corrected by half of that (Moran and Murphy 1979, Applied Statistics 28:223; ``docs/adr/0032``).

        Parameters
        ----------
        labels
            ``(n,)`` of the cells that the space was made from, -1 = none.
        values
            Number K of values of the head.
        weights
            ``(n,)``: the weight of each label; ``None`` = 1.

        Returns
        -------
        tuple
            Weights ``(K, F)``, biases ``(K,)``, and which values any cell has ``(K,)`` bool.
        """
        present = np.bincount(labels[labels >= 0], minlength=values) > 0
        weight, bias = np.zeros((values, self._features.shape[1])), np.full(values, NEVER)
        if present.any():
            weights = np.ones(len(labels)) if weights is None else weights
            means = np.stack([self._mean(labels == value, weights) for value in np.flatnonzero(present)])
            weight[present], bias[present] = self.linear_discriminant(means)
            counts = np.array([weights[labels == value].sum() for value in np.flatnonzero(present)])
            bias[present] += 0.5 * self._spread / np.maximum(counts, 1.0)
        return weight, bias, present

    def linear_discriminant(self, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return weights ``(K, F)`` and biases ``(K,)`` of the discriminant of classes with these means."""
        standard = (means - self._centre) / self._scale
        solved = self._solve(standard.T.astype(np.float32)).T
        weight = solved / self._scale
        return weight, -0.5 * (solved * standard).sum(1) - weight @ self._centre

    def principal_axes(self, features: np.ndarray, count: int) -> np.ndarray:
        """Return the axes along which features vary most, in units of the spread within a class.

        Parameters
        ----------
        features
            ``(n, F)``: of any cells, taught or not.

        Returns
        -------
        numpy.ndarray
            ``(F, d)`` with d up to `count`: features times these are coordinates.
        """
        upper = self._cholesky
        scaled = ((features - features.mean(0)) / self._scale).astype(np.float32)
        axes = principal_axes(solve_triangular(upper, scaled.T, trans="T", check_finite=False).T, count)
        return np.asarray(solve_triangular(upper, axes, check_finite=False) / self._scale[:, None])

    def whiten(self, features: np.ndarray) -> Whitened:
        """Centre and whiten features ``(n, F)`` by the spread within a class, and normalise them."""
        standard = ((features - self._centre) / self._scale).astype(np.float32)
        if self._use_dual:
            shared = solve_triangular(
                self._dual_cholesky, self._residuals @ standard.T, trans="T", check_finite=False
            ).T
            return Whitened(standard, shared).normalised()
        white = solve_triangular(self._cholesky, standard.T, trans="T", check_finite=False).T
        return Whitened(white, white[:, :0]).normalised()

    def _mean(self, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
        selected = weights[rows, None]
        return np.asarray((self._features[rows] * selected).sum(0) / selected.sum())


def principal_axes(vectors: np.ndarray, count: int) -> np.ndarray:
    """Return the principal axes ``(F, d)``, d up to `count`, of centred vectors ``(n, F)``."""
    from sklearn.utils.extmath import randomized_svd

    count = min(count, *vectors.shape)
    return np.asarray(randomized_svd(vectors, count, random_state=0)[2].T)


def subsample(n: int, size: int) -> np.ndarray:
    """Return up to `size` of n rows, the same each time."""
    if n <= size:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, size, replace=False))


def _grouping_head(labels: np.ndarray, weights: np.ndarray) -> int:
    labelled = (weights * (labels >= 0)).sum(0)
    values = np.array([len(np.unique(column[column >= 0])) for column in labels.T])
    enough = 2 * labelled >= weights.sum(0)
    enough[0] |= labelled[0] >= _MIN_CELLS_PER_CLASS * values[0]
    for head in np.flatnonzero((values >= 2) & enough):
        return int(head)
    return int(np.argmax(labelled))
