"""Train on a worker that has a graphics card, and fetch the model; no torch."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from training.cluster import remote_training
from training.cluster.connection import PATIENCE, stranger, threads_of
from training.cluster.errors import ClusterError
from training.cluster.versions import difference, own_versions
from training.protocol import Done, Message, Notice, ProtocolError, Waiting, parse_message
from training.reasons import Reason

CARD = "GPU"
"""The dask resource that a worker declares if it may train."""

_ATTEMPTS = 3
_PART = 16_000_000
"""Maximum number of bytes sent at a time."""
_POLL = 0.2
_LOOK_AGAIN = 2.0
_FETCH = 120.0
"""Timeout in seconds to fetch a model."""
_MOST_BYTES = 1_000_000_000
_PREFIX = "lld-train"


class RemoteError(ClusterError):
    """The training failed on its worker; has the cause, the cure and details."""

    def __init__(self, where: str, cause: str, cure: str = "", details: str = "") -> None:
        super().__init__(f"On the worker {where}: {cause.rstrip('.')}. The project is as it was.")
        self.cure = cure
        self.details = details


class _GoneError(Exception):
    """The worker has disconnected, and its results are lost."""


@dataclass(frozen=True)
class Trained:
    """The result: the last message, and the files of the model's folder by name."""

    done: Done
    files: Mapping[str, bytes]


