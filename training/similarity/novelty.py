"""Novelty detection: a conformal p-value that a cell belongs to one of the classes a model was taught.

Five nonconformity measures are computed for each cell, each strong where the others fail
(``docs/adr/0010``, ``0030``, ``0033``):

- *Mahalanobis distance* to the nearest taught class, in the space of the discriminant scores. In these few
  directions the taught classes differ, and most other classes differ from all of them.
- *k-nearest-neighbour distance*: less the mean cosine similarity to the nearest remembered cells, in all
  features (`Space.whiten`).
- *Uncertainty*: 1 - the maximum class probability. If a discriminant alone decides, which was fitted on the
  remembered cells themselves, each cell is judged by one that was fitted on the other folds
  (``docs/adr/0029``).
- *Log-likelihood ratio* of "no taught class" to the best taught class, if cells of no taught class are
  remembered and no project has taught a class of its own (which theirs may be).
- *Colour outlier factor*: the mean distance to the remembered cells of the nearest colours
  (`training.networks.colours`), which the trunk is trained to disregard, over the distances of these cells to
  their own neighbours (a local outlier factor: Breunig, Kriegel, Ng & Sander 2000): colours are scattered
  more in some laboratories than in others. It counts for cells of films whose colours can be compared with
  those remembered (`Novelty.has_comparable_colours`).

Each measure is compared with those of the remembered cells: the share of these with a value at least as great
is a p-value (conformal prediction: Vovk, Gammerman & Shafer 2005, chapter 2). The p-values are combined by
Fisher's statistic. As they are not independent, its distribution is that of the remembered cells, not
chi-squared: the result is one conformal p-value.

*Domain shift* moves the features of all cells of a film alike. It is estimated from the film's labelled cells
and subtracted. Unlabelled cells cannot show it: on a film of blasts, the blasts would look ordinary. They
only show that a film differs from the training films (`Novelty.is_shifted`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from scipy.spatial.distance import cdist
from scipy.special import softmax

from training.evaluation.unchecked_films import can_tell_unlike
from training.models.memory import NO_SOURCE, Memory
from training.networks.describer import Describer
from training.similarity.space import Space

FOLDS = 5

MIN_CELLS_PER_FILM = 10
"""Minimum number of cells to judge a film."""

MAX_SHIFT = 1.0
"""Largest shift of a film, in units of the spread within a class, that is taken for the same domain: cells of
the same laboratory are shifted by 0.2, those of another by 0.8 (10 cells) to 2.4."""

MAX_COLOUR_SHIFT = 3.0
"""Largest shift of a film's colours, in the same units, with which they can be compared: those of a
laboratory that the starter learned from are shifted by 0.3 to 2.9, those of another by 4.6 to 9.3."""

_INLIER_SHARE = 0.5
"""Share of the cells, the nearest to their class, that estimate the shift: others may be of new classes."""

_UNLABELLED_PRIOR = 5.0
"""Weight, in cells, of the prior that a film is not shifted, for unlabelled cells."""

_LABELLED_PRIOR = 1.0
"""The same for labelled cells: a single label is believed by half."""

_SHIFT_ITERATIONS = 15
_RELABEL_ITERATIONS = 5


_TEMPERATURE = 4.0
"""Divides the discriminant scores before the softmax, if they alone give the class probabilities."""

_IDENTICAL = 1e-6
"""Distance of colours that are the same."""

_NEIGHBOURS = 5
"""k of the k-nearest-neighbour distance."""


class Novelty:
    """Novelty detector, calibrated on the remembered cells of the taught classes.

    Attributes
    ----------
    values
        ``(k,)`` int: the values of the head that at least two remembered cells have.
    """

    def __init__(self, memory: Memory, head: int, describer: Describer, *, seed: int = 0) -> None:
        labels = memory.majority_labels(head)
        self.values = np.flatnonzero(np.bincount(labels[labels >= 0]) >= 2)
        rows = np.flatnonzero(np.isin(labels, self.values))
        untaught = _cells_of_no_class(memory, labels, self.values)
        features, labels = memory.features[rows].astype(np.float64), labels[rows]
        class_index = np.searchsorted(self.values, labels)
        self._describer, self._head, self._looks = describer, head, memory.looks
        self._by_discriminant = describer.is_by_discriminant(head)
        self._class_means = np.stack([features[class_index == k].mean(0) for k in range(len(self.values))])
        folds = _assign_folds(class_index, seed)
        scores, knn = np.zeros((len(rows), len(self.values))), np.zeros(len(rows))
        log_ratio, colour_factor = np.zeros(len(rows)), np.zeros(len(rows))
        for fold in np.unique(folds):
            test, train = folds == fold, folds != fold
            space = Space(features[train], labels[train, None], self._looks)
            discriminant = self._fit(space, labels[train])
            weight, bias = _centre(discriminant)
            scores[test] = features[test] @ weight.T + bias
            whitened = space.whiten(features[train])
            knn[test] = _knn_distance(space.whiten(features[test]).cosine(whitened))
            train_untaught = untaught[np.arange(len(untaught)) % FOLDS != fold]
            log_ratio[test] = _log_likelihood_ratio(
                features[test], _add_untaught(discriminant, space, train_untaught)
            )
            colour_factor[test] = self._colour_space(features[train], labels[train]).outlier_factor(
                features[test, describer.colours]
            )
        means = np.stack([scores[class_index == k].mean(0) for k in range(len(self.values))])
        residuals = scores - means[class_index]
        variances, axes = np.linalg.eigh(residuals.T @ residuals / max(1, len(rows) - len(means)))
        nonzero = variances > 1e-6 * variances.max()  # centred scores sum to 0: one direction has no variance
        self._axes = axes[:, nonzero] / np.sqrt(np.maximum(variances[nonzero], 1e-2 * variances.mean()))
        self._means = means @ self._axes
        self._mean_variance = 1 + 1 / np.bincount(class_index)  # the mean of few cells is uncertain itself
        self._space = Space(features, labels[:, None], self._looks)
        discriminant = self._fit(self._space, labels)
        self._discriminant = _centre(discriminant)
        self._with_untaught = _add_untaught(discriminant, self._space, untaught)
        self._whitened = self._space.whiten(features)
        self._colours = self._colour_space(features, labels)
        # a discriminant is overconfident on the cells that it was fitted on: use the out-of-fold scores
        uncertainty = (
            _uncertainty_of(scores / _TEMPERATURE) if self._by_discriminant else self._uncertainty(features)
        )
        measures = (self._distances(scores @ self._axes), knn, uncertainty, log_ratio)
        self._calibration = [np.sort(measure) for measure in (*measures, colour_factor)]
        self._calibration_fisher = np.sort(self._fisher_statistic(measures))
        self._calibration_with_colours = np.sort(self._fisher_statistic((*measures, colour_factor)))

    @staticmethod
    @lru_cache(maxsize=4)
    def from_memory(memory: Memory, head: int, describer: Describer) -> Novelty | None:
        """Create it from a memory; ``None`` if that has too few cells, or cells of one value of the head."""
        labels = memory.majority_labels(head)
        labels = labels[labels >= 0]
        if not can_tell_unlike(np.bincount(labels).tolist()):
            return None
        return Novelty(memory, head, describer)

    def transform(self, features: np.ndarray) -> np.ndarray:
        """Project features ``(n, F)`` to ``(n, d)``: discriminant scores, whitened within the classes."""
        weight, bias = self._discriminant
        return np.asarray((features.astype(np.float64) @ weight.T + bias) @ self._axes)

    def p_values(self, features: np.ndarray) -> np.ndarray:
        """Return ``(n,)`` conformal p-values of features ``(n, F)``; small = novel."""
        return self.assess(features)[1]

    def assess(
        self,
        features: np.ndarray,
        logits: np.ndarray | None = None,
        *,
        has_comparable_colours: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return `transform` and `p_values` of features ``(n, F)``.

        Parameters
        ----------
        has_comparable_colours
            ``(n,)`` bool: of which cells the colours count; ``None`` = of none.
        logits
            ``(n, K)``: those that the model gives for the head of these very features, if known.
        """
        transformed = self.transform(features)
        knn = _knn_distance(self._space.whiten(features).cosine(self._whitened))
        log_ratio = _log_likelihood_ratio(features.astype(np.float64), self._with_untaught)
        measures = (self._distances(transformed), knn, self._uncertainty(features, logits), log_ratio)
        p_values = _conformal_p_values(self._calibration_fisher, self._fisher_statistic(measures))
        if has_comparable_colours is not None and (rows := np.flatnonzero(has_comparable_colours)).size:
            colours = features[rows, self._describer.colours].astype(np.float64)
            factor = self._colours.outlier_factor(colours)
            statistic = self._fisher_statistic((*(measure[rows] for measure in measures), factor))
            p_values[rows] = _conformal_p_values(self._calibration_with_colours, statistic)
        return transformed, p_values

    def has_comparable_colours(self, shifts: np.ndarray) -> np.ndarray:
        """Return whether the colours of films can be compared with those remembered: ``(n,)`` bool.

        Not if a film has no labelled cell, so that its shift is 0, or if another laboratory's stain changes
        them by more than a shift describes.

        Parameters
        ----------
        shifts
            ``(n, F)`` as `estimate_shift` returns them.
        """
        shift = np.linalg.norm(shifts[:, self._describer.colours] @ self._colours.axes, axis=1)
        return np.asarray((shift > 0) & (shift <= MAX_COLOUR_SHIFT))

    def estimate_shift(self, features: np.ndarray, labels: Sequence[int]) -> np.ndarray:
        """Estimate the domain shift of a film's features, ``(F,)``, to be subtracted from them.

        It is the mean difference from the mean of the labelled class, without cells that are still nearer to
        another class once it is subtracted: their labels may be wrong, and a few such labels would shift all
        cells towards another class.

        Parameters
        ----------
        features
            ``(n, F)`` of the film's labelled cells.
        labels
            ``(n,)``: the value of the head that each has; values that were not taught are ignored.
        """
        rows = np.flatnonzero(np.isin(labels, self.values))
        of_class = np.searchsorted(self.values, np.asarray(labels, int)[rows])
        residuals = features[rows] - self._class_means[of_class]
        used = np.ones(len(rows), bool)
        for _ in range(_RELABEL_ITERATIONS):
            shift = residuals[used].sum(0) / (used.sum() + _LABELLED_PRIOR)
            agrees = self._squared_distances(self.transform(features[rows] - shift)).argmin(1) == of_class
            if 2 * agrees.sum() < len(rows) or (agrees == used).all():
                break  # the film is too far away to tell wrong labels, or nothing changes
            used = agrees
        return np.asarray(shift)

    def is_shifted(self, transformed: np.ndarray) -> bool:
        """Return whether a film's unlabelled cells, transformed ``(n, d)``, show a domain shift."""
        if len(transformed) < MIN_CELLS_PER_FILM:
            return False
        shift = np.zeros(transformed.shape[1])
        for _ in range(_SHIFT_ITERATIONS):
            squares = self._squared_distances(transformed - shift)
            distances, nearest = squares.min(1), squares.argmin(1)
            inliers = distances <= np.quantile(distances, _INLIER_SHARE)
            shift = (transformed - self._means[nearest])[inliers].sum(0) / (inliers.sum() + _UNLABELLED_PRIOR)
        return float(np.linalg.norm(shift)) > MAX_SHIFT

    def _squared_distances(self, transformed: np.ndarray) -> np.ndarray:
        return np.asarray(((transformed[:, None] - self._means[None]) ** 2).sum(2))

    def _distances(self, transformed: np.ndarray) -> np.ndarray:
        """Return the squared Mahalanobis distances ``(n,)`` to the nearest class."""
        return np.asarray((self._squared_distances(transformed) / self._mean_variance).min(1, initial=np.inf))

    @torch.inference_mode()
    def _uncertainty(self, features: np.ndarray, logits: np.ndarray | None = None) -> np.ndarray:
        """Return 1 - the maximum class probability of the model: ``(n,)``."""
        if self._by_discriminant:
            weight, bias = self._discriminant
            return _uncertainty_of((features.astype(np.float64) @ weight.T + bias) / _TEMPERATURE)
        if logits is None:
            device = next(self._describer.parameters()).device
            tensor = torch.from_numpy(features.astype(np.float32)).to(device)
            outputs = self._describer.combined_logits(tensor)[self._head]
        else:
            outputs = torch.from_numpy(logits)
        return np.asarray((1 - torch.softmax(outputs[:, self.values], 1).amax(1)).double().cpu().numpy())

    def _fisher_statistic(self, measures: Sequence[np.ndarray]) -> np.ndarray:
        """Combine the p-values of the measures: less the sum of their logarithms, ``(n,)``.

        The last measure, the colours, may be left out.
        """
        p_values = (
            _conformal_p_values(calibration, measure)
            for calibration, measure in zip(self._calibration, measures, strict=False)
        )
        return np.asarray(-sum(np.log(p) for p in p_values))

    def _colour_space(self, features: np.ndarray, labels: np.ndarray) -> _ColourSpace:
        columns = self._describer.colours
        return _ColourSpace(features[:, columns], labels, self._looks[:, columns])

    def _fit(self, space: Space, labels: np.ndarray) -> _Discriminant:
        """Fit the discriminant of the taught classes."""
        weight, bias, _ = space.discriminant(labels, int(self.values.max()) + 1)
        return weight[self.values], bias[self.values]


