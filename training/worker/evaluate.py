"""The evaluation task: a model measured on held-out regions or against full truth."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import torch

from annotation_store.errors import LLDError
from annotation_store.images import read_image
from annotation_store.project import Project
from training.evaluate import FieldTruth
from training.measure import measured
from training.predict import Pixels, cell_sides, propose_raw
from training.protocol import Done, EvaluateRequest, Metrics, Progress, Started
from training.split import FEWEST_CELLS, is_held_out, listed_as_held_out
from training.worker.channel import Channel
from training.worker.models import resolve
from training.worker.project_data import knowledge
from training.worker.truth import outside_regions, read_truth


def evaluate(request: EvaluateRequest, channel: Channel, device: torch.device) -> Done:
    """Measure a model; see `EvaluateRequest`."""
    with Project.open(request.project, reading=request.reading, read_only=True) as project:
        model, number = resolve(project, request.model)
        model.to(device)
        if request.truth is None:
            truths, pixels, known, on = *_held_out(project), "held-out regions"
        else:
            truths, pixels, on = *_against_file(project, request, Path(request.truth)), request.truth
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


def _held_out(project: Project) -> tuple[list[FieldTruth], list[Pixels], list[float | None]]:
    listed = listed_as_held_out(model.card for model in project.models())
    some = [k for k in knowledge(project) if k.finished and is_held_out(project, k.patient, listed)]
    if not some:
        raise LLDError(
            f"Nothing is held out yet: that begins with a training run at {FEWEST_CELLS} cells in finished "
            "regions. To measure against a fully annotated file, give --truth and --images."
        )
    return (
        [k.truth() for k in some],
        [k.training_field(project).pixels for k in some],
        [k.cell_side for k in some],
    )


def _against_file(
    project: Project, request: EvaluateRequest, file: Path
) -> tuple[list[FieldTruth], list[Pixels]]:
    truths = read_truth(file, project.schema)
    known = {Path(k.field.name).name: k for k in knowledge(project)}
    if request.outside_regions:
        truths = outside_regions(truths, {name: k.finished for name, k in known.items()})
    if request.fields is not None:
        wanted = set(request.fields)
        truths = [t for t in truths if Path(t.name).name in wanted]
    places = [Path(request.images)] if request.images else [file.parent, file.parent / "images"]
    pixels: list[Pixels] = []
    for truth in truths:
        found = next((p for place in places if (p := _inside(place, truth.name)) is not None), None)
        if found is not None:
            pixels.append(partial(read_image, found))
        elif Path(truth.name).name in known and request.images is None:
            pixels.append(partial(project.pixels, known[Path(truth.name).name].field.id))
        else:
            raise LLDError(
                f"The image {truth.name} of {file} is not in {places[0]}; give its folder as --images."
            )
    if not truths:
        raise LLDError(f"{file} holds no image to measure on.")
    return truths, pixels


def _inside(place: Path, name: str) -> Path | None:
    """Find an image in a folder, under its whole relative name or its last part; never above the folder."""
    for candidate in (place / name, place / Path(name).name):
        if candidate.is_file() and candidate.resolve().is_relative_to(place.resolve()):
            return candidate
    return None
