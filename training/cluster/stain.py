"""Embed fields by their stain on a cluster; no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation_store import Embedding, Proposal
from annotation_store.records import Field
from training.cluster.arrays import array_of
from training.cluster.errors import GarbageError
from training.cluster.units import Cluster
from training.inference.sources import StoredField
from training.ranking.cold_start import embed_by_stain

if TYPE_CHECKING:
    from annotation_store.project import Project

_BATCH = 8
_AT_ONCE = 512
"""Fields that are embedded before the embeddings are stored."""


def look_on(
    cluster: Cluster, project: Project, progress: Callable[[int, int], None] | None = None
) -> dict[int, Embedding]:
    """Embed the fields without embeddings on a cluster; see `training.ranking.embed_by_stain`."""
    look = partial(_look, cluster, project)
    return embed_by_stain(project, progress=progress, embed=look, batch=_AT_ONCE)


def _look(cluster: Cluster, project: Project, fields: Sequence[Field]) -> Mapping[int, Embedding]:
    def batches() -> Iterator[tuple[Sequence[Field], list[Any]]]:
        for start in range(0, len(fields), _BATCH):
            batch = fields[start : start + _BATCH]
            yield batch, [(StoredField(project.path, field.id), {}) for field in batch]

    embeddings = {}
    for batch, results in cluster.run("stain", batches(), _read):
        embeddings.update(
            {f.id: embedding for f, embedding in zip(batch, results, strict=True) if embedding is not None}
        )
    return embeddings


def _read(content: Any) -> Embedding:
    """Read the embedding of a field.

    Raises
    ------
    GarbageError
        The result is invalid.
    """
    if not isinstance(content, Mapping):
        raise GarbageError("not what is seen on a field")
    vector = array_of(content, "vector", (None,))
    boxes, scores = array_of(content, "boxes", (None, 4)), array_of(content, "scores", (None,))
    if len(boxes) != len(scores):
        raise GarbageError("boxes without a score")
    if not ((boxes >= 0).all() and (scores >= 0).all() and (scores <= 1).all()):
        raise GarbageError("boxes outside the field")
    proposals = (
        Proposal((x, y, w, h), p) for (x, y, w, h), p in zip(boxes.tolist(), scores.tolist(), strict=True)
    )
    return Embedding(np.asarray(vector, np.float32), tuple(proposals))
