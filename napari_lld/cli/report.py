"""``napari-lld report``: what a project holds and what its models are worth, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import say
from napari_lld.cli._faces import with_options
from napari_lld.cli._options import Overwrite, ProjectPath, ReadingName, hint_at_readings, open_project
from napari_lld.cli.export import check_out
from napari_lld.options import ReportOptions


@with_options(ReportOptions)
def report(
    project: ProjectPath,
    out: Annotated[Path, typer.Argument(metavar="OUT.html", help="File to write.", show_default=False)],
    options: ReportOptions,
    overwrite: Overwrite = False,
    reading: ReadingName = None,
) -> None:
    """Write what was annotated, how, and what the models are worth, as one HTML file to read or print."""
    check_out(out, overwrite=overwrite)
    from napari_lld.report import write_report

    with open_project(project, read_only=True, reading=reading) as opened:
        hint_at_readings(opened, reading)
        write_report(opened, out, options, overwrite=overwrite)
    say(f"Wrote {out}.")
