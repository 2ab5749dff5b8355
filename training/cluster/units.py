"""Submit units of work to a cluster: bounded in number, yielded in order, each once; no torch."""

from __future__ import annotations

import itertools
import queue
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from training.cluster import remote
from training.cluster.arrays import unpack
from training.cluster.connection import PATIENCE, connected, stranger, threads_of
from training.cluster.errors import KEPT, ClusterError
from training.cluster.sending import Sender, proof_in, size_of
from training.cluster.versions import difference, own_versions

T = TypeVar("T")
Items = Sequence[tuple[Callable[[], np.ndarray], dict[str, Any]]]
"""Pixels, and the further inputs of each item."""

_WAITING_FOR = 3
"""Units per thread that are submitted at a time: one is computed, the others are queued."""
_DONE_AHEAD = 32
"""Maximum number of finished units that wait for an earlier one."""
_MOST_BYTES = 256_000_000
"""Maximum number of bytes of pixels that are submitted at a time."""
_POLL = 0.2
_LOOK_AGAIN = 2.0
"""Seconds without a result after which the workers are counted."""


@dataclass
class _Unit:
    """A unit of work, submitted as one task.

    Attributes
    ----------
    what
        Key of the unit, returned to the caller.
    attempt
        How often it was submitted.
    found
        Results by item.
    """

    number: int
    what: Any
    items: Items
    attempt: int = 0
    bytes: int = 0
    found: dict[int, Any] = field(default_factory=dict)

    @property
    def missing(self) -> list[int]:
        """The items without a result."""
        return [i for i in range(len(self.items)) if i not in self.found]


@dataclass
class Cluster:
    """A connection to a cluster, for one task.

    Attributes
    ----------
    client
        The dask client.
    check
        Called several times per second; an exception that it raises ends the work.
    where
        Name of the cluster in messages.
    device
        Device on which workers compute.
    patience
        Seconds without any worker after which the work ends.
    """

    client: Any
    sender: Sender
    check: Callable[[], None]
    where: str
    device: str = "auto"
    patience: float = PATIENCE
    _run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _threads: dict[str, int] = field(default_factory=dict)
    _counted: float = 0.0

    def threads(self) -> dict[str, int]:
        """Return the number of threads of each worker, counted every `_LOOK_AGAIN` seconds."""
        now = time.monotonic()
        if now - self._counted > _LOOK_AGAIN:
            self._counted, self._threads = now, threads_of(self.client)
        return self._threads

    def run(
        self,
        kind: str,
        batches: Iterable[tuple[T, Items]],
        read: Callable[[Any], Any],
        *,
        model: tuple[dict[str, Any], Any] | None = None,
        options: dict[str, Any] | None = None,
    ) -> Iterator[tuple[T, list[Any]]]:
        """Submit units as capacity allows, and yield their results in order, each once.

        Parameters
        ----------
        kind
            See `training.cluster.remote.compute`.
        batches
            Key and items of each unit.
        read
            Validates and converts the result of an item.
        model
            Description of the model, and the future of its weights file.

        Yields
        ------
        tuple
            Key of the unit, and the result of each item; ``None`` for an item that cannot be read.
        """
        work = _Work(self, kind, model or ({}, None), options or {}, read)
        try:
            yield from work.run(batches)
        finally:
            work.leave()

    def hold(self, content: bytes, name: str) -> Any:
        """Return a future of bytes on the cluster; each worker fetches them once.

        It is a task, not scattered data: if the worker that holds it dies, the scheduler recomputes it.
        """
        return self.client.submit(remote.hand_over, content, key=f"lld-{name}-{self._run}", pure=False)

    def next_key(self, number: int) -> str:
        """Return a unique key for a unit."""
        return f"lld-unit-{self._run}-{number}-{next(self._numbers)}"


