"""A model in the form in which it is sent: files, hash, and state that is not in the files; no dask."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.cluster.errors import ClusterError
from training.inference.engine import remembered
from training.models.folder import model_files
from training.models.model import LearnedModel, starter_place


@dataclass(frozen=True)
class SentModel:
    """A model to send to workers.

    Attributes
    ----------
    described
        The description that `training.cluster.remote.compute` takes.
    weights
        Bytes of the weights file; ``None`` for the starter, which workers have.
    """

    described: dict[str, Any]
    weights: bytes | None

    @property
    def key(self) -> str:
        """The cache key: the hash of its files, vocabulary and device."""
        return str(self.described["key"])


def read_files(model: LearnedModel, *, device: str, proof: tuple[str, str] | None) -> SentModel:
    """Read the files that a model was loaded from.

    Parameters
    ----------
    proof
        Proves to a worker that it sees the project, so that it may use the graphs stored there.

    Raises
    ------
    ClusterError
        The files are missing.
    """
    known = remembered.get(model.detector)
    if known is None:
        raise ClusterError("A model that has no files cannot be used on a cluster.")
    weights_file, card_file = model_files(known.place)
    try:
        card = card_file.read_bytes()
        weights = None if known.place == starter_place().absolute() else weights_file.read_bytes()
    except OSError as error:
        raise ClusterError(f"{error.filename or known.place} cannot be read: {error.strerror}.") from error
    digest = hashlib.sha256(card)
    digest.update(weights or b"")
    words = model.vocabulary.to_dict()
    named = known.words.to_dict()
    digest.update(f"{model.vocabulary.fingerprint()} {known.words.fingerprint()} {device}".encode())
    described: dict[str, Any] = {
        "key": digest.hexdigest(),
        "card": card,
        "named": named,
        "vocabulary": words,
        "device": device,
    }
    if proof is not None:
        described |= {"graphs": str(Path(known.folder).absolute()), "proof": proof}
    return SentModel(described, weights)
