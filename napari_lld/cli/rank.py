"""``napari-lld rank``: what to annotate next, and why."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from napari_lld.cli._console import Tick, UsageError, new_table, plural, progress, say, say_json, say_table
from napari_lld.cli._options import (
    Json,
    ProjectPath,
    ReadingName,
    Scheduler,
    Workers,
    check_cluster,
    open_project,
)
from napari_lld.i18n.durations import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from annotation_store import Embedding, Project
    from training.ranking import Ranked


class What(StrEnum):
    """What is put in order."""

    FIELDS = "fields"
    REGIONS = "regions"
    CELLS = "cells"
    LABEL_ERRORS = "label-errors"


class Queue(StrEnum):
    """Which of the two queues of cells."""

    TEACH = "teach"
    ACCEPT = "accept"


def rank(
    project: ProjectPath,
    what: Annotated[
        What,
        typer.Option(help="What to rank; label-errors are labels that differ from the model's predictions."),
    ] = What.FIELDS,
    count: Annotated[int, typer.Option("-n", metavar="N", min=1, help="Number of rows to print.")] = 10,
    queue: Annotated[
        Queue,
        typer.Option(help="For cells: teach = most informative for training, accept = quickest to accept."),
    ] = Queue.TEACH,
    least: Annotated[
        float, typer.Option(min=0, max=1, help="For label-errors: minimum probability of an error.")
    ] = 0.5,
    scheduler: Scheduler = None,
    workers: Workers = None,
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """List what to annotate next, and why."""
    check_cluster(scheduler, workers)
    with open_project(project, keeps_if_possible=True, reading=reading) as opened:
        if not opened.fields.all():
            raise UsageError(f"{project} has no fields yet; add some with: napari-lld add {project} IMAGES…")
        named = "" if reading is None else f' --reading "{reading}"'
        predict = f"napari-lld predict {project}{named}"
        ranked, notes = _rank(opened, what, queue, count, least, scheduler, workers, predict)
        nothing = "" if ranked else _nothing(opened, what, predict)
        names = {field.id: field.name for field in opened.fields.all()}
    if as_json:
        say_json([item.as_json(names[item.field_id]) for item in ranked])
        return
    if not ranked:
        for sentence in (nothing, *notes):
            say(sentence)
        return
    table = new_table("", "field", "time", "why")
    for column in table.columns[1:]:
        column.justify = "left"
    for place, item in enumerate(ranked, 1):
        where = names[item.field_id]
        if item.box is not None:
            where += " at " + ", ".join(f"{v:.0f}" for v in item.box)
        table.add_row(str(place), where, duration(item.seconds), "; ".join(item.reasons))
    say_table(table)
    for note in notes:
        say(note)


def _nothing(project: Project, what: What, predict: str) -> str:
    """Return the sentence that says why nothing is listed."""
    if what in (What.FIELDS, What.REGIONS):
        return "Nothing to rank: every field is annotated."
    if project.reading.blind:
        blind = f"The reading '{project.reading.name}' is blind: "
        if what is What.CELLS:
            return f"{blind}it shows suggestions in its finished regions only."
        why = "label errors are not computed in a blind reading, because they would influence the reader."
        return blind + why
    if what is What.CELLS:
        return f"No suggestions. Create some with: {predict}"
    return f"No possible label errors, or the model has not predicted yet. To predict: {predict}"


def _rank(
    project: Project,
    what: What,
    queue: Queue,
    count: int,
    least: float,
    scheduler: str | None,
    workers: int | None,
    predict: str,
) -> tuple[list[Ranked], list[str]]:
    """Return the first items of an order, and its notes; `predict` is the command that predicts."""
    from training import ranking

    if what is What.CELLS:
        return ranking.cells(project, queue=queue)[:count], []
    if what is What.LABEL_ERRORS:
        label_errors = ranking.label_errors(project, min_probability=least)
        notes = []
        if label_errors.source is not None and label_errors.unchecked:
            notes = [
                f"Not yet checked against other cells: {label_errors.unchecked} (needs ten labelled cells; "
                f"then: {predict})."
            ]
        return list(label_errors.items[:count]), notes
    stain: Mapping[int, Embedding] = {}
    if ranking.unsearched(project):  # without a model's embeddings, those of the stain are used
        with progress("Reading the fields") as tick:
            stain = _look_at_stain(project, tick, scheduler, workers)
    if opened_slides := project.slides.all():
        with progress(f"Mapping {plural(len(opened_slides), 'slide')}") as tick:
            stain = {**stain, **ranking.embed_slides_by_stain(project, progress=tick)}
    # an order that is stored is the window's, and is not to change under anybody's hand
    ranked = ranking.update(project, budget=count, store=project.rankings.latest_facts() is None, stain=stain)
    notes = [f"{project.path} is read-only: the ranking was not saved."] if project.read_only else []
    if what is What.FIELDS:
        return ranked[:count], notes
    return ranking.best_regions(project, ranked, count, stain=stain), notes


def _look_at_stain(
    project: Project, tick: Tick, scheduler: str | None, workers: int | None
) -> Mapping[int, Embedding]:
    """Read the stain of the fields here, or on a cluster."""
    from training import ranking

    if scheduler is None and workers is None:
        return ranking.embed_by_stain(project, progress=tick)
    from training.cluster.stain import look_on
    from training.cluster.units import on_cluster

    with on_cluster(
        scheduler,
        workers,
        project=project.path,
        read_only=project.read_only,
        check=lambda: None,
        device="cpu",
    ) as cluster:
        return look_on(cluster, project, tick)
