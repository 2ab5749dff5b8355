"""The similarity task: nearest neighbours, outliers, clusters and duplicates among a project's cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from annotation_store.errors import LLDError, NotWritableError
from annotation_store.project import Project
from annotation_store.schema.reserved import UNSURE
from training.models.memory import single_labels
from training.protocol import Done, LikenessRequest, Started
from training.similarity import neighbours
from training.similarity.neighbours import EmbeddingSpace
from training.worker.channel import Channel
from training.worker.embedded import Embedded, embedded

if TYPE_CHECKING:
    from annotation_store import Entry
    from training.models.model import LearnedModel

_OF_EACH_VALUE = 8
"""References of each value, unless the request names another number."""

_GROWN = 1.2
_FEW = 10
"""The space is fitted again if the number of cells or labels differs by this factor and by more than this."""


def likeness(request: LikenessRequest, channel: Channel, device: torch.device) -> Done:
    """Compare cells; see `LikenessRequest`."""
    with open_to_look(request) as project:
        channel.send(Started(task="likeness", device=str(device), fields=len(project.fields.all())))
        data = embedded(project, channel, request.model, str(device))
        uid = project.uid
    channel.check()
    result = _compare(request, data, uid)
    return Done(task="likeness", model_id=data.number, result={**result, "damaged": list(data.damaged)})


def open_to_look(request: Any) -> Project:
    """Open a request's project, if possible for writing, so that embeddings are stored."""
    try:
        return Project.open(request.project, annotator=request.annotator, reading=request.reading)
    except NotWritableError:
        return Project.open(request.project, reading=request.reading, read_only=True)


def _compare(request: LikenessRequest, data: Embedded, uid: str) -> dict[str, Any]:
    row = _row_of(request, data)
    cached = _space(data, uid)
    entries, vectors, points = data.entries, data.vectors, cached.points
    if request.fields is not None:
        among = set(request.fields)
        rows = [i for i, entry in enumerate(entries) if entry.field_id in among or i == row]
        entries, vectors, points = [entries[i] for i in rows], vectors[rows], points[rows]
        row = rows.index(row) if row is not None else None

    def keys(indices: Sequence[int] | np.ndarray) -> list[tuple[str, int]]:
        return [(entries[i].kind, entries[i].id) for i in indices]

    match request.what:
        case "similar":
            assert row is not None
            order, similarity = neighbours.most_similar(points, row, request.most)
            return {"keys": keys(order), "likeness": _rounded(similarity)}
        case "outliers":
            classes = [_label(entry) or _predicted(entry) for entry in entries]
            order, distance = neighbours.outliers(points, classes, request.most)
            return {"keys": keys(order), "distance": _rounded(distance)}
        case "clusters":
            labels, predicted = [_label(e) for e in entries], [_predicted(e) for e in entries]
            clusters = neighbours.clusters(points, labels, predicted, count=request.clusters)
            return {
                "clusters": [
                    {
                        "name": cluster.name,
                        "named": cluster.named,
                        "purity": cluster.purity,
                        "keys": keys(cluster.rows),
                    }
                    for cluster in clusters[: request.most]
                ]
            }
        case "duplicates":
            fields = [entry.field_id for entry in entries]
            pairs = cached.space.duplicates(points, vectors, fields, request.most)
            return {
                "pairs": [
                    [*keys((cluster, other)), round(similarity, 4)] for cluster, other, similarity in pairs
                ]
            }
        case "references":
            assert row is not None
            heads = {"class": [_label(entry) for entry in entries]}
            heads |= {name: _values(entries, name) for name in data.model.vocabulary.attributes}
            nearest = neighbours.nearest_labelled(points, row, heads, request.most or _OF_EACH_VALUE)
            return {
                "references": {
                    head: {
                        value: [[*keys([i]), round(similarity, 4)] for i, similarity in indices]
                        for value, indices in values.items()
                    }
                    for head, values in nearest.items()
                }
            }


def _row_of(request: LikenessRequest, data: Embedded) -> int | None:
    """Return the row of the cell that others are compared with, if the request needs one."""
    if request.what not in ("similar", "references"):
        return None
    if request.of is None:
        raise LLDError("Name the cell that others are compared with.")
    kind, number = request.of
    for row, entry in enumerate(data.entries):
        if (entry.kind, entry.id) == (kind, number):
            return row
    why = f" Damaged images are left out: {', '.join(data.damaged)}." if data.damaged else ""
    raise LLDError(
        f"There is no {kind} {number} to compare with: it was deleted, decided on, or lies on a whole "
        f"slide.{why}"
    )


def _label(entry: Entry) -> str | None:
    """Return the class that a person gave a cell."""
    return None if entry.cell_class == UNSURE else entry.cell_class


def _predicted(entry: Entry) -> str | None:
    """Return the class that a model predicts."""
    return None if entry.proposal is None else entry.proposal.stated_class


def _values(entries: Sequence[Entry], name: str) -> list[str | None]:
    values = (entry.attributes.get(name) for entry in entries)
    return [None if value == UNSURE else value for value in values]


def _rounded(numbers: np.ndarray) -> list[float]:
    return [round(float(number), 4) for number in numbers]


# --- the space, kept between requests --------------------------------------------------------------------


@dataclass(frozen=True)
class _Cached:
    """The space of the last request, and its points."""

    key: tuple[Any, ...]
    cells: int
    labelled: int
    space: EmbeddingSpace
    seen: Embedded
    points: np.ndarray


_cached: _Cached | None = None


def _space(data: Embedded, uid: str) -> _Cached:
    """Return the space of a project and model, cached while the number of cells and labels is similar."""
    global _cached
    old = _cached
    if old is not None and old.seen is data:
        return old
    labels = _labels(data.entries, data.model)
    vocabulary = data.model.vocabulary
    key = (uid, data.number, data.model.trunk_digest(), vocabulary.fingerprint(), len(data.model.memory))
    cells, labelled = len(data.entries), int((labels >= 0).any(1).sum())
    if (
        old is not None
        and old.key == key
        and _is_similar_count(old.cells, cells)
        and _is_similar_count(old.labelled, labelled)
    ):
        same = data.vectors is old.seen.vectors
        _cached = replace(old, seen=data, points=old.points if same else old.space.transform(data.vectors))
    else:
        space = EmbeddingSpace.from_memory(data.vectors, data.model.memory, labels)
        _cached = _Cached(key, cells, labelled, space, data, space.transform(data.vectors))
    return _cached


def _is_similar_count(then: int, now: int) -> bool:
    return abs(then - now) <= _FEW or (then <= _GROWN * now and now <= _GROWN * then)


def _labels(entries: Sequence[Entry], model: LearnedModel) -> np.ndarray:
    """Return the labels of cells in a model's vocabulary: ``(n, heads)``, -1 = none, or a class group."""
    vocabulary = model.vocabulary
    known: dict[tuple[str | None, tuple[tuple[str, str], ...]], np.ndarray] = {}
    rows = np.full((len(entries), len(vocabulary.heads)), -1, np.int16)
    for row, entry in zip(rows, entries, strict=True):
        if entry.kind == "cell":
            key = (entry.cell_class, tuple(sorted(entry.attributes.items())))
            if key not in known:
                targets = vocabulary.targets(entry.cell_class, entry.attributes)
                known[key] = single_labels([target[None] for target in targets])[0]
            row[:] = known[key]
    return rows
