"""Cells that a model remembers: their features and labels, against forgetting.

A class head that learns from one project alone forgets what that project does not show. A model therefore
carries some feature vectors of the cells that taught it and its parents; the heads learn from these beside
the project's own cells. A vector is what the describer's trunk gives of a cell (`Describer.look`): no
pixels, no names. It is worth something only to a model with the same trunk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from training.networks.vocabulary import Vocabulary

PER_VALUE = 48
"""Cells of one project that are remembered of each value of each head."""

_MOST = 4000
"""Cells that are remembered in all: 9 MB of features."""


OUTSIDE = 96
"""Cells of classes that the words lack, at most (``docs/adr/0030``)."""

NO_SOURCE = 0
"""Of cells that are of no project: the starter's."""


@dataclass(frozen=True, eq=False)
class Memory:
    """Feature vectors with labels.

    Attributes
    ----------
    features
        ``(n, F)`` float16.
    labels
        ``(n, heads)`` int16: index of the value in each head's vocabulary, -1 if there is no label.
    sources
        ``(n,)`` int64: which project each comes from; see `source_of`.
    looks
        ``(r, F)`` float16: how other laboratories' looks move features; the sum of the outer products of its
        rows is the mean of those of the moves. ``(0, F)`` if unknown.
    weights
        ``(n, heads)`` float16: the share of a cell's votes that a label has, 1 where its readings agree (a
        cell of which they differ has a row for each value, see `training.engine.data.Labels`).
    outside
        ``(m, F)`` float16: white cells of classes that the starter's words lack: they are unknown, and so are
        cells like them (`training.similarity.novelty`).
    """

    features: np.ndarray
    labels: np.ndarray
    sources: np.ndarray
    looks: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float16))
    weights: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float16))
    outside: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.float16))

    def __post_init__(self) -> None:
        n = len(self.features)
        if self.features.ndim != 2 or self.labels.ndim != 2 or self.sources.shape != (n,):
            raise ValueError("a memory needs a matrix of features, one of labels, and a source for each row")
        if len(self.labels) != n:
            raise ValueError(f"a memory of {n} cells has labels for {len(self.labels)}")
        for name in ("looks", "outside"):
            rows = getattr(self, name)
            if rows.ndim != 2 or rows.shape[1] not in (0, self.features.shape[1]):
                raise ValueError("the embeddings in a memory must have as many features as its cells")
            if not len(rows):
                object.__setattr__(self, name, np.zeros((0, self.features.shape[1]), np.float16))
        if not self.weights.size:
            object.__setattr__(self, "weights", np.ones(self.labels.shape, np.float16))
        if self.weights.shape != self.labels.shape:
            raise ValueError("a memory needs a weight for each of its labels")

    def __len__(self) -> int:
        return len(self.features)

    @classmethod
    def empty(cls, features: int, heads: int) -> Memory:
        """Make a memory of no cells."""
        return cls(np.zeros((0, features), np.float16), np.zeros((0, heads), np.int16), np.zeros(0, np.int64))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Memory:
        """Read what `tensors` gave.

        Raises
        ------
        KeyError, ValueError
            If they are not those of a memory.
        """
        more = ("looks", "weights", "outside")
        known = {name: tensors[name].cpu().numpy() for name in more if name in tensors}
        return cls(
            tensors["features"].cpu().numpy().astype(np.float16),
            tensors["labels"].cpu().numpy().astype(np.int16),
            tensors["sources"].cpu().numpy().astype(np.int64),
            **{name: array.astype(np.float16) for name, array in known.items()},
        )

    def fitting(self, vocabulary: Vocabulary, features: int) -> Memory:
        """Return the memory, read from a file, if it is one of a model with these words and features.

        Raises
        ------
        ValueError
            If it is not.
        """
        sizes = np.array([len(values) for values in vocabulary.heads])
        if self.features.shape[1] != features or self.labels.shape[1] != len(sizes):
            raise ValueError("its memory is of another model")
        if (self.labels < -1).any() or (self.labels >= sizes).any():
            raise ValueError("its memory has labels that the model lacks")
        if not ((self.weights >= 0) & (self.weights <= 1)).all():
            raise ValueError("its memory has weights that are not fractions")
        return self

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the arrays as tensors, for a file."""
        rows = {"looks": self.looks, "outside": self.outside}
        known = {name: torch.from_numpy(one) for name, one in rows.items() if len(one)}
        if (self.weights != 1).any():
            known["weights"] = torch.from_numpy(self.weights)
        return known | {
            "features": torch.from_numpy(self.features),
            "labels": torch.from_numpy(self.labels),
            "sources": torch.from_numpy(self.sources),
        }

    def of(self, rows: np.ndarray) -> Memory:
        """Return some of the cells, by index or mask."""
        return replace(
            self,
            features=self.features[rows],
            labels=self.labels[rows],
            sources=self.sources[rows],
            weights=self.weights[rows],
        )

    def settled(self, head: int) -> np.ndarray:
        """Return each row's label of a head: ``(n,)`` int, -1 where it has no more than half of the votes.

        No cell is in it twice.
        """
        return np.where(self.weights[:, head] > 0.5, self.labels[:, head], -1).astype(int)

    def without(self, source: int | None) -> Memory:
        """Leave one project's cells out: it will show them itself, with the labels they have by now."""
        return self.of(np.flatnonzero(self.sources != (source or NO_SOURCE)))

    def in_words(self, theirs: Vocabulary, own: Vocabulary) -> Memory:
        """Translate the labels into another vocabulary by name; a word it lacks becomes no label.

        Cells that keep no label are left out.
        """
        labels = np.full((len(self), len(own.heads)), -1, np.int16)
        weights = np.ones(labels.shape, np.float16)
        for i, (name, values) in enumerate(zip(own.head_names, own.heads, strict=True)):
            if name not in theirs.head_names:
                continue
            j = theirs.head_names.index(name)
            place = {value: k for k, value in enumerate(values)}
            # one more for -1, no label
            into = np.array([*(place.get(value, -1) for value in theirs.heads[j]), -1], np.int16)
            labels[:, i] = into[self.labels[:, j]]
            weights[:, i] = self.weights[:, j]
        return replace(self, labels=labels, weights=weights).of(np.flatnonzero((labels >= 0).any(1)))

    def with_cells(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        source: int | None,
        *,
        seed: int = 0,
        weights: np.ndarray | None = None,
        of: np.ndarray | None = None,
    ) -> Memory:
        """Add cells of a project, at most `PER_VALUE` of each value; a cell counts for each of its values.

        Parameters
        ----------
        features, labels, weights
            ``(n, F)`` and twice ``(n, heads)``, as those of a memory; no weights = 1.
        of
            ``(n,)``: which cell each row is of; ``None`` = each of its own.
        """
        if weights is None:
            weights = np.ones(labels.shape, np.float16)
        chosen = whole_cells(
            choose(labels, PER_VALUE, seed=seed), np.arange(len(labels)) if of is None else of
        )
        both = replace(
            self,
            features=np.concatenate((self.features, features[chosen].astype(np.float16))),
            labels=np.concatenate((self.labels, labels[chosen].astype(np.int16))),
            sources=np.concatenate((self.sources, np.full(len(chosen), source or NO_SOURCE, np.int64))),
            weights=np.concatenate((self.weights, weights[chosen].astype(np.float16))),
        )
        if len(both) <= _MOST:
            return both
        rows = np.random.default_rng(seed).permutation(len(both))[:_MOST]
        return both.of(np.sort(rows))


