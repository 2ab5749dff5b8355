"""Options and arguments that several commands share, and their checks."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_lld.cli._console import UsageError, complain, plural
from napari_lld.options import DEVICE, MODEL, SCHEDULER, WORKERS

if TYPE_CHECKING:
    from annotation_store import Project

ProjectPath = Annotated[
    Path, typer.Argument(metavar="PROJECT", help="Folder of the project.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it already exists.")]
Device = Annotated[str, typer.Option(metavar=DEVICE.metavar, help=DEVICE.help)]
Model = Annotated[str, typer.Option(metavar=MODEL.metavar, help=MODEL.help)]
Scheduler = Annotated[str | None, typer.Option(metavar=SCHEDULER.metavar, help=SCHEDULER.help)]
Workers = Annotated[int | None, typer.Option(metavar=WORKERS.metavar, help=WORKERS.help, min=1, max=256)]


Annotator = Annotated[
    str | None,
    typer.Option(
        "--annotator", metavar="NAME", help="Name of the annotator; by default the name of your user account."
    ),
]
ReadingName = Annotated[
    str | None,
    typer.Option(
        "--reading",
        metavar="NAME",
        help="Name or number of the reading; by default the annotator's own, or else the first.",
    ),
]


def open_project(
    path: Path,
    *,
    read_only: bool = False,
    keeps_if_possible: bool = False,
    to_mend: bool = False,
    annotator: str | None = None,
    reading: str | None = None,
) -> Project:
    """Open a project in a reading; its errors are plain sentences already.

    One that an older version made must be written once to be brought up to date, even where the command
    only reads.

    Parameters
    ----------
    keeps_if_possible
        Whether a project that cannot be written will do: it is open for reading only then.
    """
    project = _open(path, read_only, keeps_if_possible, to_mend, annotator)
    try:
        if reading is not None:
            project.readings.use(_reading_number(project, reading))
    except BaseException:
        project.close()
        raise
    return project


def _open(
    path: Path, read_only: bool, keeps_if_possible: bool, to_mend: bool, annotator: str | None
) -> Project:
    from annotation_store import Project
    from annotation_store.errors import NotWritableError, ProjectError

    to_read = partial(Project.open, path, annotator=annotator, read_only=True, to_mend=to_mend)
    unread: ProjectError | None = None
    if read_only:
        try:
            return to_read()
        except ProjectError as error:
            unread = error
    try:
        return Project.open(path, annotator=annotator, to_mend=to_mend)
    except NotWritableError:
        if unread is not None:  # why reading alone did not do
            raise unread from None
        if not keeps_if_possible:
            raise
        return to_read()


def _reading_number(project: Project, text: str) -> int:
    readings = project.readings.all()
    for reading in readings:
        if text == reading.name:
            return reading.id
    for reading in readings:
        if text == str(reading.id):
            return reading.id
    listed = ", ".join(f"'{reading.name}' ({reading.annotator or 'nobody'})" for reading in readings)
    raise UsageError(f"--reading {text}: the project has no such reading; there are {listed}")


def readings_of(project: Project) -> list[dict[str, Any]]:
    """Count the cells and finished regions of each reading."""
    counts = []
    for reading in project.readings.all():
        with project.readings.within(reading.id):
            finished = sum(region.finished for region in project.regions.all())
            cells = project.cells.count()
        counts.append(
            {"name": reading.name, "annotator": reading.annotator, "cells": cells, "finished": finished}
        )
    return counts


def hint_at_readings(project: Project, chosen: str | None) -> None:
    """Write on standard error which readings have annotations, if the one in use by default has none."""
    if (
        chosen is not None
        or len(project.readings.all()) == 1
        or project.cells.count()
        or project.regions.all()
    ):
        return
    filled = [
        f"'{reading['name']}' ({plural(reading['cells'], 'cell')})"
        for reading in readings_of(project)
        if reading["cells"] or reading["finished"]
    ]
    if filled:
        complain(
            f"The reading '{project.reading.name}' is empty, but others are not: {', '.join(filled)}. "
            "Choose one with --reading."
        )


def model_of(text: str) -> int | str:
    """Read ``--model``."""
    if text in ("active", "starter"):
        return text
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise UsageError(f"--model {text}: give a model's number, 'active' or 'starter'")


def device_of(text: str) -> str:
    """Read ``--device``."""
    kind, _, rest = text.partition(":")
    if (text in ("auto", "cpu", "mps", "cuda")) or (kind == "cuda" and rest.isascii() and rest.isdigit()):
        return text
    raise UsageError(f"--device {text}: give auto, cpu, cuda:N or mps")


def check_cluster(scheduler: str | None, workers: int | None) -> None:
    """Check ``--scheduler`` and ``--workers``, before a process is started for them."""
    if scheduler is None and workers is None:
        return
    if scheduler is not None and workers is not None:
        raise UsageError("--scheduler has workers of its own: leave out --workers")
    if not find_spec("distributed"):
        from training.cluster.errors import MissingExtraError

        raise MissingExtraError


def existing_file(path: Path, what: str) -> Path:
    """Check that a file exists and is not empty."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give {what}")
    if not path.exists():
        raise UsageError(f"{path} does not exist; give {what}")
    if not path.is_file():
        raise UsageError(f"{path} is a device or a pipe, not a file; give {what}")
    if path.stat().st_size == 0:
        raise UsageError(f"{path} is empty (0 bytes); give {what}")
    return path.absolute()
