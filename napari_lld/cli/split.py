"""``napari-lld split``: a project of their own for each of several readers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import plural, progress, say, say_json
from napari_lld.cli._options import Json, ProjectPath


def split(
    project: ProjectPath,
    readers: Annotated[
        str,
        typer.Option(metavar="A,B,C", help="Names of the readers, separated by commas.", show_default=False),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="FOLDER", help="Where each reader's project is made.", show_default=False),
    ],
    blind: Annotated[
        bool,
        typer.Option(
            "--blind", help="Leave out all labels and suggestions, so that readers do not see each other's."
        ),
    ] = False,
    overlap: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Divide the fields among the readers, except N that everybody reads; by "
            "default everybody reads all.",
        ),
    ] = None,
    names: Annotated[
        bool,
        typer.Option(
            "--names",
            help="Keep names of patients and files, notes, comments and original files; by "
            "default names are replaced by hashes and the rest is left out.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Make a complete project for each reader; bring their work back with merge."""
    from annotation_store.copies.split import split as split_project

    people = [name.strip() for name in readers.split(",") if name.strip()]
    with progress("Copying") as tick:
        copies_made = split_project(
            project, people, out, blind=blind, overlap=overlap, names=names, progress=tick
        )
    if as_json:
        copies = [
            {"reader": copy.reader, "project": copy.path.absolute(), "fields": copy.fields}
            for copy in copies_made
        ]
        say_json({"project": project.absolute(), "blind": blind, "names": names, "copies": copies})
        return
    for copy in copies_made:
        say(f"{copy.path}: {plural(copy.fields, 'field')} for {copy.reader}")
    say(f"When they are back: napari-lld merge {project} {' '.join(str(copy.path) for copy in copies_made)}")
