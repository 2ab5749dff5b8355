"""One cell a row, in and out, for spreadsheets and statistics.

Columns: ``field, patient, slide, domain, pixel_size_um, field_width, field_height, cell, x, y, w, h, class``,
one for each attribute, ``kind, cut, bookmark, second_opinion, comment``, and for suggestions ``confidence``.
An empty cell is missing; ``unsure`` is unsure; a class group stands by its name. UTF-8 with a byte order
mark, which spreadsheets need; commas. On reading, semicolons, tabs and UTF-16 will do as well.

A spreadsheet takes a text that begins with ``=``, ``+``, ``-``, ``@``, a tab or a line end for a formula:
such a text is written with an apostrophe before it, which is taken off on reading.

What it loses: regions and ignore areas, so on reading nothing counts as annotated unless ``--regions full``
says so; fields without cells; the probabilities of suggestions (the most probable is kept).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from annotation_store._rules import clean_name
from annotation_store.errors import FormatError
from annotation_store.formats._document import CellIn, Document, FieldIn, Regions, Skipped
from annotation_store.formats._export import Contents, What, each
from annotation_store.formats._files import Names, safe_name, write_text
from annotation_store.formats._images import beside
from annotation_store.formats._merge import merge
from annotation_store.formats._text import MAX_LINES, decoded, number, read_file, shown
from annotation_store.formats._words import (
    certain,
    flag_words,
    label_of,
    read_class,
    read_flags,
    read_values,
)
from annotation_store.records import Box, ExportReport, Field, ImportReport, Proposal
from annotation_store.schema import Schema

if TYPE_CHECKING:
    from annotation_store.project import Project

_OF_FIELD = ("field", "patient", "slide", "domain", "pixel_size_um", "field_width", "field_height")
_OF_CELL = ("cell", "x", "y", "w", "h", "class")
_FLAGS = ("kind", "cut", "bookmark", "second_opinion", "comment")
_FIXED = frozenset((*_OF_FIELD, *_OF_CELL, *_FLAGS, "confidence"))
_SPELLINGS = {"image": "field", "file": "field", "file_name": "field", "filename": "field", "label": "class"}
_ATTRIBUTE = "attribute "
_FORMULA = "=+-@＝＋－＠"
MARK = "\ufeff"
"""The byte order mark that spreadsheets need to see that a table is UTF-8."""


# -- in ------------------------------------------------------------------------------------------


def read(
    project: Project,
    path: Path,
    *,
    images: Path | None,
    regions: Regions,
    patient_from: str | None,
    progress: Callable[[int, int], None] | None,
) -> ImportReport:
    """Merge a table of cells; see `annotation_store.formats.read`."""
    document = parse(read_file(path), project.schema, str(path))
    return merge(
        project,
        document,
        folders=beside(path, images),
        regions=regions,
        patient_from=patient_from,
        progress=progress,
    )


def parse(data: bytes, schema: Schema, source: str) -> Document:
    """Read a table of cells in the words of a schema.

    Raises
    ------
    FormatError
        It is no such table: columns lack, a row has too many cells, a box is no four numbers, …
    """
    skipped = Skipped()
    fields: dict[str, FieldIn] = {}
    document = Document(source, [], skipped)
    header: list[str] = []
    attributes: list[str] = []
    for line, row in _rows(decoded(data, source), source):
        if not header:
            header = _header(row, source)
            attributes = [name for name in header if name and name not in _FIXED]
            continue
        if not any(row):
            continue
        at = f"line {line} of {source}"
        if len(row) > len(header):
            raise FormatError(f"In {at}, there are {len(row)} cells, but {len(header)} columns.")
        values = dict(zip(header, map(unescaped, row), strict=False))
        _take(values, attributes, fields, schema, document, at, f"line {line}")
    if not header:
        raise FormatError(f"The file {source} is empty: export it again.")
    document.fields = list(fields.values())
    return document


def _rows(text: str, source: str) -> Iterable[tuple[int, list[str]]]:
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for count, row in enumerate(reader):
            if count > MAX_LINES:
                raise FormatError(f"The file {source} has more than {MAX_LINES:,} rows: split it.")
            yield reader.line_num, row
    except csv.Error as error:
        raise FormatError(f"In line {reader.line_num} of {source}, the CSV is broken ({error}).") from error


def _header(row: Sequence[str], source: str) -> list[str]:
    names = [unescaped(cell).strip() for cell in row]
    names = [_SPELLINGS.get(name.lower(), name) for name in names]
    names = [name.lower() if name.lower() in _FIXED else name for name in names]
    missing = [name for name in ("field", "x", "y", "w", "h") if name not in names]
    if missing:
        raise FormatError(
            f"The file {source} is no table of cells: the column{'s' * (len(missing) > 1)} "
            f"{', '.join(missing)} lack{'s' * (len(missing) == 1)}."
        )
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise FormatError(f"The file {source} has a column twice: {_twin(named)}.")
    return names


def _twin(names: Sequence[str]) -> str:
    return shown(next(name for name in names if names.count(name) > 1))


def _take(
    values: Mapping[str, str],
    attributes: Sequence[str],
    fields: dict[str, FieldIn],
    schema: Schema,
    document: Document,
    at: str,
    where: str,
) -> None:
    name = safe_name(values["field"], at)
    if name not in fields:
        # a table of cells does not say where somebody looked
        fields[name] = FieldIn(name, regions=[])
    field = fields[name]
    for key in ("patient", "slide", "domain"):
        if values.get(key, "").strip():
            setattr(field, key, clean_name(values[key]))
    if values.get("pixel_size_um", "").strip():
        field.pixel_size_um = number(values["pixel_size_um"], at)
    for key, target in (("field_width", "width"), ("field_height", "height")):
        if values.get(key, "").strip():
            setattr(field, target, round(number(values[key], at)))
    document.annotations += 1
    x, y, w, h = (number(values.get(key, ""), at) for key in "xywh")
    label = values.get("class", "").strip()
    skipped = document.skipped
    cell_class, known = read_class(label, schema, skipped) if label else (None, True)
    if not known:
        if not values.get("confidence", "").strip():
            field.strangers.append((label, (x, y, w, h)))
        return
    given = {n.removeprefix(_ATTRIBUTE): v for n in attributes if (v := values.get(n, "")).strip()}
    found = read_values(given, schema, skipped)
    box: Box = (x, y, w, h)
    if values.get("confidence", "").strip():
        proposal = Proposal(box, number(values["confidence"], at), *certain(cell_class, found, schema))
        field.proposals.append((where, proposal))
        return
    flags = read_flags(values, schema, cell_class, skipped)
    field.cells.append(CellIn(where, box, cell_class, found, flags))


def unescaped(text: str) -> str:
    """Take off the apostrophe that `escaped` put before a text."""
    return text[1:] if text.startswith("'") and _needs_escape(text[1:]) else text


# -- out -----------------------------------------------------------------------------------------


def escaped(text: str) -> str:
    """Put an apostrophe before what a spreadsheet would take for a formula; `unescaped` takes it off."""
    return f"'{text}" if _needs_escape(text) else text


def _needs_escape(text: str) -> bool:
    return text[:1] in ("\t", "\r", "\n", "'") or text.lstrip()[:1] in tuple(_FORMULA)


def write(project: Project, out: Path, *, what: What, anonymise: bool) -> ExportReport:
    """Write a table of cells or suggestions; see `annotation_store.formats.write`."""
    contents = Contents.of(project, what)
    names = Names.of_project(project, anonymise=anonymise)
    write_text(out, MARK + table(contents, names))
    fields = [f for f in contents.fields if f.id in contents.cells or f.id in contents.suggestions]
    skipped = Skipped()
    for _ in range(len(contents.annotated()) - len(fields)):
        skipped.count("{n} fields have a region but no cell: a table of cells has no row for them.")
    counts = contents.count(fields)
    for _ in range(sum(map(len, contents.regions.values()))):
        skipped.count("A table of cells has no place for regions: {n} were left out.")
    return ExportReport(out, **(counts | {"regions": 0}), skipped=skipped.sentences())


def table(contents: Contents, names: Names) -> str:
    """Make the table as text."""
    columns, found = rows(contents, names)
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, [escaped(name) for name in columns], restval="")
    writer.writeheader()
    for _, _, row in found:
        writer.writerow({escaped(k): escaped(v) for k, v in row.items()})
    return buffer.getvalue()


def rows(contents: Contents, names: Names) -> tuple[list[str], list[tuple[int, int, dict[str, str]]]]:
    """Give the columns, and for each cell or suggestion its field's id, its own, and its row."""
    schema = contents.schema
    columns = [*_OF_FIELD, *_OF_CELL, *(_column(n) for n in schema.attribute_names), *_FLAGS]
    columns += ["confidence"] if contents.suggestions else []
    found: list[tuple[int, int, dict[str, str]]] = []
    for field in each(contents.fields):
        start = _field_cells(field, names)
        for cell in contents.cells.get(field.id, ()):
            row = start | _box_cells(cell.id, cell.box)
            row["class"] = "" if cell.cell_class is None else label_of(cell.cell_class, schema)
            row |= {_column(name): value for name, value in cell.attributes.items()}
            row |= flag_words(cell, anonymous=names.anonymous)
            found.append((field.id, cell.id, row))
        for suggestion in contents.suggestions.get(field.id, ()):
            row = start | _box_cells(suggestion.id, suggestion.box)
            row |= {"class": suggestion.proposal.best_class or "", "confidence": repr(suggestion.confidence)}
            row |= {_column(n): value for n, value in suggestion.proposal.best_attributes.items()}
            found.append((field.id, suggestion.id, row))
    return columns, found


def _column(attribute: str) -> str:
    return f"{_ATTRIBUTE}{attribute}" if attribute.lower() in {*_FIXED, *_SPELLINGS} else attribute


def _field_cells(field: Field, names: Names) -> dict[str, str]:
    return {
        "field": names.of(field.name),
        "patient": names.person(field.patient) or "",
        "slide": names.person(field.slide) or "",
        "domain": field.domain or "",
        "pixel_size_um": "" if field.pixel_size_um is None else repr(field.pixel_size_um),
        "field_width": str(field.width),
        "field_height": str(field.height),
    }


def _box_cells(number_: int, box: Box) -> dict[str, str]:
    return {"cell": str(number_), **dict(zip("xywh", (repr(v) for v in box), strict=True))}
