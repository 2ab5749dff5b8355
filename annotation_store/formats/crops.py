"""Pictures of single cells in folders by class, out only: what trains and tests an image classifier.

``<class>/<field>_<cell>.png`` for each cell, with a ``margin`` around its box where asked for (a share of the
box's longer side), and ``crops.csv``: the table of `cells_csv` with the file of each crop and the box that it
shows. The folders *unclassified*, *unsure*, and those of class groups hold what has no class; suggestions go
by their most probable class. The pictures are PNG made of pixels alone, without metadata.

What it loses: regions and ignore areas; everything around the cells.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from annotation_store.formats._exchange.document import Skipped
from annotation_store.formats._exchange.export import (
    Contents,
    file_names,
    new_folder,
    png,
    refuse_full,
    refuse_nothing,
    usable,
    with_progress,
)
from annotation_store.formats._exchange.losses import lost_by_suggestions
from annotation_store.formats._exchange.requests import ExportRequest
from annotation_store.formats._io.file_names import Names
from annotation_store.formats._io.labels import label_of
from annotation_store.formats._io.option import Option
from annotation_store.formats._io.tables import MARK, escaped
from annotation_store.formats.cells_csv import escape_row, rows
from annotation_store.records import Box, Cell, ExportReport, Field, Suggestion
from annotation_store.schema import Schema

_MARGIN = Option(
    "margin",
    0.0,
    title="Margin around a cell, as a share of its longer side",
    help="How much is shown around a cell, as a share of its box's longer side, 0 to 1.",
)
WRITE_OPTIONS = (_MARGIN,)


def write(request: ExportRequest) -> ExportReport:
    """Write a folder of crops; see `annotation_store.formats.write`."""
    refuse_full(request.out)
    margin = _MARGIN.read(request.options)
    contents = request.contents()
    names = request.names()
    skipped = Skipped()
    for _ in range(sum(map(len, contents.regions.values()))):
        skipped.count("Crops cannot store regions: {n} were left out.")
    fields = [f for f in contents.fields if f.id in contents.cells or f.id in contents.suggestions]
    refuse_nothing(fields, skipped)
    files = file_names(fields, names)
    places: dict[tuple[int, int], tuple[str, Box]] = {}
    homes = _folders(contents)
    for label, home in homes.items():
        if home != label:
            skipped.note("folders", f"The crops of {label!r} are in the folder {home}.")
    with new_folder(request.out) as folder:
        for field in with_progress(fields, contents.progress):
            pixels = None if field.is_slide else request.project.pixels.read(field.id)
            things: list[Cell | Suggestion] = [
                *contents.cells.get(field.id, ()),
                *contents.suggestions.get(field.id, ()),
            ]
            for thing in things:
                place = homes[_label(thing, contents.schema)]
                (folder / place).mkdir(exist_ok=True)
                name = f"{place}/{Path(files[field.id]).stem}_{thing.id}.png"
                x0, y0, x1, y1 = window(thing.box, margin, field)
                area = (
                    request.project.pixels.read_area(field.id, (x0, y0, x1 - x0, y1 - y0))
                    if pixels is None
                    else pixels[y0:y1, x0:x1]
                )
                (folder / name).write_bytes(png(area))
                places[field.id, thing.id] = name, (x0, y0, x1 - x0, y1 - y0)
        (folder / "crops.csv").write_text(MARK + _table(contents, names, places), "utf-8", newline="")
    lost = [*skipped.sentences(), *lost_by_suggestions(contents, "crops")]
    return ExportReport(request.out, **(contents.count(fields) | {"regions": 0}), skipped=lost)


def _label(thing: Cell | Suggestion, schema: Schema) -> str:
    return label_of(thing.cell_class if isinstance(thing, Cell) else thing.stated_class, schema)


def _folders(contents: Contents) -> dict[str, str]:
    """Choose a folder for each label that is needed, usable on every system and no other label's."""
    things: list[Cell | Suggestion] = [thing for of_field in contents.cells.values() for thing in of_field]
    things += [thing for of_field in contents.suggestions.values() for thing in of_field]
    folders: dict[str, str] = {}
    for label in sorted({_label(thing, contents.schema) for thing in things}):
        base = folder = usable(label)
        number = 2
        # names are case-insensitive on Windows and macOS
        while folder.casefold() in (other.casefold() for other in folders.values()):
            folder = f"{base}_{number}"
            number += 1
        folders[label] = folder
    return folders


def window(box: Box, margin: float, field: Field) -> tuple[int, int, int, int]:
    """Return the whole pixels ``left, top, right, bottom`` that a crop shows, inside the field."""
    x, y, w, h = box
    more = margin * max(w, h)
    return (
        max(math.floor(x - more), 0),
        max(math.floor(y - more), 0),
        min(math.ceil(x + w + more), field.width),
        min(math.ceil(y + h + more), field.height),
    )


def _table(contents: Contents, names: Names, places: Mapping[tuple[int, int], tuple[str, Box]]) -> str:
    buffer = io.StringIO(newline="")
    columns, records = rows(contents, names)
    extra = ["crop_x", "crop_y", "crop_w", "crop_h"]
    writer = csv.DictWriter(buffer, ["file", *(escaped(c) for c in columns), *extra], restval="")
    writer.writeheader()
    for field_id, thing_id, row in records:
        file, box = places[field_id, thing_id]
        crop = dict(zip(extra, map(str, box), strict=True))
        writer.writerow({**escape_row(row), "file": escaped(file), **crop})
    return buffer.getvalue()
