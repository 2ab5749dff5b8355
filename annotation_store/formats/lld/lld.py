"""LLD and LeukemiaAttri as published: label text of 12 or 16 columns, and COCO JSON, in and out.

A ``.json`` file is their COCO JSON: the seven attributes flat on each annotation under the published
spellings (``nuclear_chromatio``), ``4`` where one is missing. Anything else is a folder: ``images/train``,
``labels/train`` (and ``test``) with text of 12 columns ``cls cx cy w h a1…a7``, or of 16
``cls cx cy w h x1 y1 x2 y2 a1…a7``, where the patch, in pixels of the 640-pixel letterboxed image, is the
annotated region; or, with ``layout=coco``, ``Annotations/train.json`` and ``Images/train``.

What it carries: boxes, the 14 classes, the seven attributes; patient and diagnosis in file names of the form
``patient_field_1000_DIAGNOSIS.png``, the domain in folder names such as ``H_100x_C1``. Text of 16 columns has
one patch for each image and one cell at least: a field with several regions is written once for each, a
polygon as a rectangle inside it, an empty region not at all. ``regions.json`` beside it holds the regions as
they are, ignore areas, names, patients and domains, and is read back here.

What it loses: *unsure* becomes missing; cells whose class is missing, unsure, a group, or not one of the 14;
cells outside a patch (all of these become ignore areas in ``regions.json`` and in the JSON, so that no
finished region calls them background); kinds, flags, comments; suggestions (use COCO). Where the chromatin
alone is missing, the nuclear shape is written as missing too: the published code fails on such a line (see
`codes`).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from annotation_store.errors import FormatError
from annotation_store.files.json_reader import read_json
from annotation_store.files.outputs import write_file
from annotation_store.formats._exchange.document import CellIn, Document, FieldIn, Skipped
from annotation_store.formats._exchange.export import (
    Contents,
    new_folder,
    put_image,
    refuse_full,
    refuse_nothing,
    with_progress,
)
from annotation_store.formats._exchange.image_places import Size, walk
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.pictures import with_pictures
from annotation_store.formats._exchange.requests import ExportRequest, ImportRequest
from annotation_store.formats._exchange.sidecar import read_sidecar, write_sidecar
from annotation_store.formats._io.file_names import Names
from annotation_store.formats._io.option import SEED, Option, share_for_test
from annotation_store.formats._io.text import read_file, shown
from annotation_store.formats.coco.coco import to_coco
from annotation_store.formats.coco.reader import from_coco
from annotation_store.formats.lld import lines
from annotation_store.formats.lld.codes import KEYS, MISSING, Codes, from_text, lld, origin, text_codes
from annotation_store.formats.yolo.names import SUFFIXES, DataSet, in_folder, of_yaml
from annotation_store.formats.yolo.yolo import Pair, field_frames, normalised, pairs
from annotation_store.records import Box, Cell, ExportReport, Field, IgnoreArea, Shape
from annotation_store.schema.reserved import UNSURE
from annotation_store.splits import split_fields
from annotation_store.validation import clean_name

if TYPE_CHECKING:
    from annotation_store.project import Project

_ORDER = Option(
    "patch_order",
    "",
    title="Order of the patch's four numbers",
    help="The order of the patch's four numbers, if the file leaves it open.",
    values={"": "As the file shows", "xyxy": "x0 y0 x1 y1", "xxyy": "x0 x1 y0 y1"},
)
READ_OPTIONS = (_ORDER,)
_LAYOUT = Option(
    "layout",
    "",
    title="Layout",
    help="How the data set is laid out.",
    values={
        "": "By the name: text in a folder, COCO in a .json file",
        "text": "Label text in a folder",
        "coco": "COCO JSON with its images",
    },
)
_COLUMNS = Option(
    "columns",
    "auto",
    title="Columns",
    help="How many columns the label text has.",
    values={
        "auto": "12 if nothing is unknown, else 16",
        "12": "12: as published",
        "16": "16: marks unknown area",
    },
)
_TEST = share_for_test(0.2)
WRITE_OPTIONS = (_LAYOUT, _COLUMNS, _TEST, SEED)


# -- in ------------------------------------------------------------------------------------------


def read(request: ImportRequest) -> tuple[Document, Images]:
    """Read LLD text or JSON; see `annotation_store.formats.read`."""
    path = request.path
    codes = Codes(request.project.schema)
    order = _ORDER.read(request.options) or None
    named = of_yaml(path) if path.suffix.lower() in SUFFIXES and path.is_file() else None
    path = path if named is None else named.root
    finder = request.finder(path)
    if path.is_file():
        document = from_json(read_json(path), codes, source=str(path))
    else:
        names = (named or in_folder(path) or DataSet(path, {})).names
        document = from_folder(path, codes, finder, patch_order=order, names=names)
    for field in document.fields:
        _describe(field, explicit=request.patient_from is not None)
    return document, finder


def _describe(field: FieldIn, *, explicit: bool) -> None:
    """Read patient, domain and diagnosis from names, unless the file states them."""
    source = origin(field.name if field.image is None else f"{field.image.parent.as_posix()}/{field.name}")
    field.domain = field.domain or source.domain
    if not explicit and source.patient:
        field.patient = field.patient or clean_name(source.patient)
    if source.diagnosis:
        field.note = f"Diagnosis: {clean_name(source.diagnosis)}"


def from_folder(
    root: Path,
    codes: Codes,
    images: Images,
    *,
    patch_order: str | None = None,
    names: Mapping[int, str] = MappingProxyType({}),
) -> Document:
    """Read a folder of label files, or one of ``Annotations/*.json``; a line that is not a label is left out.

    Parameters
    ----------
    names
        The classes by number, where the data set's YAML lists them.

    Raises
    ------
    FormatError
        There are neither, or the order of the patches is in doubt.
    """
    label_pairs = pairs(root, images)
    if not any(pair.label for pair in label_pairs):
        return _from_annotations(root, codes, images)
    skipped = Skipped()
    document = Document(str(root), [], skipped)
    rows: list[tuple[FieldIn, Size, Pair, list[tuple[int, lines.Row]]]] = []
    frames = field_frames(label_pairs, read_sidecar(root, codes.schema), images)
    finished = {id(frame) for frame in frames if frame.regions is not None}
    for pair, field in zip(label_pairs, frames, strict=True):
        document.fields.append(field)
        if pair.label is None:
            skipped.count("{n} images have no label file: nothing in them counts as annotated.")
            field.regions = field.regions or []
            continue
        size = images.size(field.image, field.name)
        if size is None:
            continue  # the merge reports that the image was not found
        field.width, field.height = size
        rows.append((field, size, pair, _read_lines(pair.label, root, field, size, document)))
    open_ones = (
        (row, size)
        for field, size, _, label_rows in rows
        if id(field) not in finished
        for _, row in label_rows
    )
    order = patch_order or lines.patch_order(open_ones, str(root))
    for field, size, pair, label_rows in rows:
        for line, row in label_rows:
            number = codes.published(row.class_id, names)
            where = f"{pair.key.rsplit('/', 1)[-1]} line {line}"
            _take(row._replace(class_id=number), where, field, size, codes, skipped)
        patches = dict.fromkeys(row.patch for _, row in label_rows if row.patch is not None)
        if patches and id(field) not in finished:
            shapes = [lines.region(patch, order, size) for patch in patches]
            field.regions = [shape for shape in shapes if shape is not None]
    return document


def _read_lines(
    label: Path, root: Path, field: FieldIn, size: Size, document: Document
) -> list[tuple[int, lines.Row]]:
    """Read the lines of a label file by their numbers; what is not a label is skipped and reported."""
    rows: list[lines.Row | lines.Unreadable]
    try:
        rows = lines.parse(read_file(label), str(label.relative_to(root)))
    except FormatError as error:
        rows = [lines.Unreadable(str(error))]
    document.annotations += len(rows)
    readable = []
    for line, row in enumerate(rows, start=1):
        if isinstance(row, lines.Row):
            readable.append((line, row))
        else:
            document.skipped.note("lines that are not labels", f"{row.reason} It was left out.")
            field.left_out(None if row.box is None else lines.pixel_box(row.box, size))
    return readable


def _from_annotations(root: Path, codes: Codes, images: Images) -> Document:
    files = [p for p in walk(root) if p.suffix.lower() == ".json" and p.parent.name.lower() == "annotations"]
    if not files:
        raise FormatError(
            f"The folder {root} holds no LLD labels: it needs labels/ with .txt files, "
            "or Annotations/ with .json files."
        )
    whole = Document(str(root), [], Skipped())
    for path in files:
        try:
            document = from_json(read_json(path), codes, source=str(path), skipped=whole.skipped)
        except FormatError as error:
            whole.skipped.note("files that cannot be read", f"{error} The file was left out.")
            continue
        for field in document.fields:
            split = images.file(f"Images/{path.stem}/{field.name}")
            field.image = split or images.file(field.name)
        whole.fields += document.fields
        whole.annotations += document.annotations
    whole.refuse_empty()
    return whole


def _take(row: lines.Row, where: str, field: FieldIn, size: Size, codes: Codes, skipped: Skipped) -> None:
    if row.class_id not in codes.classes:
        skipped.count(f"class number {row.class_id} is not in the schema {codes.schema.name}: {{n}} skipped.")
        field.unknown_boxes.append((str(row.class_id), lines.pixel_box(row.box, size)))
        return
    artefact = lld().classes[row.class_id].artefact
    values = codes.values(from_text(row.codes, artefact=artefact))
    box = lines.pixel_box(row.box, size)
    field.cells.append(CellIn(where, box, codes.classes[row.class_id], dict(values)))


def from_json(data: Any, codes: Codes, *, source: str, skipped: Skipped | None = None) -> Document:
    """Read their COCO JSON: the flat attributes become values, the rest is COCO.

    Raises
    ------
    FormatError
        It is not COCO.
    """
    annotations = data.get("annotations") if isinstance(data, dict) else None
    if isinstance(annotations, list):
        skipped = skipped or Skipped()
        data = {
            **data,
            "annotations": [
                _nest_attributes(a, codes, f"annotation {n} of {source}", skipped)
                if isinstance(a, dict)
                else a
                for n, a in enumerate(annotations, start=1)
            ],
        }
    document = from_coco(data, codes.schema, source=source)
    if skipped:
        skipped.absorb(document.skipped)
        document.skipped = skipped
    return document


def _nest_attributes(
    annotation: Mapping[str, Any], codes: Codes, at: str, skipped: Skipped
) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in annotation.items():
        name = lld().find_attribute(key)
        if name is None or isinstance(value, dict | list):
            rest[key] = value
        else:
            flat[name] = value
    attributes = annotation.get("attributes")
    if not flat or (attributes is not None and not isinstance(attributes, dict)):
        return rest
    values: dict[str, Any] = {}
    for coded, attribute in zip(codes.attributes, lld().attributes, strict=True):
        value = flat.get(attribute.name)
        if coded is None or value is None or isinstance(value, bool):
            continue
        try:
            number = _code(value, at)
        except FormatError as error:
            skipped.note("codes that cannot be read", f"{error} It was left out.")
            continue
        if number is None:
            values[coded[0]] = value  # a word, for the schema to know or not
        elif number in coded[1]:
            values[coded[0]] = coded[1][number]
        elif number != MISSING:
            skipped.count(f"value {number} of {attribute.name} is not among LLD's: left out ({{n}} cells).")
    return {**rest, "attributes": {**values, **(attributes or {})}}


def _code(value: object, at: str) -> int | None:
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
        if number == int(number):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise FormatError(f"In {at}, an attribute is coded by {shown(value)}, which is not a whole number.")


# -- out -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Export:
    """State shared by the parts of an export.

    Attributes
    ----------
    parts, files
        Part (train, test) and file name of each field's image, by the field's id.
    lost
        Cells that cannot be stored, by field: they become ignore areas, because a finished region
        promises that every white cell in it is boxed.
    """

    contents: Contents
    fields: Sequence[Field]
    codes: Codes
    names: Names
    skipped: Skipped = dataclasses.field(default_factory=Skipped)
    parts: Mapping[int, str] = dataclasses.field(default_factory=dict)
    files: Mapping[int, str] = dataclasses.field(default_factory=dict)
    lost: dict[int, list[Cell]] = dataclasses.field(default_factory=dict)

    def with_lost_ignored(self) -> Contents:
        """Return the contents with an ignore area over each lost cell."""
        areas = {field_id: list(of_field) for field_id, of_field in self.contents.ignore_areas.items()}
        for field_id, cells in self.lost.items():
            areas.setdefault(field_id, []).extend(
                IgnoreArea(0, field_id, cell.reading_id, Shape(cell.box)) for cell in cells
            )
        return dataclasses.replace(self.contents, ignore_areas=areas)


def write(request: ExportRequest) -> ExportReport:
    """Write a JSON file (``.json``) or a folder; see `annotation_store.formats.write`."""
    if request.what == "suggestions":
        raise FormatError("LLD files cannot store suggestions: export them as coco.")
    skipped = Skipped()
    contents = with_pictures(request.contents(), request.project, skipped)
    fields = contents.annotated()
    names = request.names()
    export = Export(contents, fields, Codes(request.project.schema), names, skipped)
    for _ in range(len(contents.fields) - len(fields)):
        export.skipped.count("{n} fields have no region and no cell: left out.")
    layout, columns = _LAYOUT.read(request.options), _COLUMNS.read(request.options)
    test, seed = _TEST.read(request.options), SEED.read(request.options)
    if request.out.suffix.lower() == ".json":
        document, cells = to_json(export, fields)
        write_file(request.out, json.dumps(document, ensure_ascii=False, allow_nan=False))
        counts = contents.count(fields) | {"cells": cells}
    else:
        refuse_full(request.out)
        refuse_nothing(fields, export.skipped)
        parts = split_fields(fields, {"train": 1 - test, "test": test}, seed=seed)
        if test and fields and "test" not in parts.values():
            export.skipped.count("There are too few patients for test: it is empty.")
        files = request.image_names(fields)
        export = dataclasses.replace(export, parts=parts, files=files)
        with new_folder(request.out) as folder:
            if layout == "coco":
                counts = _write_coco(request.project, folder, export)
            else:
                counts = _write_text(request.project, folder, export, columns)
    return ExportReport(request.out, **counts, skipped=export.skipped.sentences())


def to_json(export: Export, fields: Sequence[Field]) -> tuple[dict[str, Any], int]:
    """Create the COCO JSON of some fields; also return the number of its cells."""
    sayable = {field.id: _storable_cells(export.contents.cells.get(field.id, ()), export) for field in fields}
    contents = export.with_lost_ignored()
    document = to_coco(
        contents.schema,
        fields,
        regions=[r for f in fields for r in contents.regions.get(f.id, ())],
        ignore_areas=[a for f in fields for a in contents.ignore_areas.get(f.id, ())],
        numbers=contents.numbers,
        names=export.names,
    )
    for image, field in zip(document["images"], fields, strict=True):
        image["file_name"] = export.files.get(field.id, image["file_name"])
    document["categories"] = [{"id": c.id, "name": c.name} for c in lld().classes]
    annotations = document["annotations"]
    for field in with_progress(fields, export.contents.progress):
        for cell, number in sayable[field.id]:
            annotations.append(
                {
                    "id": cell.id,
                    "image_id": contents.number(field),
                    "category_id": number,
                    "bbox": list(cell.box),
                    "area": round(cell.box[2] * cell.box[3], 2),
                    "iscrowd": 0,
                    "segmentation": [],
                    **dict(zip(KEYS, export.codes.numbers(cell.attributes), strict=True)),
                }
            )
    return document, len(annotations)


def _storable_cells(cells: Iterable[Cell], export: Export) -> list[tuple[Cell, int]]:
    """Return the cells that have one of the 14 classes, with its number; report what else is lost."""
    storable = []
    skipped = export.skipped
    for cell in cells:
        number = export.codes.class_number(cell.cell_class)
        if number is None:
            kind = "whose class is missing" if cell.cell_class is None else f"of class {cell.cell_class}"
            skipped.count(f"{{n}} cells {kind}: LLD files cannot store this, left out.")
            export.lost.setdefault(cell.field_id, []).append(cell)
            continue
        for lost in export.codes.losses(cell.attributes):
            word = (
                "unsure values became missing"
                if lost == UNSURE
                else "attributes that LLD lacks were left out"
            )
            skipped.count(f"{word} ({{n}} cells).")
        if cell.comment or cell.kind or cell.bookmark or cell.second_opinion:
            skipped.count("LLD cannot store kinds, flags and comments: those of {n} cells were left out.")
        storable.append((cell, number))
    return storable


def _write_coco(project: Project, folder: Path, export: Export) -> dict[str, int]:
    total = 0
    (folder / "Annotations").mkdir()
    for part in ("train", "test"):
        of_part = [field for field in export.fields if export.parts[field.id] == part]
        document, cells = to_json(export, of_part)
        total += cells
        text = json.dumps(document, ensure_ascii=False, allow_nan=False)
        (folder / "Annotations" / f"{part}.json").write_text(text, "utf-8", newline="\n")
        place = folder / "Images" / part
        place.mkdir(parents=True)
        for field in of_part:
            target = place / export.files[field.id]
            put_image(project, field, target, anonymise=export.names.anonymous)
    return export.contents.count(export.fields) | {"cells": total}


def _write_text(project: Project, folder: Path, export: Export, columns: str) -> dict[str, int]:
    contents, skipped = export.contents, export.skipped
    if columns == "auto":
        columns = "12" if all(contents.covered(field) for field in export.fields) else "16"
    for part in ("train", "test"):
        (folder / "images" / part).mkdir(parents=True)
        (folder / "labels" / part).mkdir(parents=True)
    places: dict[int, list[str]] = {}
    cells = 0
    for field in with_progress(export.fields, export.contents.progress):
        if columns == "12" and not contents.covered(field):
            skipped.count(
                "Warning: {n} fields have unknown area, which text of 12 columns calls background: "
                "--option columns=16 also writes which areas are annotated."
            )
        storable = _storable_cells(contents.cells.get(field.id, ()), export)
        stored: set[int] = set()
        sheets = (
            _patches(contents.shapes(field), storable, skipped) if columns == "16" else [(None, storable)]
        )
        for index, (patch, inside) in enumerate(sheets):
            file = Path(export.files[field.id])
            name = f"{file.stem}_r{index + 1}{file.suffix}" if len(sheets) > 1 else file.name
            place = f"images/{export.parts[field.id]}/{name}"
            put_image(project, field, folder / place, anonymise=export.names.anonymous)
            text = "".join(f"{_line(cell, n, field, patch, export)}\n" for cell, n in inside)
            label = (folder / "labels" / export.parts[field.id] / name).with_suffix(".txt")
            label.write_text(text, "utf-8", newline="\n")
            places.setdefault(field.id, []).append(place)
            stored |= {cell.id for cell, _ in inside}
        cells += len(stored)
        for cell, _ in storable:
            if cell.id not in stored:
                skipped.count("{n} cells lie outside every patch: left out.")
                export.lost.setdefault(field.id, []).append(cell)
    exported = [field for field in export.fields if field.id in places]
    refuse_nothing(exported, skipped)
    write_sidecar(folder, export.with_lost_ignored(), exported, places, export.names)
    listed = ", ".join(json.dumps(name) for name in lld().class_names)
    yaml = f"train: images/train\nval: images/test\ntest: images/test\n\nnc: 14\n\nnames: [{listed}]\n"
    (folder / "WBC_v1.yaml").write_text(yaml, "utf-8", newline="\n")
    return contents.count(exported) | {"cells": cells}


Sheet = tuple[Box | None, list[tuple[Cell, int]]]


def _patches(shapes: Sequence[Shape], cells: Sequence[tuple[Cell, int]], skipped: Skipped) -> list[Sheet]:
    """Return each patch that holds a cell, with its cells."""
    if not shapes:
        skipped.count("{n} fields have no finished region, so no patch: left out.")
    sheets: list[Sheet] = []
    for shape in shapes:
        if not shape.is_rectangle:
            skipped.count("{n} polygons were written as a rectangle inside them.")
        patch = lines.inner_rectangle(shape)
        inside = [pair for pair in cells if patch and Shape(patch).contains_centre(pair[0].box)]
        if inside:
            sheets.append((patch, inside))
        else:
            skipped.count(
                "{n} regions contain no cell that LLD can store: text of 16 columns has no line for them."
            )
    return sheets


def _line(cell: Cell, number: int, field: Field, patch: Box | None, export: Export) -> str:
    size = (field.width, field.height)
    attributes, dropped = text_codes(export.codes.numbers(cell.attributes))
    if dropped:
        export.skipped.count(
            "{n} cells lack the chromatin alone: their nuclear shape was written as missing too, "
            "because the published code fails otherwise."
        )
    words = [str(number), *normalised(cell.box, size)]
    words += lines.patch_words(patch, size) if patch is not None else []
    return " ".join([*words, *(str(code) for code in attributes)])
