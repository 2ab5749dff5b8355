"""``napari-lld report``: what a project holds and what its models are worth, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import say
from napari_lld.cli._options import Overwrite, ProjectPath, ReadingName, open_project
from napari_lld.cli.export import check_out


def report(
    project: ProjectPath,
    out: Annotated[Path, typer.Argument(metavar="OUT.html", help="The file to write.", show_default=False)],
    names: Annotated[
        bool,
        typer.Option("--names", help="Call patients, files and the project by name; else they have numbers."),
    ] = False,
    title: Annotated[str, typer.Option(help="What stands at its head.", show_default=False)] = "",
    overwrite: Overwrite = False,
    reading: ReadingName = None,
) -> None:
    """Write what was annotated, how, and what the models are worth, as one HTML file to read or print."""
    check_out(out, overwrite=overwrite)
    from napari_lld.report import Options, write_report

    with open_project(project, read_only=True, reading=reading) as opened:
        write_report(opened, out, Options(names=names, title=title), overwrite=overwrite)
    say(f"Wrote {out}.")
