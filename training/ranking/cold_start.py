"""Cold start: field embeddings from thumbnails, and boxes from the stain."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from annotation_store import Embedding
from annotation_store.errors import LLDError
from annotation_store.records import Field, Proposal
from training.ranking.diversity import colour_features
from training.ranking.items import STAIN

if TYPE_CHECKING:
    from annotation_store.project import Project

_SIDE = 320
_BATCH = 32


def look_at_stain(
    project: Project, *, progress: Callable[[int, int], None] | None = None
) -> dict[int, Embedding]:
    """Embed the fields without embeddings, store the result, and return it by field.

    What is kept is not looked at again, so it can be interrupted at any time. A project that is open for
    reading only keeps nothing: pass what is returned on to `update` and `best_regions`.
    """
    looked: dict[int, Embedding] = {}
    seen = set(project.embeddings.of(STAIN))
    missing = [field for field in project.fields.all() if not field.is_slide and field.id not in seen]
    for start in range(0, len(missing), _BATCH):
        some = missing[start : start + _BATCH]
        found = {field.id: look for field in some if (look := _look(project, field)) is not None}
        if not project.read_only:
            project.embeddings.save(STAIN, found)
        looked |= found
        if progress is not None:
            progress(start + len(some), len(missing))
    return looked


def _look(project: Project, field: Field) -> Embedding | None:
    from training.inference.stain import propose_from_stain  # scikit-image: not before it is needed

    try:
        small = project.pixels.thumbnail(field.id, _SIDE)
    except LLDError:
        return None  # its pixels are damaged: `check` reports it
    scale = max(field.width, field.height) / max(small.shape[:2])
    proposals = []
    for one in propose_from_stain(small):
        x, y = min(one.box[0] * scale, field.width - 1), min(one.box[1] * scale, field.height - 1)
        w, h = min(one.box[2] * scale, field.width - x), min(one.box[3] * scale, field.height - y)
        proposals.append(Proposal((x, y, w, h), one.confidence))
    return Embedding(np.asarray(colour_features(small), np.float32), tuple(proposals))
