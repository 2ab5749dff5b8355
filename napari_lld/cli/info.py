"""``napari-lld info``: what a project holds."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from napari_lld.cli._console import new_table, number, plural, say, say_json, say_table
from napari_lld.cli._options import (
    Json,
    ProjectPath,
    ReadingName,
    hint_at_readings,
    open_project,
    readings_of,
)

if TYPE_CHECKING:
    from annotation_store import Project


def info(project: ProjectPath, reading: ReadingName = None, as_json: Json = False) -> None:
    """Report what a project holds."""
    with open_project(project, read_only=True, reading=reading) as opened:
        hint_at_readings(opened, reading)
        facts = collect(opened)
        schema = opened.schema
    if as_json:
        say_json(facts)
        return
    fields, regions = facts["fields"], facts["regions"]
    say(f"{facts['project']}: schema {facts['schema']}, reading '{facts['reading']}'")
    words = {"suggestions": "to review"}
    states = ", ".join(f"{n:,} {words.get(state, state)}" for state, n in fields["states"].items() if n)
    patients = f" of {plural(fields['patients'], 'patient')}" if fields["patients"] else ""
    say(f"{plural(fields['total'], 'field')}{patients}" + (f": {states}" if states else ""))
    say(
        f"{plural(facts['cells']['total'], 'cell')}, {plural(regions['finished'], 'finished region')}, "
        f"{plural(regions['draft'], 'draft')}, {plural(facts['ignore_areas'], 'ignore area')}"
    )
    waiting = facts["suggestions"]
    say("Suggestions: " + (", ".join(f"{n:,} {state}" for state, n in waiting.items() if n) or "none"))
    if facts["conflicts"]:
        what = plural(facts["conflicts"], "open conflict")
        say(f"{what} with imported files or other copies: no value was lost.")
    if facts["cells"]["classes"]:
        table = new_table("class", "cells")
        for name, count in facts["cells"]["classes"].items():
            table.add_row(schema.class_title(name), f"{count:,}")
        say_table(table)
    if facts["models"]:
        table = new_table("model", "made", "from", "active")
        for model in facts["models"]:
            created = model["created"].strftime("%Y-%m-%d %H:%M")
            table.add_row(number(model["id"]), created, model["parent"], "yes" if model["active"] else "")
        say_table(table)
    else:
        say("No model yet: suggestions come from the bundled starter.")


def collect(project: Project) -> dict[str, Any]:
    """Count what a project holds."""
    from annotation_store import SuggestionState

    summaries = project.fields.summaries()
    regions = Counter(str(region.state) for region in project.regions.all())
    cells = project.cells.all()
    states = Counter(str(s.state) for s in project.suggestions.find(states=tuple(SuggestionState)))
    values: dict[str, Counter[str]] = {a.name: Counter() for a in project.schema.attributes}
    for cell in cells:
        for name, value in cell.attributes.items():
            values.setdefault(name, Counter())[value] += 1
    return {
        "project": project.path,
        "schema": project.schema.name,
        "annotator": project.annotator,
        "reading": project.reading.name,
        "readings": readings_of(project),
        "fields": {
            "total": len(summaries),
            "patients": len({s.field.patient for s in summaries if s.field.patient}),
            "states": dict(Counter(str(s.state) for s in summaries)),
        },
        "regions": {"finished": regions["finished"], "draft": regions["draft"]},
        "ignore_areas": len(project.ignore_areas.all()),
        "cells": {
            "total": len(cells),
            "classes": dict(Counter(cell.cell_class or "missing" for cell in cells).most_common()),
            "attributes": {name: dict(counts) for name, counts in values.items()},
        },
        "conflicts": len(project.conflicts.all()),
        "schema_version": project.schema_versions.current,
        "active_seconds": _seconds(project),
        "suggestions": {str(state): states[str(state)] for state in SuggestionState},
        "models": [
            {
                "id": model.id,
                "parent": model.parent,
                "created": model.created,
                "active": model.active,
                "metrics": model.card.get("metrics", {}),
            }
            for model in project.models.all()
        ],
    }


def _seconds(project: Project) -> dict[str, float]:
    """Sum up how long each annotator has worked."""
    sums: dict[str, float] = {}
    for time in project.work_time.all():
        sums[time.annotator] = sums.get(time.annotator, 0.0) + time.seconds
    return sums
