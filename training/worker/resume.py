"""Checkpoints of interrupted runs, and whether the next run may resume from them."""

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

from annotation_store.files.layout import RUNS
from training.networks.ultralytics_api import VERSION as ULTRALYTICS_VERSION

if TYPE_CHECKING:
    from annotation_store.project import Project
    from training.engine.loop import LearningConfig
    from training.models.model import LearnedModel
    from training.protocol import TrainRequest
    from training.worker.annotated_fields import AnnotatedField

_NOT_LEARNING = {
    *("project", "suggest", "min_confidence", "annotator", "reading", "wait"),
    *("held_out", "scheduler", "workers"),
}
"""Parts of a request that do not affect the trained model."""

KEPT_STAGES = ("masked", "pseudo")
"""Stages whose results are stored until the run has ended."""

WORDS_FOR_THE_INTERRUPTED = "The process ended without a word: it was killed, or the power failed."


def state_file(project: Path) -> Path:
    """Return the path of the checkpoint; there is one, as there is one run at a time."""
    return project / RUNS / "state.safetensors"


def mark_interrupted(project: Project) -> None:
    """Mark the runs of dead workers as interrupted; call it while holding the training lock."""
    for run in project.runs.all():
        if run.state == "running":
            project.runs.finish(run.id, "interrupted", message=WORDS_FOR_THE_INTERRUPTED)


def identity(
    request: TrainRequest,
    training: Sequence[AnnotatedField],
    held_out: Collection[str],
    config: LearningConfig,
    model: LearnedModel,
) -> str:
    """Return a digest of everything that determines the result: request, data, settings, model, software."""
    content = [
        request.model_dump(exclude=_NOT_LEARNING),
        sorted(held_out),
        [_describe(field) for field in training],
        dataclasses.asdict(config),
        model.vocabulary.to_dict(),
        _digest_of_weights(model),
        [platform.machine(), torch.__version__, ULTRALYTICS_VERSION],
    ]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def state_identity(mark: str, stage: str) -> str:
    """Return the file name of the state of a stage of the run `mark` (see `training.worker.stages`)."""
    return f"{mark}:{stage}"


def stage_file(state: Path, stage: str) -> Path:
    """Return the path of the weights after a stage."""
    return state.with_name(f"after-{stage}.safetensors")


def stage_done(state: Path, mark: str, stage: str) -> int:
    """Return the epochs of a stage that a run with this identity has completed; 0 = not completed."""
    metadata = _read_metadata(stage_file(state, stage))
    return int(metadata["epoch"]) if metadata.get("identity") == mark else 0


def epochs_done(state: Path, mark: str) -> int:
    """Return the epochs that a run with this identity has done; 0 = none, or the checkpoint is of another."""
    done = sum(stage_done(state, mark, stage) for stage in KEPT_STAGES)
    metadata = _read_metadata(state)
    identity, _, stage = metadata.get("identity", "").partition(":")
    if identity == mark and not stage_done(state, mark, stage):
        done += int(metadata["epoch"])
    return done


def forget_state(state: Path) -> None:
    """Delete all checkpoints."""
    state.unlink(missing_ok=True)
    for stage in KEPT_STAGES:
        stage_file(state, stage).unlink(missing_ok=True)


def _read_metadata(file: Path) -> dict[str, str]:
    """Read the metadata of a weights file; ``{}`` if it cannot be read or has no epoch."""
    if not file.is_file():
        return {}
    try:
        with safetensors.safe_open(str(file), framework="pt") as opened:
            metadata = dict(opened.metadata() or {})
        int(metadata["epoch"])
    except (safetensors.SafetensorError, OSError, ValueError, KeyError):
        return {}
    return metadata


def _describe(field: AnnotatedField) -> list[Any]:
    cells = [[c.box, c.cell_class, sorted(c.attributes.items())] for c in field.cells]
    areas = [[shape.geometry.wkt for shape in shapes] for shapes in (field.finished, field.ignore)]
    return [
        field.field.content_hash or field.field.name,
        field.patient,
        cells,
        areas,
        field.rejections,
        field.cell_side,
        *([field.window] if field.window is not None else []),
        *([sorted((n, votes.box, votes.shares) for n, votes in field.votes.items())] if field.votes else []),
    ]


def _digest_of_weights(model: LearnedModel) -> str:
    digest = hashlib.sha256()
    for name, tensor in model.tensors():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
