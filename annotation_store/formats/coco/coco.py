"""COCO JSON in and out, with regions, attributes and suggestions.

What it carries beyond COCO: ``images[].annotated_regions`` and ``ignore_areas`` (``[x, y, w, h]`` or
``[x1, y1, x2, y2, …]``), ``patient``, ``slide``, ``domain``, ``pixel_size_um``; ``annotations[].attributes``
(name to value or null), ``unsure`` (attribute names, or ``class``), ``class_group``, ``kind``, ``cut``,
``comment``, ``bookmark``, ``second_opinion``, and for suggestions ``score``, ``class_probabilities``,
``attribute_probabilities``, ``novelty`` and ``unknown``, ``unchecked`` and ``sets``; the schema under
``napari_lld``. What it loses:
draft regions, history, readings other than the current one, suggestions already judged, outlines
(``segmentation``, of which the box around them is taken where an annotation has no box).

`from_coco` and `to_coco` are pure; `read` and `write` add files and a project.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from annotation_store.files.json_reader import read_json
from annotation_store.files.outputs import write_file
from annotation_store.formats._exchange.document import Document
from annotation_store.formats._exchange.export import ExportOrder, Progress, with_progress
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.requests import ExportRequest, ImportRequest
from annotation_store.formats._io.file_names import Names
from annotation_store.formats._io.labels import label_of, spare_labels
from annotation_store.formats.coco.reader import FLAGS, KNOWN, from_coco
from annotation_store.records import (
    Box,
    Cell,
    ExportReport,
    Field,
    IgnoreArea,
    Proposal,
    Region,
    Suggestion,
)
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE

if TYPE_CHECKING:
    from annotation_store.project import Project

_BATCH = 4_000


# -- in ------------------------------------------------------------------------------------------


def read(request: ImportRequest) -> tuple[Document, Images]:
    """Read a COCO file; see `annotation_store.formats.read`."""
    document = from_coco(
        read_json(request.path, nan_as_null=True), request.project.schema, source=str(request.path)
    )
    return document, request.finder()


# -- out -----------------------------------------------------------------------------------------


def write(request: ExportRequest) -> ExportReport:
    """Write the current reading, or the pending suggestions; see `annotation_store.formats.write`."""
    names = request.names()
    counts: Counter[str] = Counter()
    with request.project.snapshot():  # what is written was so at one moment, whoever edits meanwhile
        order = ExportOrder.of_project(request.project)
        fields = order.fields(request.project.fields.all())
        regions = order.marks("region", [r for r in request.project.regions.all() if r.finished])
        suggestions = request.project.suggestions.find() if request.what == "suggestions" else []
        document = to_coco(
            request.project.schema,
            fields,
            regions=regions,
            ignore_areas=order.marks("ignore_area", request.project.ignore_areas.all()),
            suggestions=order.marks("suggestion", suggestions),
            numbers=order.numbers["field"] if order.numbers else {},
            names=names,
            classes=request.project.cells.classes() if request.what == "cells" else (),
            progress=request.progress,
        )
        # cells are read and written a few thousand at a time: all at once they are half a gigabyte
        cells = _cells_out(request.project, names, counts, order) if request.what == "cells" else ()
        write_file(request.out, _streamed(document, cells))
    return ExportReport(request.out, len(fields), counts["cells"], len(regions), len(suggestions))


def _streamed(document: dict[str, Any], more: Iterable[list[dict[str, Any]]]) -> Iterator[str]:
    """Write a COCO object, followed by further annotations."""
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
    text = encode(document)
    empty = not document["annotations"]
    assert text.endswith("]}"), "the annotations come last"
    yield text[:-2]
    for batch in more:
        spelled = ", ".join(map(encode, batch))
        yield spelled if empty else f", {spelled}"
        empty = False
    yield "]}"


def _cells_out(
    project: Project, names: Names, counts: Counter[str], order: ExportOrder
) -> Iterator[list[dict[str, Any]]]:
    for batch in project.cells.batches(_BATCH, order=order.ids("cell")):
        counts["cells"] += len(batch)
        extras = [None if names.anonymous else extra for _, extra in batch]
        marks = order.marks("cell", [cell for cell, _ in batch])
        yield [
            _cell_out(cell, project.schema, extra, anonymous=names.anonymous) | _of_field(cell, order)
            for cell, extra in zip(marks, extras, strict=True)
        ]


def _of_field(cell: Cell, order: ExportOrder) -> dict[str, int]:
    return {} if order.numbers is None else {"image_id": order.numbers["field"][cell.field_id]}


def to_coco(
    schema: Schema,
    fields: Iterable[Field],
    *,
    regions: Iterable[Region] = (),
    ignore_areas: Iterable[IgnoreArea] = (),
    cells: Iterable[Cell] = (),
    suggestions: Iterable[Suggestion] = (),
    extras: Mapping[int, Mapping[str, Any]] | None = None,
    classes: Iterable[str | None] = (),
    numbers: Mapping[int, int] = MappingProxyType({}),
    names: Names = Names(),  # noqa: B008 - an immutable constant
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make a COCO object of records; regions must be finished ones.

    Parameters
    ----------
    classes
        Those of cells that are written beside: what has no class of the schema needs a separate category.
    numbers
        Field to its number in the file, where that is not its id.
    """
    regions_of = _by_field((r.field_id, r.shape.coords) for r in regions)
    ignored_of = _by_field((a.field_id, a.shape.coords) for a in ignore_areas)
    images = []
    for field in with_progress(fields, progress):
        image: dict[str, Any] = {
            "id": numbers.get(field.id, field.id),
            "file_name": names.file(field.name),
            "width": field.width,
            "height": field.height,
            "annotated_regions": regions_of.get(field.id, []),
        }
        if field.id in ignored_of:
            image["ignore_areas"] = ignored_of[field.id]
        described = {
            "patient": names.person(field.patient),
            "slide": names.person(field.slide),
            "domain": names.domain(field.domain),
            "pixel_size_um": field.pixel_size_um,
        }
        images.append(image | {key: value for key, value in described.items() if value is not None})
    cells, suggestions = list(cells), list(suggestions)
    annotations = [
        _cell_out(cell, schema, (extras or {}).get(cell.id), anonymous=names.anonymous) for cell in cells
    ]
    for annotation in annotations:
        annotation["image_id"] = numbers.get(annotation["image_id"], annotation["image_id"])
    annotations += [
        suggestion_out(s.id, numbers.get(s.field_id, s.field_id), s.proposal, schema) for s in suggestions
    ]
    used = {*classes, *(c.cell_class for c in cells), *(s.stated_class for s in suggestions)}
    return {
        "info": {"description": "Blood film fields, annotated with napari-lld", "version": "1.0"},
        "napari_lld": {"schema": json.loads(schema.model_dump_json())},
        "categories": categories_out(schema, used),
        "images": images,
        "annotations": annotations,
    }


