"""The state of a training, to be shown; no Qt, no torch."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from psygnal import Signal

from napari_lld.i18n.reasons import in_words
from napari_lld.i18n.translate import later, tr, trn
from napari_lld.i18n.worker_texts import in_the_window
from training.evaluation.unchecked_films import trust_reasons
from training.reasons import Reason


class TrainingPhase(StrEnum):
    """The life of one training, as the window shows it."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    CANCELLING = "cancelling"


class Trainer(Protocol):
    """Whoever runs the worker: `TrainingProcess` in the window, a fake in the tests."""

    def start(self, request: Any) -> None:
        """Start the worker on a request; messages come back through `TrainingState.receive`."""

    def cancel(self) -> None:
        """Ask the worker to stop."""


_STAGES = {
    "connect": later("Connecting to the cluster"),
    "send": later("Sending the training data"),
    "prepare": later("Preparing the fields"),
    "train": later("Training"),
    "evaluate": later("Measuring on held-out cells"),
    "calibrate": later("Calibrating"),
    "check": later("Checking the labels"),
    "look": later("Examining cells"),
    "suggest": later("Looking for cells"),
    "map": later("Mapping the slide"),
    "search": later("Searching the slide"),
    "count": later("Counting white cells"),
    "predict": later("Looking for cells"),
}


@dataclass
class TrainingProgress:
    """The last numbers the worker told."""

    stage: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    losses: Mapping[str, float] = field(default_factory=dict)

    @property
    def fraction(self) -> float | None:
        """How much of the stage is done, 0 to 1, or ``None`` if unknown."""
        return min(self.done / self.total, 1.0) if self.total else None

    @property
    def title(self) -> str:
        """The stage in words."""
        return tr(_STAGES.get(self.stage, self.stage.replace("_", " ").capitalize()))


