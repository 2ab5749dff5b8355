"""What a run that was cut off left behind, and whether the next one may go on from it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import platform
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors
import torch

from training.engine._ultralytics import VERSION as ULTRALYTICS_VERSION
from training.worker.turn import RUNS

if TYPE_CHECKING:
    from annotation_store.project import Project
    from training.engine.loop import LearningConfig
    from training.engine.model import LearnedModel
    from training.protocol import TrainRequest
    from training.worker.project_data import Knowledge

_NOT_LEARNING = {"project", "suggest", "min_confidence", "annotator", "wait"}
"""Parts of a request that change nothing of what is learnt."""

WORDS_FOR_THE_INTERRUPTED = "The process ended without a word: it was killed, or the power failed."


def state_file(project: Path) -> Path:
    """Give the place of the resumable state; there is one, as there is one run at a time."""
    return project / RUNS / "state.safetensors"


def mark_interrupted(project: Project) -> None:
    """Mark the runs of dead workers; call it while holding the project's turn."""
    for run in project.runs():
        if run.state == "running":
            project.finish_run(run.id, "interrupted", message=WORDS_FOR_THE_INTERRUPTED)


def identity(
    request: TrainRequest,
    training: Sequence[Knowledge],
    held: Collection[str],
    config: LearningConfig,
    model: LearnedModel,
) -> str:
    """Give a digest of all that decides what is learnt: request, data, settings, start, software."""
    content = [
        request.model_dump(exclude=_NOT_LEARNING),
        sorted(held),
        [_described(one) for one in training],
        dataclasses.asdict(config),
        model.vocabulary.to_dict(),
        _digest_of_weights(model),
        [platform.machine(), torch.__version__, ULTRALYTICS_VERSION],
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def epochs_done(state: Path, wanted: str) -> int:
    """Give the epochs that a run of this identity has done already; 0 = none, or the state is of another."""
    if not state.is_file():
        return 0
    try:
        with safetensors.safe_open(str(state), framework="pt") as opened:
            about = opened.metadata() or {}
        return int(about.get("epoch", 0)) if about.get("identity") == wanted else 0
    except (safetensors.SafetensorError, OSError, ValueError):
        return 0


def _described(one: Knowledge) -> list[Any]:
    cells = [[c.box, c.cell_class, sorted(c.attributes.items())] for c in one.cells]
    areas = [[shape.geometry.wkt for shape in shapes] for shapes in (one.finished, one.ignore)]
    return [
        one.field.content_hash or one.field.name,
        one.patient,
        cells,
        areas,
        one.rejections,
        one.cell_side,
    ]


def _digest_of_weights(model: LearnedModel) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.tensors():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
