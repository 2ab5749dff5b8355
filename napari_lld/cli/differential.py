"""``napari-lld differential``: the share of each class on a whole slide, from so many white cells."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from napari_lld.cli._console import UsageError, new_table, plural, say, say_json, say_table, worker_progress
from napari_lld.cli._options import (
    Json,
    ProjectPath,
    ReadingName,
    Scheduler,
    Workers,
    check_cluster,
    device_of,
    model_of,
    open_project,
)
from napari_lld.cli.predict import check_model, field_named


def differential(
    project: ProjectPath,
    slide: Annotated[str, typer.Argument(metavar="SLIDE", help="Name of the slide.", show_default=False)],
    to: Annotated[int, typer.Option("--to", min=1, max=100_000, help="White cells to count.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the search order.")] = 0,
    model: Annotated[str, typer.Option(metavar="active|starter|ID", help="Model that searches.")] = "active",
    device: Annotated[str, typer.Option(metavar="auto|cpu|cuda:N|mps", help="Where to compute.")] = "auto",
    scheduler: Scheduler = None,
    workers: Workers = None,
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """Search the monolayer of a whole slide until so many white cells are there, and count them."""
    from training.client import run_worker
    from training.protocol import DifferentialRequest

    which = model_of(model)
    device_of(device)
    check_cluster(scheduler, workers)
    with open_project(project, reading=reading) as opened:
        number, schema = opened.reading.id, opened.schema
        check_model(opened.path, [known_model.id for known_model in opened.models.all()], which)
        field = field_named(opened, slide)
        if not field.is_slide:
            raise UsageError(f"{field.name} is not a whole slide; give the name of one")
    with worker_progress() as show:
        done = run_worker(
            DifferentialRequest(
                project=str(project.absolute()),
                field=field.id,
                to=to,
                seed=seed,
                model=which,
                device=device,
                reading=number,
                scheduler=scheduler,
                workers=workers,
            ),
            on_message=show,
        )
    result = done.result
    count = _shares(result, schema)
    if as_json:
        shares = [
            {
                "class": share.name,
                "count": share.count,
                "share": share.share,
                "low": share.low,
                "high": share.high,
            }
            for share in count.shares
        ]
        say_json(
            {"project": project.absolute(), "model": done.model_id or "starter", **result, "shares": shares}
        )
        return
    _say(result, count)


def _shares(result: dict[str, Any], schema: Any) -> Any:
    from annotation_store import ClassCount
    from napari_lld.session.differential import differential as counted

    counts = [ClassCount(str(name), None, int(count)) for name, count in result["counts"]]
    counts.append(ClassCount(None, None, int(result["unclassified"])))
    return counted(counts, schema, unknown=int(result["unknown"]), worth=result["worth"])


def _say(result: dict[str, Any], count: Any) -> None:
    table = new_table("class", "count", "percent", "95% from", "to")
    for share in count.shares:
        numbers = (f"{100 * value:.1f}" for value in (share.share, share.low, share.high))
        table.add_row(share.title, str(share.count), *numbers)
    say_table(table)
    area = "" if result["area_mm2"] is None else f", {result['area_mm2']:g} mm²"
    say(
        f"{plural(count.counted, 'white cell')} in {plural(int(result['tiles']), 'place')} of the monolayer"
        f"{area}; {100 * result['share_read']:.1f}% of the slide's pixels were read. Sparse and thick zones "
        "were not counted."
    )
    if not result["reached"]:
        say(f"The monolayer contains fewer than {result['to']} white cells: all of it was searched.")
    for name, word in (
        ("unknown", "unknown cell"),
        ("unclassified", "cell without a class"),
    ):
        if result[name]:
            say(f"{plural(int(result[name]), word)} not counted: review them.")
    say("Counts of unreviewed suggestions are predictions of the model.")
