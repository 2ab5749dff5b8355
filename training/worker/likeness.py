"""The task of comparing a project's cells: what is alike, what stands out, what is twice."""

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
"""The directions are chosen anew where cells or labels differ by such a factor, and by more than so few."""


def likeness(request: LikenessRequest, channel: Channel, device: torch.device) -> Done:
    """Compare cells; see `LikenessRequest`."""
    with open_to_look(request) as project:
        channel.send(Started(task="likeness", device=str(device), fields=len(project.fields.all())))
        seen = embedded(project, channel, request.model, str(device))
        uid = project.uid
    channel.check()
    result = _compared(request, seen, uid)
    return Done(task="likeness", model_id=seen.number, result={**result, "damaged": list(seen.damaged)})


def open_to_look(request: Any) -> Project:
    """Open a request's project so that computed vectors are kept, or only to read it."""
    try:
        return Project.open(request.project, annotator=request.annotator, reading=request.reading)
    except NotWritableError:
        return Project.open(request.project, reading=request.reading, read_only=True)


def _compared(request: LikenessRequest, seen: Embedded, uid: str) -> dict[str, Any]:
    row = _row_of(request, seen)
    kept = _space(seen, uid)
    entries, vectors, places = seen.entries, seen.vectors, kept.places
    if request.fields is not None:
        among = set(request.fields)
        rows = [i for i, entry in enumerate(entries) if entry.field_id in among or i == row]
        entries, vectors, places = [entries[i] for i in rows], vectors[rows], places[rows]
        row = rows.index(row) if row is not None else None

    def keys(some: Sequence[int] | np.ndarray) -> list[tuple[str, int]]:
        return [(entries[i].kind, entries[i].id) for i in some]

    match request.what:
        case "similar":
            assert row is not None
            order, alike = neighbours.most_similar(places, row, request.most)
            return {"keys": keys(order), "likeness": _rounded(alike)}
        case "outliers":
            classes = [_label(entry) or _predicted(entry) for entry in entries]
            order, distance = neighbours.outliers(places, classes, request.most)
            return {"keys": keys(order), "distance": _rounded(distance)}
        case "clusters":
            labels, predicted = [_label(e) for e in entries], [_predicted(e) for e in entries]
            found = neighbours.clusters(places, labels, predicted, count=request.clusters)
            return {
                "clusters": [
                    {"name": one.name, "named": one.named, "purity": one.purity, "keys": keys(one.rows)}
                    for one in found[: request.most]
                ]
            }
        case "duplicates":
            fields = [entry.field_id for entry in entries]
            pairs = kept.space.duplicates(places, vectors, fields, request.most)
            return {"pairs": [[*keys((one, other)), round(alike, 4)] for one, other, alike in pairs]}
        case "references":
            assert row is not None
            heads = {"class": [_label(entry) for entry in entries]}
            heads |= {name: _values(entries, name) for name in seen.model.vocabulary.attributes}
            nearest = neighbours.nearest_labelled(places, row, heads, request.most or _OF_EACH_VALUE)
            return {
                "references": {
                    head: {
                        value: [[*keys([i]), round(alike, 4)] for i, alike in some]
                        for value, some in values.items()
                    }
                    for head, values in nearest.items()
                }
            }


def _row_of(request: LikenessRequest, seen: Embedded) -> int | None:
    """Return the row of the cell that others are compared with, if the request needs one."""
    if request.what not in ("similar", "references"):
        return None
    if request.of is None:
        raise LLDError("Name the cell that others are compared with.")
    kind, number = request.of
    for row, entry in enumerate(seen.entries):
        if (entry.kind, entry.id) == (kind, number):
            return row
    why = f" Damaged images are left out: {', '.join(seen.damaged)}." if seen.damaged else ""
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
    given = (entry.attributes.get(name) for entry in entries)
    return [None if value == UNSURE else value for value in given]


def _rounded(numbers: np.ndarray) -> list[float]:
    return [round(float(one), 4) for one in numbers]


# --- the space, kept between requests --------------------------------------------------------------------


@dataclass(frozen=True)
class _Kept:
    """The space of the last request, and the places of its cells."""

    key: tuple[Any, ...]
    cells: int
    labelled: int
    space: EmbeddingSpace
    seen: Embedded
    places: np.ndarray


_kept: _Kept | None = None


def _space(seen: Embedded, uid: str) -> _Kept:
    """Return the space of a project by a model, that of an earlier request while it is much the same."""
    global _kept
    old = _kept
    if old is not None and old.seen is seen:
        return old
    labels = _labels(seen.entries, seen.model)
    vocabulary = seen.model.vocabulary
    key = (uid, seen.number, seen.model.trunk_digest(), vocabulary.fingerprint(), len(seen.model.memory))
    cells, labelled = len(seen.entries), int((labels >= 0).any(1).sum())
    if (
        old is not None
        and old.key == key
        and _much_the_same(old.cells, cells)
        and _much_the_same(old.labelled, labelled)
    ):
        same = seen.vectors is old.seen.vectors
        _kept = replace(old, seen=seen, places=old.places if same else old.space.transform(seen.vectors))
    else:
        space = EmbeddingSpace.from_memory(seen.vectors, seen.model.memory, labels)
        _kept = _Kept(key, cells, labelled, space, seen, space.transform(seen.vectors))
    return _kept


def _much_the_same(then: int, now: int) -> bool:
    return abs(then - now) <= _FEW or (then <= _GROWN * now and now <= _GROWN * then)


def _labels(entries: Sequence[Entry], model: LearnedModel) -> np.ndarray:
    """Return the labels of cells in a model's words: ``(n, heads)``, -1 = none, or a class group."""
    words = model.vocabulary
    known: dict[tuple[str | None, tuple[tuple[str, str], ...]], np.ndarray] = {}
    rows = np.full((len(entries), len(words.heads)), -1, np.int16)
    for row, entry in zip(rows, entries, strict=True):
        if entry.kind == "cell":
            key = (entry.cell_class, tuple(sorted(entry.attributes.items())))
            if key not in known:
                targets = words.targets(entry.cell_class, entry.attributes)
                known[key] = single_labels([one[None] for one in targets])[0]
            row[:] = known[key]
    return rows
