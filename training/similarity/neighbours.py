"""Similarity of the cells of a project: nearest neighbours, outliers, clusters and duplicates.

Features are projected to the principal axes of the project's own cells, whitened by the spread within a class
(`training.similarity.space`): what varies between cells of one class counts little, and a class that nobody
taught is still separated. Without labels, each feature is divided by its standard deviation. Both were chosen
on the fixed fifth of ``train`` (``docs/adr/0019``).

All functions take *points*, ``(n, d)`` from `EmbeddingSpace.transform`, with rows of length 1 at most. None
holds more than `MAX_DISTANCES` distances in memory at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.models.memory import Memory, choose
from training.similarity.space import Space, principal_axes, subsample

N_COMPONENTS = 64
"""Dimension d of the space: with 32 or all 1,153, neighbours are of one class as often, or less often."""

MIN_LABELLED = 20
"""Minimum number of labelled cells to use the spread within a class."""

_AXES_SAMPLE = 1500
"""Number of cells that the principal axes are computed from."""

_PER_VALUE = 48
"""Number of cells of each value that the spread within a class is estimated from."""

MAX_DISTANCES = 4_000_000
"""Maximum number of distances in memory at once."""

CELLS_PER_CLUSTER = 48
"""Mean number of cells of a cluster: as many as a person looks over in one go."""

MAX_CLUSTERS = 128
FIT_SAMPLE = 20_000
"""Number of cells that k-means is fitted on; the others are assigned to the nearest centre."""

_OUTLIER_NEIGHBOURS = 0.3
"""Share of a class, the nearest, that a cell's distance from it is averaged over: a class may have several
modes."""

_OUTLIER_SAMPLE = 2000
"""Maximum number of cells of a class that each cell is compared with."""

MAX_DISTANCE_RATIO = 0.8
"""Lowe's ratio: largest distance of a copy over that of the nearest other cell. With it, 89% of 355 cells of
``pbc`` whose box, brightness and JPEG quality were changed are found, and of 2,400 others the one that is
twice among them (``docs/adr/0019``)."""

MIN_COPY_SIMILARITY = 0.65
"""Minimum similarity of a copy, 0 = that of any two cells: of the changed ones it is 0.70 or more."""

MAX_COPY_SIZE_DIFFERENCE = 0.2
"""Maximum difference in the logarithm (base 2) of the sizes: 15%."""

_MAX_COPIES = 3
_IDENTICAL = 1e-3
"""Distance, over that of any two cells, below which two cells have the same pixels."""


@dataclass(frozen=True)
class Cluster:
    """A cluster of similar cells.

    Attributes
    ----------
    name
        The most common class among its labelled cells; without any, the most common predicted class; ``None``
        if no model predicts one.
    named
        Number of its cells that are labelled.
    purity
        Share of the labelled cells that have that name; ``None`` if there are none.
    rows
        Its cells, the nearest to the centre first.
    """

    name: str | None
    named: int
    purity: float | None
    rows: np.ndarray


class EmbeddingSpace:
    """A linear projection of features, fitted to the cells of a project, in which they are compared.

    Parameters
    ----------
    vectors
        ``(n, F)``: features of the project's cells.
    taught, labels
        ``(m, F)`` and ``(m, heads)``: features and labels (-1 = none) of labelled cells, those of a memory
        and of the project.
    looks
        See `Memory.looks`.

    Attributes
    ----------
    uses_labels
        Whether the space is whitened by the spread within a class, not by that of all cells.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        taught: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        looks: np.ndarray | None = None,
    ) -> None:
        rows = subsample(len(vectors), _AXES_SAMPLE)
        selected = vectors[rows].astype(np.float64)
        self._centre = selected.mean(0) if len(selected) else np.zeros(vectors.shape[1])
        scale = selected.std(0) if len(selected) else np.ones(vectors.shape[1])
        self._scale = np.maximum(scale, 1e-3 * scale.max(initial=0.0) + 1e-6)
        self.uses_labels = taught is not None and labels is not None and _has_enough_labels(labels)
        if len(selected) < 2:
            axes = np.zeros((vectors.shape[1], 1))
        elif self.uses_labels:
            assert taught is not None
            assert labels is not None
            axes = Space(taught.astype(np.float64), labels, looks).principal_axes(selected, N_COMPONENTS)
        else:
            axes = (
                principal_axes((selected - self._centre) / self._scale, N_COMPONENTS) / self._scale[:, None]
            )
        self._axes = axes.astype(np.float32)

    @classmethod
    def from_memory(cls, vectors: np.ndarray, memory: Memory, labels: np.ndarray) -> EmbeddingSpace:
        """Create it from a model's memory and a project's cells with their labels.

        Parameters
        ----------
        labels
            ``(n, heads)`` int in the vocabulary of the memory's model, -1 = none.
        """
        labelled = choose(labels, _PER_VALUE)
        remembered = np.stack([memory.majority_labels(head) for head in range(labels.shape[1])], 1)
        return cls(
            vectors,
            np.concatenate((memory.features.astype(np.float32), vectors[labelled])),
            np.concatenate((remembered, labels[labelled])),
            memory.looks,
        )

    def transform(self, vectors: np.ndarray) -> np.ndarray:
        """Project features ``(n, F)`` to points ``(n, d)`` float32."""
        projected = np.zeros((len(vectors), self._axes.shape[1]), np.float32)
        shift = (self._centre @ self._axes).astype(np.float32)
        for rows in _chunks(len(vectors), vectors.shape[1]):
            projected[rows] = vectors[rows] @ self._axes - shift
        length = np.linalg.norm(projected, axis=1, keepdims=True)
        return np.asarray(projected / np.maximum(length, 1e-6 * (1 + length.mean() if len(length) else 1.0)))

    def duplicates(
        self, points: np.ndarray, vectors: np.ndarray, fields: Sequence[int], most: int | None = None
    ) -> list[tuple[int, int, float]]:
        """Find cells that were photographed twice: two rows and their similarity, the most similar first.

        In a uniform class, two cells may be as similar as two photographs of one. A copy is far nearer than
        any other cell is, from both sides (Lowe's ratio test). Cells of one field are never copies.

        Parameters
        ----------
        fields
            The field of each cell.
        """
        field_ids, sizes = np.asarray(fields), vectors[:, -1]
        groups = _k_means(points, MAX_CLUSTERS)[0] if len(points) > FIT_SAMPLE else np.zeros(len(points), int)
        copies_of: dict[int, dict[int, float]] = {}
        for group in np.unique(groups):
            rows = np.flatnonzero(groups == group)
            k = min(len(rows), 4 * (_MAX_COPIES + 1))
            for part in _chunks(len(rows), len(rows)):
                distances = _distances(points[rows[part]], points[rows])
                for row, nearest in zip(rows[part], np.argpartition(distances, k - 1, 1)[:, :k], strict=True):
                    others = rows[nearest[rows[nearest] != row]]
                    copies_of[int(row)] = self._copies(vectors, int(row), others)
        pairs = [
            (row, other, 1 - distances)
            for row, copies in copies_of.items()
            for other, distances in copies.items()
            if row < other
            and distances <= 1 - MIN_COPY_SIMILARITY
            and row in copies_of[other]
            and field_ids[row] != field_ids[other]
            and abs(sizes[row] - sizes[other]) <= MAX_COPY_SIZE_DIFFERENCE
        ]
        return sorted(pairs, key=lambda pair: -pair[2])[:most]

    def _copies(self, vectors: np.ndarray, row: int, others: np.ndarray) -> dict[int, float]:
        """Return the neighbours nearer than the jump in distance, to their distances (1 = any two cells)."""
        distances = np.linalg.norm((vectors[others] - vectors[row]) / self._scale, axis=1)
        distances /= (2 * vectors.shape[1]) ** 0.5
        order = np.argsort(distances, kind="stable")
        others, distances = others[order], np.minimum(distances[order], 1.0)
        jumps = [
            k
            for k in range(min(_MAX_COPIES, len(distances) - 1))
            if distances[k] < MAX_DISTANCE_RATIO * distances[k + 1]
        ]
        count = max(int((distances < _IDENTICAL).sum()), jumps[-1] + 1 if jumps else 0)
        return dict(zip(others[:count].tolist(), distances[:count].tolist(), strict=True))


