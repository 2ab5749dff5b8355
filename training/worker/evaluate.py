"""The evaluation task: a model measured on held-out regions or against full truth."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from annotation_store.errors import LLDError
from annotation_store.formats._images import Images
from annotation_store.images import read_image
from annotation_store.project import Project
from training.evaluate import FieldTruth
from training.lineage import Lineage, still_held_out
from training.measure import measured
from training.predict import Pixels, cell_sides, propose_raw
from training.protocol import Done, EvaluateRequest, Metrics, Progress, Started
from training.split import FEWEST_CELLS
from training.worker.channel import Channel
from training.worker.models import resolve
from training.worker.project_data import fields_by_patient, knowledge
from training.worker.truth import outside_regions, read_truth

_TOLD = 3  # sentences about what was left out of a file


def evaluate(request: EvaluateRequest, channel: Channel, device: torch.device) -> Done:
    """Measure a model; see `EvaluateRequest`."""
    with Project.open(request.project, reading=request.reading, read_only=True) as project:
        model, number = resolve(project, request.model)
        model.to(device)
        if request.truth is None:
            truths, pixels, known, on = *_held_out(project, number), "held-out regions"
        else:
            truths, pixels, on = *_against_file(project, request, Path(request.truth), channel), request.truth
            known = [None] * len(truths)
        cells = sum(truth.covers(cell.box) for truth in truths for cell in truth.cells)
        channel.send(Started(task="evaluate", device=str(device), fields=len(truths), cells=cells))

        def tell(done: int) -> None:
            channel.check()
            channel.send(Progress(stage="evaluate", done=done, total=len(truths)))

        sides = cell_sides(model, pixels, [truth.domain for truth in truths], known)
        raw = propose_raw(model, pixels, cell_sides=sides, on_field=tell)
        metrics: dict[str, Any] = {
            "on": on,
            "outside_regions": request.outside_regions,
            **measured(model, truths, raw),
        }
    channel.send(Metrics(metrics=metrics))
    return Done(task="evaluate", model_id=number, metrics=metrics)


def _held_out(
    project: Project, number: int | None
) -> tuple[list[FieldTruth], list[Pixels], list[float | None]]:
    """Give the held-out fields, less those that this very model has learnt from."""
    finished = [k for k in knowledge(project) if k.finished]
    held, _ = still_held_out(project, fields_by_patient(finished), [m.card for m in project.models()])
    some = [k for k in finished if k.patient in held]
    if not some:
        raise LLDError(
            f"Nothing is held out yet: that begins with a training run at {FEWEST_CELLS} cells in finished "
            "regions. To measure against a fully annotated file, give --truth and --images."
        )
    lineage = Lineage.of(project, number)
    learnt = {k.patient for k in some if lineage.saw(k.field, k.cells)}
    some = [k for k in some if k.patient not in learnt]
    if not some:
        raise LLDError(
            f"Model {number} has learnt from all that is held out, so nothing can be measured on it. To "
            "measure against a fully annotated file, give --truth and --images."
        )
    return (
        [k.truth() for k in some],
        [k.training_field(project).pixels for k in some],
        [k.cell_side for k in some],
    )


def _against_file(
    project: Project, request: EvaluateRequest, file: Path, channel: Channel
) -> tuple[list[FieldTruth], list[Pixels]]:
    places = None if request.images is None else Path(request.images)
    known = Images((), project.fields(), project.folder_pseudonym)
    images = Images.of(file, places, project if places is None else None)
    found, told = read_truth(file, project.schema, images, request.fields)
    if not found:
        raise LLDError(f"{file} holds no image to measure on. {told[0] if told else ''}".strip())
    if request.outside_regions:
        found = outside_regions(found, known, {k.field.id: k.finished for k in knowledge(project)})
    if told:
        more = f" (and {len(told) - _TOLD} more)" if len(told) > _TOLD else ""
        note = " ".join(told[:_TOLD]) + more
        channel.send(Progress(stage="evaluate", done=0, total=len(found), note=note))
    pixels: list[Pixels] = []
    for one in found:
        if one.path is not None:
            pixels.append(partial(read_image, one.path))
        elif one.field is not None:
            pixels.append(partial(project.pixels, one.field.id))
    return [one.truth for one in found], pixels
