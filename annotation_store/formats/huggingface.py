"""A folder as Hugging Face's `datasets` reads it (``imagefolder``), out only.

``data/{train,validation,test}/`` with the images and a ``metadata.jsonl``, one object per image:
``file_name``, the field's name, patient, slide, domain and pixel size, ``objects`` (lists of equal length:
``bbox`` as x, y, width, height in pixels, ``categories``, flags and ``attributes``) and ``areas``, which
holds what is known. ``areas`` is painted in order, each over those before: first *unknown*, the whole field,
then the finished regions (*annotated*), then what is to be ignored (*ignore*); polygons are x, y, x, y, …

`datasets` derives the types of columns from the values, of each part anew, and refuses parts whose types
differ. So nothing is null: what is missing is an empty text (0 for the pixel size), and ``areas`` is never
empty.

What it loses: of suggestions all but the most probable class and values, and their probability (``score``);
fields that say nothing. Whole slides are written as pictures of their finished regions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from annotation_store.formats._exchange.document import Skipped
from annotation_store.formats._exchange.export import (
    Contents,
    What,
    fields_with_pictures,
    new_folder,
    refuse_full,
    refuse_nothing,
    with_progress,
)
from annotation_store.formats._exchange.losses import lost_by_suggestions
from annotation_store.formats._exchange.pictures import with_pictures
from annotation_store.formats._exchange.requests import ExportRequest
from annotation_store.formats._io.file_names import Names
from annotation_store.formats._io.labels import label_of
from annotation_store.formats._io.option import SEED, VALIDATION, Option, share_for_test
from annotation_store.records import Cell, ExportReport, Field, Shape, Suggestion
from annotation_store.splits import split_fields

METADATA = "metadata.jsonl"
PARTS = ("train", "validation", "test")
"""Folders in ``data/``: the names that Hugging Face gives the parts of a data set."""

_FIELDS = Option(
    "fields",
    "annotated",
    title="Fields",
    help="Whether fields with unmarked area are written.",
    values={
        "annotated": "All annotated fields",
        "covered": "Only completely annotated fields",
    },
)
_TEST = share_for_test(0.0)
WRITE_OPTIONS = (_FIELDS, VALIDATION, _TEST, SEED)


def write(request: ExportRequest) -> ExportReport:
    """Write a dataset folder; see `annotation_store.formats.write`."""
    refuse_full(request.out)
    val, test, seed = (
        VALIDATION.read(request.options),
        _TEST.read(request.options),
        SEED.read(request.options),
    )
    covered = _FIELDS.read(request.options) == "covered"
    skipped = Skipped()
    contents = with_pictures(request.contents(), request.project, skipped, whole=not covered)
    fields, partly = fields_with_pictures(contents, request.what, skipped, covered=covered)
    for _ in range(partly):
        skipped.count(
            "Warning: {n} fields have unknown area, which most programs train as background. "
            "Mask what `areas` calls unknown, or leave these fields out (--option fields=covered)."
        )
    refuse_nothing(fields, skipped)
    part_of = split_fields(fields, dict(zip(PARTS, (1 - val - test, val, test), strict=True)), seed=seed)
    _report_poor_parts(contents, fields, part_of, {"validation": val, "test": test}, skipped)
    names = request.names()
    files = request.image_names(fields)
    lines: dict[str, list[str]] = {part: [] for part in PARTS if part in part_of.values()}
    with new_folder(request.out) as folder:
        for part in lines:
            (folder / "data" / part).mkdir(parents=True)
        for field in with_progress(fields, contents.progress):
            part, file = part_of[field.id], files[field.id]
            request.put_image(field, folder / "data" / part / file)
            row = {"file_name": file, **_row(contents, field, request.what, names)}
            lines[part].append(json.dumps(row, ensure_ascii=False, allow_nan=False))
        for part, rows in lines.items():
            text = "".join(f"{row}\n" for row in rows)
            (folder / "data" / part / METADATA).write_text(text, "utf-8", newline="\n")
    lost = [*skipped.sentences(), *lost_by_suggestions(contents, "huggingface")]
    return ExportReport(request.out, **contents.count(fields), skipped=lost)


def parts(out: Path) -> dict[str, str]:
    """Name the parts that were written into a folder, each with the pattern of its files."""
    return {part: f"data/{part}/**" for part in PARTS if (out / "data" / part).is_dir()}


def _report_poor_parts(
    contents: Contents,
    fields: Sequence[Field],
    part_of: Mapping[int, str],
    shares: Mapping[str, float],
    skipped: Skipped,
) -> None:
    """Report parts that are empty, and those that `datasets` will not read together with the others."""
    for part, share in shares.items():
        if share and part not in part_of.values():
            skipped.count(f"There are too few patients for {part}: it is empty.")
    filled = {part_of[field.id] for field in fields if _things(contents, field)}
    for part in PARTS:
        if filled and part in part_of.values() and part not in filled:
            skipped.count(
                f"Warning: no field of {part} has a cell, so that `datasets` cannot read all parts in one "
                "call. Another split may help (--option seed=1)."
            )


def _things(contents: Contents, field: Field) -> list[Cell | Suggestion]:
    return [*contents.cells.get(field.id, ()), *contents.suggestions.get(field.id, ())]


def _row(contents: Contents, field: Field, what: What, names: Names) -> dict[str, Any]:
    return {
        "field": names.file(field.name),
        "patient": names.person(field.patient) or "",
        "slide": names.person(field.slide) or "",
        "domain": names.domain(field.domain) or "",
        "pixel_size_um": float(field.pixel_size_um or 0),
        "objects": _objects(contents, field, what, anonymous=names.anonymous),
        "areas": _areas(contents, field),
    }


def _objects(contents: Contents, field: Field, what: What, *, anonymous: bool) -> dict[str, Any]:
    schema = contents.schema
    columns: dict[str, list[Any]] = {"id": [], "bbox": [], "categories": []}
    columns |= {"score": []} if what == "suggestions" else _flags((), anonymous=anonymous)
    values: dict[str, list[str]] = {name: [] for name in schema.attribute_names}
    things = _things(contents, field)
    for thing in things:
        cell_class = thing.cell_class if isinstance(thing, Cell) else thing.stated_class
        attributes = thing.attributes if isinstance(thing, Cell) else thing.proposal.best_attributes
        columns["id"].append(thing.id)
        columns["bbox"].append([float(number) for number in thing.box])
        columns["categories"].append(label_of(cell_class, schema))
        if isinstance(thing, Suggestion):
            columns["score"].append(float(thing.probability))
        for name, column in values.items():
            column.append(attributes.get(name) or "")
    if what == "cells":
        columns |= _flags([thing for thing in things if isinstance(thing, Cell)], anonymous=anonymous)
    return columns | ({"attributes": values} if values else {})


def _flags(cells: Sequence[Cell], *, anonymous: bool) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {"kind": [cell.kind or "" for cell in cells]}
    columns |= {n: [bool(getattr(c, n)) for c in cells] for n in ("cut", "bookmark", "second_opinion")}
    return columns if anonymous else columns | {"comment": [cell.comment for cell in cells]}


def _areas(contents: Contents, field: Field) -> dict[str, list[Any]]:
    """Return what of a field is known: areas in the order in which they are painted."""
    areas = [("unknown", Shape.rectangle(0, 0, field.width, field.height))]
    areas += [("annotated", shape) for shape in contents.shapes(field)]
    areas += [("ignore", area.shape) for area in contents.ignore_areas.get(field.id, ())]
    return {
        "kind": [kind for kind, _ in areas],
        "polygon": [[float(number) for point in shape.points for number in point] for _, shape in areas],
    }
