"""Read and write annotations without a project, in their own words: for viewers that only show them.

An import brings a file into the words of a project's schema and leaves out what that lacks. A viewer shows
what the file says: each class and value as the file spells it, the boxes of every class.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from annotation_store.errors import FormatError, SchemaError
from annotation_store.files.json_reader import read_json
from annotation_store.files.outputs import check_output, write_file
from annotation_store.formats._exchange import export
from annotation_store.formats._exchange.document import CellIn, Document, FieldIn, Skipped
from annotation_store.formats._exchange.image_places import image_size, walk
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.matching import matching_images
from annotation_store.formats._exchange.pairing import Pairing
from annotation_store.formats._io.file_names import Names
from annotation_store.formats._io.labels import UNCLASSIFIED
from annotation_store.formats.coco.coco import to_coco
from annotation_store.formats.coco.reader import from_coco
from annotation_store.formats.geojson import IGNORE, REGION, features_of, label_and_words, parse, to_geojson
from annotation_store.formats.yolo import yolo
from annotation_store.formats.yolo.names import data_set_of
from annotation_store.images import read_image
from annotation_store.records import (
    Box,
    Cell,
    Field,
    IgnoreArea,
    Proposal,
    Region,
    RegionState,
    Shape,
    Suggestion,
    SuggestionState,
)
from annotation_store.schema import Schema, load_schema
from annotation_store.schema.from_coco import schema_from_coco
from annotation_store.schema.reserved import RESERVED

Kind = Literal["coco", "geojson", "yolo"]

MOST_BYTES = 100_000_000
"""Of a JSON file: Python takes ten times as much memory, and a viewer stands still while it reads."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A cell as a file states it.

    Attributes
    ----------
    cell_class
        Empty if missing.
    certainty
        0 to 1, of what a machine found; ``None`` for what a person drew.
    cell_id
        The cell of a project that it is; 0 = none.
    """

    box: Box
    cell_class: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    certainty: float | None = None
    kind: str = ""
    comment: str = ""
    cell_id: int = 0


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image and what is marked on it.

    Attributes
    ----------
    image
        Its file; ``None`` if it was not found.
    size
        Width and height; ``None`` if unknown.
    """

    name: str
    image: Path | None
    size: tuple[int, int] | None
    cells: tuple[Marked, ...] = ()
    regions: tuple[Shape, ...] = ()
    ignore_areas: tuple[Shape, ...] = ()


@dataclass(frozen=True, slots=True)
class Contents:
    """What a file or folder holds, in its own words; `notes` holds a sentence for each thing left out."""

    pictures: tuple[AnnotatedImage, ...]
    schema: Schema
    notes: tuple[str, ...] = ()


def read_standalone(kind: Kind, path: Path) -> Contents:
    """Read a COCO file, a GeoJSON file or folder, or a YOLO folder, and find its images.

    A GeoJSON file may lack its image: QuPath's belong to one that is open already.

    Raises
    ------
    FormatError
        It cannot be read, it holds nothing, or none of its images was found.
    """
    readers = {"coco": _coco, "geojson": _geojson, "yolo": _yolo}
    document, schema, images = readers[kind](path)
    if not document.fields:
        raise FormatError(f"{path.name} names no images, so there is nothing to show: export it again.")
    alone = kind == "geojson" and len(document.fields) == 1
    pictures, missing = _pictures(document, images, path, alone=alone)
    return Contents(pictures, schema, _notes(missing, document, images))


