"""``napari-lld check``: whether a project is sound."""

from __future__ import annotations

from napari_lld.cli._console import complain, plural, say, say_json
from napari_lld.cli._options import Json, ProjectPath, open_project


def check(project: ProjectPath, as_json: Json = False) -> int:
    """Check that a project's files and rows are sound; exit code 2 where they are not."""
    with open_project(project, read_only=True) as opened:
        problems = opened.check()
    if as_json:
        say_json({"project": project.absolute(), "sound": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            say(problem)
    else:
        say(f"{project} is sound.")
    if problems:
        complain(
            f"{project} has {plural(len(problems), 'problem')}; go back to a copy, or mend what is named."
        )
        return 2
    return 0
