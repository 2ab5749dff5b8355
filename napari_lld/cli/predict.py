"""``napari-lld predict``: suggestions in the project, or a COCO file for other images."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_lld.cli._console import (
    INCOMPLETE,
    UsageError,
    complain,
    plural,
    say,
    say_json,
    say_skipped,
    say_unknown,
    worker_progress,
)
from napari_lld.cli._faces import with_options
from napari_lld.cli._options import (
    Json,
    Overwrite,
    ProjectPath,
    ReadingName,
    check_cluster,
    device_of,
    model_of,
    open_project,
)
from napari_lld.cli.export import check_out
from napari_lld.options import PredictOptions

if TYPE_CHECKING:
    from annotation_store import Field, Project


@with_options(PredictOptions)
def predict(
    project: ProjectPath,
    options: PredictOptions,
    images: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PATH...", help="Images, or folders of images, to use instead of the project's fields."
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="COCO file to write; requires --images.")
    ] = None,
    overwrite: Overwrite = False,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Predict on this field or slide only; may be repeated."),
    ] = None,
    area: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="Search only this area of the given slide, in pixels, as far as it lies on the slide.",
        ),
    ] = None,
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """Suggest cells: on the project's unknown areas, or for other images into a COCO file."""
    from training.client import run_worker
    from training.protocol import PredictRequest

    which = model_of(options.model)
    device_of(options.device)
    check_cluster(options.scheduler, options.workers)
    if (out is None) != (not images):
        raise UsageError("--images and --out go together: give both, or neither to suggest in the project")
    if images and field:
        raise UsageError("--field chooses fields of the project: leave out --images and --out")
    where = None if area is None else _area(area, images or field)
    for path in images or []:
        if not path.exists():
            raise UsageError(f"--images {path} does not exist; give images or folders of images")
    if out is not None:
        check_out(out, overwrite=overwrite)
    with open_project(project, read_only=out is not None, reading=reading) as opened:
        number = opened.reading.id
        check_model(opened.path, [known_model.id for known_model in opened.models.all()], which)
        if out is None and not opened.fields.all():
            raise UsageError(f"{project} has no fields yet; add some with: napari-lld add {project} IMAGES…")
        field_ids = None if not field else [field_named(opened, name).id for name in field]
    with worker_progress() as show:
        done = run_worker(
            PredictRequest(
                reading=number,
                project=str(project.absolute()),
                model=which,
                images=[str(path.absolute()) for path in images] if images else None,
                out=None if out is None else str(out.absolute()),
                overwrite=overwrite,
                fields=field_ids,
                area=where,
                min_confidence=options.min_confidence,
                device=options.device,
                scheduler=options.scheduler,
                workers=options.workers,
            ),
            on_message=show,
        )
    if as_json:
        answer = {"project": project.absolute(), "model": done.model_id or "starter"}
        say_json(answer | {"out": None if out is None else out.absolute()} | done.result)
    else:
        _say(done.result, f"to {out}" if out is not None else f"to review in {project}")
    if done.result.get("damaged") or done.result.get("slides", {}).get("damaged"):
        raise typer.Exit(INCOMPLETE)
    if skipped := done.result.get("skipped"):
        images_word = plural(int(done.result["fields"]) + len(skipped), "image")
        complain(f"{len(skipped):,} of {images_word} could not be read; {out} holds the others.")
        raise typer.Exit(INCOMPLETE)


def field_named(project: Project, name: str) -> Field:
    """Return the field of a name.

    Raises
    ------
    UsageError
        There is none; the nearest names are stated.
    """
    field = project.fields.named(name)
    if field is None:
        names = [known.name for known in project.fields.all()]
        if near := difflib.get_close_matches(name, names, n=3):
            hint = f"did you mean {' or '.join(near)}?"
        else:
            hint = f"they are named like {', '.join(names[:3])}"
        count = plural(len(names), "field")
        raise UsageError(f"none of the project's {count} is named {name}; {hint}")
    return field


def _area(text: str, slides: Sequence[object] | None) -> tuple[float, float, float, float]:
    """Read ``--area``."""
    if not slides or len(slides) != 1:
        raise UsageError("--area is on one slide: name it with --field, or with --images")
    try:
        x, y, w, h = (float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--area {text}: give X,Y,W,H in pixels of the slide") from None
    if not (all(map(isfinite, (x, y, w, h))) and w > 0 and h > 0):
        raise UsageError(f"--area {text}: give X,Y,W,H in pixels of the slide")
    return x, y, w, h


def _say(result: Mapping[str, Any], where: str) -> None:
    from training.evaluation.unchecked_films import trust_reasons

    count = int(result.get("count", 0))
    say_suggestions(count, int(result.get("pending", count)), where)
    if searched := result.get("slides"):
        say_searched(searched)
    say_unknown(int(result.get("pending_unknown", result.get("unknown", 0))))
    for reason in trust_reasons(result):
        say(f"{reason}.")
    say_skipped(((image["path"], image["why"]) for image in result.get("skipped", ())), "image")


def say_suggestions(new: int, pending: int, where: str) -> None:
    """Print how many suggestions wait, and how many of them are new if earlier ones wait too."""
    say(f"{plural(pending, 'suggestion')} {where}" + ("." if pending == new else f" ({new:,} new)."))


def say_searched(result: Mapping[str, Any]) -> None:
    """Print how much of whole slides was searched."""
    tiles, slides = plural(int(result["tiles"]), "tile"), plural(int(result["slides"]), "slide")
    glass = plural(int(result["glass_tiles"]), "tile")
    say(f"Searched {tiles} of {slides} in {result['seconds']:.0f} s; passed over {glass} of glass.")


def check_model(path: Path, numbers: list[int], which: int | str) -> None:
    """Raise an error early if the numbered model does not exist."""
    if isinstance(which, int) and which not in numbers:
        have = f"it has {', '.join(map(str, numbers))}" if numbers else "it has none yet"
        raise UsageError(f"{path} has no model {which} ({have}); give --model active or one of them")
