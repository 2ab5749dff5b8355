"""``napari-lld new``: an empty project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_lld.cli._console import plural, say, say_json
from napari_lld.cli._options import Annotator, Json, existing_file

if TYPE_CHECKING:
    from annotation_store.schema import Schema


def new(
    project: Annotated[
        Path, typer.Argument(metavar="PROJECT", help="Folder to create; must not exist or be empty.")
    ],
    schema: Annotated[
        str,
        typer.Option(
            metavar="lld|wbcatt|FILE",
            help="Classes and attributes: a preset, a schema file (.yaml), or a COCO file (.json) whose "
            "categories and attribute values become the schema.",
        ),
    ] = "lld",
    annotator: Annotator = None,
    as_json: Json = False,
) -> None:
    """Make an empty project."""
    from annotation_store import Project

    with Project.create(project, schema=read_schema(schema), annotator=annotator) as created:
        classes, attributes = len(created.schema.classes), len(created.schema.attributes)
        if as_json:
            say_json(
                {
                    "project": created.path,
                    "schema": created.schema.name,
                    "classes": created.schema.class_names,
                    "attributes": [attribute.name for attribute in created.schema.attributes],
                }
            )
            return
        say(
            f"Created {project} with schema {created.schema.name}: {plural(classes, 'class', 'classes')}, "
            f"{plural(attributes, 'attribute')}."
        )
        say(f"Next: napari-lld add {project} IMAGES…")


def read_schema(name: str) -> Schema:
    """Read a preset, a schema file, or the schema that a COCO file implies."""
    from annotation_store.schema import load_schema

    path = Path(name)
    if path.suffix.lower() == ".json":
        existing_file(path, "a schema file or a COCO file")
    elif path.suffix.lower() in (".yaml", ".yml"):
        existing_file(path, "a schema file")
    return load_schema(name)
