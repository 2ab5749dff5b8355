"""Choose where the model of a task runs: in its own process, or on a cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from training.inference.predictor import Predictor, ThisProcess
from training.protocol import Progress
from training.worker.channel import Channel

if TYPE_CHECKING:
    from annotation_store.project import Project


class _Asks(Protocol):
    """A request that may name a cluster."""

    @property
    def scheduler(self) -> str | None: ...
    @property
    def workers(self) -> int | None: ...
    @property
    def device(self) -> str: ...


@contextmanager
def predictor_for(
    request: _Asks, project: Project, channel: Channel, *, looks_ahead: bool = True
) -> Iterator[Predictor]:
    """Connect to the cluster that a request names, if it names one.

    Parameters
    ----------
    looks_ahead
        See `ThisProcess`.

    Raises
    ------
    training.cluster.errors.ClusterError
        It cannot be used.
    """
    if request.scheduler is None and request.workers is None:
        yield ThisProcess(looks_ahead=looks_ahead)
        return
    channel.send(Progress(stage="connect", done=0, total=0))
    from training.cluster.predictor import ClusterPredictor
    from training.cluster.units import on_cluster  # dask takes half a second

    with on_cluster(
        request.scheduler,
        request.workers,
        project=project.path,
        read_only=project.read_only,
        check=channel.check,
        device=request.device,
    ) as cluster:
        yield ClusterPredictor(cluster)


def elsewhere(predictor: Predictor) -> Predictor | None:
    """Return the predictor if it is a cluster; ``None`` if it is the task's own process."""
    return None if isinstance(predictor, ThisProcess) else predictor
