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
            help="Search this folder for whole slides that were moved or replaced; they are recognised by "
            "content.",
        ),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Repair what can be repaired: convert pixels again, find lost files, deactivate damaged "
            "models. "
            "Nothing is deleted: unused files move to lost+found. Annotations are never changed.",
        ),
    ] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Only check that pixels, originals, slides and weights exist.",
        ),
    ] = False,
    originals: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="With --repair: search this folder for originals missing from the project; they are "
            "recognised "
            "by name and content.",
        ),
    ] = None,
    as_json: Json = False,
) -> int:
    """Check that a project's files and database are intact; exit code 2 if not."""
    if quick and repair:
        raise UsageError("--repair checks everything; leave out --quick")
    if originals is not None and not (repair and originals.is_dir()):
        raise UsageError(f"--originals {originals}: give a folder, together with --repair")
    found: list[str] = []
    mended: list[str] = []
    with open_project(project, read_only=slides is None and not repair, to_mend=True) as opened:
        if slides is not None:
            with progress("Searching for slides") as tick:
                found = [
                    opened.fields.get(i).name
                    for i in opened.slides.relocate(slides, quick=quick, progress=tick).found
                ]
        if repair:
            report = opened.repair(originals=originals)
            mended, problems = report.mended, report.left
        else:
            with progress("Checking the fields") as tick:
                problems = opened.check(quick=quick, progress=tick)
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
            say(f"Repaired: {sentence}")
        for problem in problems:
            say(problem)
        if not problems:
            say(f"{project} is sound.")
    if problems:
        if all("check PROJECT --slides FOLDER" in problem for problem in problems):
            cure = f"run: napari-lld check {project} --slides FOLDER, with the folder where they are now"
        elif repair:
            cure = f"fix the problems listed, or restore a backup (napari-lld restore {project})"
        else:
            cure = f"run: napari-lld check {project} --repair"
        complain(f"{project} has {plural(len(problems), 'problem')}; {cure}.")
        return 2
    return 0
