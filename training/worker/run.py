"""Run the task of a request."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from annotation_store.errors import LLDError
from annotation_store.files.layout import database_status
from annotation_store.files.outputs import check_output
from annotation_store.project import Project
from training.protocol import (
    DescribeRequest,
    DifferentialRequest,
    Done,
    EmbeddingsRequest,
    EvaluateRequest,
    ExportModelRequest,
    LikenessRequest,
    PredictRequest,
    RenewRequest,
    Request,
    TrainRequest,
    Waiting,
)
from training.reasons import Reason
from training.start import check_start
from training.worker.annotated_fields import annotated_fields, refuse_without_labels
from training.worker.channel import Channel
from training.worker.export_model import check_export, export_model
from training.worker.lock import training_lock


def run(request: Request, channel: Channel, begun: float) -> Done:
    """Run a task; `begun` is the `time.monotonic` time at which the process started."""
    _check(request)
    channel.check()
    with ExitStack() as held:
        if isinstance(request, TrainRequest):
            begun += held.enter_context(
                training_lock(
                    request.project,
                    who=request.annotator,
                    wait=request.wait,
                    on_wait=_Waiting(channel).tell,
                )
            )
        try:
            return _run(request, channel, begun)
        except (LLDError, OSError):
            database_status(Path(request.project))  # the better reason, if it is one
            raise


class _Waiting:
    """Reports once which training the task waits for, and listens for a cancel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._said = ""

    def tell(self, who: Reason) -> None:
        self._channel.check()
        if who != self._said:
            self._said = who
            self._channel.send(Waiting(reason=who.stored()))


def _run(request: Request, channel: Channel, begun: float) -> Done:
    from training.networks.devices import choose_device, make_deterministic, set_threads

    set_threads(leave_free=1 if os.environ.get("NAPARI_LLD_WINDOW") else 0)
    make_deterministic()
    if isinstance(request, ExportModelRequest):
        return export_model(request, channel)
    away = isinstance(request, TrainRequest) and request.scheduler is not None  # on a remote device
    device = choose_device("auto" if away else request.device)
    match request:
        case TrainRequest():
            from training.worker.train import train

            return train(request, channel, device, begun)
        case PredictRequest():
            from training.worker.predict import predict

            return predict(request, channel, device)
        case DifferentialRequest():
            from training.worker.differential import differential

            return differential(request, channel, device)
        case RenewRequest():
            from training.worker.renew import renew

            return renew(request, channel, device)
        case DescribeRequest():
            from training.worker.renew import describe

            return describe(request, channel, device)
        case LikenessRequest():
            from training.worker.likeness import likeness

            return likeness(request, channel, device)
        case EmbeddingsRequest():
            from training.worker.embeddings import write_embeddings

            return write_embeddings(request, channel, device)
        case EvaluateRequest():
            from training.worker.evaluate import evaluate

            return evaluate(request, channel, device)


def _check(request: Request) -> None:
    """Reject requests that cannot be fulfilled, before torch is imported, which takes seconds."""
    if isinstance(request, TrainRequest):
        with Project.open(request.project, annotator=request.annotator, reading=request.reading) as project:
            refuse_without_labels(annotated_fields(project))
            check_start(project, request.init, request.detector)
    elif isinstance(request, ExportModelRequest):
        check_export(request)
        Project.open(request.project, read_only=True).close()
    elif isinstance(request, EmbeddingsRequest):
        check_output(Path(request.out), overwrite=request.overwrite)
    elif not isinstance(request, RenewRequest | DescribeRequest | LikenessRequest):  # these open it anyway
        Project.open(request.project, reading=request.reading, read_only=True).close()
