"""One cell per row, read and written, for spreadsheets and statistics.

Columns: ``field, patient, slide, domain, pixel_size_um, field_width, field_height, cell, x, y, w, h, class``,
one for each attribute, ``kind, cut, bookmark, second_opinion, comment``, and for suggestions ``confidence``,
``novelty`` (the p-value of being of a taught class), ``unknown`` (``yes``; its class is then empty),
``unchecked`` (``yes``: its model has not learnt from the film) and ``sets`` (`Proposal.sets` as JSON:
``{"class": ["Monocyte", "Lymphocyte"]}``).
An empty cell is missing; ``unsure`` is unsure; a class group stands by its name. UTF-8 with a byte order
mark, which spreadsheets need; commas. On reading, semicolons, tabs, UTF-16
and Windows-1252 will do as well, and so will decimal commas,
a first line ``sep=;``, and the words that statistics programs write for no value.

Texts that a reader would take for a formula, for no value, a number or a date are written in other words or
with an apostrophe before them (see `_io/tables.py`), and read back exactly. Where a table has a column
``confidence``, every row is a suggestion, also one that gives none.

A row that cannot be read is skipped and reported; the others come in.

What it loses: regions and ignore areas, so on reading nothing counts as annotated unless ``--regions full``
says so; fields without cells; the probabilities of suggestions (the most probable is kept).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from annotation_store.errors import FormatError
from annotation_store.files.outputs import write_file
from annotation_store.formats._exchange.document import CellIn, Document, FieldIn, Skipped
from annotation_store.formats._exchange.export import Contents, with_progress
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.losses import lost_by_suggestions
from annotation_store.formats._exchange.requests import ExportRequest, ImportRequest
from annotation_store.formats._io.file_names import Names, safe_name
from annotation_store.formats._io.labels import (
    CONFIDENCES,
    certain,
    flag_words,
    novelty_of,
    read_class,
    read_flags,
    read_values,
    sets_of,
)
from annotation_store.formats._io.tables import (
    MARK,
    Table,
    escaped,
    is_nothing,
    is_plain_word,
    read_number,
    unescaped,
)
from annotation_store.formats._io.text import decoded_western, read_file, shown
from annotation_store.records import Box, ExportReport, Field, Proposal
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from annotation_store.validation import clean_name

_OF_FIELD = ("field", "patient", "slide", "domain", "pixel_size_um", "field_width", "field_height")
_OF_CELL = ("cell", "x", "y", "w", "h", "class")
_FLAGS = ("kind", "cut", "bookmark", "second_opinion", "comment")
_OF_SUGGESTION = ("confidence", "novelty", "unknown", "unchecked", "sets")
_FIXED = frozenset((*_OF_FIELD, *_OF_CELL, *_FLAGS, *_OF_SUGGESTION))
_NUMBERS = frozenset({"x", "y", "w", "h", "novelty", "pixel_size_um", "field_width", "field_height"})
_SPELLINGS = {
    "image": "field",
    "file": "field",
    "file_name": "field",
    "filename": "field",
    "label": "class",
}
_KNOWN = frozenset({*_FIXED, *_SPELLINGS, *CONFIDENCES})
_ATTRIBUTE = "attribute "


# -- in ------------------------------------------------------------------------------------------


def read(request: ImportRequest) -> tuple[Document, Images]:
    """Read a table of cells; see `annotation_store.formats.read`."""
    document = parse(read_file(request.path), request.project.schema, str(request.path))
    return document, request.finder()


def parse(data: bytes, schema: Schema, source: str) -> Document:
    """Read a table of cells in the words of a schema.

    Raises
    ------
    FormatError
        It is not such a table: columns are missing, a row has too many cells, a box is no four numbers, …
    """
    document = Document(source, [], Skipped())
    text, western = decoded_western(data, source)
    if western:
        document.skipped.note(
            "encodings", f"The file {source} is not UTF-8 text: it was read as Windows-1252 (western Europe)."
        )
    table = Table.parse(text, source, _KNOWN)
    rows = table.rows()
    header = next((_header(row, schema, source) for _, row in rows if any(row)), None)
    if header is None:
        raise FormatError(f"The file {source} is empty: export it again.")
    comma = table.decimal_comma(
        place for place, name in enumerate(header) if name in _NUMBERS or _is_confidence(name, schema)
    )
    reader = _Reader(schema, document, header, comma=comma)
    for line, row in rows:
        if any(cell.strip() for cell in row):
            reader.take(row, f"line {line}")
    document.fields = list(reader.fields.values())
    return document


def _header(row: Sequence[str], schema: Schema, source: str) -> list[str]:
    names = [unescaped(cell).strip() for cell in row]
    names = [name.lower() if name.lower() in _FIXED else name for name in names]
    names = [
        name if schema.find_attribute(name) else _spelled(name, names) if name not in _FIXED else name
        for name in names
    ]
    missing = [name for name in ("field", "x", "y", "w", "h") if name not in names]
    if missing:
        raise FormatError(
            f"The file {source} is not a table of cells: the column{'s' * (len(missing) > 1)} "
            f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing."
        )
    named = [name for name in names if name]
    if len(set(named)) < len(named):
        raise FormatError(f"The file {source} contains the column {_twin(named)} twice.")
    return names


def _spelled(name: str, names: Sequence[str]) -> str:
    """Return the column that another spelling stands for, unless the table has that column itself."""
    column = _SPELLINGS.get(name.lower(), name)
    return name if column in names else column


def is_number(name: str) -> bool:
    """Return whether a column that `write` writes holds numbers."""
    return name in _NUMBERS or name == "confidence"


def _is_confidence(name: str, schema: Schema) -> bool:
    return name == "confidence" or (name.lower() in CONFIDENCES and schema.find_attribute(name) is None)


def _twin(names: Sequence[str]) -> str:
    return shown(next(name for name in names if names.count(name) > 1))


class _Reader:
    """Adds the rows of a table to a document, one after the other."""

    def __init__(self, schema: Schema, document: Document, header: Sequence[str], *, comma: bool) -> None:
        self.fields: dict[str, FieldIn] = {}
        self._schema, self._document, self._header, self._comma = schema, document, header, comma
        self._sure = [name for name in header if _is_confidence(name, schema)]
        self._attributes = [name for name in header if name and name not in {*_FIXED, *self._sure}]

    def take(self, row: Sequence[str], where: str) -> None:
        """Read a row; skip and report one that cannot be read."""
        self._document.annotations += 1
        values = dict(zip(self._header, row, strict=False))
        try:
            field = self._field(values, where)
        except FormatError as error:
            self._tell(error)
            return
        try:
            if any(cell.strip() for cell in row[len(self._header) :]):
                raise FormatError(f"In {where}, there are {len(row)} cells, but {len(self._header)} columns.")
            x, y, w, h = (self._number(values.get(key, ""), where) for key in "xywh")
            confidence = self._confidence(values, where)
        except FormatError as error:
            self._tell(error)
            if not self._sure:
                field.left_out(None)
            return
        self._cell(values, field, where, (min(x, x + w), min(y, y + h), abs(w), abs(h)), confidence)

    def _tell(self, error: FormatError) -> None:
        self._document.skipped.note("rows that cannot be read", f"{error} The row was left out.")

    def _number(self, text: str, where: str) -> float:
        return read_number(text, where, comma=self._comma)

    def _text(self, values: Mapping[str, str], name: str) -> str:
        text = values.get(name, "")
        return "" if is_nothing(text) else unescaped(text).strip()

    def _field(self, values: Mapping[str, str], where: str) -> FieldIn:
        name = safe_name(unescaped(values["field"]), f"{where} of {self._document.source}", foreign=True)
        if name not in self.fields:
            # a table of cells does not state which areas are annotated
            self.fields[name] = FieldIn(name, regions=[])
        field = self.fields[name]
        for key in ("patient", "slide", "domain"):
            if text := self._text(values, key):
                setattr(field, key, clean_name(text))
        for key, target in (
            ("pixel_size_um", "pixel_size_um"),
            ("field_width", "width"),
            ("field_height", "height"),
        ):
            if not (text := self._text(values, key)):
                continue
            try:
                number = self._number(text, where)
            except FormatError:
                self._document.skipped.count(
                    f"{key} {shown(text)} is not a valid number: left out ({{n}} rows)."
                )
            else:
                setattr(field, target, number if key == "pixel_size_um" else round(number))
        return field

    def _confidence(self, values: Mapping[str, str], where: str) -> float | None:
        """Return the confidence; ``None`` if the table has no such column."""
        if not self._sure:
            return None
        for name in self._sure:
            if text := self._text(values, name):
                return self._number(text, where)
        columns = f"the column{'s' * (len(self._sure) > 1)} {' and '.join(self._sure)}"
        self._document.skipped.count(
            f"{{n}} rows leave {columns} empty: they are suggestions of confidence 0."
        )
        return 0.0

    def _novelty(self, values: Mapping[str, str], where: str) -> float | None:
        text = self._text(values, "novelty")
        try:
            return novelty_of(self._number(text, where) if text else None, self._document.skipped)
        except FormatError:
            return novelty_of(text, self._document.skipped)

    def _sets(self, values: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        if not (text := self._text(values, "sets")):
            return {}
        parsed: Any = text
        with suppress(ValueError, RecursionError):
            parsed = json.loads(text)
        return sets_of(parsed, self._schema, self._document.skipped)

    def _cell(
        self, values: Mapping[str, str], field: FieldIn, where: str, box: Box, confidence: float | None
    ) -> None:
        schema, skipped = self._schema, self._document.skipped
        label = values.get("class", "").strip()
        if schema.find_class(label) is None:
            label = self._text(values, "class")
        cell_class, in_schema = read_class(label, schema, skipped) if label else (None, True)
        if not in_schema:
            if confidence is None:
                field.unknown_boxes.append((label, box))
            return
        stated = {}
        for name in self._attributes:
            attribute, word = name.removeprefix(_ATTRIBUTE), values.get(name, "").strip()
            if word and schema.find_value(attribute, word) is None:
                word = self._text(values, name)
            if word:
                stated[attribute] = word
        attributes = read_values(stated, schema, skipped)
        if confidence is not None:
            novelty = self._novelty(values, where)
            sure = certain(cell_class, attributes, schema)
            unchecked = self._text(values, "unchecked").casefold() == "yes"
            sets = self._sets(values)
            field.proposals.append((where, Proposal(box, confidence, *sure, novelty, unchecked, sets)))
            return
        words = {name: self._text(values, name) for name in _FLAGS}
        if not is_nothing(values.get("comment", "")):
            words["comment"] = unescaped(values.get("comment", ""))
        flags = read_flags(words, schema, cell_class, skipped)
        field.cells.append(CellIn(where, box, cell_class, attributes, flags))


# -- out -----------------------------------------------------------------------------------------


def write(request: ExportRequest) -> ExportReport:
    """Write a table of cells or suggestions; see `annotation_store.formats.write`."""
    contents = request.contents()
    names = request.names()
    write_file(request.out, MARK + table(contents, names))
    fields = [f for f in contents.fields if f.id in contents.cells or f.id in contents.suggestions]
    skipped = Skipped()
    for _ in range(len(contents.annotated()) - len(fields)):
        if request.what == "suggestions":
            skipped.count("Fields without a suggestion, which have no row in a table of suggestions: {n}.")
        else:
            skipped.count("Fields without a cell, which have no row in a table of cells: {n}.")
    counts = contents.count(fields)
    for _ in range(sum(map(len, contents.regions.values()))):
        skipped.count("A table of cells cannot store regions: {n} were left out.")
    lost = [*skipped.sentences(), *lost_by_suggestions(contents, "csv")]
    return ExportReport(request.out, **(counts | {"regions": 0}), skipped=lost)


def table(contents: Contents, names: Names) -> str:
    """Make the table as text."""
    columns, records = rows(contents, names)
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, [escaped(name) for name in columns], restval="")
    writer.writeheader()
    for _, _, row in records:
        writer.writerow(escape_row(row))
    return buffer.getvalue()


def escape_row(row: Mapping[str, str]) -> dict[str, str]:
    """Make a row safe for the programs that read tables; see `escaped`."""
    words = row.keys() - (_FIXED - {"class", "kind"})
    return {escaped(key): escaped(text, typed=key in words) for key, text in row.items()}


def rows(contents: Contents, names: Names) -> tuple[list[str], list[tuple[int, int, dict[str, str]]]]:
    """Return the columns, and for each cell or suggestion its field's id, its own, and its row."""
    schema = contents.schema
    columns = [*_OF_FIELD, *_OF_CELL, *(_column(n) for n in schema.attribute_names), *_FLAGS]
    columns += _OF_SUGGESTION if contents.suggestions else ()
    records: list[tuple[int, int, dict[str, str]]] = []
    for field in with_progress(contents.fields, contents.progress):
        start = _field_cells(field, names)
        for cell in contents.cells.get(field.id, ()):
            row = start | _box_cells(cell.id, cell.box)
            row["class"] = class_word(cell.cell_class, schema)
            row |= {_column(name): _value_word(name, v, schema) for name, v in cell.attributes.items()}
            row |= flag_words(cell, anonymous=names.anonymous)
            records.append((field.id, cell.id, row))
        for suggestion in contents.suggestions.get(field.id, ()):
            row = start | _box_cells(suggestion.id, suggestion.box)
            row["class"] = class_word(suggestion.stated_class, schema)
            row["confidence"] = repr(suggestion.probability)
            row["novelty"] = "" if suggestion.novelty is None else repr(suggestion.novelty)
            row["unknown"] = "yes" if suggestion.is_unknown else ""
            row["unchecked"] = "yes" if suggestion.proposal.unchecked else ""
            sets = {name: list(members) for name, members in suggestion.proposal.sets.items()}
            row["sets"] = json.dumps(sets, ensure_ascii=False) if sets else ""
            best = suggestion.proposal.best_attributes
            row |= {_column(name): _value_word(name, v, schema) for name, v in best.items()}
            records.append((field.id, suggestion.id, row))
    return columns, records


