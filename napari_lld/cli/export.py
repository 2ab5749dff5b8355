"""``napari-lld export``: cells or suggestions to a file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import UsageError, listed, plural, say, say_json
from napari_lld.cli._formats import Options, WriteFormat, options_of
from napari_lld.cli._options import Json, Overwrite, ProjectPath, ReadingName, open_project


class What(StrEnum):
    """What an export holds."""

    CELLS = "cells"
    SUGGESTIONS = "suggestions"


def export(
    project: ProjectPath,
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="The file to write, or the new folder.", show_default=False),
    ],
    form: Annotated[WriteFormat, typer.Option("--format", help="How to write it.", show_default=False)],
    what: Annotated[What, typer.Option(help="Annotated cells, or the pending suggestions.")] = What.CELLS,
    anonymise: Annotated[
        bool, typer.Option("--anonymise", help="Leave out patients, annotators and file names.")
    ] = False,
    option: Options = None,
    overwrite: Overwrite = False,
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """Export cells or suggestions."""
    from annotation_store import formats

    options = options_of(option)
    chosen = formats.FORMATS[form.value]
    for place in formats.targets(chosen, out):
        check_out(place, folder=chosen.target != "file", overwrite=overwrite)
    with open_project(project, read_only=True, reading=reading) as opened:
        report = formats.write(
            form.value,
            opened,
            out,
            what=what.value,
            anonymise=anonymise,
            options=options,
            overwrite=overwrite,
        )
    if as_json:
        say_json(
            {
                "out": out.absolute(),
                "what": what.value,
                "fields": report.fields,
                "regions": report.regions,
                "cells": report.cells,
                "suggestions": report.suggestions,
                "skipped": list(report.skipped),
            }
        )
        return
    count = plural(report.cells, "cell")
    if what is What.SUGGESTIONS:
        count = plural(report.suggestions, "suggestion")
    say(f"Wrote {count} of {plural(report.fields, 'field')} to {out}.")
    if report.skipped:
        say("Left out:")
        for line in listed([f"  {reason}" for reason in report.skipped]):
            say(line)


def check_out(out: Path, *, folder: bool = False, overwrite: bool = False) -> None:
    """Check that a file (or folder) can be written there, before the work is done."""
    from annotation_store.files.outputs import check_output

    if out.is_dir() and not folder:
        raise UsageError(f"{out} is a folder; give the name of the file to write")
    if not out.absolute().parent.is_dir():
        raise UsageError(f"{out.absolute().parent} does not exist; make that folder or name another file")
    check_output(out, overwrite=overwrite)
