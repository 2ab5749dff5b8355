"""How like each other the cells of a project are: what is alike, what stands out, what is twice.

Likeness is measured in the directions in which a project's cells differ most, in units of the spread within
a class, as the discriminants know it (`training.similarity.space`): what differs between cells of one class
counts little, and a class that nobody taught is still told apart. Without labels, each feature counts by its
spread. Both were chosen on the fixed fifth of ``train`` (``docs/adr/0019``).

Everything here works on `Likeness.places`, ``(n, d)`` with rows no longer than 1. No function holds more than
some millions of distances at once.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from training.models.memory import Memory, choose
from training.similarity.space import Space, main_axes

DIRECTIONS = 64
"""Numbers that a place has: with 32 or all 1,153 the neighbours are as often of one class, or less."""

FEWEST_TAUGHT = 20
"""Labelled cells from which on the spread within a class is known well enough to be used."""

_SAMPLE = 1500
"""Cells by which the directions are chosen."""

_PER_VALUE = 48
"""Cells of each value by which the spread within a class is estimated."""

AT_ONCE = 4_000_000
"""Distances that are held in memory together."""

A_PAGE = 48
"""Cells of a cluster, on average: as many as a person looks over in one go."""

MOST_CLUSTERS = 128
FITTED_ON = 20_000
"""Cells by which the centres of clusters are found; the others go to the nearest."""

_OWN_SHARE = 0.3
"""Share of a class, the nearest, by which a cell's distance from it is measured: a class may have several
looks."""

_COMPARED = 2000
"""Cells of a class with which each cell is compared."""

COPY_RATIO = 0.8
"""A copy is nearer than this, over the distance to the nearest other cell. With it, 89% of 355 cells of
``pbc`` whose box, brightness and JPEG quality were changed are found, and of 2,400 others the one that is
twice among them (``docs/adr/0019``)."""

COPY_LIKENESS = 0.65
"""Least likeness of a copy, 0 = that of any two cells: of the changed ones it is 0.70 or more."""

COPY_SIZE = 0.2
"""Greatest difference in the logarithm (base 2) of the size of a copy: 15%."""

_MOST_COPIES = 3
_EXACT = 1e-3
"""Distance, over that of any two cells, below which two are the same pixels."""


@dataclass(frozen=True)
class Cluster:
    """Cells that are alike.

    Attributes
    ----------
    name
        The commonest class among its labelled cells; without any, the class that is predicted most; ``None``
        if no model predicts one.
    named
        How many of its cells are labelled.
    purity
        Share of the labelled cells that have that name; ``None`` if there are none.
    rows
        Its cells, the most typical first.
    """

    name: str | None
    named: int
    purity: float | None
    rows: np.ndarray


class Likeness:
    """The space in which the cells of a project are compared.

    Parameters
    ----------
    vectors
        ``(n, F)``: features of the project's cells.
    taught, labels
        ``(m, F)`` and ``(m, heads)``: features and labels (-1 = none) of cells that are labelled, those of a
        memory and of the project.
    looks
        See `Memory.looks`.
    """

    def __init__(
        self,
        vectors: np.ndarray,
        taught: np.ndarray | None = None,
        labels: np.ndarray | None = None,
        looks: np.ndarray | None = None,
    ) -> None:
        sample = _spread_out(len(vectors), _SAMPLE)
        some = vectors[sample].astype(np.float64)
        self._centre = some.mean(0) if len(some) else np.zeros(vectors.shape[1])
        spread = some.std(0) if len(some) else np.ones(vectors.shape[1])
        self._scale = np.maximum(spread, 1e-3 * spread.max(initial=0.0) + 1e-6)
        self.uses_labels = taught is not None and labels is not None and _enough(labels)
        if len(some) < 2:
            axes = np.zeros((vectors.shape[1], 1))
        elif self.uses_labels:
            assert taught is not None
            assert labels is not None
            axes = Space(taught.astype(np.float64), labels, looks).axes(some, DIRECTIONS)
        else:
            axes = main_axes((some - self._centre) / self._scale, DIRECTIONS) / self._scale[:, None]
        self._axes = axes.astype(np.float32)

    @classmethod
    def of(cls, vectors: np.ndarray, memory: Memory, labels: np.ndarray) -> Likeness:
        """Create it from a model's memory and a project's cells with their labels.

        Parameters
        ----------
        labels
            ``(n, heads)`` int in the words of the memory's model, -1 = none.
        """
        own = choose(labels, _PER_VALUE)
        remembered = np.stack([memory.settled(head) for head in range(labels.shape[1])], 1)
        return cls(
            vectors,
            np.concatenate((memory.features.astype(np.float32), vectors[own])),
            np.concatenate((remembered, labels[own])),
            memory.looks,
        )

    def places(self, vectors: np.ndarray) -> np.ndarray:
        """Return places ``(n, d)`` float32 of features ``(n, F)``."""
        found = np.zeros((len(vectors), self._axes.shape[1]), np.float32)
        shift = (self._centre @ self._axes).astype(np.float32)
        for rows in _chunks(len(vectors), vectors.shape[1]):
            found[rows] = vectors[rows] @ self._axes - shift
        length = np.linalg.norm(found, axis=1, keepdims=True)
        return np.asarray(found / np.maximum(length, 1e-6 * (1 + length.mean() if len(length) else 1.0)))

    def duplicates(
        self, places: np.ndarray, vectors: np.ndarray, fields: Sequence[int], most: int | None = None
    ) -> list[tuple[int, int, float]]:
        """Find cells that were photographed twice: two rows and their likeness, the most alike first.

        Two cells of one class may be as alike as two photographs of one, where the class looks all the same.
        A copy is far nearer than any other cell is, seen from both. Cells of one field are never copies.

        Parameters
        ----------
        fields
            The field of each.
        """
        of, sizes = np.asarray(fields), vectors[:, -1]
        groups = _k_means(places, MOST_CLUSTERS)[0] if len(places) > FITTED_ON else np.zeros(len(places), int)
        found: dict[int, dict[int, float]] = {}
        for group in np.unique(groups):
            rows = np.flatnonzero(groups == group)
            near = min(len(rows), 4 * (_MOST_COPIES + 1))
            for part in _chunks(len(rows), len(rows)):
                away = _distances(places[rows[part]], places[rows])
                for row, nearest in zip(
                    rows[part], np.argpartition(away, near - 1, 1)[:, :near], strict=True
                ):
                    others = rows[nearest[rows[nearest] != row]]
                    found[int(row)] = self._copies(vectors, int(row), others)
        pairs = [
            (row, other, 1 - away)
            for row, copies in found.items()
            for other, away in copies.items()
            if row < other
            and away <= 1 - COPY_LIKENESS
            and row in found[other]
            and of[row] != of[other]
            and abs(sizes[row] - sizes[other]) <= COPY_SIZE
        ]
        return sorted(pairs, key=lambda pair: -pair[2])[:most]

    def _copies(self, vectors: np.ndarray, row: int, others: np.ndarray) -> dict[int, float]:
        """Return the nearest up to where the distance leaps, with it: 1 is that of any two cells."""
        away = np.linalg.norm((vectors[others] - vectors[row]) / self._scale, axis=1)
        away /= (2 * vectors.shape[1]) ** 0.5
        order = np.argsort(away, kind="stable")
        others, away = others[order], np.minimum(away[order], 1.0)
        leaps = [k for k in range(min(_MOST_COPIES, len(away) - 1)) if away[k] < COPY_RATIO * away[k + 1]]
        count = max(int((away < _EXACT).sum()), leaps[-1] + 1 if leaps else 0)
        return dict(zip(others[:count].tolist(), away[:count].tolist(), strict=True))


def similar(places: np.ndarray, row: int, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return cells and their likeness to one, 0 to 1, the most alike first: that cell itself.

    Parameters
    ----------
    most
        How many; ``None`` = all.
    """
    likeness = _likeness(places[row : row + 1], places)[0]
    likeness[row] = 1.0
    order = np.argsort(-likeness, kind="stable")
    order = np.concatenate(([row], order[order != row]))[:most]
    return order, likeness[order]


