"""``napari-lld restore``: a backup in the place of a damaged database."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import complain, listed, plural, say, say_json
from napari_lld.cli._options import Json, ProjectPath


def restore(
    project: ProjectPath,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="BACKUP",
            help="Backup to restore; by default the newest intact one in PROJECT/backups.",
        ),
    ] = None,
    only_list: Annotated[
        bool, typer.Option("--list", help="List the backups without restoring one.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Restore a project's database from a backup; nothing is deleted.

    The damaged database moves to lost+found, with what the backup does not know. Do not copy a backup over
    project.db by hand: the journal of the damaged one would destroy it.
    """
    from annotation_store.restore import list_backups
    from annotation_store.restore import restore as restore_project

    if only_list:
        backups = list_backups(project)
        if as_json:
            say_json([{"path": b.path, "made": b.made, "problem": b.problem} for b in backups])
            return 0
        for backup in backups:
            say(f"{backup.path} of {backup.made:%Y-%m-%d %H:%M} UTC: {backup.problem or 'sound'}")
        if not backups:
            say(f"{project} has no backups.")
        return 0
    report = restore_project(project, source)
    if as_json:
        say_json(
            {
                "project": project.absolute(),
                "backup": report.backup.path,
                "made": report.backup.made,
                "damaged": report.kept_in,
                "unknown": report.unknown,
                "problems": report.problems,
            }
        )
    else:
        made_at = f"{report.backup.made:%Y-%m-%d %H:%M} UTC"
        say(f"Restored {project} from {report.backup.path}, made {made_at}. Later changes are not in it.")
        say(f"The previous database is kept in {report.kept_in}.")
        if report.unknown:
            count = plural(len(report.unknown), "file or folder", "files and folders")
            say(f"{count} not known to the backup moved there too:")
            for name in listed(report.unknown):
                say(f"  {name}")
            say(f"Add images among them again with: napari-lld add {project} {report.kept_in}-originals")
        for problem in report.problems:
            say(problem)
    if report.problems:
        complain(
            f"{project} has {plural(len(report.problems), 'problem')}; run: napari-lld check {project} "
            "--repair"
        )
        return 2
    return 0
