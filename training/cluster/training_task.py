"""A training given to a worker that has a graphics card, and its model brought back; no torch."""

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
"""The resource of dask that a worker declares which may train."""

_ATTEMPTS = 3
_PART = 16_000_000
"""Bytes that are sent at a time."""
_POLL = 0.2
_LOOK_AGAIN = 2.0
_FETCH = 120.0
"""Seconds in which a model must have come."""
_MOST_BYTES = 1_000_000_000
_PREFIX = "lld-train"


class RemoteError(ClusterError):
    """The training failed on its worker: what happened there, and what to do about it."""

    def __init__(self, where: str, cause: str, cure: str = "", details: str = "") -> None:
        super().__init__(f"On the worker {where}: {cause.rstrip('.')}. The project is as it was.")
        self.cure = cure
        self.details = details


class _GoneError(Exception):
    """The worker has gone, and with it what it did."""


@dataclass(frozen=True)
class Trained:
    """What came back: the last message, and the files of the model's folder by name."""

    done: Done
    files: Mapping[str, bytes]


@dataclass
class TrainingTask:
    """A training on one worker after the other, until one has ended it.

    Attributes
    ----------
    client
        Dask's.
    where
        The cluster, in words.
    request
        Called for each attempt; returns a `TrainRequest` as a dictionary. Instead of ``init``, ``start`` may
        name a file of the copy.
    files
        Called for each attempt; the copy's files, by their paths in it.
    check
        Called several times a second; what it raises ends the training.
    tell
        Given the messages of the worker.
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
        """Train.

        Raises
        ------
        ClusterError
            No worker has declared a graphics card, several have died, one runs another program, or the
            training failed.
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
        """Return the worker with a graphics card that has the least to train.

        Parameters
        ----------
        patient
            Whether to wait for one, as after one has gone.

        Raises
        ------
        ClusterError
            There is none.
        """
        end = time.monotonic() + (self.patience if patient else 0.0)
        while True:
            self.check()
            try:
                known = self.client.scheduler_info(n_workers=-1)["workers"]
                busy = self.client.processing()
            except Exception as error:  # whatever dask raises when its scheduler is away
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
        """Stop what still runs there; the worker sees it, and removes the copy."""
        with suppress(Exception):  # the scheduler is away, or the worker, and with it the work
            self.client.cancel([future], force=True)
            if address in threads_of(self.client):
                self.client.run(remote_training.forget, run, workers=[address], wait=False)

    def _wait(self, future: Any, address: str) -> Any:
        """Return what a task on a worker gave; tell meanwhile what comes from there."""
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
        """Raise `_GoneError` if a worker is no longer there."""
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
    """Yield files in parts that are sent at a time."""
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
