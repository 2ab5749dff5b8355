"""``napari-lld check``: whether a project is sound."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import UsageError, complain, plural, progress, say, say_json
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
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Mend what can be mended: pixels are made again, lost files found again, a damaged model no "
            "longer suggests. Nothing is deleted: strays move to lost+found. Annotations are never touched.",
        ),
    ] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Look only whether pixels, originals and weights are there.",
        ),
    ] = False,
    originals: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --repair: look in this folder for originals that the project has lost; they are known "
            "by name and content.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Check that a project's files and rows are sound; exit code 2 where they are not."""
    if quick and repair:
        raise UsageError("--repair reads everything; leave --quick out")
    if originals is not None and not (repair and originals.is_dir()):
        raise UsageError(f"--originals {originals}: give a folder, and --repair with it")
    found: list[str] = []
    mended: list[str] = []
    with open_project(project, read_only=slides is None and not repair, to_mend=True) as opened:
        if slides is not None:
            with progress("Looking for slides") as tick:
                found = [
                    opened.fields.get(i).name for i in opened.slides.relocate(slides, progress=tick).found
                ]
        if repair:
            report = opened.repair(originals=originals)
            mended, problems = report.mended, report.left
        else:
            problems = opened.check(quick=quick)
    if as_json:
        answer = {"project": project.absolute(), "sound": not problems, "problems": problems}
        if slides is not None:
            answer["found_slides"] = found
        if repair:
            answer["mended"] = mended
        say_json(answer)
    else:
        for name in found:
            say(f"Found {name} again.")
        for sentence in mended:
            say(f"Mended: {sentence}")
        for problem in problems:
            say(problem)
        if not problems:
            say(f"{project} is sound.")
    if problems:
        cure = (
            f"mend what is named, or restore a backup (napari-lld restore {project})"
            if repair
            else "try check --repair"
        )
        complain(f"{project} has {plural(len(problems), 'problem')}; {cure}.")
        return 2
    return 0
