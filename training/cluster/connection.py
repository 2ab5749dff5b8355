"""Connect to a running cluster, or start worker processes on this computer."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from training.cluster import remote
from training.cluster.errors import ClusterError, MissingExtraError
from training.cluster.greeting import refuse_other_programs
from training.cluster.versions import difference

PATIENCE = 60.0
"""Seconds to wait for the first worker."""
CONNECT = 10.0
"""Seconds to wait for the scheduler."""
QUIET = {
    # dask's self-monitoring takes 5% of the workers' time
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.admin.system-monitor.interval": "5 s",
    "distributed.admin.tick.interval": "500 ms",
    # no routes for dask's web server, which is not needed
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
"""Dask settings for workers on this computer."""
_POLL = 0.2
_LEAVE = 3.0


@contextmanager
def connected(
    scheduler: str | None, workers: int | None, check: Callable[[], None], *, patience: float = PATIENCE
) -> Iterator[Any]:
    """Connect to a scheduler, or start processes here; yield the dask client.

    Parameters
    ----------
    scheduler
        Address, such as ``tcp://host:8786``; ``None`` = start `workers` processes.
    check
        Called while waiting; an exception that it raises ends the wait.
    patience
        Seconds to wait for the first worker.

    Raises
    ------
    ClusterError
        The scheduler does not answer, no worker connects, or a worker has another version.
    """
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError from error
    with ExitStack() as stack:
        if scheduler is None:
            where = "this computer"
            target: Any = stack.enter_context(_processes(max(1, workers or 1)))
        else:
            where, target = f"the scheduler {scheduler}", _address(scheduler)
            refuse_other_programs(target, check, CONNECT)
        try:
            client = distributed.Client(target, timeout=CONNECT, set_as_default=False, name="napari-lld")
        except TypeError as error:  # a TLS address, but dask's settings name no certificates
            raise ClusterError(
                f"The scheduler {scheduler} is asked for by TLS, and no certificates are set: see "
                "docs/many-machines.md, or give an address that begins with tcp://."
            ) from error
        except Exception as error:  # TLS, version, network: dask raises many types
            raise ClusterError(
                f"The scheduler {scheduler} does not answer ({_brief(error)}). Start it (dask scheduler), or "
                "check its address and, with TLS, its certificates."
            ) from error
        stack.callback(_leave, client)
        _wait_for_workers(client, where, check, patience)
        refuse_strangers(client)
        yield client


def _address(scheduler: str) -> str:
    address = scheduler if "://" in scheduler else f"tcp://{scheduler}"
    host, _, port = address.partition("://")[2].rpartition(":")
    bracketed = host.startswith("["), host.endswith("]")
    if not host or not port.isdecimal() or int(port) > 65535 or len(set(bracketed)) > 1:
        raise ClusterError(f"{scheduler!r} is not a scheduler's address: give one such as tcp://host:8786.")
    return address


@contextmanager
def _processes(count: int) -> Iterator[Any]:
    """Start workers on this computer that only this user account can connect to."""
    import dask
    import distributed

    try:
        security: Any = distributed.Security.temporary()
    except ImportError as error:
        raise MissingExtraError from error
    with dask.config.set(QUIET):
        cluster = distributed.LocalCluster(
            n_workers=count,
            threads_per_worker=max(1, _cores() // count),
            processes=True,
            host="127.0.0.1",
            security=security,
            protocol="tls://",
            dashboard_address="127.0.0.1:0",
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        )
        try:
            yield cluster
        finally:
            with suppress(Exception):
                cluster.close(timeout=_LEAVE)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def _leave(client: Any) -> None:
    with suppress(Exception):
        client.close(timeout=_LEAVE)


def _wait_for_workers(client: Any, where: str, check: Callable[[], None], patience: float) -> None:
    end = time.monotonic() + patience
    while not threads_of(client):
        check()
        if time.monotonic() > end:
            raise ClusterError(
                f"No worker has come to {where} within {patience:.0f} seconds. Start some (dask worker), "
                "then start again."
            )
        time.sleep(_POLL)


def threads_of(client: Any) -> dict[str, int]:
    """Return the number of threads of each worker by address; empty if the scheduler is unreachable."""
    try:
        return {str(address): int(threads) for address, threads in client.nthreads().items()}
    except Exception:  # the connection was lost: the code that waits for results reports it
        return {}


def refuse_strangers(client: Any) -> None:
    """Check that all workers have the versions of this process.

    Raises
    ------
    ClusterError
        A worker has another version.
    """
    for address, answer in client.run(remote.about, on_error="return").items():
        if isinstance(answer, Exception):
            raise stranger(str(address), _brief(answer))
        versions = answer.get("versions") if isinstance(answer, dict) else None
        reason = difference(versions if isinstance(versions, dict) else {})
        if reason is not None:
            raise stranger(str(address), reason)


def stranger(address: str, reason: str) -> ClusterError:
    """Return the error for a worker that cannot be used."""
    return ClusterError(
        f"The worker {address} runs another program ({reason}). Install the same napari-lld on all "
        "computers, then start its worker again."
    )


def _brief(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
