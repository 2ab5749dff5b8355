"""``napari-lld add``: fields from files and folders."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import UsageError, plural, progress, say, say_json, say_skipped
from napari_lld.cli._options import Json, ProjectPath, open_project

_MOST_TOLD = 5
"""Files that cannot be read and are named in the refusal."""


def add(
    project: ProjectPath,
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH...", help="Images, or folders of images.", show_default=False),
    ],
    patient_from: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="Regular expression for the patient in a file name, e.g. '^(\\d+)_'; a patient's fields "
            "stay together in training or test. "
            "The project stores it for images added later; '' removes it.",
        ),
    ] = None,
    microscope: Annotated[
        str | None, typer.Option(metavar="NAME", help="Microscope of all these images.")
    ] = None,
    camera: Annotated[str | None, typer.Option(metavar="NAME", help="Camera of all these images.")] = None,
    magnification: Annotated[
        float | None,
        typer.Option(metavar="N", help="Magnification of the objective, for files that do not state it."),
    ] = None,
    stain: Annotated[str | None, typer.Option(metavar="NAME", help="Stain of all these images.")] = None,
    domain: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Name for images of the same appearance; results are reported per domain."
        ),
    ] = None,
    colour_profile: Annotated[
        bool,
        typer.Option(
            "--colour-profile/--no-colour-profile",
            help="Apply the colour profile of the slide's scanner; stored with the slide.",
        ),
    ] = True,
    focus_plane: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Focus plane to read from a slide with several; by default the middle one.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Add fields: PNG, JPEG, TIFF or BMP files, OME-Zarr, whole slides (NDPI, MRXS, DICOM …), folders."""
    from annotation_store.images import is_zarr
    from napari_lld.session.patient_rule import coverage

    check_pattern(patient_from)
    options: dict[str, str | float | None] = {
        "microscope": microscope,
        "camera": camera,
        "magnification": magnification,
        "stain": stain,
        "domain": domain,
    }
    about = {name: value for name, value in options.items() if value is not None}
    for path in paths:
        if not path.exists():
            raise UsageError(f"{path} does not exist; give an image or a folder of images")
    with open_project(project) as opened:
        check_named([path for path in paths if not path.is_dir() or is_zarr(path)])
        before = coverage(opened.fields.all())
        with progress("Adding fields") as tick:
            report = opened.fields.add(
                paths,
                patient_from=patient_from,
                about=about,
                progress=tick,
                colour_profile=colour_profile,
                plane=None if focus_plane is None else focus_plane - 1,
            )
        fields = opened.fields.all()
    names, after = {field.id: field.name for field in fields}, coverage(fields)
    if as_json:
        say_json(
            {
                "project": project.absolute(),
                "added": [{"id": number, "name": names[number]} for number in report.added],
                "skipped": [{"path": path, "why": why} for path, why in report.skipped],
                "patients": after.patients,
                "without_patient": after.without,
            }
        )
        return
    say(f"Added {plural(len(report.added), 'field')}; the project has {len(names):,}.")
    say(f"Patients: {after} (before: {before}).")
    if after.without > before.without:
        say("Fields of an unknown patient may be divided between training and test; see add --patient-from.")
    say_skipped(report.skipped, "file")


def check_named(files: list[Path]) -> None:
    """Read every file that was named before any is added: those that cannot be read fail the command.

    What a folder holds besides is another matter: the store skips it and gives the reason.
    """
    from annotation_store.errors import ImageError
    from annotation_store.images import check_image

    broken: list[str] = []
    with progress("Checking images") as tick:
        for place, file in enumerate(files):
            try:
                check_image(file)  # of a slide the head only
            except ImageError as error:
                broken.append(str(error))
            tick(place + 1, len(files))
    if broken and len(files) == 1:
        raise UsageError(broken[0])
    if broken:
        more = f" And {len(broken) - _MOST_TOLD} more." if len(broken) > _MOST_TOLD else ""
        raise UsageError(
            f"{len(broken)} of the {plural(len(files), 'named file')} cannot be read, so nothing was added. "
            f"{' '.join(broken[:_MOST_TOLD])}{more} Leave them out, or give their folder: readable images "
            "in a folder are added."
        )


def check_pattern(pattern: str | None) -> None:
    """Check ``--patient-from`` before anything is read."""
    if pattern is None:
        return
    try:
        re.compile(pattern)
    except re.error as error:
        raise UsageError(f"--patient-from {pattern}: not a regular expression ({error})") from error
