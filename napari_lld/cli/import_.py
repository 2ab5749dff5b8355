"""``napari-lld import``: annotations from a file, merged."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_lld.cli._console import UsageError, listed, plural, progress, say, say_json
from napari_lld.cli._faces import with_options
from napari_lld.cli._options import Annotator, Json, ProjectPath, ReadingName, existing_file, open_project
from napari_lld.cli.add import check_pattern
from napari_lld.options import ImportOptions

if TYPE_CHECKING:
    from annotation_store import Project


@with_options(ImportOptions)
def import_annotations(
    project: ProjectPath,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Annotations: a file, or the folder of a data set.", show_default=False
        ),
    ],
    options: ImportOptions,
    annotator: Annotator = None,
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """Import annotations, without overwriting any; report what was skipped and why."""
    from annotation_store import formats

    form, images = options.format, options.images
    check_pattern(options.patient_from)
    if formats.FORMATS[form].target == "file":
        existing_file(file, f"a {form} file")
    elif not file.exists():
        raise UsageError(f"{file} does not exist; give the {form} file or folder")
    elif not file.is_dir():
        existing_file(file, f"the {form} file or folder")
    if images is not None and not images.is_dir():
        raise UsageError(f"--images {images} is not a folder; give the folder that holds the images")
    with open_project(project, annotator=annotator, reading=reading) as opened, progress("Importing") as tick:
        if form == "coco" and not options.skip_unknown:
            check_fits(opened, file, images)
        report = formats.read(
            form,
            opened,
            file,
            images=images,
            regions=options.regions,
            patient_from=options.patient_from,
            options=options.options,
            progress=tick,
        )
    if as_json:
        say_json(
            {
                "project": project.absolute(),
                "fields": report.fields,
                "cells": report.cells,
                "regions": report.regions,
                "suggestions": report.suggestions,
                "filled": report.filled,
                "conflicts": report.conflicts,
                "skipped": list(report.skipped),
            }
        )
        return
    say(
        f"Imported {plural(report.cells, 'cell')} and {plural(report.regions, 'region')}; "
        f"{plural(report.fields, 'new field')}."
    )
    if report.suggestions:
        say(f"{plural(report.suggestions, 'suggestion')} to review.")
    if report.filled:
        say(f"{plural(report.filled, 'cell')} of the project got missing values filled in.")
    if report.conflicts:
        say(f"{plural(report.conflicts, 'conflict')} recorded: nothing was overwritten (napari-lld info).")
    if report.skipped:
        say("Skipped or changed:")
        for line in listed([f"  {reason}" for reason in report.skipped]):
            say(line)


def check_fits(project: Project, file: Path, images: Path | None) -> None:
    """Reject a file if any part of it would be left out; nothing is imported then."""
    from napari_lld.tasks.coco_check import problems  # it loads the store

    misfits = problems(project, file, images)
    if not misfits:
        return
    more = f", and {len(misfits) - 2} more such" if len(misfits) > 2 else ""
    where = "give the folder of the images with --images, " if "was not found" in " ".join(misfits) else ""
    raise UsageError(
        f"{file} does not fit {project.path}, nothing was imported: {'; '.join(misfits[:2])}{more}. "
        f"Correct the file, {where}or leave those out with --skip-unknown"
    )
