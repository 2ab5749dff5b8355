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
        typer.Argument(metavar="OTHER...", help="Projects whose work comes in.", show_default=False),
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only report what would come in, and what conflicts.")
    ] = False,
    annotator: Annotator = None,
    as_json: Json = False,
) -> None:
    """Bring other projects into PROJECT: readings side by side, with their history; nothing is overwritten.

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
                "brought": [_facts(one) for one in report.brought],
            }
        )
        return
    for one in report.brought:
        say(f"{one.source}: {_sentence(one, dry_run=dry_run)}")
        if one.differences:
            say(f"{plural(len(one.differences), 'conflict')}; what is here stays until a person decides:")
            for line in listed([f"  {_line(difference)}" for difference in map(vars_of, one.differences)]):
                say(line)
    if report.conflicts and not dry_run:
        say(f"{plural(report.conflicts, 'conflict')} open in {project} (in the window: ☰ › Conflicts).")
    if report.backup is not None:
        say(f"To undo it all: napari-lld restore {project} --from {report.backup}")


def _sentence(one: Brought, *, dry_run: bool) -> str:
    if one.nothing:
        return "nothing new."
    counts = (
        (one.fields, "field"),
        (one.cells, "cell"),
        (one.regions, "region"),
        (one.edits, "edit"),
        (one.models, "model"),
    )
    parts = [plural(count, word) for count, word in counts if count] or ["details"]
    verb = "would bring" if dry_run else "brought"
    text = f"{verb} {', '.join(parts)}"
    if one.readings:
        text += f"; new readings: {', '.join(one.readings)}"
    if one.words:
        text += f"; the schema grew: {', '.join(one.words)}"
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


def _facts(one: Brought) -> dict[str, Any]:
    return {
        "project": one.source.absolute(),
        "fields": one.fields,
        "readings": one.readings,
        "cells": one.cells,
        "regions": one.regions,
        "edits": one.edits,
        "models": one.models,
        "schema": one.words,
        "conflicts": [vars_of(difference) for difference in one.differences],
    }


def _line(difference: Mapping[str, Any]) -> str:
    here, there = _said(difference["here"]), _said(difference["there"])
    return f"{difference['field']}, {difference['what']}: here {here}; {difference['reader']}: {there}"


def _said(values: Mapping[str, Any]) -> str:
    if "deleted" in values:
        return "deleted" if values["deleted"] else "not deleted"
    parts = []
    for name, value in values.items():
        if isinstance(value, dict):
            parts += [f"{key} {'missing' if one is None else one}" for key, one in value.items()]
        else:
            shown = ", ".join(f"{v:g}" for v in value) if isinstance(value, list) else value
            parts.append(f"{name.replace('cell_class', 'class')} {'missing' if shown is None else shown}")
    return ", ".join(parts)
