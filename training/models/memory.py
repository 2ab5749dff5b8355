"""Replay memory of a model: features and labels of cells it was trained on, against forgetting.

A class head that is trained on one project alone forgets the classes the project does not show. A model
therefore carries feature vectors of some cells that it and its parents were trained on; the heads are fitted
on these together with the project's own cells. A feature vector is what the describer's trunk computes of a
cell (`Describer.embed_augmented`): no pixels, no names. Only a model with the same trunk can use it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from training.networks.vocabulary import Vocabulary

PER_VALUE = 48
"""Number of cells of a project that are remembered per value of each head."""

_MAX_CELLS = 4000
"""Maximum number of remembered cells: 9 MB of features."""


OUTSIDE = 96
"""Maximum number of remembered cells of no taught class (``docs/adr/0030``)."""

NO_SOURCE = 0
"""Source of the cells of no project: the starter's."""


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
        ``(r, F)`` float16: low-rank factor of the second moment of the domain shifts between laboratories:
        the sum of the outer products of its rows. ``(0, F)`` if unknown.
    weights
        ``(n, heads)`` float16: the share of a cell's votes that a label has, 1 if its readings agree (a cell
        whose readings disagree has a row for each value, see `training.engine.data.Labels`).
    outside
        ``(m, F)`` float16: white cells of classes that are not in the starter's vocabulary: they are unknown,
        and so are cells like them (`training.similarity.novelty`).
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
        """Create an empty memory."""
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

    def validated(self, vocabulary: Vocabulary, features: int) -> Memory:
        """Check a memory read from a file against the vocabulary and number of features of its model.

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
        optional = {"looks": self.looks, "outside": self.outside}
        result = {name: torch.from_numpy(array) for name, array in optional.items() if len(array)}
        if (self.weights != 1).any():
            result["weights"] = torch.from_numpy(self.weights)
        return result | {
            "features": torch.from_numpy(self.features),
            "labels": torch.from_numpy(self.labels),
            "sources": torch.from_numpy(self.sources),
        }

    def subset(self, rows: np.ndarray) -> Memory:
        """Select cells, by index or mask."""
        return replace(
            self,
            features=self.features[rows],
            labels=self.labels[rows],
            sources=self.sources[rows],
            weights=self.weights[rows],
        )

    def majority_labels(self, head: int) -> np.ndarray:
        """Return the majority label of a head per row: ``(n,)`` int, -1 if it has at most half of the votes.

        Each cell has at most one.
        """
        return np.where(self.weights[:, head] > 0.5, self.labels[:, head], -1).astype(int)

    def without_source(self, source: int | None) -> Memory:
        """Remove the cells of a project, which provides them itself, with their current labels."""
        return self.subset(np.flatnonzero(self.sources != (source or NO_SOURCE)))

    def translate(self, theirs: Vocabulary, own: Vocabulary) -> Memory:
        """Map the labels to another vocabulary by name; a value it lacks becomes no label.

        Cells without any label are removed.
        """
        labels = np.full((len(self), len(own.heads)), -1, np.int16)
        weights = np.ones(labels.shape, np.float16)
        for i, (name, values) in enumerate(zip(own.head_names, own.heads, strict=True)):
            if name not in theirs.head_names:
                continue
            j = theirs.head_names.index(name)
            index = {value: k for k, value in enumerate(values)}
            # the last entry is for -1, no label
            translation = np.array([*(index.get(value, -1) for value in theirs.heads[j]), -1], np.int16)
            labels[:, i] = translation[self.labels[:, j]]
            weights[:, i] = self.weights[:, j]
        return replace(self, labels=labels, weights=weights).subset(np.flatnonzero((labels >= 0).any(1)))

    def with_cells(
        self,
        features: np.ndarray,
        labels: np.ndarray,
        source: int | None,
        *,
        seed: int = 0,
        weights: np.ndarray | None = None,
        cell_ids: np.ndarray | None = None,
    ) -> Memory:
        """Add cells of a project, at most `PER_VALUE` of each value; a cell counts for each of its values.

        Parameters
        ----------
        features, labels, weights
            ``(n, F)`` and twice ``(n, heads)``, as in a memory; no weights = 1.
        cell_ids
            ``(n,)``: the cell of each row; ``None`` = one row per cell.
        """
        if weights is None:
            weights = np.ones(labels.shape, np.float16)
        chosen = whole_cells(
            choose(labels, PER_VALUE, seed=seed), np.arange(len(labels)) if cell_ids is None else cell_ids
        )
        both = replace(
            self,
            features=np.concatenate((self.features, features[chosen].astype(np.float16))),
            labels=np.concatenate((self.labels, labels[chosen].astype(np.int16))),
            sources=np.concatenate((self.sources, np.full(len(chosen), source or NO_SOURCE, np.int64))),
            weights=np.concatenate((self.weights, weights[chosen].astype(np.float16))),
        )
        if len(both) <= _MAX_CELLS:
            return both
        rows = np.random.default_rng(seed).permutation(len(both))[:_MAX_CELLS]
        return both.subset(np.sort(rows))


def choose(labels: np.ndarray, per_value: int, *, seed: int = 0) -> np.ndarray:
    """Choose a small set of cells in which each value occurs `per_value` times, if there are that many.

    The rarest value of any head is filled first; a cell that was chosen for one value counts for its others.

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


def whole_cells(rows: np.ndarray, cell_ids: np.ndarray) -> np.ndarray:
    """Return all rows, in order, of the cells of the given rows.

    Parameters
    ----------
    cell_ids
        ``(n,)``: the cell of each row.
    """
    return np.flatnonzero(np.isin(cell_ids, cell_ids[rows]))


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
    columns = [np.where(head.sum(1) == 1, head.argmax(1) if head.size else -1, -1) for head in allowed]
    return np.stack(columns, 1).astype(np.int16)


def source_of(project: str) -> int:
    """Hash the identity of a project to the number that stands for it in a memory."""
    digest = hashlib.sha256(f"memory:{project}".encode()).digest()
    return int.from_bytes(digest[:7], "big") + 1
