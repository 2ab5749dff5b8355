"""Initialise models from Ultralytics weights (`training.models.ultralytics_checkpoints`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.models.card import ModelError
from training.models.model import LearnedModel
from training.models.ultralytics_checkpoints import Checkpoint, read_checkpoint
from training.networks.architectures import STARTER_ARCHITECTURE
from training.networks.describer import TRUNK_LAYERS


def load_weights(detector: nn.Module, checkpoint: Checkpoint) -> None:
    """Load a checkpoint's weights into a detector of its architecture.

    The last layer of the scores is loaded if the checkpoint has one class too; otherwise it is kept, and so
    are the layers before it whose width is the number of classes of the checkpoint.

    Raises
    ------
    ModelError
        The file holds a changed architecture.
    """
    own = detector.state_dict()
    scores = f"model.{checkpoint.architecture.head}.cv3."
    fitting = {
        name: torch.from_numpy(checkpoint.weights[name]).to(tensor.dtype)
        for name, tensor in own.items()
        if name in checkpoint.weights and checkpoint.weights[name].shape == tuple(tensor.shape)
    }
    missing = [name for name in own if name not in fitting and not name.startswith(scores)]
    if missing:
        raise ModelError(
            f"{checkpoint.file} does not hold a {checkpoint.architecture.title} as Ultralytics builds it: "
            f"{len(missing)} of {len(own)} weights do not fit (the first is {missing[0]}). "
            "Give a file of the unchanged architecture."
        )
    detector.load_state_dict(fitting, strict=False)


def with_coco_weights(model: LearnedModel, file: Path) -> LearnedModel:
    """Load Ultralytics' ``yolo26n.pt`` into a model: detector (except the scores) and describer's trunk.

    Raises
    ------
    ModelError
        The file cannot be used, or is not a YOLO26n.
    """
    checkpoint = read_checkpoint(file)
    if checkpoint.architecture.name != STARTER_ARCHITECTURE:
        raise ModelError(f"{file} holds a {checkpoint.architecture.title}, not a YOLO26n.")
    load_weights(model.detector, checkpoint)
    layers: Any = model.detector.model
    for own_layer, layer in zip(model.describer.trunk, layers[:TRUNK_LAYERS], strict=True):
        own_layer.load_state_dict(layer.state_dict())
    return model