@dataclass
class _Work:
    """One call of `Cluster.run`."""

    by: Cluster
    kind: str
    model: tuple[dict[str, Any], Any]
    options: dict[str, Any]
    read: Callable[[Any], Any]
    out: dict[str, tuple[_Unit, Any, list[int]]] = field(default_factory=dict)
    done: dict[int, _Unit] = field(default_factory=dict)
    _heard: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    _alone_since: float | None = None

    def run(self, batches: Iterable[tuple[T, Items]]) -> Iterator[tuple[T, list[Any]]]:
        """Submit all units, and yield the results in order."""
        waiting, more = iter(batches), True
        n_taken = n_submitted = 0
        while True:
            while self._hear(wait=False):  # results that have arrived free capacity
                pass
            while more and self._room():
                try:
                    key, items = next(waiting)
                except StopIteration:
                    more = False
                    break
                self._give(_Unit(n_taken, key, items))
                n_taken += 1
            if n_submitted in self.done:
                unit = self.done.pop(n_submitted)
                n_submitted += 1
                yield unit.what, [unit.found[i] for i in range(len(unit.items))]
            elif self.out:
                self._hear(wait=True)
            elif not more:
                return

    def _room(self) -> bool:
        if len(self.done) >= _DONE_AHEAD:
            return False
        bytes_out = sum(unit.bytes for unit, _, _ in self.out.values())
        threads = max(1, sum(self.by.threads().values()))
        return len(self.out) < _WAITING_FOR * threads and (not self.out or bytes_out < _MOST_BYTES)

    def _give(self, unit: _Unit) -> None:
        """Submit the items of a unit that have no result yet."""
        by, unit.attempt, unit.bytes = self.by, unit.attempt + 1, 0
        sent: list[dict[str, Any]] = []
        rows = []
        for i in unit.missing:
            pixels, more = unit.items[i]
            source = by.sender.place_of(pixels) if unit.attempt == 1 else None
            content = source or by.sender.content_of(pixels)
            if content is None:  # unreadable for the client too
                unit.found[i] = None
                continue
            unit.bytes += size_of(content)
            sent.append({"sent": content, **more})
            rows.append(i)
        if not rows:
            self.done[unit.number] = unit
            return
        described, weights = self.model
        future = by.client.submit(
            remote.compute,
            self.kind,
            own_versions(),
            described,
            weights,
            sent,
            self.options,
            key=by.next_key(unit.number),
            pure=False,
        )
        self.out[future.key] = (unit, future, rows)
        future.add_done_callback(self._heard.put)

    def _hear(self, *, wait: bool) -> bool:
        """Process one result, with `wait` after up to `_POLL` seconds; return whether there was one."""
        if wait:
            self.by.check()
        try:
            future = self._heard.get(timeout=_POLL) if wait else self._heard.get_nowait()
        except queue.Empty:
            self._check_workers()
            return False
        self._alone_since = None
        if (known := self.out.get(future.key)) is None:
            return True  # processed already
        unit, _, rows = known
        answer = self._answer(future)
        if answer is None:  # lost with its worker: dask recomputes it
            future.add_done_callback(self._heard.put)
            return False
        del self.out[future.key]
        for i, result in zip(rows, unpack(answer, len(rows)), strict=True):
            if result == "unread":
                self.by.sender.by_place = False  # send bytes from now on
            else:
                unit.found[i] = None if result == "damaged" else self.read(result)
        if not unit.missing:
            self.done[unit.number] = unit
        elif unit.attempt > 1:
            raise ClusterError(f"A worker of {self.by.where} cannot read pixels that were sent to it. {KEPT}")
        else:
            self._give(unit)
        return True

    def _answer(self, future: Any) -> Any:
        """Return the result of a unit; ``None`` if its worker died before it could be fetched."""
        import distributed

        status = future.status
        if status == "finished":
            try:
                answer = future.result(timeout=_LOOK_AGAIN)
            except (TimeoutError, distributed.TimeoutError):
                return None
            except Exception as error:
                raise self._lost(error) from error
            finally:
                self.by.check()
            if isinstance(answer, dict) and isinstance(answer.get("refused"), dict):
                reason = difference(answer["refused"])
                raise stranger("that did this", f"{reason}" if reason else "it says so") from None
            return answer
        if status == "error":
            failed = future.exception()
            raise self._failed(failed) from failed
        raise self._lost(None)

    def _lost(self, error: BaseException | None) -> ClusterError:
        why = f" ({error})" if error is not None and str(error) else ""
        return ClusterError(
            f"The connection to {self.by.where} was lost{why}. {KEPT} Start again when the scheduler runs."
        )

    def _failed(self, error: BaseException) -> ClusterError:
        import distributed

        if isinstance(error, distributed.KilledWorker):
            return ClusterError(
                f"Several workers of {self.by.where} died of the same fields, often out of memory. "
                f"{KEPT} Give the workers more memory, or look into their logs."
            )
        if isinstance(error, ClusterError):
            return error
        if isinstance(error, ImportError | AttributeError):
            return stranger("that was asked", str(error))
        if isinstance(error, MemoryError):
            return ClusterError(f"A worker of {self.by.where} ran out of memory. {KEPT}")
        return ClusterError(f"A worker of {self.by.where} failed: {type(error).__name__}: {error}. {KEPT}")

    def _check_workers(self) -> None:
        """Raise if there have been no workers for too long."""
        now = time.monotonic()
        if self.by.threads():
            self._alone_since = None
            return
        self._alone_since = now if self._alone_since is None else self._alone_since
        if now - self._alone_since > self.by.patience:
            raise ClusterError(
                f"{self.by.where.capitalize()} has had no worker for {self.by.patience:.0f} seconds. {KEPT} "
                "Start some (dask worker), then start again."
            )

    def leave(self) -> None:
        """Cancel all submitted units."""
        futures = [future for _, future, _ in self.out.values()]
        self.out.clear()
        if futures:
            try:
                self.by.client.cancel(futures, force=True)
            except Exception:  # the scheduler is gone, so nothing runs
                return


@contextmanager
def on_cluster(
    scheduler: str | None,
    workers: int | None,
    *,
    project: Path,
    read_only: bool,
    check: Callable[[], None],
    device: str,
) -> Iterator[Cluster]:
    """Connect to a cluster for one task on a project.

    Parameters
    ----------
    read_only
        Whether nothing may be written into the project: pixels of fields are then always sent as bytes.

    Raises
    ------
    ClusterError
        See `training.cluster.connection.connected`.
    """
    where = "this computer" if scheduler is None else f"the scheduler {scheduler}"
    with (
        connected(scheduler, workers, check) as client,
        proof_in(project, read_only=read_only) as proof,
    ):
        yield Cluster(client, Sender(proof=proof), check, where, device)