def categories_out(schema: Schema, classes: Iterable[str | None]) -> list[dict[str, Any]]:
    """List the schema's classes, and after them a category for each label that is not a class and is needed.

    In COCO every annotation has a category: without one, other programs do not read the file.
    """
    categories = [{"id": c.id, "name": c.name} for c in schema.classes]
    spare = spare_labels(schema, set(classes) - set(schema.class_names))
    return categories + [
        {"id": category_of(None if label == label_of(None, schema) else label, schema), "name": label}
        for label in spare
    ]


def category_of(cell_class: str | None, schema: Schema) -> int:
    """Return the category's number of a class, a group, unsure, or a missing class."""
    if cell_class is not None and schema.is_class(cell_class):
        return schema.class_named(cell_class).id
    spare = [*(group.name for group in schema.groups), UNSURE]
    place = spare.index(cell_class) if cell_class in spare else len(spare)
    return max((c.id for c in schema.classes), default=0) + 1 + place


def _by_field(pairs: Iterable[tuple[int, tuple[float, ...]]]) -> dict[int, list[list[float]]]:
    by_field: dict[int, list[list[float]]] = {}
    for field_id, coords in pairs:
        by_field.setdefault(field_id, []).append(list(coords))
    return by_field


def _base(annotation_id: int, field_id: int, box: Box) -> dict[str, Any]:
    return {
        "id": annotation_id,
        "image_id": field_id,
        "bbox": list(box),
        "area": round(box[2] * box[3], 2),
        "iscrowd": 0,
    }


def _cell_out(
    cell: Cell, schema: Schema, extra: Mapping[str, Any] | None, *, anonymous: bool
) -> dict[str, Any]:
    annotation = _base(cell.id, cell.field_id, cell.box)
    # what an import brought along may name anybody
    imported = {} if anonymous else dict((extra or {}).get("coco", {}))
    if (extra or {}).get("bbox") != list(cell.box):
        imported.pop("area", None)  # it was measured on another box
    annotation |= {name: value for name, value in imported.items() if name not in KNOWN}
    annotation["category_id"] = category_of(cell.cell_class, schema)
    if cell.cell_class is not None and schema.is_group(cell.cell_class):
        annotation["class_group"] = cell.cell_class
    annotation["attributes"] = {
        name: None if (value := cell.attributes.get(name)) == UNSURE else value
        for name in schema.attribute_names
    }
    unsure = [name for name in schema.attribute_names if cell.attributes.get(name) == UNSURE]
    if cell.cell_class == UNSURE:
        unsure.insert(0, "class")
    if unsure:
        annotation["unsure"] = unsure
    for name in FLAGS:
        value = getattr(cell, name)
        if value and not (anonymous and name == "comment"):
            annotation[name] = value
    return annotation


def suggestion_out(annotation_id: int, field_id: int, proposal: Proposal, schema: Schema) -> dict[str, Any]:
    """Make the annotation of a proposal: what accepting writes, and the probabilities."""
    values = proposal.best_attributes
    return _base(annotation_id, field_id, proposal.box) | {
        "category_id": category_of(proposal.stated_class, schema),
        "attributes": {name: values.get(name) for name in schema.attribute_names},
        "score": proposal.confidence,
        "class_probabilities": dict(proposal.class_probabilities),
        "attribute_probabilities": {n: dict(v) for n, v in proposal.attribute_probabilities.items()},
        **trust_out(proposal),
    }


def trust_out(proposal: Proposal) -> dict[str, Any]:
    """Return the known members that state how reliable a suggestion is.

    How unlike anything taught the cell is, whether its film was never checked, and the sets of values.
    """
    trust: dict[str, Any] = {}
    if proposal.novelty is not None:
        trust |= {"novelty": proposal.novelty, "unknown": proposal.is_unknown}
    if proposal.unchecked:
        trust["unchecked"] = True
    if proposal.sets:
        trust["sets"] = {name: list(values) for name, values in proposal.sets.items()}
    return trust
