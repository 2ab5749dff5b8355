"""``napari-lld embeddings``: feature vectors of cells for other programs, as AnnData or Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import UsageError, complain, plural, say, say_json, worker_progress
from napari_lld.cli._options import (
    Device,
    Json,
    Model,
    Overwrite,
    ProjectPath,
    ReadingName,
    Scheduler,
    Workers,
    check_cluster,
    device_of,
    hint_at_readings,
    model_of,
    open_project,
)
from napari_lld.cli.export import check_out
from napari_lld.cli.predict import check_model


def embeddings(
    project: ProjectPath,
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT.h5ad|OUT.parquet", help="File to write.", show_default=False),
    ],
    names: Annotated[
        bool,
        typer.Option("--names", help="Keep names of patients, slides and files, instead of keyed hashes."),
    ] = False,
    model: Model = "active",
    device: Device = "cpu",
    overwrite: Overwrite = False,
    scheduler: Scheduler = None,
    workers: Workers = None,
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """Write feature vectors of cells and suggestions, with labels and predictions, as AnnData or Parquet."""
    from training.client import run_worker
    from training.protocol import EMBEDDINGS_SUFFIXES, EmbeddingsRequest

    which, device = model_of(model), device_of(device)
    check_cluster(scheduler, workers)
    if out.suffix.lower() not in EMBEDDINGS_SUFFIXES:
        raise UsageError(f"{out}: give a file name that ends with {' or '.join(EMBEDDINGS_SUFFIXES)}")
    check_out(out, overwrite=overwrite)
    with open_project(project, keeps_if_possible=True, reading=reading) as opened:
        hint_at_readings(opened, reading)
        check_model(opened.path, [known_model.id for known_model in opened.models.all()], which)
        number = opened.reading.id
    request = EmbeddingsRequest(
        project=str(project.absolute()),
        out=str(out.absolute()),
        overwrite=overwrite,
        names=names,
        model=which,
        device=device,
        reading=number,
        scheduler=scheduler,
        workers=workers,
    )
    with worker_progress() as show:
        done = run_worker(request, on_message=show)
    if damaged := done.result["damaged"]:
        complain(
            f"Damaged images were left out: {', '.join(damaged)}. Run: napari-lld check {project} --repair"
        )
    if as_json:
        say_json({"project": project.absolute(), "model": done.model_id or "starter", **done.result})
        return
    cells, suggestions = int(done.result["cells"]), int(done.result["suggestions"])
    count = f"{plural(cells, 'cell')} and {plural(suggestions, 'suggestion')}"
    say(f"Wrote {count} to {out}: {done.result['features']:,} features each.")