def write_standalone(
    kind: Literal["coco", "geojson"], path: Path, pictures: Sequence[AnnotatedImage]
) -> None:
    """Write pictures' annotations to a new file or over one, in one step; read back they are the same.

    What a machine found (a certainty, and no cell of a project) is written as a suggestion.

    Raises
    ------
    FormatError
        There is nothing to write, or GeoJSON is request to hold several images.
    OutputError
        It cannot be written there.
    """
    if not any(picture.cells or picture.regions for picture in pictures):
        raise FormatError("There are no boxes, points or regions in the layers: nothing was written.")
    if kind == "geojson" and len(pictures) != 1:
        raise FormatError(
            f"A GeoJSON file is of one image, and the layers hold boxes on {len(pictures)}: "
            "save them as COCO (.json)."
        )
    check_output(path, overwrite=True)
    schema = _schema_of(pictures, path)
    fields, cells, suggestions, regions, ignored = _records(pictures)
    if kind == "coco":
        document = to_coco(
            schema, fields, regions=regions, ignore_areas=ignored, cells=cells, suggestions=suggestions
        )
    else:
        number = fields[0].id
        contents = export.Contents(
            schema, fields, {number: regions}, {number: ignored}, {number: cells}, {number: suggestions}
        )
        document = to_geojson(contents, fields[0], Names())
    write_file(path, json.dumps(document, ensure_ascii=False, allow_nan=False))


def _schema_of(pictures: Sequence[AnnotatedImage], path: Path) -> Schema:
    marks = [cell for picture in pictures for cell in picture.cells]
    words = dict.fromkeys(
        c.cell_class for c in marks if c.cell_class and c.cell_class.lower() not in RESERVED
    )
    categories = [{"id": number, "name": name} for number, name in enumerate(words)]
    annotations = [{"attributes": dict(cell.attributes)} for cell in marks]
    try:
        return schema_from_coco({"categories": categories, "annotations": annotations}, source=str(path))
    except SchemaError as error:
        if categories:
            raise FormatError(str(error)) from error
        return load_schema("lld")


def _records(
    pictures: Sequence[AnnotatedImage],
) -> tuple[list[Field], list[Cell], list[Suggestion], list[Region], list[IgnoreArea]]:
    fields: list[Field] = []
    cells: list[Cell] = []
    suggestions: list[Suggestion] = []
    regions: list[Region] = []
    ignored: list[IgnoreArea] = []
    for place, picture in enumerate(pictures, start=1):
        width, height = picture.size or _extent(picture)
        fields.append(Field(place, picture.name, width, height, "", ""))
        for mark in picture.cells:
            number = len(cells) + len(suggestions) + 1
            if mark.certainty is None or mark.cell_id:
                cell = Cell(number, place, 0, mark.box, mark.cell_class or None, mark.attributes)
                cells.append(replace(cell, comment=mark.comment))
                continue
            classes = {mark.cell_class: 1.0} if mark.cell_class else {}
            values = {name: {value: 1.0} for name, value in mark.attributes.items()}
            proposal = Proposal(mark.box, mark.certainty, classes, values)
            suggestions.append(Suggestion(number, place, None, proposal, SuggestionState.PENDING))
        for shape in picture.regions:
            regions.append(Region(len(regions) + 1, place, 0, shape, RegionState.FINISHED))
        for shape in picture.ignore_areas:
            ignored.append(IgnoreArea(len(ignored) + 1, place, 0, shape))
    return fields, cells, suggestions, regions, ignored


def _extent(picture: AnnotatedImage) -> tuple[int, int]:
    """Return the size that holds everything marked, where the image is not known."""
    boxes = [*(c.box for c in picture.cells), *(s.bounds for s in (*picture.regions, *picture.ignore_areas))]
    right, bottom = (max((math.ceil(box[i] + box[i + 2]) for box in boxes), default=1) for i in (0, 1))
    return max(1, right), max(1, bottom)


def _coco(path: Path) -> tuple[Document, Schema, Images]:
    data = _json(path)
    schema = _schema(data, path)
    return from_coco(data, schema, source=path.name), schema, Images.for_file(path, None)


def _yolo(path: Path) -> tuple[Document, Schema, Images]:
    data_set = data_set_of(path)
    categories = [{"id": number, "name": name} for number, name in data_set.names.items()]
    schema = _schema({"categories": categories}, path)
    images = Images.for_file(data_set.root, None)
    return yolo.from_folder(data_set, schema, images), schema, images


