"""``napari-lld schema``: the labels of a project, and changing them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import UsageError, plural, say, say_json
from napari_lld.cli._options import Json, ProjectPath, existing_file, open_project


def schema(
    project: ProjectPath,
    new: Annotated[
        Path | None,
        typer.Option("--set", metavar="FILE.yaml", help="New schema of the project."),
    ] = None,
    mapped: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="OLD=NEW",
            help="New name of a word that the new schema lacks: a class, ATTRIBUTE:VALUE, an attribute, or "
            "kind:NAME; without a name after the = its labels become missing. May be repeated.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a project's schema as YAML; with --set, change it without losing a label."""
    if new is None:
        if mapped:
            raise UsageError("--map requires --set; give the new schema too")
        with open_project(project, read_only=True) as opened:
            content = opened.schema.model_dump(mode="json", exclude_defaults=True)
            version = opened.schema_versions.current
        if as_json:
            say_json({"project": project.absolute(), "schema_version": version, "schema": content})
            return
        import yaml

        say(yaml.safe_dump(content, sort_keys=False, allow_unicode=True).rstrip())
        return
    from annotation_store import load_schema

    new_schema = load_schema(existing_file(new, "a schema file"))
    mapping = dict(_pair(text) for text in mapped or ())
    with open_project(project) as opened:
        old = opened.schema
        change = opened.schema_versions.change(new_schema, mapping)
        joined = opened.schema_versions.renamings().of(old.class_names, {}, old.digest()).joined
    if as_json:
        facts = {"schema": new_schema.name, "schema_version": change.version}
        say_json(
            {"project": project.absolute(), **facts, "cells": change.cells, "suggestions": change.suggestions}
        )
        return
    say(
        f"{project} has schema {new_schema.name} (version {change.version}): "
        f"{plural(change.cells, 'cell')} and "
        f"{plural(change.suggestions, 'suggestion')} changed."
    )
    gone = [name for name in old.class_names if name not in {*new_schema.class_names, *mapping}]
    if gone and {*new_schema.class_names} - {*old.class_names, *mapping.values()}:
        say(
            f"Models no longer predict {', '.join(gone)}. If this was a renaming, set the schema of before "
            f"again, then this one with --map {gone[0]}=NEW."
        )
    for name, before in joined.items():
        say(f"{', '.join(before)} have become {name}: no model predicts {name} until you train again.")


def _pair(text: str) -> tuple[str, str | None]:
    old, equals, successor = text.partition("=")
    if not equals or not old.strip():
        raise UsageError(f"--map {text}: give OLD=NEW, or OLD= to make its labels missing")
    return old.strip(), successor.strip() or None
