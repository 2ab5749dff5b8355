"""``napari-lld agreement``: agreement of several readings, and their differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_lld.cli._console import listed, new_table, number, plural, say, say_json, say_table
from napari_lld.cli._options import Json, ProjectPath, open_project

if TYPE_CHECKING:
    from annotation_store.schema import Schema


def agreement(
    project: ProjectPath,
    consensus: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Also add a reading of this name with the majority's labels."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Report the agreement of readings on areas finished in both, and list their differences."""
    from training.agreement import agreement as measured
    from training.agreement import differences, write_consensus

    with open_project(project, read_only=consensus is None) as opened:
        found = measured(opened)
        differ = differences(opened)
        names = {one.id: one.name for one in opened.readings.all()}
        fields = {one.id: one.name for one in opened.fields.all()}
        schema = opened.schema
        made = write_consensus(opened, consensus) if consensus is not None else None
    if as_json:
        answer: dict[str, Any] = found | {
            "differences": [
                {
                    "field": fields[one.field_id],
                    "box": [round(v, 2) for v in one.box],
                    "cells": {names[reading]: cell for reading, cell in one.cells.items()},
                    "score": round(one.score, 4),
                    "what": list(one.what),
                }
                for one in differ
            ]
        }
        if made is not None:
            answer["consensus"] = {
                "reading": made.reading.name,
                "fields": made.fields,
                "cells": made.cells,
                "unsure": made.unsure,
                "disputed": made.disputed,
            }
        say_json(answer)
        return
    if not found["cells"]:
        say("Nothing to compare: no cell lies in an area that is finished in two readings.")
    else:
        _say(found, schema)
        say(f"{plural(len(differ), 'cell')} to discuss" + (":" if differ else "."))
        lines = [
            f"  {fields[d.field_id]} at {d.box[0]:.0f}, {d.box[1]:.0f}: {'; '.join(d.what)}" for d in differ
        ]
        for line in listed(lines):
            say(line)
    if made is not None:
        say(
            f"The reading '{made.reading.name}' holds {plural(made.cells, 'cell')} on "
            f"{plural(made.fields, 'field')}; {plural(made.unsure, 'value')} unsure, "
            f"{plural(made.disputed, 'disputed place')} ignored."
        )


def _say(found: dict[str, Any], schema: Schema) -> None:
    table = new_table("question", "readings", "measure", "value", "95% interval", "cells")
    for one in found["detection"]:
        n = one["both"] + sum(one["only"])
        table.add_row(
            "cell or not", " and ".join(one["readings"]), "F1", *_value(one["f1"], one["interval"]), f"{n:,}"
        )
    questions = [("class", found["class"])]
    questions += [(schema.attribute_title(name), numbers) for name, numbers in found["attributes"].items()]
    for title, numbers in questions:
        for pair in numbers["pairs"]:
            value = _value(pair["kappa"], pair["interval"])
            table.add_row(title, " and ".join(pair["readings"]), "Cohen's kappa", *value, f"{pair['n']:,}")
        if len(found["readings"]) > 2:
            for key, name in (("fleiss", "Fleiss' kappa"), ("alpha", "Krippendorff's alpha")):
                one = numbers[key]
                table.add_row(title, "all", name, *_value(one["value"], one["interval"]), f"{one['n']:,}")
    say_table(table)


def _value(value: float | None, interval: list[float] | None) -> tuple[str, str]:
    spread = "–" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"
    return number(value, 2), spread
