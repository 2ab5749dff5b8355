"""``napari-lld check``: whether a project is sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import complain, plural, progress, say, say_json
from napari_lld.cli._options import Json, ProjectPath, open_project


def check(
    project: ProjectPath,
    slides: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Look in this folder for whole slides that were moved; they are known by their content.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Check that a project's files and rows are sound; exit code 2 where they are not."""
    found: list[str] = []
    with open_project(project, read_only=slides is None) as opened:
        if slides is not None:
            with progress("Looking for slides") as tick:
                found = [opened.field(i).name for i in opened.relocate(slides, progress=tick).found]
        problems = opened.check()
    if as_json:
        answer = {"project": project.absolute(), "sound": not problems, "problems": problems}
        say_json(answer if slides is None else answer | {"found_slides": found})
    else:
        for name in found:
            say(f"Found {name} again.")
        for problem in problems:
            say(problem)
        if not problems:
            say(f"{project} is sound.")
    if problems:
        complain(
            f"{project} has {plural(len(problems), 'problem')}; go back to a copy, or mend what is named."
        )
        return 2
    return 0
