"""``napari-lld similar`` and ``clusters``: which cells are alike."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from napari_lld.cli._console import (
    UsageError,
    complain,
    new_table,
    number,
    say,
    say_json,
    say_table,
    worker_progress,
)
from napari_lld.cli._options import Device, Json, Model, ProjectPath, ReadingName, device_of, model_of
from napari_lld.cli._options import open_project as open_at
from napari_lld.cli.predict import check_model

if TYPE_CHECKING:
    from collections.abc import Iterable

    from annotation_store import Entry, Project

Key = tuple[Literal["cell", "suggestion"], int]


def similar(
    project: ProjectPath,
    cell: Annotated[
        str,
        typer.Argument(metavar="CELL", help="Number of a cell, or suggestion:NUMBER.", show_default=False),
    ],
    most: Annotated[int, typer.Option(metavar="N", min=1, help="Number of cells to list.")] = 20,
    model: Model = "active",
    device: Device = "cpu",
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """List the cells and suggestions that are most like one."""
    key = _key(cell)
    answer = _ask(project, reading, model, device, what="similar", of=key, most=most + 1)
    pairs = [
        (entry, likeness)
        for entry, likeness in zip(
            answer.entries(answer.result["keys"]), answer.result["likeness"], strict=True
        )
        if entry is not None and (entry.kind, entry.id) != key
    ]
    if as_json:
        listed = [answer.facts(entry) | {"likeness": likeness} for entry, likeness in pairs]
        say_json({"project": project.absolute(), "model": answer.model, "of": key, "similar": listed})
        return
    if not pairs:
        say("The project has no other cell or suggestion.")
        return
    table = new_table("cell", "field", "class", "likeness")
    for column in table.columns[1:3]:
        column.justify = "left"
    for entry, likeness in pairs:
        table.add_row(_name(entry), answer.field(entry), _class(entry), number(likeness))
    say_table(table)


def clusters(
    project: ProjectPath,
    count: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Number of clusters; by default about one per 48 cells."),
    ] = None,
    model: Model = "active",
    device: Device = "cpu",
    reading: ReadingName = None,
    as_json: Json = False,
) -> None:
    """Group cells and suggestions that are alike; a group is named after its labelled cells."""
    answer = _ask(project, reading, model, device, what="clusters", clusters=count)
    groups = answer.result["clusters"]
    if as_json:
        listed = [
            {name: group[name] for name in ("name", "named", "purity")}
            | {"cells": [answer.facts(entry) for entry in answer.entries(group["keys"]) if entry is not None]}
            for group in groups
        ]
        say_json({"project": project.absolute(), "model": answer.model, "clusters": listed})
        return
    if not groups:
        say(f"No cells or suggestions. Create suggestions with: napari-lld predict {project}")
        return
    table = new_table("name", "cells", "labelled", "purity", "most typical")
    table.columns[-1].justify = "left"
    for group in groups:
        typical = [_name(entry) for entry in answer.entries(group["keys"][:3]) if entry is not None]
        name = group["name"] or "–"
        name = name if group["named"] or not group["name"] else f"({name})"
        cells, purity = f"{len(group['keys']):,}", number(group["purity"], 2)
        table.add_row(name, cells, f"{group['named']:,}", purity, ", ".join(typical))
    say_table(table)
    if any(group["name"] and not group["named"] for group in groups):
        say("In parentheses: the predicted class of clusters without a labelled cell.")


class _Found:
    """A worker's answer, with what the project knows of the cells that it names."""

    def __init__(self, opened: Project, result: dict[str, Any], model: int | str) -> None:
        self.result, self.model = result, model
        self._fields = {field.id: field.name for field in opened.fields.all()}
        self._entries: dict[tuple[str, int], Entry] = {
            (entry.kind, entry.id): entry for entry in opened.bulk_edits.entries()
        }

    def entries(self, keys: Iterable[Any]) -> list[Entry | None]:
        """Return the cells that keys name; ``None`` of one that was deleted meanwhile."""
        return [self._entries.get((kind, cell_id)) for kind, cell_id in keys]

    def field(self, entry: Entry) -> str:
        return self._fields.get(entry.field_id, "")

    def facts(self, entry: Entry) -> dict[str, Any]:
        """Return what JSON says of a cell."""
        predicted = None if entry.proposal is None else entry.proposal.stated_class
        return {
            "kind": entry.kind,
            "id": entry.id,
            "field": self.field(entry),
            "class": entry.cell_class,
            "predicted": predicted,
        }


def _ask(
    project: Path, reading: str | None, model: str, device: str, *, of: Key | None = None, **more: Any
) -> _Found:
    """Check the arguments, let the worker compare, and read the result."""
    from training.client import run_worker
    from training.protocol import LikenessRequest

    which, device = model_of(model), device_of(device)
    with open_at(project, keeps_if_possible=True, reading=reading) as opened:
        check_model(opened.path, [known_model.id for known_model in opened.models.all()], which)
        reading_id = opened.reading.id
        if of is not None and of not in {(entry.kind, entry.id) for entry in opened.bulk_edits.entries()}:
            raise UsageError(
                f"CELL {'' if of[0] == 'cell' else f'{of[0]}:'}{of[1]}: the project has no such {of[0]}; "
                f"napari-lld find {project} kind:{of[0]} lists the {of[0]}s"
            )
    request = LikenessRequest(
        project=str(project.absolute()), reading=reading_id, model=which, device=device, of=of, **more
    )
    with worker_progress() as show:
        done = run_worker(request, on_message=show)
    if damaged := done.result["damaged"]:
        complain(
            f"Damaged images were left out: {', '.join(damaged)}. Run: napari-lld check {project} --repair"
        )
    with open_at(project, read_only=True, reading=reading) as opened:
        return _Found(opened, done.result, done.model_id or "starter")


def _key(text: str) -> Key:
    """Read CELL."""
    kind, mark, rest = text.rpartition(":")
    named: Literal["cell", "suggestion"] = "suggestion" if kind == "suggestion" else "cell"
    if (
        kind not in ("", "cell", "suggestion")
        or (mark and not kind)
        or not (rest.isascii() and rest.isdigit())
    ):
        raise UsageError(f"CELL {text}: give the number of a cell, or suggestion:NUMBER")
    return named, int(rest)


def _name(entry: Entry) -> str:
    """Return what the commands take as CELL."""
    return str(entry.id) if entry.kind == "cell" else f"suggestion:{entry.id}"


def _class(entry: Entry) -> str:
    """Return a cell's class; in parentheses one that is only predicted."""
    if entry.cell_class is not None:
        return entry.cell_class
    predicted = None if entry.proposal is None else entry.proposal.stated_class
    return "–" if predicted is None else f"({predicted})"
