"""From a request to its task."""

from __future__ import annotations

import os

from training.engine.devices import be_repeatable, choose_device, set_threads
from training.protocol import Done, EvaluateRequest, PredictRequest, Request, TrainRequest
from training.worker.channel import Channel


def run(request: Request, channel: Channel, begun: float) -> Done:
    """Do a task; `begun` is the `time.monotonic` time at which the process started."""
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
