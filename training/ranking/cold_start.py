"""Cold start: field embeddings from thumbnails, and boxes from the stain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from annotation_store import Embedding
from annotation_store.errors import LLDError
from annotation_store.images.slide import shrunk
from annotation_store.records import Field, Proposal
from training.ranking.diversity import colour_features
from training.ranking.items import STAIN

if TYPE_CHECKING:
    from annotation_store.project import Project

_SIDE = 320
_KEPT = 384
"""Side of the thumbnail that the project keeps, of which the smaller one is made."""
_BATCH = 32


Looks = Callable[[Sequence[Field]], Mapping[int, Embedding]]
"""Gives what was seen on fields by their id, without those that cannot be read."""


def look_at_stain(
    project: Project,
    *,
    progress: Callable[[int, int], None] | None = None,
    look: Looks | None = None,
    batch: int = _BATCH,
) -> dict[int, Embedding]:
    """Embed the fields without embeddings, store the result, and return it by field.

    What is kept is not looked at again, so it can be interrupted at any time. A project that is open for
    reading only keeps nothing: pass what is returned on to `update` and `best_regions`.

    Parameters
    ----------
    look
        Who looks at fields; ``None`` = this process.
    batch
        Fields that are looked at before what was seen is stored.
    """
    looked: dict[int, Embedding] = {}
    seen = set(project.embeddings.of(STAIN))
    missing = [field for field in project.fields.all() if not field.is_slide and field.id not in seen]
    look = look or partial(_look, project)
    for start in range(0, len(missing), batch):
        some = missing[start : start + batch]
        found = dict(look(some))
        if not project.read_only:
            project.embeddings.save(STAIN, found)
        looked |= found
        if progress is not None:
            progress(start + len(some), len(missing))
    return looked


def _look(project: Project, fields: Sequence[Field]) -> dict[int, Embedding]:
    found = {}
    for field in fields:
        with suppress(LLDError):  # its pixels are damaged: `check` reports it
            small = project.pixels.thumbnail(field.id, _SIDE)
            found[field.id] = _seen(small, field.width, field.height)
    return found


def look_at(pixels: np.ndarray) -> Embedding:
    """Return what is seen on a field ``(H, W, 3)`` made as small as its thumbnail."""
    height, width = pixels.shape[:2]
    return _seen(shrunk(shrunk(pixels, _KEPT), _SIDE), width, height)


def _seen(small: np.ndarray, width: int, height: int) -> Embedding:
    from training.inference.stain import propose_from_stain  # scikit-image: not before it is needed

    scale = max(width, height) / max(small.shape[:2])
    proposals = []
    for one in propose_from_stain(small):
        x, y = min(one.box[0] * scale, width - 1), min(one.box[1] * scale, height - 1)
        w, h = min(one.box[2] * scale, width - x), min(one.box[3] * scale, height - y)
        proposals.append(Proposal((x, y, w, h), one.confidence))
    return Embedding(np.asarray(colour_features(small), np.float32), tuple(proposals))
