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
from training.ranking.project import unsearched

if TYPE_CHECKING:
    from annotation_store.project import Project

_SIDE = 320
_STORED_SIDE = 384
"""Side of the thumbnail that the project stores, from which the smaller one is made."""
_BATCH = 32


EmbedFields = Callable[[Sequence[Field]], Mapping[int, Embedding]]
"""Returns the embeddings of fields by their id, without those that cannot be read."""


def embed_by_stain(
    project: Project,
    *,
    progress: Callable[[int, int], None] | None = None,
    embed: EmbedFields | None = None,
    batch: int = _BATCH,
) -> dict[int, Embedding]:
    """Embed the fields that no model has searched, store the result, and return it by field.

    Stored fields are not embedded again, so it can be interrupted at any time. A project that is open for
    reading only stores nothing: pass the result on to `update` and `best_regions`.

    Parameters
    ----------
    embed
        Embeds fields; ``None`` = in this process.
    batch
        Number of fields that are embedded before the result is stored.
    """
    new: dict[int, Embedding] = {}
    embedded = set(project.embeddings.of(STAIN))
    missing = [field for field in unsearched(project) if field.id not in embedded]
    embed = embed or partial(_embed_fields, project)
    for start in range(0, len(missing), batch):
        fields = missing[start : start + batch]
        embeddings = dict(embed(fields))
        if not project.read_only:
            project.embeddings.save(STAIN, embeddings)
        new |= embeddings
        if progress is not None:
            progress(start + len(fields), len(missing))
    return new


def _embed_fields(project: Project, fields: Sequence[Field]) -> dict[int, Embedding]:
    embeddings = {}
    for field in fields:
        with suppress(LLDError):  # its pixels are damaged: `check` reports it
            thumbnail = project.pixels.thumbnail(field.id, _SIDE)
            embeddings[field.id] = _embed(thumbnail, field.width, field.height)
    return embeddings


def embed_image(pixels: np.ndarray) -> Embedding:
    """Embed an image ``(H, W, 3)``, reduced to the size of a thumbnail."""
    height, width = pixels.shape[:2]
    return _embed(shrunk(shrunk(pixels, _STORED_SIDE), _SIDE), width, height)


def _embed(thumbnail: np.ndarray, width: int, height: int) -> Embedding:
    from training.inference.stain import propose_from_stain  # scikit-image: not before it is needed

    scale = max(width, height) / max(thumbnail.shape[:2])
    proposals = []
    for proposal in propose_from_stain(thumbnail):
        x, y = min(proposal.box[0] * scale, width - 1), min(proposal.box[1] * scale, height - 1)
        w, h = min(proposal.box[2] * scale, width - x), min(proposal.box[3] * scale, height - y)
        proposals.append(Proposal((x, y, w, h), proposal.confidence))
    return Embedding(np.asarray(colour_features(thumbnail), np.float32), tuple(proposals))
