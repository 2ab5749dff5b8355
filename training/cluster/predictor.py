"""Models run on a cluster; what comes back is looked at, put in order, and handed to the one who writes."""

from __future__ import annotations

import queue
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from annotation_store.errors import ImageError
from training.cluster import remote
from training.cluster.connection import PATIENCE, connected, stranger, threads_of
from training.cluster.errors import KEPT, ClusterError
from training.cluster.model_files import SentModel, read_files
from training.cluster.results import read_proposals, results_of
from training.cluster.sending import Sender, proof_in, size_of
from training.cluster.versions import difference, own_versions
from training.inference.predict import LIKELY, Pixels, RawProposals, seen_side
from training.inference.predictor import View
from training.models.model import LearnedModel

T = TypeVar("T")
Items = Sequence[tuple[Pixels, dict[str, Any]]]
"""Pixels, and what else is to be known of each."""

_WAITING_FOR = 3
"""Units for each thread that are given out at a time: one is computed, the next lie ready."""
_DONE_AHEAD = 64
"""Units that may be done before one that came earlier is."""
_MOST_BYTES = 256_000_000
"""Of pixels that are given out at a time."""
_POLL = 0.2
_LOOK_AGAIN = 2.0
"""Seconds without an answer after which the workers are counted."""


@dataclass
class _Unit:
    """Some work that is given out as one.

    Attributes
    ----------
    attempt
        How often it was given out.
    found
        What is known of each item.
    """

    number: int
    what: Any
    items: Items
    attempt: int = 0
    bytes: int = 0
    found: dict[int, Any] = field(default_factory=dict)

    @property
    def missing(self) -> list[int]:
        """The items of which nothing is known."""
        return [i for i in range(len(self.items)) if i not in self.found]


@dataclass
class ClusterPredictor:
    """Runs models on a cluster, for one task.

    Attributes
    ----------
    client
        Dask's.
    check
        Called several times a second; what it raises ends the work.
    where
        The cluster, in words.
    device
        Where workers compute.
    patience
        Seconds without any worker after which the work ends.
    """

    client: Any
    sender: Sender
    check: Callable[[], None]
    where: str
    device: str = "auto"
    patience: float = PATIENCE
    _models: dict[str, Any] = field(default_factory=dict)
    _run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    _count: int = 0

    batch = 4

    def propose(
        self, model: LearnedModel, batches: Iterable[tuple[T, Sequence[View]]], *, min_score: float
    ) -> Iterator[tuple[T, list[RawProposals | None]]]:
        """Have batches predicted, and yield them in their order."""
        given = ((what, [_asked(view) for view in views]) for what, views in batches)
        options = {"min_score": min_score, "describe": True}
        for what, found in self._run_units("propose", model, given, options, partial(_proposals, model)):
            yield what, [None if one is None else one[1] for one in found]

    def seen_side(self, model: LearnedModel, fields: Sequence[Pixels]) -> float | None:
        """Have a few of the fields looked at."""

        def find(some: Sequence[Pixels], cell_sides: Sequence[float | None]) -> list[tuple[int, np.ndarray]]:
            options = {"min_score": model.calibration.raw(LIKELY), "describe": False}
            views = [_asked(View(pixels, side)) for pixels, side in zip(some, cell_sides, strict=True)]
            alone = ((None, [view]) for view in views)
            seen = []
            for _, (one,) in self._run_units("propose", model, alone, options, partial(_proposals, model)):
                if one is None:
                    raise ImageError("An image by which the scale is judged is damaged.")
                seen.append((max(one[0]), one[1].boxes))
            return seen

        return seen_side(model, fields, find)

    # -- units ------------------------------------------------------------------------------------

    def _run_units(
        self,
        kind: str,
        model: LearnedModel,
        batches: Iterable[tuple[T, Items]],
        options: dict[str, Any],
        read: Callable[[Any], Any],
    ) -> Iterator[tuple[T, list[Any]]]:
        """Run units as there is room for them, and yield them in their order, each once.

        Parameters
        ----------
        read
            Looks at what came back for an item.
        """
        work = _Work(self, kind, self._sent(model), options, read)
        try:
            yield from work.run(batches)
        finally:
            work.leave()

    def _sent(self, model: LearnedModel) -> tuple[dict[str, Any], Any]:
        """Return a model as it is described to workers, and dask's future of its file."""
        sent = read_files(model, device=self.device, proof=self.sender.proof)
        if sent.key not in self._models:
            self._models[sent.key] = self._handed_over(sent)
        sides = [float(one) for one in model.sides]
        return {**sent.described, "size": model.size, "sides": sides}, self._models[sent.key]

    def _handed_over(self, sent: SentModel) -> Any:
        if sent.weights is None:
            return None
        key = f"lld-model-{self._run}-{sent.key[:16]}"
        # a task and not data: where the worker that holds it dies, the scheduler makes it again
        return self.client.submit(remote.hand_over, sent.weights, key=key, pure=False)

    def next_key(self, number: int) -> str:
        """Return a key that no other unit has."""
        self._count += 1
        return f"lld-unit-{self._run}-{number}-{self._count}"


