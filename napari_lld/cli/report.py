"""``napari-lld report``: what a project holds, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import say
from napari_lld.cli._options import ProjectPath, open_project
from napari_lld.cli.export import check_out


def report(
    project: ProjectPath,
    out: Annotated[Path, typer.Argument(metavar="OUT.html", help="The file to write.", show_default=False)],
) -> None:
    """Write what a project holds, its models and their numbers, as one HTML file."""
    check_out(out)
    from napari_lld.report.project import write_report

    with open_project(project, read_only=True) as opened:
        write_report(opened, out)
    say(f"Wrote {out}.")