class _ColourSpace:
    """The colours of remembered cells, in units of the spread within a class.

    Attributes
    ----------
    axes
        ``(c, c)``: colours times these are coordinates in these units.

    Parameters
    ----------
    colours, looks
        ``(n, c)`` and ``(r, c)``; c may be 0.
    labels
        ``(n,)``.
    """

    def __init__(self, colours: np.ndarray, labels: np.ndarray, looks: np.ndarray) -> None:
        self.axes = np.zeros((0, 0))
        if colours.shape[1]:
            space = Space(colours, labels[:, None], looks)
            self.axes = space.principal_axes(colours, colours.shape[1]).astype(np.float64)
        self._points = colours @ self.axes
        distances = cdist(self._points, self._points)
        np.fill_diagonal(distances, np.inf)
        self._of_neighbours = self._nearest(distances)[0].mean(1)

    def outlier_factor(self, colours: np.ndarray) -> np.ndarray:
        """Return the mean distance to the k nearest cells over that of these cells to theirs: ``(n,)``."""
        distances, neighbours = self._nearest(cdist(colours @ self.axes, self._points))
        return np.asarray(distances.mean(1) / (self._of_neighbours[neighbours].mean(1) + _IDENTICAL))

    def _nearest(self, distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the k smallest distances of each row, and their columns."""
        k = min(_NEIGHBOURS, len(self._points) - 1)
        columns = np.argpartition(distances, k - 1, 1)[:, :k]
        return np.take_along_axis(distances, columns, 1), columns


_Discriminant = tuple[np.ndarray, np.ndarray]
"""Weights ``(k, F)`` and biases ``(k,)`` of a linear discriminant."""


def _centre(discriminant: _Discriminant) -> _Discriminant:
    """Subtract the mean over the classes: a score that all classes share does not discriminate."""
    weight, bias = discriminant
    return weight - weight.mean(0), bias - bias.mean()


def _add_untaught(discriminant: _Discriminant, space: Space, untaught: np.ndarray) -> _Discriminant:
    """Append the class of cells ``(m, F)`` of no taught class; return no classes without such cells."""
    if not len(untaught):
        return np.zeros((0, untaught.shape[1])), np.zeros(0)
    weight, bias = discriminant
    untaught_weight, untaught_bias = space.linear_discriminant(untaught.mean(0, keepdims=True))
    return np.concatenate((weight, untaught_weight)), np.concatenate((bias, untaught_bias))


def _cells_of_no_class(memory: Memory, labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the remembered cells ``(m, F)`` of no taught class.

    There are none as soon as a project has taught a class of its own: these cells may be of that class.
    """
    starter_labels = labels[memory.sources == NO_SOURCE]
    usable = len(memory.outside) >= FOLDS and np.isin(values, starter_labels).all()
    return memory.outside[: None if usable else 0].astype(np.float64)


def _log_likelihood_ratio(features: np.ndarray, with_untaught: _Discriminant) -> np.ndarray:
    """Return the score of "no taught class" (the last) less that of the best taught class: ``(n,)``."""
    weight, bias = with_untaught
    if not len(weight):
        return np.zeros(len(features))
    scores = features @ weight.T + bias
    return np.asarray(scores[:, -1] - scores[:, :-1].max(1))


def _uncertainty_of(logits: np.ndarray) -> np.ndarray:
    """Return 1 - the maximum probability: ``(n,)`` from logits ``(n, k)``."""
    return np.asarray(1 - softmax(logits, axis=1).max(1))


def _knn_distance(similarity: np.ndarray) -> np.ndarray:
    """Return less the mean similarity to the k nearest remembered cells: ``(n,)`` from ``(n, m)``."""
    nearest = np.partition(similarity, -min(_NEIGHBOURS, similarity.shape[1]), 1)[:, -_NEIGHBOURS:]
    return np.asarray(-np.where(np.isfinite(nearest), nearest, -1).mean(1))


def _conformal_p_values(calibration: np.ndarray, measure: np.ndarray) -> np.ndarray:
    """Return the share of sorted calibration values that are at least as great: ``(n,)``."""
    as_great = len(calibration) - np.searchsorted(calibration, measure, side="left")
    return np.asarray((1 + as_great) / (1 + len(calibration)))


def _assign_folds(class_index: np.ndarray, seed: int) -> np.ndarray:
    """Assign cells to stratified folds: each class has cells in at least two."""
    rng, folds = np.random.default_rng(seed), np.zeros(len(class_index), int)
    for k in np.unique(class_index):
        rows = rng.permutation(np.flatnonzero(class_index == k))
        folds[rows] = np.arange(len(rows)) % FOLDS
    return folds
