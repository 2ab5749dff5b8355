"""``napari-lld find``: cells and suggestions by class, value, reader, flag, comment, certainty and origin."""

from __future__ import annotations

from typing import Annotated

import typer

from napari_lld.cli._console import UsageError, new_table, number, plural, say, say_json, say_table
from napari_lld.cli._options import Json, ProjectPath, ReadingName, hint_at_readings, open_project

_QUERY = (
    "What to search for, in quotes: class:Neutrophil cell_size:large,medium flag:second "
    "comment:twin certainty<60 unknown -origin:imported. All terms must match; plain words "
    "are searched for in comments, names of fields and classes."
)


def find(
    project: ProjectPath,
    query: Annotated[str, typer.Argument(metavar="QUERY", help=_QUERY, show_default=False)],
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """List the cells and pending suggestions that a query finds."""
    from napari_lld.session.gallery_items import read_items
    from napari_lld.session.search import QueryError, parse

    with open_project(project, read_only=True, reading=reading) as opened:
        hint_at_readings(opened, reading)
        schema = opened.schema
        try:
            parsed = parse(query, schema)
        except QueryError as error:
            raise UsageError(str(error)) from error
        fields = {field.id: field for field in opened.fields.all()}
        items = [
            item
            for item in read_items(opened, None)
            if (item.entry.kind == "cell" or item.pending)
            and parsed.matches(item, fields[item.entry.field_id])
        ]
    if as_json:
        say_json(
            [
                {
                    "kind": item.entry.kind,
                    "id": item.entry.id,
                    "field": fields[item.entry.field_id].name,
                    "class": item.word,
                    "probability": item.probability,
                }
                for item in items
            ]
        )
        return
    if items:
        table = new_table("kind", "id", "field", "class", "probability")
        for column in table.columns[2:4]:
            column.justify = "left"
        for item in items:
            word = schema.class_title(item.word) if item.word else "–"
            name = fields[item.entry.field_id].name
            table.add_row(item.entry.kind, str(item.entry.id), name, word, number(item.probability))
        say_table(table)
    say(f"{plural(len(items), 'cell or suggestion', 'cells and suggestions')} found.")
