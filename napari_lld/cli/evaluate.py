"""``napari-lld evaluate``: how good a model is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_lld.cli._console import (
    INCOMPLETE,
    UsageError,
    complain,
    plural,
    say,
    say_json,
    say_skipped,
    worker_progress,
)
from napari_lld.cli._metrics import say_metrics
from napari_lld.cli._options import (
    Device,
    Json,
    Model,
    ProjectPath,
    ReadingName,
    Scheduler,
    Workers,
    check_cluster,
    device_of,
    existing_file,
    model_of,
    open_project,
)
from napari_lld.cli.predict import check_model


def evaluate(
    project: ProjectPath,
    model: Model = "active",
    truth: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="COCO file in which every white cell is annotated; by default the held-out regions.",
        ),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Folder of the images of --truth; by default the folder of that file."
        ),
    ] = None,
    device: Device = "auto",
    scheduler: Scheduler = None,
    workers: Workers = None,
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """Measure a model on the project's held-out regions, or against a fully annotated COCO file.

    What is judged is what the model predicts in this project: labelled cells of a film are taken into
    account, and on films that the model has not learned from no class or value is above 90%. Where it finds
    nothing, `predict` shows boxes from the stain: those are not judged, and the fields are counted.
    """
    from training.client import run_worker
    from training.protocol import EvaluateRequest

    which = model_of(model)
    device = device_of(device)
    check_cluster(scheduler, workers)
    if images is not None and truth is None:
        raise UsageError("--images requires --truth; give the annotated COCO file too")
    if images is not None and not images.is_dir():
        raise UsageError(f"--images {images} is not a folder; give the folder of the images of --truth")
    if truth is not None:
        existing_file(truth, "a COCO file")
    with open_project(project, read_only=True, reading=reading) as opened:
        number = opened.reading.id
        check_model(opened.path, [known_model.id for known_model in opened.models.all()], which)
    with worker_progress() as show:
        done = run_worker(
            EvaluateRequest(
                reading=number,
                project=str(project.absolute()),
                model=which,
                truth=None if truth is None else str(truth.absolute()),
                images=None if images is None else str(images.absolute()),
                device=device,
                scheduler=scheduler,
                workers=workers,
            ),
            on_message=show,
        )
    skipped = done.result.get("skipped", [])
    if as_json:
        say_json(
            {
                "project": project.absolute(),
                "model": done.model_id or "starter",
                "metrics": done.metrics,
                "skipped": skipped,
            }
        )
    else:
        _say(done.metrics, done.model_id, truth)
        say_skipped(((image["path"], image["why"]) for image in skipped), "image")
    if skipped:
        complain(
            f"{plural(len(skipped), 'image')} of {truth} could not be found or read; "
            "the others were measured."
        )
        raise typer.Exit(INCOMPLETE)


def _say(metrics: Mapping[str, Any], model: int | None, truth: Path | None) -> None:
    from training.evaluation.unchecked_films import trust_reasons

    name = "The starter" if model is None else f"Model {model}"
    say(f"{name}, measured {'on held-out cells' if truth is None else f'against {truth}'}:")
    say_metrics(metrics)
    if learnt := int(metrics.get("trained_on_fields", 0)):
        say(
            f"The model was trained on {plural(learnt, 'field')} of the {int(metrics['fields']):,}: there it "
            "is better than on new ones."
        )
    if count := int(metrics.get("found_nothing", 0)):
        say(
            f"On {plural(count, 'field')} the model finds nothing: predict shows boxes from the stain there, "
            "which are not judged here."
        )
    for reason in trust_reasons(metrics):
        say(f"{reason}.")