def _column(attribute: str) -> str:
    return f"{_ATTRIBUTE}{attribute}" if attribute.lower() in _KNOWN else attribute


def class_word(cell_class: str | None, schema: Schema) -> str:
    """Return the word for a class: its title where programs take its name for nothing, a number or a date."""
    if cell_class is None:
        return ""
    if is_plain_word(cell_class) or not (schema.is_class(cell_class) or schema.is_group(cell_class)):
        return cell_class
    title = schema.class_title(cell_class)
    return title if is_plain_word(title) and schema.find_class(title) == cell_class else cell_class


def _value_word(attribute: str, value: str, schema: Schema) -> str:
    if is_plain_word(value) or value == UNSURE:
        return value
    title = schema.value_title(attribute, value)
    readable = is_plain_word(title) and schema.find_value(attribute, title) == (attribute, value)
    return title if readable else value


def _field_cells(field: Field, names: Names) -> dict[str, str]:
    return {
        "field": names.file(field.name),
        "patient": names.person(field.patient) or "",
        "slide": names.person(field.slide) or "",
        "domain": names.domain(field.domain) or "",
        "pixel_size_um": "" if field.pixel_size_um is None else repr(field.pixel_size_um),
        "field_width": str(field.width),
        "field_height": str(field.height),
    }


def _box_cells(number_: int, box: Box) -> dict[str, str]:
    return {"cell": str(number_), **dict(zip("xywh", (repr(v) for v in box), strict=True))}
