"""Errors of clusters, with messages for the user; no dask."""

from __future__ import annotations

from annotation_store.errors import LLDError

KEPT = "What was done until then is kept."


class ClusterError(LLDError):
    """A cluster cannot be used, or the connection to it was lost."""


class MissingExtraError(ClusterError):
    """The extra ``cluster`` is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "To compute in several processes or on several computers, install the extra: "
            'pip install "napari-lld[cluster]", or in a clone: uv sync.'
        )


class GarbageError(ClusterError):
    """A worker returned an invalid result."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"A worker of the cluster gave back something that is no prediction ({what}). {KEPT} Check which "
            "program the scheduler's workers run, then start again."
        )
