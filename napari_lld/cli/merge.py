"""``napari-lld merge``: the work of other copies of a project, or of other projects, in one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_lld.cli._console import listed, plural, progress, say, say_json
from napari_lld.cli._options import Annotator, Json, ProjectPath

if TYPE_CHECKING:
    from annotation_store.copies.report import Brought


def merge(
    project: ProjectPath,
    others: Annotated[
        list[Path],
        typer.Argument(metavar="OTHER...", help="Projects to merge into PROJECT.", show_default=False),
    ],
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Only report what would be merged, and the conflicts of each OTHER with PROJECT (not those "
            "of several OTHERs with each other).",
        ),
    ] = False,
    annotator: Annotator = None,
    as_json: Json = False,
) -> None:
    """Bring other projects into PROJECT: readings side by side, with their history; no value is lost.

    The order does not matter, and a second time changes nothing. The others are not changed.
    """
    from annotation_store.copies.merge import merge as merge_projects

    with progress("Bringing together") as tick:
        report = merge_projects(project, others, annotator=annotator, dry_run=dry_run, progress=tick)
    if as_json:
        say_json(
            {
                "project": project.absolute(),
                "dry_run": dry_run,
                "backup": report.backup,
                "open_conflicts": report.conflicts,
                "brought": [_facts(brought) for brought in report.brought],
            }
        )
        return
    for brought in report.brought:
        say(f"{brought.source}: {_sentence(brought, dry_run=dry_run)}")
        if brought.differences:
            conflicts = plural(len(brought.differences), "conflict")
            say(f"{conflicts}: one value is used, the other kept until a person decides between them:")
            for line in listed(
                [f"  {_line(difference)}" for difference in map(vars_of, brought.differences)]
            ):
                say(line)
    if dry_run and len(others) > 1:
        say(
            f"Each of them was compared with {project} alone: conflicts that they have with each other are "
            "listed when they are merged."
        )
    if report.conflicts and not dry_run:
        say(f"{plural(report.conflicts, 'conflict')} open in {project} (in the window: ☰ › Conflicts).")
    if report.backup is not None:
        say(f"To undo it all: napari-lld restore {project} --from {report.backup}")


def _sentence(brought: Brought, *, dry_run: bool) -> str:
    if brought.nothing:
        return "nothing new."
    counts = (
        (brought.fields, "field"),
        (brought.cells, "cell"),
        (brought.regions, "region"),
        (brought.edits, "edit"),
        (brought.models, "model"),
    )
    parts = [plural(count, word) for count, word in counts if count] or ["details"]
    verb = "would bring" if dry_run else "brought"
    text = f"{verb} {', '.join(parts)}"
    if brought.readings:
        text += f"; new readings: {', '.join(brought.readings)}"
    if brought.words:
        text += f"; added to the schema: {', '.join(brought.words)}"
    return f"{text}."


def vars_of(difference: Any) -> dict[str, Any]:
    """Return a difference as plain values."""
    return {
        "field": difference.field,
        "what": difference.what,
        "reader": difference.reader,
        "here": dict(difference.here),
        "there": dict(difference.there),
    }


def _facts(brought: Brought) -> dict[str, Any]:
    return {
        "project": brought.source.absolute(),
        "fields": brought.fields,
        "readings": brought.readings,
        "cells": brought.cells,
        "regions": brought.regions,
        "edits": brought.edits,
        "models": brought.models,
        "schema": brought.words,
        "conflicts": [vars_of(difference) for difference in brought.differences],
    }


def _line(difference: Mapping[str, Any]) -> str:
    ours, theirs = _format_values(difference["here"]), _format_values(difference["there"])
    return f"{difference['field']}, {difference['what']}: used {ours}; {difference['reader']}: {theirs}"


def _format_values(values: Mapping[str, Any]) -> str:
    if "deleted" in values:
        return "deleted" if values["deleted"] else "not deleted"
    parts = []
    for name, value in values.items():
        if isinstance(value, dict):
            parts += [f"{key} {'missing' if item is None else item}" for key, item in value.items()]
        else:
            text = ", ".join(f"{v:g}" for v in value) if isinstance(value, list) else value
            parts.append(f"{name.replace('cell_class', 'class')} {'missing' if text is None else text}")
    return ", ".join(parts)