def most_similar(points: np.ndarray, row: int, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return cells and their similarity to one, 0 to 1, the most similar first: that cell itself.

    Parameters
    ----------
    most
        Maximum number of cells; ``None`` = all.
    """
    similarity = _similarity(points[row : row + 1], points)[0]
    similarity[row] = 1.0
    order = np.argsort(-similarity, kind="stable")
    order = np.concatenate(([row], order[order != row]))[:most]
    return order, similarity[order]


def outliers(
    points: np.ndarray, classes: Sequence[str | None], most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return cells that are far from their own class, the farthest first, and the distances, 0 to 2.

    Parameters
    ----------
    classes
        The class of each; ``None`` = none. A cell without a class, or the only one of its class, is skipped.
    """
    distances = np.full(len(points), -1.0)
    names = np.array([name or "" for name in classes], dtype=object)
    for name in sorted(set(names) - {""}):
        members = np.flatnonzero(names == name)
        if len(members) < 2:
            continue
        others = members[subsample(len(members), _OUTLIER_SAMPLE)]
        k = max(1, min(len(others) - 1, max(3, round(_OUTLIER_NEIGHBOURS * len(others)))))
        for part in _chunks(len(members), len(others)):
            to_others = _distances(points[members[part]], points[others])
            to_others[members[part][:, None] == others[None]] = np.inf
            nearest = np.partition(to_others, k - 1, 1)[:, :k]
            distances[members[part]] = nearest.mean(1)
    order = np.argsort(-distances, kind="stable")
    order = order[distances[order] >= 0][:most]
    return order, distances[order]


def clusters(
    points: np.ndarray,
    labels: Sequence[str | None],
    predicted: Sequence[str | None] | None = None,
    *,
    count: int | None = None,
) -> list[Cluster]:
    """Cluster cells by k-means, the largest cluster first.

    Parameters
    ----------
    labels
        The class of each that a person gave; ``None`` = none.
    predicted
        The class of each that a model predicts.
    count
        Number of clusters; ``None`` = one for every `CELLS_PER_CLUSTER` cells, but at least eight if there
        are forty cells.
    """
    n = len(points)
    if n == 0:
        return []
    if count is None:
        count = max(-(-n // CELLS_PER_CLUSTER), min(8, n // 5), 1)
    groups, distances = _k_means(points, min(count, MAX_CLUSTERS, n))
    grouped = []
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        rows = rows[np.argsort(distances[rows], kind="stable")]
        members = rows.tolist()
        labelled_names = [name for row in members if (name := labels[row]) is not None]
        predicted_names = (
            [] if predicted is None else [g for row in members if (g := predicted[row]) is not None]
        )
        name = _most_common(labelled_names or predicted_names)
        purity = (
            labelled_names.count(name) / len(labelled_names) if name is not None and labelled_names else None
        )
        grouped.append(Cluster(name, len(labelled_names), purity, rows))
    return sorted(grouped, key=lambda cluster: -len(cluster.rows))


def _most_common(names: Sequence[str]) -> str | None:
    return max(sorted(set(names)), key=names.count, default=None)


def _k_means(points: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the cluster of each point and its distance from the centre."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    sample = points[subsample(len(points), FIT_SAMPLE)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different points than clusters
        centres = KMeans(count, n_init=2, random_state=0, max_iter=100).fit(sample).cluster_centers_
    groups, distances = np.zeros(len(points), int), np.zeros(len(points))
    for part in _chunks(len(points), count):
        to_centres = _distances(points[part], centres)
        groups[part], distances[part] = to_centres.argmin(1), to_centres.min(1)
    return groups, distances


def nearest_labelled(
    points: np.ndarray, row: int, labels: Mapping[str, Sequence[str | None]], most: int
) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Return the labelled cells nearest to one, by head and value, and their similarity.

    Parameters
    ----------
    labels
        Head (``"class"`` or an attribute) to the value of each cell that a person gave; ``None`` = none.
    most
        Maximum number of cells of each value.
    """
    similarity = _similarity(points[row : row + 1], points)[0]
    order = np.argsort(-similarity, kind="stable")
    by_head: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for head, values in labels.items():
        by_value: dict[str, list[tuple[int, float]]] = {}
        for other in order.tolist():
            value = values[other]
            if value is not None and other != row and len(by_value.setdefault(value, [])) < most:
                by_value[value].append((other, float(similarity[other])))
        by_head[head] = by_value
    return by_head


def _similarity(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return similarities ``(k, n)``: 1 for equal points, 0 for opposite ones."""
    return np.asarray(1 - _distances(points, others) ** 2 / 4)


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    squares = (points**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * (points @ others.T)
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


def _has_enough_labels(labels: np.ndarray) -> bool:
    """Return whether a head has two values, each of two cells, and `MIN_LABELLED` cells in all."""
    for column in labels.T:
        counts = np.bincount(column[column >= 0], minlength=1)
        if (counts >= 2).sum() >= 2 and counts.sum() >= MIN_LABELLED:
            return True
    return False


def _chunks(n: int, width: int) -> Iterator[slice]:
    step = max(1, MAX_DISTANCES // max(1, width))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))
