"""From a request to its task."""

from __future__ import annotations

import os

from annotation_store.project import Project
from training.protocol import Done, EvaluateRequest, PredictRequest, Request, TrainRequest
from training.worker.channel import Channel
from training.worker.project_data import knowledge, refuse_without_knowledge


def run(request: Request, channel: Channel, begun: float) -> Done:
    """Do a task; `begun` is the `time.monotonic` time at which the process started."""
    _check(request)
    channel.check()
    from training.engine.devices import be_repeatable, choose_device, set_threads

    set_threads(leave_free=1 if os.environ.get("NAPARI_LLD_WINDOW") else 0)
    be_repeatable()
    device = choose_device(request.device)
    match request:
        case TrainRequest():
            from training.worker.train import train

            return train(request, channel, device, begun)
        case PredictRequest():
            from training.worker.predict import predict

            return predict(request, channel, device)
        case EvaluateRequest():
            from training.worker.evaluate import evaluate

            return evaluate(request, channel, device)


def _check(request: Request) -> None:
    """Refuse what cannot be done before torch is loaded, which takes seconds."""
    if isinstance(request, TrainRequest):
        with Project.open(request.project, annotator=request.annotator) as project:
            refuse_without_knowledge(knowledge(project))
    else:
        Project.open(request.project, read_only=True).close()