@dataclass
class TrainingTask:
    """A training that is repeated on another worker if its worker disconnects.

    Attributes
    ----------
    client
        The dask client.
    where
        Name of the cluster in messages.
    request
        Called for each attempt; returns a `TrainRequest` as a dictionary. Instead of ``init``, ``start`` may
        name a file of the copy.
    files
        Called for each attempt; the copy's files, by their paths in it.
    check
        Called several times per second; an exception that it raises ends the training.
    tell
        Called with each message of the worker.
    """

    client: Any
    where: str
    request: Callable[[], Mapping[str, Any]]
    files: Callable[[], Iterable[tuple[str, bytes]]]
    check: Callable[[], None]
    tell: Callable[[Message], None]
    patience: float = PATIENCE
    _heard: queue.SimpleQueue[str] = field(default_factory=queue.SimpleQueue)
    _counted: float = 0.0
    _trains: dict[str, int] = field(default_factory=dict)

    def run(self) -> Trained:
        """Train on a worker, and return its model.

        Raises
        ------
        ClusterError
            No worker declares a graphics card, several have disconnected, one has another version, or
            the training failed.
        """
        topic = f"lld-{uuid.uuid4().hex}"
        self.client.subscribe_topic(topic, lambda event: self._heard.put(str(event[1])))
        try:
            for attempt in range(_ATTEMPTS):
                address = self.choose(patient=attempt > 0)
                try:
                    return self._attempt(address, topic)
                except _GoneError:
                    reason = Reason(
                        "The worker {worker} that trained has gone: the training starts again on another one",
                        worker=address,
                    )
                    if attempt < _ATTEMPTS - 1:
                        self.tell(Notice(reason=reason.stored()))
        finally:
            with suppress(Exception):
                self.client.unsubscribe_topic(topic)
        raise ClusterError(
            f"{_ATTEMPTS} workers of {self.where} went away while they trained, often out of memory. "
            "The project is as it was. Give the workers more memory, or look into their logs."
        )

    def choose(self, *, patient: bool = False) -> str:
        """Return the worker with a graphics card that has the fewest trainings.

        Parameters
        ----------
        patient
            Whether to wait for one, as after a worker has disconnected.

        Raises
        ------
        ClusterError
            No worker has a graphics card.
        """
        end = time.monotonic() + (self.patience if patient else 0.0)
        while True:
            self.check()
            try:
                known = self.client.scheduler_info(n_workers=-1)["workers"]
                busy = self.client.processing()
            except Exception as error:  # dask raises many types if its scheduler is unreachable
                raise self._lost() from error
            able = [
                str(worker) for worker, info in known.items() if info.get("resources", {}).get(CARD, 0) >= 1
            ]
            if able:
                break
            if time.monotonic() > end:
                raise ClusterError(
                    f"No worker of {self.where} says that it has a graphics card to train on. Start one with "
                    f"dask worker ADDRESS --resources {CARD}=1 (without a card it trains too, but slowly)."
                )
            time.sleep(_POLL)
        self._trains = {worker: sum(_PREFIX in str(key) for key in busy.get(worker, ())) for worker in able}
        return min(able, key=lambda worker: self._trains[worker])

    def _attempt(self, address: str, topic: str) -> Trained:
        run = uuid.uuid4().hex
        there = {"workers": [address], "allow_other_workers": False, "pure": False}
        if self._trains[address]:
            reason = Reason("Another training runs on the worker {worker}", worker=address)
            self.tell(Waiting(reason=reason.stored()))
        future: Any = None
        ended = False
        try:
            for number, part in enumerate(in_parts(self.files())):
                future = self.client.submit(
                    remote_training.receive, run, part, key=f"lld-copy-{run}-{number}", **there
                )
                self._wait(future, address)
            future = self.client.submit(
                remote_training.train,
                run,
                own_versions(),
                dict(self.request()),
                topic,
                key=f"{_PREFIX}-{run}",
                resources={CARD: 1},
                **there,
            )
            trained = self._read(self._wait(future, address), address)
            ended = True
            return trained
        finally:
            if not ended:
                self._give_up(future, address, run)

    def _give_up(self, future: Any, address: str, run: str) -> None:
        """Cancel what still runs on the worker, and remove the copy there."""
        with suppress(Exception):  # the scheduler or the worker is gone, so nothing runs
            self.client.cancel([future], force=True)
            if address in threads_of(self.client):
                self.client.run(remote_training.forget, run, workers=[address], wait=False)

    def _wait(self, future: Any, address: str) -> Any:
        """Return the result of a task on a worker; forward its messages while waiting."""
        while future.status == "pending":
            self.check()
            with suppress(queue.Empty):
                self._hear(self._heard.get(timeout=_POLL))
            self._look_for(address)
        if future.status == "finished":
            try:
                return future.result(timeout=_FETCH)
            except Exception as error:  # its worker died with it
                self._look_for(address, now=True)
                raise self._lost() from error
        if future.status == "error":
            raise self._failed(future.exception(), address)
        self._look_for(address, now=True)
        raise self._lost()

    def _hear(self, line: str) -> None:
        with suppress(ProtocolError):
            self.tell(parse_message(line))

    def _look_for(self, address: str, *, now: bool = False) -> None:
        """Raise `_GoneError` if a worker has disconnected."""
        if not now and time.monotonic() - self._counted < _LOOK_AGAIN:
            return
        self._counted = time.monotonic()
        there = threads_of(self.client)
        if address in there:
            return
        if self.client.status != "running":
            raise self._lost()
        raise _GoneError

    def _read(self, answer: Any, address: str) -> Trained:
        match answer:
            case {"refused": dict(theirs)}:
                raise stranger(address, difference(theirs) or "it says so")
            case {"gone": True}:
                raise _GoneError
            case {"failed": {"cause": str(cause), "cure": str(cure), "details": str(details)}}:
                raise RemoteError(address, cause, cure, details)
            case {"done": dict(done), "files": dict(files), "notices": list(notices)}:
                names = set(remote_training.RESULT)
                whole = files.keys() == names and all(isinstance(data, bytes) for data in files.values())
                if whole and sum(map(len, files.values())) <= _MOST_BYTES:
                    with suppress(ValueError):
                        last = Done.model_validate(done)
                        for reason in notices:
                            self.tell(Notice(reason=reason))
                        return Trained(last, files)
        raise RemoteError(address, "the training ended without a model")

    def _failed(self, error: BaseException, address: str) -> ClusterError:
        if isinstance(error, ImportError | AttributeError):
            return stranger(address, str(error))
        if isinstance(error, OSError):
            return RemoteError(
                address,
                f"the copy to train on cannot be written ({error.strerror or error})",
                "Free some space in its temporary folder, or start the worker with TMPDIR elsewhere.",
            )
        return RemoteError(address, f"{type(error).__name__}: {error}")

    def _lost(self) -> ClusterError:
        return ClusterError(
            f"The connection to {self.where} was lost. The project is as it was. Start again when the "
            "scheduler runs."
        )


def in_parts(files: Iterable[tuple[str, bytes]]) -> Iterator[dict[str, bytes]]:
    """Yield files in parts of up to `_PART` bytes, or of one file."""
    part: dict[str, bytes] = {}
    size = 0
    for name, content in files:
        if part and size + len(content) > _PART:
            yield part
            part, size = {}, 0
        part[name] = content
        size += len(content)
    if part:
        yield part