def outliers(
    places: np.ndarray, classes: Sequence[str | None], most: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return cells that are far from their own class, the farthest first, and the distances, 0 to 2.

    Parameters
    ----------
    classes
        The class of each; ``None`` = none. A cell without a class, or the only one of its class, is left out.
    """
    distances = np.full(len(places), -1.0)
    of = np.array([name or "" for name in classes], dtype=object)
    for name in sorted(set(of) - {""}):
        members = np.flatnonzero(of == name)
        if len(members) < 2:
            continue
        others = members[_spread_out(len(members), _COMPARED)]
        near = max(1, min(len(others) - 1, max(3, round(_OWN_SHARE * len(others)))))
        for part in _chunks(len(members), len(others)):
            away = _distances(places[members[part]], places[others])
            away[members[part][:, None] == others[None]] = np.inf
            nearest = np.partition(away, near - 1, 1)[:, :near]
            distances[members[part]] = nearest.mean(1)
    order = np.argsort(-distances, kind="stable")
    order = order[distances[order] >= 0][:most]
    return order, distances[order]


def clusters(
    places: np.ndarray,
    labels: Sequence[str | None],
    predicted: Sequence[str | None] | None = None,
    *,
    count: int | None = None,
) -> list[Cluster]:
    """Group cells that are alike, the largest group first.

    Parameters
    ----------
    labels
        The class of each that a person gave; ``None`` = none.
    predicted
        The class of each that a model predicts.
    count
        How many clusters; ``None`` = so many that one is as large as a person looks over in one go, but
        eight at least where there are forty cells.
    """
    n = len(places)
    if n == 0:
        return []
    if count is None:
        count = max(-(-n // A_PAGE), min(8, n // 5), 1)
    groups, away = _k_means(places, min(count, MOST_CLUSTERS, n))
    found = []
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        rows = rows[np.argsort(away[rows], kind="stable")]
        members = rows.tolist()
        named = [name for row in members if (name := labels[row]) is not None]
        guessed = [] if predicted is None else [g for row in members if (g := predicted[row]) is not None]
        name = _commonest(named or guessed)
        purity = named.count(name) / len(named) if name is not None and named else None
        found.append(Cluster(name, len(named), purity, rows))
    return sorted(found, key=lambda one: -len(one.rows))


def _commonest(names: Sequence[str]) -> str | None:
    return max(sorted(set(names)), key=names.count, default=None)


def _k_means(places: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each one's group and its distance from the group's centre."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    fitted = places[_spread_out(len(places), FITTED_ON)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different places than clusters
        centres = KMeans(count, n_init=2, random_state=0, max_iter=100).fit(fitted).cluster_centers_
    groups, away = np.zeros(len(places), int), np.zeros(len(places))
    for part in _chunks(len(places), count):
        distances = _distances(places[part], centres)
        groups[part], away[part] = distances.argmin(1), distances.min(1)
    return groups, away


def references(
    places: np.ndarray, row: int, labels: Mapping[str, Sequence[str | None]], most: int
) -> dict[str, dict[str, list[tuple[int, float]]]]:
    """Return the labelled cells most like one: of each head, of each value, so many and their likeness.

    Parameters
    ----------
    labels
        Head (``"class"`` or an attribute) to the value of each cell that a person gave; ``None`` = none.
    """
    likeness = _likeness(places[row : row + 1], places)[0]
    order = np.argsort(-likeness, kind="stable")
    found: dict[str, dict[str, list[tuple[int, float]]]] = {}
    for head, values in labels.items():
        nearest: dict[str, list[tuple[int, float]]] = {}
        for other in order.tolist():
            value = values[other]
            if value is not None and other != row and len(nearest.setdefault(value, [])) < most:
                nearest[value].append((other, float(likeness[other])))
        found[head] = nearest
    return found


def _likeness(some: np.ndarray, all_of_them: np.ndarray) -> np.ndarray:
    """Return 1 for the same place, 0 for the opposite: ``(k, n)``."""
    return np.asarray(1 - _distances(some, all_of_them) ** 2 / 4)


def _distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    squares = (some**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * (some @ others.T)
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))


def _enough(labels: np.ndarray) -> bool:
    """Return whether a head has two values, each of two cells, and `FEWEST_TAUGHT` cells in all."""
    for column in labels.T:
        counts = np.bincount(column[column >= 0], minlength=1)
        if (counts >= 2).sum() >= 2 and counts.sum() >= FEWEST_TAUGHT:
            return True
    return False


def _spread_out(n: int, most: int) -> np.ndarray:
    """Return up to so many of n rows, the same each time."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(0).choice(n, most, replace=False))


def _chunks(n: int, width: int) -> Iterator[slice]:
    step = max(1, AT_ONCE // max(1, width))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))