def _geojson(path: Path) -> tuple[Document, Schema, Images]:
    files = [path] if path.is_file() else [p for p in walk(path) if p.suffix.lower() == ".geojson"]
    contents = [(file, _json(file)) for file in files]
    schema = _schema(_as_coco([data for _, data in contents]), path)
    images = Images.for_file(path, None)
    pairing = Pairing.for_files(images, path, files)
    document = Document(path.name, [], Skipped())
    for file, data in contents:
        parse(data, file, schema, document, pairing)
    return document, schema, images


def _json(path: Path) -> Any:
    if path.is_file() and path.stat().st_size > MOST_BYTES:
        raise FormatError(
            f"The file {path.name} is larger than {MOST_BYTES // 1_000_000} MB, too large for layers: "
            "make a project of it with napari-lld new and napari-lld import."
        )
    return read_json(path, nan_as_null=True)


def _schema(document: Any, path: Path) -> Schema:
    try:
        return schema_from_coco(document, source=str(path))
    except SchemaError:
        return load_schema("lld")  # what it lacks is shown all the same, by its label


def _as_coco(contents: Iterable[Any]) -> dict[str, Any]:
    """Gather classes and values of GeoJSON as a COCO file states them."""
    names: dict[str, None] = {}
    annotations = []
    for data in contents:
        for feature in features_of(data):
            label, words = label_and_words(feature)
            plain = (label or "").strip().lower()
            if plain and label not in (REGION, IGNORE) and plain not in RESERVED | {UNCLASSIFIED}:
                names.setdefault(str(label))
            annotations.append({"attributes": words})
    categories = [{"id": number, "name": name} for number, name in enumerate(names)]
    return {"categories": categories, "annotations": annotations}


def _pictures(
    document: Document, images: Images, path: Path, *, alone: bool
) -> tuple[tuple[AnnotatedImage, ...], int]:
    """Return the pictures, and how many images were not found."""
    try:
        matches, missing = matching_images(document, images)
    except FormatError as error:
        if not alone:
            count = len(document.fields)
            named = "The image it names was" if count == 1 else f"The {count} images it names were"
            raise FormatError(
                f"{path.name} holds annotations, but no images. {named} not found in {images.where()}: put "
                "the images beside it, or into a folder named images there, and open it again."
            ) from error
        matches, missing = {}, {}
    pictures = []
    for index, field_in in enumerate(document.fields):
        match = matches.get(index)
        image = None if match is None else match.path
        if image is None and not alone:
            continue
        pictures.append(_picture(field_in, image))
    return tuple(pictures), len(missing)


def _picture(field: FieldIn, image: Path | None) -> AnnotatedImage:
    size = image_size(image) if image is not None else None
    if size is None and image is not None:
        height, width = read_image(image).shape[:2]  # a format that tells its size only when it is read
        size = (width, height)
    if size is None and field.width and field.height:
        size = (field.width, field.height)
    return AnnotatedImage(
        field.name,
        image,
        size,
        (
            *(_cell(cell) for cell in field.cells),
            *(Marked(box, label) for label, box in field.unknown_boxes),
            *(_proposed(proposal) for _, proposal in field.proposals),
        ),
        tuple(Shape(tuple(map(float, coords))) for coords in field.regions or ()),
        tuple(Shape(tuple(map(float, coords))) for coords in field.ignore_areas),
    )


def _cell(cell: CellIn) -> Marked:
    values = {name: value for name, value in cell.attributes.items() if value is not None}
    kind, comment = (str(cell.flags.get(name) or "") for name in ("kind", "comment"))
    return Marked(cell.box, cell.cell_class or "", values, None, kind, comment)


def _proposed(proposal: Proposal) -> Marked:
    """Show a suggestion as accepting would write it, with how probable that is."""
    return Marked(proposal.box, proposal.stated_class or "", proposal.best_attributes, proposal.probability)


def _notes(missing: int, document: Document, images: Images) -> tuple[str, ...]:
    if not missing:
        return ()
    noun = "image was" if missing == 1 else "images were"
    return (
        f"{missing} {noun} not found in {images.where()}: put them there, and open {document.source} again.",
    )
