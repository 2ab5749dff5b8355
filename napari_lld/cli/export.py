"""``napari-lld export``: cells or suggestions to a file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import UsageError, plural, say, say_json
from napari_lld.cli._options import Json, ProjectPath, open_project
from napari_lld.cli.import_ import Format


class What(StrEnum):
    """What an export holds."""

    CELLS = "cells"
    SUGGESTIONS = "suggestions"


def export(
    project: ProjectPath,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.", show_default=False)],
    form: Annotated[Format, typer.Option("--format", help="How to write it.", show_default=False)],
    what: Annotated[What, typer.Option(help="Annotated cells, or the pending suggestions.")] = What.CELLS,
    anonymise: Annotated[
        bool, typer.Option("--anonymise", help="Leave out patients, annotators and file names.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Export cells or suggestions."""
    from annotation_store import formats

    check_out(out)
    with open_project(project, read_only=True) as opened:
        report = formats.write(form.value, opened, out, what=what.value, anonymise=anonymise)
    if as_json:
        say_json({"out": out.absolute(), "what": what.value, "fields": report.fields, "cells": report.cells})
        return
    noun = "cell" if what is What.CELLS else "suggestion"
    say(f"Wrote {plural(report.cells, noun)} of {plural(report.fields, 'field')} to {out}.")


def check_out(out: Path) -> None:
    """Check that a file can be written there, before the work is done."""
    if out.is_dir():
        raise UsageError(f"{out} is a folder; give the name of the file to write")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out.absolute().parent} does not exist; make that folder or name another file")
