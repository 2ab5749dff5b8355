"""What goes wrong with a cluster, in sentences; no dask."""

from __future__ import annotations

from annotation_store.errors import LLDError

KEPT = "What was done until then is kept."


class ClusterError(LLDError):
    """A cluster cannot be used, or no longer."""


class MissingExtraError(ClusterError):
    """The extra ``cluster`` is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "To compute in several processes or on several computers, install the extra: "
            'pip install "napari-lld[cluster]", or in a clone: uv sync.'
        )


class GarbageError(ClusterError):
    """What a worker gave back is not what it was asked for."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"A worker of the cluster gave back something that is no prediction ({what}). {KEPT} Check which "
            "program the scheduler's workers run, then start again."
        )
