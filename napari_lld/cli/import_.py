"""``napari-lld import``: annotations from a file, merged."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_lld.cli._console import UsageError, listed, plural, progress, say, say_json
from napari_lld.cli._formats import Options, ReadFormat, options_of
from napari_lld.cli._options import Annotator, Json, ProjectPath, ReadingName, existing_file, open_project
from napari_lld.cli.add import check_pattern

if TYPE_CHECKING:
    from annotation_store import Project


class Regions(StrEnum):
    """Which areas of a field an imported file has annotated."""

    FILE = "file"
    STATED = "stated"
    NONE = "none"
    FULL = "full"


def import_annotations(
    project: ProjectPath,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Annotations: a file, or the folder of a data set.", show_default=False
        ),
    ],
    form: Annotated[
        ReadFormat, typer.Option("--format", help="Format of the annotations.", show_default=False)
    ],
    images: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of the images; by default that of FILE. Images new to the project are added.",
        ),
    ] = None,
    regions: Annotated[
        Regions,
        typer.Option(
            help="Finished regions: as the file states (fields without a statement are finished as a "
            "whole), only "
            "those stated, none, or every whole field."
        ),
    ] = Regions.FILE,
    skip_unknown: Annotated[
        bool,
        typer.Option(
            "--skip-unknown",
            help="Leave out the classes, values, boxes and images of a COCO file that do not fit, and list "
            "them; by default such a file is refused.",
        ),
    ] = False,
    patient_from: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX", help="Regular expression for the patient in an image's name, as in add."
        ),
    ] = None,
    option: Options = None,
    annotator: Annotator = None,
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """Import annotations, without overwriting any; report what was skipped and why."""
    from annotation_store import formats

    check_pattern(patient_from)
    options = options_of(option)
    if formats.FORMATS[form.value].target == "file":
        existing_file(file, f"a {form.value} file")
    elif not file.exists():
        raise UsageError(f"{file} does not exist; give the {form.value} file or folder")
    if images is not None and not images.is_dir():
        raise UsageError(f"--images {images} is not a folder; give the folder that holds the images")
    with open_project(project, annotator=annotator, reading=reading) as opened, progress("Importing") as tick:
        if form is ReadFormat.COCO and not skip_unknown:
            check_fits(opened, file, images)
        report = formats.read(
            form.value,
            opened,
            file,
            images=images,
            regions=regions.value,
            patient_from=patient_from,
            options=options,
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
        say(f"Skipped {len(report.skipped):,}:")
        for line in listed([f"  {reason}" for reason in report.skipped]):
            say(line)


def check_fits(project: Project, file: Path, images: Path | None) -> None:
    """Reject a file of which something would be left out; nothing is imported then."""
    from napari_lld.tasks.coco_check import problems  # it loads the store

    found = problems(project, file, images)
    if not found:
        return
    more = f", and {len(found) - 2} more such" if len(found) > 2 else ""
    where = "give the folder of the images with --images, " if "was not found" in " ".join(found) else ""
    raise UsageError(
        f"{file} does not fit {project.path}, nothing was imported: {'; '.join(found[:2])}{more}. "
        f"Correct the file, {where}or leave those out with --skip-unknown"
    )