def choose(labels: np.ndarray, per_value: int, *, seed: int = 0) -> np.ndarray:
    """Choose few cells of which each value occurs `per_value` times, if there are so many.

    The rarest value of any head chooses first; a cell that was chosen for one value counts for its others.

    Parameters
    ----------
    labels
        ``(n, heads)`` int, -1 = no label.

    Returns
    -------
    numpy.ndarray
        Indices, in order.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    values = [
        (int((labels[:, head] == value).sum()), head, value)
        for head in range(labels.shape[1])
        for value in range(int(labels[:, head].max(initial=-1)) + 1)
    ]
    taken = np.zeros(len(labels), bool)
    for _, head, value in sorted(values):
        candidates = order[labels[order, head] == value]
        missing = per_value - int(taken[candidates].sum())
        taken[candidates[~taken[candidates]][: max(0, missing)]] = True
    return np.flatnonzero(taken)


def whole_cells(rows: np.ndarray, of: np.ndarray) -> np.ndarray:
    """Return all rows, in order, of the cells of which some rows were chosen.

    Parameters
    ----------
    of
        ``(n,)``: which cell each row is of.
    """
    return np.flatnonzero(np.isin(of, of[rows]))


def single_labels(allowed: Sequence[np.ndarray]) -> np.ndarray:
    """Return the index of the one value that each label allows, -1 where it allows none or several.

    Parameters
    ----------
    allowed
        Per head ``(n, K)`` bool; see `Vocabulary.targets`.

    Returns
    -------
    numpy.ndarray
        ``(n, heads)`` int16.
    """
    columns = [np.where(one.sum(1) == 1, one.argmax(1) if one.size else -1, -1) for one in allowed]
    return np.stack(columns, 1).astype(np.int16)


def source_of(project: str) -> int:
    """Return the number by which a memory knows a project, from the project's own identity."""
    digest = hashlib.sha256(f"memory:{project}".encode()).digest()
    return int.from_bytes(digest[:7], "big") + 1
