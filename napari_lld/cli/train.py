"""``napari-lld train``: a new model, learned in a separate process."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_lld.cli._console import UsageError, plural, say, say_json, say_unknown, worker_progress
from napari_lld.cli._faces import with_options
from napari_lld.cli._metrics import say_metrics
from napari_lld.cli._options import Json, ProjectPath, ReadingName, check_cluster, device_of, open_project
from napari_lld.cli.predict import say_searched, say_suggestions
from napari_lld.options import TrainOptions

if TYPE_CHECKING:
    from annotation_store import Project
    from training.protocol import Message


@with_options(TrainOptions)
def train(
    project: ProjectPath,
    options: TrainOptions,
    search_slides: Annotated[
        bool,
        typer.Option(
            "--search-slides",
            help="Afterwards, search the whole slides of the project, which takes minutes each.",
        ),
    ] = False,
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """Train a model and put its suggestions on the unknown areas."""
    from training.client import run_worker
    from training.evaluation.unchecked_films import trust_reasons
    from training.protocol import PredictRequest, Saved, Suggested, TrainRequest
    from training.reasons import Reason
    from training.start import check_start
    from training.worker.cautions import time_ran_short

    budget, holdout = options.budget, options.holdout
    if budget is not None and not 0 < budget < math.inf:
        raise UsageError(f"--budget {budget:g}: give a number of seconds above 0")
    if not 0 <= holdout < 1:
        raise UsageError(f"--holdout {holdout:g}: give a fraction of the cells, at least 0 and less than 1")
    device_of(options.device)
    check_cluster(options.scheduler, options.workers)
    start = init_of(options.init)
    with open_project(project, reading=reading) as opened:
        number = opened.reading.id
        check_evidence(opened, project)
        check_init(opened, start)
        check_start(opened, start, options.detector)
    saved: Saved | None = None
    suggestions = unknown = pending = pending_unknown = 0
    with worker_progress() as show:

        def hear(message: Message) -> None:
            nonlocal saved, suggestions, unknown, pending, pending_unknown
            show(message)
            if isinstance(message, Saved):
                saved = message
            elif isinstance(message, Suggested):
                suggestions += message.count
                unknown += message.unknown
                pending += message.count if message.pending is None else message.pending
                pending_unknown += (
                    message.unknown if message.pending_unknown is None else message.pending_unknown
                )

        done = run_worker(
            TrainRequest(
                reading=number,
                project=str(project.absolute()),
                **asdict(options) | {"init": start},
            ),
            on_message=hear,
        )
        with open_project(project, read_only=True, reading=reading) as opened:
            used = opened.models.active()
            todo = opened.searches.left(None if used is None else used.id)
        slides: dict[str, Any] | None = None
        if todo and search_slides:
            request = PredictRequest(
                project=str(project.absolute()),
                fields=todo,
                device=options.device,
                reading=number,
                scheduler=options.scheduler,
                workers=options.workers,
            )
            slides = run_worker(request, on_message=hear).result["slides"]
            todo = []
    active = saved is not None and saved.active
    why = saved.why if saved is not None else None
    resumed = int(done.result.get("resumed_epochs", 0))
    left_out = [str(Reason.read(reason)) for reason in done.result.get("left_out", ())]
    trust = Suggested(field_ids=[], count=0).trust() | {"sets": None, "measured": None}
    trust |= {name: done.result[name] for name in trust if name in done.result}
    if as_json:
        answer: dict[str, Any] = {"project": project.absolute(), "model": done.model_id, "active": active}
        answer |= {"why": why, "suggestions": suggestions, "unknown": unknown, "resumed_epochs": resumed}
        answer |= {"pending": pending, "pending_unknown": pending_unknown}
        answer |= {"left_out": left_out, **trust, "slides": slides, "slides_not_searched": len(todo)}
        say_json(answer | {"metrics": done.metrics})
        return
    if resumed:
        say(f"Resumed an interrupted run after {plural(resumed, 'epoch')}.")
    say(f"Model {done.model_id} is {'active' if active else 'saved, but not active'}. {why or ''}".rstrip())
    say_suggestions(suggestions, pending, "to review")
    say_unknown(pending_unknown)
    if slides is not None:
        say_searched(slides)
    if todo:
        say(
            f"{plural(len(todo), 'whole slide')} not searched in full with the active model; search with: "
            f"napari-lld predict {project}, or train with --search-slides."
        )
    if left_out:
        say(time_ran_short(left_out))
    for reason in trust_reasons(trust):
        say(f"{reason}.")
    say_metrics(done.metrics)


def init_of(text: str) -> str | int:
    """Read ``--init``."""
    if text in ("starter", "scratch", "active"):
        return text
    if text.isascii() and text.isdigit():
        return int(text)
    path = Path(text)
    if not path.exists():
        raise UsageError(
            f"--init {text}: no such file or folder; give 'starter', 'scratch', a model's number, "
            "the folder of a model, or a .pt file of Ultralytics"
        )
    return str(path.absolute())


def check_init(project: Project, start: str | int) -> None:
    """Raise an error early if the numbered model does not exist."""
    numbers = [model.id for model in project.models.all()]
    if isinstance(start, int) and start not in numbers:
        have = f"it has {', '.join(map(str, numbers))}" if numbers else "it has none yet"
        raise UsageError(f"{project.path} has no model {start} ({have}); give --init starter or one of them")


def check_evidence(project: Project, path: Path) -> None:
    """Raise an error if there is nothing to learn from: starting the worker takes seconds."""
    if not project.fields.all():
        raise UsageError(f"{path} has no fields yet; add some with: napari-lld add {path} IMAGES…")
    missing = (
        "finished region" if not project.regions.any_finished() else "" if _any_cell(project) else "cell"
    )
    if missing:
        raise UsageError(
            f"{path} has no {missing} to train on; annotate with: napari-lld open {path}, or import "
            f"annotations with: napari-lld import {path} FILE --format coco"
        )


def _any_cell(project: Project) -> bool:
    """Return whether any reading has a cell."""
    for reading in project.readings.all():
        with project.readings.within(reading.id):
            if project.cells.count():
                return True
    return False