class TrainingState:
    """The evented state of training: phase, progress, losses so far, and the last sentence."""

    changed = Signal()
    received = Signal(object)
    """Every message of the worker, after the state took it in."""
    ended = Signal()
    """The worker is done, however it went, and everybody has been told."""

    def __init__(self) -> None:
        self.phase = TrainingPhase.IDLE
        self.progress = TrainingProgress()
        self.message = ""
        self.failed = False
        self.notices: list[str] = []
        """What people should know of the result of the task, a sentence each."""
        self.task = ""
        self.where = ""
        """The scheduler on whose workers the task runs; empty = on this computer."""
        self._saved_last = False
        """Whether the last message that changed the sentence was of a saved model."""
        self.loss_history: list[tuple[float, dict[str, float]]] = []
        self._searched = False
        self.started_at: float | None = None
        self.worker_memory: int | None = None
        """Bytes that a worker held when it was last ready for a request; nothing where there is none."""

    @property
    def busy(self) -> bool:
        """Whether a worker is at work."""
        return self.phase is not TrainingPhase.IDLE

    def begin(self, task: str, where: str = "") -> None:
        """Record that a worker is being started.

        Parameters
        ----------
        where
            The scheduler on whose workers the task runs; empty = on this computer.
        """
        self.phase, self.task, self.failed = TrainingPhase.STARTING, task, False
        self.where = where
        self.progress, self.loss_history, self.notices = TrainingProgress(), [], []
        self.started_at = time.monotonic()
        self._searched = False
        self.message = (
            tr("Starting (loading the network takes some seconds) …")
            if self.worker_memory is None
            else tr("Starting …")
        )
        self.changed.emit()

    def worker_waits(self, memory: int | None) -> None:
        """Record a worker that is ready for a request; ``None`` = there is none any more."""
        if memory != self.worker_memory:
            self.worker_memory = memory
            self.changed.emit()

    def cancelling(self) -> None:
        """Record that the user asked to stop."""
        if self.busy:
            self.phase, self.message = TrainingPhase.CANCELLING, tr("Stopping …")
            self.changed.emit()

    def end(self, message: str, *, failed: bool = False) -> None:
        """No worker is at work any more."""
        self._end(message, failed=failed)
        self.ended.emit()

    def _end(self, message: str, *, failed: bool = False) -> None:
        self.phase, self.message, self.failed = TrainingPhase.IDLE, message, failed
        self.progress = TrainingProgress()
        self.started_at = None
        self.changed.emit()

    def add(self, sentence: str) -> None:
        """Show one more sentence of what has ended; nothing adds nothing."""
        if sentence:
            self.message = f"{self.message} {sentence}"
            self.changed.emit()

    def forget(self) -> None:
        """Reset: the last training was of another project."""
        if not self.busy:
            self._end("")

    def receive(self, message: Any) -> None:
        """Process one message of the worker protocol."""
        if message.type in {"started", "waiting", "saved", "suggested"}:
            self._saved_last = message.type == "saved"
        match message.type:
            case "started":
                if self.phase is TrainingPhase.STARTING:
                    self.phase = TrainingPhase.RUNNING
                self.message = tr(
                    "{fields} fields, {cells} cells, on {device}",
                    fields=message.fields,
                    cells=message.cells,
                    device=message.device,
                )
            case "waiting":
                self.message = tr(
                    "{who}. This training waits until that one ends.",
                    who=in_words([Reason.read(message.reason)])[0],
                )
            case "notice":
                self.notices.append(f"{in_words([Reason.read(message.reason)])[0]}.")
            case "progress":
                if self.phase is TrainingPhase.STARTING:
                    self.phase = TrainingPhase.RUNNING
                self.progress = TrainingProgress(
                    message.stage,
                    message.done,
                    message.total,
                    message.seconds_left,
                    dict(message.losses or {}),
                )
                if message.losses:
                    elapsed = time.monotonic() - (self.started_at or time.monotonic())
                    self.loss_history.append((elapsed, dict(message.losses)))
            case "saved":
                why = in_words([Reason.read(message.reason)])[0] if message.reason else message.why
                if not message.active:
                    self.message = tr(
                        "Model {id} saved, but not promoted: {why}", id=message.model_id, why=why
                    )
                elif why:
                    self.message = tr("Model {id} saved. {why}", id=message.model_id, why=why)
                else:
                    self.message = tr("Model {id} saved", id=message.model_id)
            case "searched":
                self._searched = True
                self.message = tr(
                    "{count} suggestions; {done} of {total} parts of the slide searched",
                    count=message.count,
                    done=message.done,
                    total=message.total,
                )
            case "suggested":
                pending = message.count if message.pending is None else message.pending
                fields = len(message.field_ids)
                self.message = (
                    tr("{count} suggestions on {fields} fields", count=pending, fields=fields)
                    if pending == message.count
                    else tr(
                        "{count} suggestions on {fields} fields ({new} new)",
                        count=pending,
                        fields=fields,
                        new=message.count,
                    )
                )
            case "cancelling":
                self.phase, self.message = TrainingPhase.CANCELLING, tr("Stopping …")
            case "done":
                parts = (
                    self._done_sentence(message),
                    _left_out(message),
                    _trust(message),
                    *self.notices,
                )
                return self._finish(message, _joined(parts))
            case "cancelled":
                kept = tr("Stopped. The results are kept; the next search continues from there.")
                return self._finish(message, kept if self._searched else tr("Stopped. Nothing was changed."))
            case "failed":
                sentence = in_the_window(f"{message.cause} {message.cure}".strip())
                return self._finish(message, sentence, failed=True)
            case _:
                pass
        self.changed.emit()
        self.received.emit(message)
        return None

    def _finish(self, message: Any, sentence: str, *, failed: bool = False) -> None:
        self._end(sentence, failed=failed)
        self.received.emit(message)
        self.ended.emit()

    def _done_sentence(self, message: Any) -> str:
        if self.task == "differential":
            counted = message.result.get("counted", 0)
            return trn("{count} white cell counted.", "{count} white cells counted.", counted)
        if message.model_id is None:
            return self.message or tr("Done.")
        if self._saved_last:
            return self.message + "."
        return tr("Model {id} is ready. {message}", id=message.model_id, message=self.message).strip()


def _trust(message: Any) -> str:
    """Describe how far what was suggested can be relied on; nothing if there is nothing to say."""
    return " ".join(f"{sentence}." for sentence in in_words(trust_reasons(message.result)))


def _left_out(message: Any) -> str:
    """Describe what a training has left out to keep its time; nothing if it did all."""
    what = in_words(Reason.read(reason) for reason in message.result.get("left_out", ()))
    return tr("Left out to keep to the time: {what}.", what="; ".join(what)) if what else ""


def _joined(parts: Iterable[str]) -> str:
    """Join sentences, of which some are written without a full stop."""
    *first, last = [part for part in parts if part] or [""]
    return " ".join([*(part if part.endswith((".", "!", "?", "…")) else f"{part}." for part in first), last])
