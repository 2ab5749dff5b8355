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
        measures = measured(opened)
        differing = differences(opened)
        names = {reading.id: reading.name for reading in opened.readings.all()}
        fields = {field.id: field.name for field in opened.fields.all()}
        schema = opened.schema
        consensus_made = write_consensus(opened, consensus) if consensus is not None else None
    if as_json:
        answer: dict[str, Any] = measures | {
            "differences": [
                {
                    "field": fields[difference.field_id],
                    "box": [round(v, 2) for v in difference.box],
                    "cells": {names[reading]: cell for reading, cell in difference.cells.items()},
                    "score": round(difference.score, 4),
                    "what": list(difference.what),
                }
                for difference in differing
            ]
        }
        if consensus_made is not None:
            answer["consensus"] = {
                "reading": consensus_made.reading.name,
                "fields": consensus_made.fields,
                "cells": consensus_made.cells,
                "unsure": consensus_made.unsure,
                "disputed": consensus_made.disputed,
            }
        say_json(answer)
        return
    if not measures["cells"]:
        say("Nothing to compare: no cell lies in an area that is finished in two readings.")
    else:
        _say(measures, schema)
        say(f"{plural(len(differing), 'cell')} to discuss" + (":" if differing else "."))
        lines = [
            f"  {fields[d.field_id]} at {d.box[0]:.0f}, {d.box[1]:.0f}: {'; '.join(d.what)}"
            for d in differing
        ]
        for line in listed(lines):
            say(line)
    if consensus_made is not None:
        say(
            f"The reading '{consensus_made.reading.name}' holds {plural(consensus_made.cells, 'cell')} on "
            f"{plural(consensus_made.fields, 'field')}; {plural(consensus_made.unsure, 'value')} unsure, "
            f"{plural(consensus_made.disputed, 'disputed place')} ignored."
        )


def _say(measures: dict[str, Any], schema: Schema) -> None:
    table = new_table("question", "readings", "measure", "value", "95% interval", "cells")
    for detection in measures["detection"]:
        n = detection["both"] + sum(detection["only"])
        table.add_row(
            "cell or not",
            " and ".join(detection["readings"]),
            "F1",
            *_value(detection["f1"], detection["interval"]),
            f"{n:,}",
        )
    questions = [("class", measures["class"])]
    questions += [(schema.attribute_title(name), numbers) for name, numbers in measures["attributes"].items()]
    for title, numbers in questions:
        for pair in numbers["pairs"]:
            value = _value(pair["kappa"], pair["interval"])
            table.add_row(title, " and ".join(pair["readings"]), "Cohen's kappa", *value, f"{pair['n']:,}")
        if len(measures["readings"]) > 2:
            for key, name in (("fleiss", "Fleiss' kappa"), ("alpha", "Krippendorff's alpha")):
                overall = numbers[key]
                table.add_row(
                    title, "all", name, *_value(overall["value"], overall["interval"]), f"{overall['n']:,}"
                )
    say_table(table)


def _value(value: float | None, interval: list[float] | None) -> tuple[str, str]:
    spread = "–" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"
    return number(value, 2), spread
