"""``napari-lld export``: cells or suggestions to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import UsageError, complain, listed, plural, say, say_json
from napari_lld.cli._faces import with_options
from napari_lld.cli._options import Json, Overwrite, ProjectPath, ReadingName, hint_at_readings, open_project
from napari_lld.options import ExportOptions


@with_options(ExportOptions)
def export(
    project: ProjectPath,
    out: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="File to write, or new folder.", show_default=False),
    ],
    options: ExportOptions,
    overwrite: Overwrite = False,
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """Export cells or suggestions."""
    from annotation_store import formats

    form = formats.FORMATS[options.format]
    for place in formats.targets(form, out, card=options.card):
        check_out(place, folder=form.target != "file", overwrite=overwrite)
    with open_project(project, read_only=True, reading=reading) as opened:
        if options.what == "cells":
            hint_at_readings(opened, reading)
        report = formats.write(
            options.format,
            opened,
            out,
            what=options.what,
            anonymise=options.anonymise,
            options=options.options,
            overwrite=overwrite,
            card=options.card,
        )
    if report.patients_named:
        complain(
            f"{out} names {plural(report.patients_named, 'patient')}: --anonymise replaces names by keyed "
            "hashes."
        )
    if as_json:
        say_json(
            {
                "out": out.absolute(),
                "what": options.what,
                "fields": report.fields,
                "regions": report.regions,
                "cells": report.cells,
                "suggestions": report.suggestions,
                "skipped": list(report.skipped),
                "patients_named": report.patients_named,
            }
        )
        return
    count = plural(report.cells, "cell")
    if options.what == "suggestions":
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
        raise UsageError(f"{out.absolute().parent} does not exist; create that folder or choose another file")
    check_output(out, overwrite=overwrite)