@dataclass
class _Work:
    """One kind of work that is being done."""

    by: ClusterPredictor
    kind: str
    model: tuple[dict[str, Any], Any]
    options: dict[str, Any]
    read: Callable[[Any], Any]
    out: dict[str, tuple[_Unit, Any, list[int]]] = field(default_factory=dict)
    done: dict[int, _Unit] = field(default_factory=dict)
    threads: int = 1
    _heard: queue.SimpleQueue[Any] = field(default_factory=queue.SimpleQueue)
    _alone_since: float | None = None
    _counted: float = 0.0

    def run(self, batches: Iterable[tuple[T, Items]]) -> Iterator[tuple[T, list[Any]]]:
        """Do all of it."""
        waiting, more = iter(batches), True
        taken = given = 0
        self._count_workers()
        while True:
            while self._hear(wait=False):  # what has come makes room
                pass
            while more and self._room():
                try:
                    what, items = next(waiting)
                except StopIteration:
                    more = False
                    break
                self._give(_Unit(taken, what, items))
                taken += 1
            if given in self.done:
                unit = self.done.pop(given)
                given += 1
                yield unit.what, [unit.found[i] for i in range(len(unit.items))]
            elif self.out:
                self._hear(wait=True)
            elif not more:
                return

    def _room(self) -> bool:
        if len(self.done) >= _DONE_AHEAD:
            return False
        bytes_out = sum(unit.bytes for unit, _, _ in self.out.values())
        return len(self.out) < _WAITING_FOR * self.threads and (not self.out or bytes_out < _MOST_BYTES)

    def _give(self, unit: _Unit) -> None:
        """Submit what of a unit is not known yet."""
        by, unit.attempt, unit.bytes = self.by, unit.attempt + 1, 0
        sent: list[dict[str, Any]] = []
        rows = []
        for i in unit.missing:
            pixels, more = unit.items[i]
            place = by.sender.place_of(pixels) if unit.attempt == 1 else None
            content = place or by.sender.content_of(pixels)
            if content is None:  # it cannot be read here either
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
        """Take an answer, if there is one or comes within a moment; return whether one was there."""
        if wait:
            self.by.check()
        try:
            future = self._heard.get(timeout=_POLL) if wait else self._heard.get_nowait()
        except queue.Empty:
            self._count_workers()
            return False
        self._alone_since = None
        if (known := self.out.get(future.key)) is None:
            return True  # it was taken already
        unit, _, rows = known
        answer = self._answer(future)
        if answer is None:  # it was lost on its way, and is made again
            future.add_done_callback(self._heard.put)
            return False
        del self.out[future.key]
        for i, given in zip(rows, results_of(answer, len(rows)), strict=True):
            if given == "unread":
                self.by.sender.by_place = False  # the next ones are sent at once
            else:
                unit.found[i] = None if given == "damaged" else self.read(given)
        if not unit.missing:
            self.done[unit.number] = unit
        elif unit.attempt > 1:
            raise ClusterError(f"A worker of {self.by.where} cannot read pixels that were sent to it. {KEPT}")
        else:
            self._give(unit)
        return True

    def _answer(self, future: Any) -> Any:
        """Return what a unit gave; ``None`` if its worker has died before it could be fetched."""
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
                how = difference(answer["refused"])
                raise stranger("that did this", f"{how}" if how else "it says so") from None
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

    def _count_workers(self) -> None:
        """Count the workers now and then; some may come, and all may go."""
        now = time.monotonic()
        if now - self._counted < _LOOK_AGAIN:
            return
        self._counted = now
        threads = sum(threads_of(self.by.client).values())
        if threads:
            self.threads, self._alone_since = threads, None
            return
        self._alone_since = now if self._alone_since is None else self._alone_since
        if now - self._alone_since > self.by.patience:
            raise ClusterError(
                f"{self.by.where.capitalize()} has had no worker for {self.by.patience:.0f} seconds. {KEPT} "
                "Start some (dask worker), then start again."
            )

    def leave(self) -> None:
        """Take back what was given out."""
        futures = [future for _, future, _ in self.out.values()]
        self.out.clear()
        if futures:
            try:
                self.by.client.cancel(futures, force=True)
            except Exception:  # the scheduler is away, and with it the work
                return


def _asked(view: View) -> tuple[Pixels, dict[str, Any]]:
    return view.pixels, {"side": view.side, "move": view.move}


def _proposals(model: LearnedModel, given: Any) -> tuple[tuple[int, int], RawProposals]:
    return read_proposals(given, model)


@contextmanager
def on_cluster(
    scheduler: str | None,
    workers: int | None,
    *,
    project: Path,
    read_only: bool,
    check: Callable[[], None],
    device: str,
) -> Iterator[ClusterPredictor]:
    """Connect to a cluster for one task on a project.

    Parameters
    ----------
    read_only
        Whether nothing may be written into the project: pixels are always sent then.

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
        yield ClusterPredictor(client, Sender(proof=proof), check, where, device)
